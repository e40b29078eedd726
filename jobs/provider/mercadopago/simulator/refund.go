package simulator

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"slices"
	"strconv"
	"time"

	"github.com/shopspring/decimal"
)

// A GivenRefund is a refund that was asked for through the API and taken: the ledger's
// row.
type GivenRefund struct {
	ID, PaymentID string
	// Key is the X-Idempotency-Key that it came with.
	Key    string
	Amount decimal.Decimal
	At     time.Time
	// Status is approved, in_process or rejected.
	Status string
}

// A RefundFault is what becomes of one call that asks for a refund.
type RefundFault struct {
	// Status is answered, with the cause of that code; the call's own answer when 0.
	Status, Code int
	// Cut closes the connection instead of an answer, Hang lets the caller wait until it
	// gives up.
	Cut, Hang bool
	// Made has the refund made all the same: with one of these it is not.
	Made bool
	// UnderWay takes the refund and leaves it in_process, until DecideRefund.
	UnderWay bool
	// Meanwhile is called once the refund is made and before the answer.
	Meanwhile func()
}

// madeHere is far beyond the ids of a payment's refunds that were not asked for.
const madeHere = 1_000_000_000

// refundBook is what was asked for, guarded by the simulator's refunding.
type refundBook struct {
	given  []GivenRefund
	bodies map[string]string // by key: what was asked with it
	faults []RefundFault
	calls  int64
}

// FailRefunds applies these to the next calls that ask for refunds, one each.
func (s *Simulator) FailRefunds(faults ...RefundFault) {
	s.refunding.Lock()
	defer s.refunding.Unlock()
	s.refundBook.faults = append(s.refundBook.faults, faults...)
}

// ForgetRefundKeys makes the idempotency keys of all refunds new again, as Mercado Pago
// does after a day.
func (s *Simulator) ForgetRefundKeys() {
	s.refunding.Lock()
	defer s.refunding.Unlock()
	clear(s.refundBook.bodies)
}

// GivenRefunds are the refunds that were taken, oldest first.
func (s *Simulator) GivenRefunds() []GivenRefund {
	s.refunding.Lock()
	defer s.refunding.Unlock()
	return slices.Clone(s.refundBook.given)
}

// RefundCalls counts the calls that asked for refunds, whatever the answer.
func (s *Simulator) RefundCalls() int64 {
	s.refunding.Lock()
	defer s.refunding.Unlock()
	return s.refundBook.calls
}

// DecideRefund makes a refund that is in_process, or rejects it.
func (s *Simulator) DecideRefund(id string, made bool) error {
	s.refunding.Lock()
	defer s.refunding.Unlock()
	for i := range s.refundBook.given {
		g := &s.refundBook.given[i]
		if g.ID != id || g.Status != InProcess {
			continue
		}
		g.Status = Rejected
		if !made {
			return nil
		}
		g.Status = Approved
		p, err := s.payment(g.PaymentID)
		if err != nil {
			return err
		}
		return s.giveBack(p, g.Amount, g.ID)
	}
	return errors.New("no refund of that id is in process")
}

// askRefund answers POST /v1/payments/{id}/refunds.
func (s *Simulator) askRefund(w http.ResponseWriter, r *http.Request) error {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, 1<<16))
	if err != nil {
		return badRequest(1, "invalid body", "Params Error")
	}
	s.refunding.Lock()
	s.refundBook.calls++
	var fault RefundFault
	if len(s.refundBook.faults) > 0 {
		fault, s.refundBook.faults = s.refundBook.faults[0], s.refundBook.faults[1:]
	}
	var answer []byte
	if fault.Made || !fault.Cut && !fault.Hang && fault.Status == 0 {
		answer, err = s.refund(r, body, fault)
	}
	s.refunding.Unlock()
	if fault.Meanwhile != nil {
		fault.Meanwhile()
	}
	switch {
	case fault.Hang:
		<-r.Context().Done()
		return nil
	case fault.Cut:
		panic(http.ErrAbortHandler)
	case fault.Status != 0:
		return &apiError{
			status: fault.Status, message: "the refund is refused", word: "refused", cause: &apiCause{Code: fault.Code, Description: "the refund is refused"},
		}
	case err != nil:
		return err
	}
	writeJSON(w, http.StatusCreated, answer)
	return nil
}

// refund does what a call asks for. The caller holds s.refunding.
func (s *Simulator) refund(r *http.Request, body []byte, fault RefundFault) ([]byte, error) {
	p, err := s.payment(r.PathValue("id"))
	if err != nil || !s.shows(s.accountOf(r.Context()), p.collectorID) {
		return nil, s.paymentNotFound()
	}
	key := r.Header.Get("X-Idempotency-Key")
	if key == "" {
		return nil, badRequest(4292, "Header X-Idempotency-Key can't be null", "Header X-Idempotency-Key can't be null")
	}
	asked := p.current.Load().state.ID + " " + string(body)
	if before, known := s.refundBook.bodies[key]; known {
		if before != asked {
			return nil, &apiError{status: http.StatusConflict, message: "idempotency_key_already_used", word: "conflict"}
		}
		for _, g := range s.refundBook.given {
			if g.Key == key {
				return encoded(s.describeRefund(p, g)), nil
			}
		}
	}
	st := p.current.Load().state
	under := decimal.Zero
	for _, g := range s.refundBook.given {
		if g.PaymentID == st.ID && g.Status == InProcess {
			under = under.Add(g.Amount)
		}
	}
	left := st.Amount.Sub(st.Refunded).Sub(under)
	if st.Status != Approved || !left.IsPositive() {
		return nil, badRequest(2063, "The action requested is not valid for the current payment state", "The action requested is not valid for the current payment state")
	}
	amount, refusal := refundAmount(body, left)
	if refusal != nil {
		return nil, refusal
	}
	given := GivenRefund{
		ID: strconv.FormatInt(p.looks.firstRefundID+madeHere+int64(len(s.refundBook.given)), 10), PaymentID: st.ID, Key: key,
		Amount: amount, At: s.now(), Status: Approved,
	}
	if fault.UnderWay {
		given.Status = InProcess
	} else if err := s.giveBack(p, amount, given.ID); err != nil {
		return nil, badRequest(2085, "Invalid value for gateway_operation", err.Error())
	}
	s.refundBook.given = append(s.refundBook.given, given)
	s.refundBook.bodies[key] = asked
	return encoded(s.describeRefund(p, given)), nil
}

// refundAmount is what a body asks for: all that is left when it is empty.
func refundAmount(body []byte, left decimal.Decimal) (decimal.Decimal, *apiError) {
	if len(body) == 0 {
		return left, nil
	}
	var asked struct {
		Amount *json.Number `json:"amount"`
	}
	if json.Unmarshal(body, &asked) != nil {
		return left, badRequest(1, "invalid body", "Params Error")
	}
	if asked.Amount == nil {
		return left, nil
	}
	amount, err := decimal.NewFromString(asked.Amount.String())
	switch {
	case err != nil:
		return left, badRequest(4041, "amount attribute must be numeric", "amount attribute must be numeric")
	case !amount.IsPositive():
		return left, badRequest(4040, "amount attribute must be positive", "amount attribute must be positive")
	case amount.GreaterThan(left):
		return left, badRequest(2085, "Invalid value for gateway_operation", "the amount is more than what is left")
	}
	return amount, nil
}

// giveBack brings a payment into the state after a refund.
func (s *Simulator) giveBack(p *payment, amount decimal.Decimal, id string) error {
	st := p.current.Load().state
	status, detail := Approved, "partially_refunded"
	if st.Refunded.Add(amount).Equal(st.Amount) {
		status, detail = Refunded, Refunded
	}
	return s.moveWith(p, status, detail, st.Refunded.Add(amount), id)
}

// describeRefund is a refund of the ledger as the API prints it.
func (s *Simulator) describeRefund(p *payment, g GivenRefund) object {
	return p.refundBody(g.ID, g.Amount, g.At, g.Status)
}

// listRefunds answers GET /v1/payments/{id}/refunds.
func (s *Simulator) listRefunds(w http.ResponseWriter, r *http.Request) error {
	p, err := s.payment(r.PathValue("id"))
	if err != nil || !s.shows(s.accountOf(r.Context()), p.collectorID) {
		return s.paymentNotFound()
	}
	s.refunding.Lock()
	list := p.current.Load().refundList()
	for _, g := range s.refundBook.given {
		if g.PaymentID == r.PathValue("id") && g.Status != Approved && r.Header.Get("X-Render-In-Process-Refunds") == "true" {
			list = append(list, s.describeRefund(p, g))
		}
	}
	s.refunding.Unlock()
	writeJSON(w, http.StatusOK, encoded(list))
	return nil
}
