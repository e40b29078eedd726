package simulator

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/shopspring/decimal"
)

// Statuses of payments, as the API prints them.
const (
	Pending     = "pending"
	InProcess   = "in_process"
	Authorized  = "authorized"
	Approved    = "approved"
	Rejected    = "rejected"
	Cancelled   = "cancelled"
	Refunded    = "refunded"
	InMediation = "in_mediation"
	ChargedBack = "charged_back"
)

// ErrUnknownPayment is the error for a payment id that the simulator never
// gave out.
var ErrUnknownPayment = errors.New("unknown payment")

// A PaymentSpec says what payment to create. Nothing in it is checked, so that
// a test can make what Mercado Pago should never send.
type PaymentSpec struct {
	// Reference is the external_reference; null when empty.
	Reference string
	// Amount is the transaction_amount, in units of Currency.
	Amount decimal.Decimal
	// Currency is the ISO 4217 code; the simulator's when empty.
	Currency string
	// Status is the first status. When it is empty the payment is pending,
	// with the detail pending_waiting_payment.
	Status, StatusDetail string
	// CollectorID is the account that is paid; the simulator's when 0.
	CollectorID int64
	// LiveMode is live_mode; the simulator's when nil.
	LiveMode *bool
	// Refunded is the transaction_amount_refunded, in units of Currency.
	Refunded decimal.Decimal
	// OperationType is the operation_type; "regular_payment" when empty.
	OperationType string
	// CreatedAt is the date_created and first date_last_updated; now when
	// zero. The search shows a payment from its real creation on.
	CreatedAt time.Time
	// Unlisted keeps the payment out of searches until it was asked for by its
	// id, or by List: only a webhook can tell of it.
	Unlisted bool
	// InMerchantOrder puts the payment into a merchant order for sure: some are in
	// none.
	InMerchantOrder bool
}

// A PaymentState is one state that a payment went through.
type PaymentState struct {
	ID              string // the payment's
	Status          string
	StatusDetail    string
	Amount          decimal.Decimal
	Refunded        decimal.Decimal
	Currency        string
	DateLastUpdated time.Time // to the millisecond, as the API prints it
	// Served is how many API answers showed this state. Nobody can know of a
	// state that was never served.
	Served int64
}

// A payment is what stays the same, and its newest state.
type payment struct {
	seq           uint64
	id            int64
	reference     string
	operationType string
	collectorID   int64
	liveMode      bool
	ticket        bool // paid at a counter and not by card
	createdAt     time.Time
	looks         looks

	current  atomic.Pointer[snapshot]
	hidden   atomic.Bool // the first GET answers 404
	unlisted atomic.Bool // no search shows it before a GET has
	gets     atomic.Int64
	notified atomic.Uint64
	fields   atomic.Pointer[map[string]json.RawMessage] // see SetFields
	sale     sale                                       // guarded by the simulator's mu
	costs    costs
}

// looks are the details of a payment that no rule depends on.
type looks struct {
	payerID         int64
	merchantOrderID int64 // 0: none
	firstDigits     string
	lastDigits      string
	emptyRelease    bool // money_release_date "" where there is none, not null
	firstRefundID   int64
}

// A snapshot is a payment in one state. It never changes once it is published.
type snapshot struct {
	payment    *payment
	state      PaymentState // its Served is unused: see served
	changedAt  time.Time    // by the simulator's clock
	approvedAt time.Time    // zero: never
	refunds    []refund
	previous   *snapshot

	served   atomic.Int64
	render   sync.Once
	rendered []byte
}

// A refund is money that went back in one piece.
type refund struct {
	amount decimal.Decimal
	at     time.Time
	id     string // empty: by its place
}

// CreatePayment creates a payment and returns its id. Nobody is told: see
// Notify. The first payment of a reference that no order was made for opens
// one of the payment's amount and currency in the ledger.
func (s *Simulator) CreatePayment(spec PaymentSpec) (id string) {
	return s.create(s.lastSeq.Add(1), spec).current.Load().state.ID
}

// create creates the payment with the sequence number seq.
func (s *Simulator) create(seq uint64, spec PaymentSpec) *payment {
	if spec.Status == "" {
		spec.Status, spec.StatusDetail = Pending, "pending_waiting_payment"
	}
	spec.Currency = cmp.Or(spec.Currency, s.cfg.Currency)
	spec.CollectorID = cmp.Or(spec.CollectorID, s.cfg.CollectorID)
	spec.OperationType = cmp.Or(spec.OperationType, "regular_payment")
	now := s.now()
	if spec.CreatedAt.IsZero() {
		spec.CreatedAt = now
	}
	p := &payment{
		seq:           seq,
		id:            s.firstID + int64(seq), //nolint:gosec // counts up from 1
		reference:     spec.Reference,
		operationType: spec.OperationType,
		collectorID:   spec.CollectorID,
		liveMode:      s.cfg.LiveMode,
		ticket:        spec.Status == Pending,
		createdAt:     spec.CreatedAt.Truncate(time.Millisecond),
		looks:         s.looksOf(seq),
	}
	if spec.LiveMode != nil {
		p.liveMode = *spec.LiveMode
	}
	if spec.InMerchantOrder && p.looks.merchantOrderID == 0 {
		p.looks.merchantOrderID = lastMerchantOrderID + p.id
	}
	p.costs.fee, p.costs.taxes = s.costsOf(spec.Amount)
	p.costs.releaseAfter = s.releaseAfter()
	p.unlisted.Store(spec.Unlisted)
	if share := s.cfg.Faults.NotFoundFirst; share > 0 {
		p.hidden.Store(draws(s.cfg.Seed, forHidden, seq).Float64() < share)
	}
	snap := &snapshot{
		payment: p,
		state: PaymentState{
			ID:              strconv.FormatInt(p.id, 10),
			Status:          spec.Status,
			StatusDetail:    spec.StatusDetail,
			Amount:          spec.Amount,
			Refunded:        spec.Refunded,
			Currency:        spec.Currency,
			DateLastUpdated: p.createdAt,
		},
		changedAt: now,
	}
	if spec.Status == Approved {
		snap.approvedAt = p.createdAt
	}
	if spec.Refunded.IsPositive() {
		snap.refunds = []refund{{amount: spec.Refunded, at: p.createdAt}}
	}
	p.current.Store(snap)

	s.mu.Lock()
	defer s.mu.Unlock()
	s.enterMerchantOrder(p)
	s.payments[p.id] = p
	s.created = append(s.created, p)
	if p.reference != "" {
		s.ledgerOrderOf(p.reference, spec.Amount, spec.Currency).enter(s.cfg, snap)
	}
	return p
}

// lastMerchantOrderID is the largest id that is drawn for a merchant order.
const lastMerchantOrderID = 35_000_000_000

// looksOf draws the details of a payment.
func (s *Simulator) looksOf(seq uint64) looks {
	chance := draws(s.cfg.Seed, forPayment, seq)
	brands := []string{"503143", "450995", "371180"}
	l := looks{
		payerID:         100_000_000 + chance.Int64N(900_000_000),
		merchantOrderID: lastMerchantOrderID - chance.Int64N(9_000_000_000),
		firstDigits:     brands[chance.IntN(len(brands))],
		lastDigits:      fmt.Sprintf("%04d", chance.IntN(10_000)),
		emptyRelease:    chance.IntN(8) == 0,
		firstRefundID:   1_000_000_000 + chance.Int64N(900_000_000),
	}
	if chance.IntN(8) == 0 {
		l.merchantOrderID = 0
	}
	return l
}

// List lets searches show a payment that was made Unlisted. Nothing happens for an
// id that the simulator never gave out.
func (s *Simulator) List(id string) {
	if p, err := s.payment(id); err == nil {
		p.unlisted.Store(false)
	}
}

// Move brings a payment into its next state, in units of its currency what of
// it was given back so far. Any status is taken, so that a test can make one
// that Mercado Pago does not document; the same status again is a mere update.
// date_last_updated becomes now, and always later than before. The errors are
// ErrUnknownPayment and a refund that is negative or more than the amount.
func (s *Simulator) Move(id, status, detail string, refunded decimal.Decimal) error {
	p, err := s.payment(id)
	if err != nil {
		return err
	}
	return s.move(p, status, detail, refunded)
}

// move is Move of a payment in hand.
func (s *Simulator) move(p *payment, status, detail string, refunded decimal.Decimal) error {
	return s.moveWith(p, status, detail, refunded, "")
}

// moveWith is move with the id of the refund that is made; its own when empty.
func (s *Simulator) moveWith(p *payment, status, detail string, refunded decimal.Decimal, refundID string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	last := p.current.Load()
	if refunded.IsNegative() || refunded.GreaterThan(last.state.Amount) {
		return fmt.Errorf("payment %s: refund of %s does not fit its amount of %s",
			last.state.ID, refunded, last.state.Amount)
	}
	now := s.now()
	at := now.Truncate(time.Millisecond)
	if earliest := last.state.DateLastUpdated.Add(time.Millisecond); at.Before(earliest) {
		at = earliest
	}
	next := &snapshot{
		payment:    p,
		state:      last.state,
		changedAt:  now,
		approvedAt: last.approvedAt,
		refunds:    last.refunds,
		previous:   last,
	}
	next.state.Status, next.state.StatusDetail = status, detail
	next.state.Refunded, next.state.DateLastUpdated = refunded, at
	if status == Approved && next.approvedAt.IsZero() {
		next.approvedAt = at
	}
	switch given := refunded.Sub(last.state.Refunded); {
	case given.IsPositive():
		// The capacity is cut so that no two states share a tail.
		next.refunds = append(last.refunds[:len(last.refunds):len(last.refunds)], refund{amount: given, at: at, id: refundID})
	case given.IsNegative():
		next.refunds = nil
		if refunded.IsPositive() {
			next.refunds = []refund{{amount: refunded, at: at}}
		}
	}
	p.current.Store(next)
	if p.reference != "" {
		s.orders[p.reference].enter(s.cfg, next)
	}
	return nil
}

// payment finds a payment by its id.
func (s *Simulator) payment(id string) (*payment, error) {
	n, err := strconv.ParseInt(id, 10, 64)
	if err != nil {
		return nil, fmt.Errorf("%w: the id is not a number", ErrUnknownPayment)
	}
	s.mu.RLock()
	p := s.payments[n]
	s.mu.RUnlock()
	if p == nil {
		return nil, fmt.Errorf("%w: %d", ErrUnknownPayment, n)
	}
	return p, nil
}

// shownAt is the state that was current at a time of the simulator's clock;
// nil when there was none yet.
func (p *payment) shownAt(t time.Time) *snapshot {
	snap := p.current.Load()
	for snap != nil && snap.changedAt.After(t) {
		snap = snap.previous
	}
	return snap
}

// states lists the states of a payment, oldest first.
func (p *payment) states() []PaymentState {
	var all []PaymentState
	for snap := p.current.Load(); snap != nil; snap = snap.previous {
		state := snap.state
		state.Served = snap.served.Load()
		all = append(all, state)
	}
	slices.Reverse(all)
	return all
}
