package simulator

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"mime"
	"net/http"
	"regexp"
	"slices"
	"strings"

	"github.com/shopspring/decimal"
)

// PayPath is where Handler takes a Purchase and answers a Receipt. It is none of
// Mercado Pago's: it asks for no token, and it is never down. Only JSON is
// taken, which no page of another site can send.
const PayPath = "/simulator/pay"

// ErrPurchase is the error for a Purchase that can't be made.
var ErrPurchase = errors.New("purchase can't be made")

// A purchaseError is an ErrPurchase that says why.
type purchaseError struct{ why string }

func (e purchaseError) Error() string { return e.why }
func (e purchaseError) Unwrap() error { return ErrPurchase }

// noPurchase is a purchaseError.
func noPurchase(format string, args ...any) error { return purchaseError{fmt.Sprintf(format, args...)} }

// A Purchase is what Pay does to an order of the merchant's.
type Purchase struct {
	// Reference is the order's.
	Reference string `json:"reference"`
	// PaymentID is the payment that is changed; empty for the newest one that can be
	// given back or charged back, where that is asked for, and else for a new one.
	PaymentID string `json:"payment_id,omitempty"`
	// Amount and Currency are a new payment's, the amount in units of the currency;
	// what the order asks for when empty, as far as the simulator knows it.
	Amount   string `json:"amount,omitempty"`
	Currency string `json:"currency,omitempty"`
	// Status is one of the statuses of payments; Approved when empty.
	Status string `json:"status,omitempty"`
	// As is the channel: AsPayment, AsOrder or AsMerchantOrder; when empty the one of
	// the payment, and AsPayment for a new one.
	As string `json:"as,omitempty"`
	// OrderType is the type of the Mercado Pago order: online (when empty), qr or
	// point.
	OrderType string `json:"order_type,omitempty"`
	// Refund is how much is given back, in units of the currency, or RefundAll.
	Refund string `json:"refund,omitempty"`
	// Chargeback is the detail of a chargeback: in_process, settled (lost) or
	// reimbursed (won).
	Chargeback string `json:"chargeback,omitempty"`
	// NoWebhook tells nobody.
	NoWebhook bool `json:"no_webhook,omitempty"`
}

// The channels of a Purchase.
const (
	AsPayment       = "payment"
	AsOrder         = "order"
	AsMerchantOrder = "merchant_order"
)

// RefundAll gives back all that is left of a payment.
const RefundAll = "all"

// Chargebacks are the details that a chargeback can have.
var Chargebacks = []string{"in_process", "settled", "reimbursed"}

// Channels are the values of Purchase.As.
var Channels = []string{AsPayment, AsOrder, AsMerchantOrder}

// A Receipt is what a Purchase has led to.
type Receipt struct {
	Reference       string `json:"reference"`
	PaymentID       string `json:"payment_id"`
	OrderID         string `json:"order_id,omitempty"`
	MerchantOrderID string `json:"merchant_order_id,omitempty"`
	Status          string `json:"status"`
	StatusDetail    string `json:"status_detail"`
	Amount          string `json:"amount"`
	Refunded        string `json:"refunded_amount"`
	Currency        string `json:"currency"`
	// Webhooks are the notifications that were sent, none with NoWebhook.
	Webhooks []Webhook `json:"webhooks"`
}

// A Webhook is one notification and its answer.
type Webhook struct {
	Topic string `json:"topic"`
	ID    string `json:"id"`
	// StatusCode is the answer's HTTP status, 0 when none came; Error says why.
	StatusCode int    `json:"status_code"`
	QueueID    int64  `json:"queue_id,omitempty"`
	Error      string `json:"error,omitempty"`
}

// currencyCode is how currencies are written.
var currencyCode = regexp.MustCompile(`^[A-Z]{3}$`)

// statusDetails are the details that new statuses get.
var statusDetails = map[string]string{
	Pending: "pending_waiting_payment", InProcess: "pending_review_manual", Authorized: "pending_capture", Approved: "accredited",
	Rejected: "cc_rejected_other_reason", Cancelled: "by_collector", InMediation: "pending", Refunded: "refunded", ChargedBack: "in_process",
}

// PaymentStatuses are the statuses that a Purchase can ask for, sorted.
func PaymentStatuses() []string {
	var all []string
	for status := range statusDetails {
		all = append(all, status)
	}
	slices.Sort(all)
	return all
}

// OrderTypes are the types of Mercado Pago orders.
func OrderTypes() []string {
	return []string{orderTypes[OnlineOrder], orderTypes[QROrder], orderTypes[PointOrder]}
}

// Pay pays an order of the merchant's, gives money back or charges it back, and
// notifies about it. A Purchase that can't be made is an error that wraps
// ErrPurchase; that a notification is not acknowledged is in the receipt.
func (s *Simulator) Pay(ctx context.Context, what Purchase) (Receipt, error) {
	what, err := what.complete()
	if err != nil {
		return Receipt{}, err
	}
	p, err := s.paymentOf(what)
	if err != nil {
		return Receipt{}, err
	}
	receipt := Receipt{Webhooks: []Webhook{}}
	if p == nil {
		if p, err = s.bought(what); err != nil {
			return Receipt{}, err
		}
		receipt.Webhooks = append(receipt.Webhooks, s.announce(ctx, what, p)...)
		what.Status = ""
	}
	if what.Status != "" || what.Refund != "" || what.Chargeback != "" {
		if err := s.change(p, what); err != nil {
			return Receipt{}, err
		}
		receipt.Webhooks = append(receipt.Webhooks, s.announce(ctx, what, p)...)
	}
	s.fill(&receipt, p)
	return receipt, nil
}

// complete checks a purchase and puts the statuses that are acts into words of
// their own.
func (what Purchase) complete() (Purchase, error) {
	oneOf := func(name, value string, allowed []string) error {
		if value != "" && !slices.Contains(allowed, value) {
			return noPurchase("%s %q is none of %s", name, value, strings.Join(allowed, ", "))
		}
		return nil
	}
	for _, err := range []error{
		oneOf("status", what.Status, PaymentStatuses()), oneOf("as", what.As, Channels),
		oneOf("order_type", what.OrderType, OrderTypes()), oneOf("chargeback", what.Chargeback, Chargebacks),
	} {
		if err != nil {
			return what, err
		}
	}
	acts := 0
	for _, act := range []string{what.Status, what.Refund, what.Chargeback} {
		if act != "" {
			acts++
		}
	}
	switch {
	case what.Reference == "" || len(what.Reference) > 64:
		return what, noPurchase("a reference has 1 to 64 characters")
	case acts > 1:
		return what, noPurchase("status, refund and chargeback exclude each other")
	case what.OrderType != "" && what.As != AsOrder:
		return what, noPurchase("only an order has an order_type")
	case what.PaymentID != "" && (what.Amount != "" || what.Currency != ""):
		return what, noPurchase("amount and currency are a new payment's")
	}
	if what.PaymentID != "" && acts == 0 {
		what.Status = Approved
	}
	switch what.Status {
	case Refunded:
		what.Status, what.Refund = "", RefundAll
	case ChargedBack:
		what.Status, what.Chargeback = "", Chargebacks[0]
	}
	return what, nil
}

// paymentOf is the payment that a purchase changes; nil when it makes one.
func (s *Simulator) paymentOf(what Purchase) (*payment, error) {
	if what.PaymentID != "" {
		p, err := s.payment(what.PaymentID)
		if err != nil || p.reference != what.Reference {
			return nil, noPurchase("%s is not a payment of %s", what.PaymentID, what.Reference)
		}
		return p, nil
	}
	if what.Amount != "" || what.Refund == "" && what.Chargeback == "" {
		return nil, nil //nolint:nilnil // none is an answer
	}
	for _, p := range slices.Backward(s.paymentsSoFar()) {
		if status := p.current.Load().state.Status; p.reference == what.Reference &&
			(status == Approved || status == ChargedBack && what.Chargeback != "") {
			return p, nil
		}
	}
	return nil, nil //nolint:nilnil // none is an answer
}

// bought makes the payment of a purchase.
func (s *Simulator) bought(what Purchase) (*payment, error) {
	s.mu.RLock()
	known := s.orders[what.Reference]
	s.mu.RUnlock()
	spec := PaymentSpec{Reference: what.Reference, Currency: cmp.Or(what.Currency, s.cfg.Currency), InMerchantOrder: what.As == AsMerchantOrder}
	if known != nil && what.Currency == "" {
		spec.Currency = known.currency
	}
	if !currencyCode.MatchString(spec.Currency) {
		return nil, noPurchase("%q is not a currency", spec.Currency)
	}
	switch {
	case what.Amount != "":
		var err error
		if spec.Amount, err = amountOf(what.Amount, spec.Currency); err != nil {
			return nil, err
		}
	case known != nil && known.currency == spec.Currency:
		spec.Amount = known.amount
	default:
		return nil, noPurchase("the simulator does not know what %s asks for: say the amount", what.Reference)
	}
	// Money must have come before it can go back.
	spec.Status = cmp.Or(what.Status, Approved)
	spec.StatusDetail = statusDetails[spec.Status]
	p := s.create(s.lastSeq.Add(1), spec)
	if what.As == AsOrder {
		kind := OnlineOrder
		for k, name := range orderTypes {
			if name == what.OrderType {
				kind = k
			}
		}
		s.createResource(kind, p)
	}
	return p, nil
}

// amountOf reads an amount above 0, no finer than its currency.
func amountOf(text, currency string) (decimal.Decimal, error) {
	amount, err := decimal.NewFromString(text)
	if err != nil || !amount.IsPositive() || !amount.Equal(amount.Truncate(scaleOf(currency))) {
		return decimal.Zero, noPurchase("%q is not an amount of %s", text, currency)
	}
	return amount, nil
}

// change moves a payment as a purchase says.
func (s *Simulator) change(p *payment, what Purchase) error {
	s.paying.Lock()
	defer s.paying.Unlock()
	state := p.current.Load().state
	status, detail, refunded := what.Status, statusDetails[what.Status], state.Refunded
	switch {
	case what.Chargeback != "":
		if state.Status != Approved && state.Status != ChargedBack {
			return noPurchase("payment %s is %s and can't be charged back", state.ID, state.Status)
		}
		status, detail = ChargedBack, what.Chargeback
	case what.Refund != "":
		if state.Status != Approved {
			return noPurchase("payment %s is %s and can't be refunded", state.ID, state.Status)
		}
		left := state.Amount.Sub(state.Refunded)
		given := left
		if what.Refund != RefundAll {
			var err error
			if given, err = amountOf(what.Refund, state.Currency); err != nil {
				return err
			}
		}
		if given.GreaterThan(left) {
			return noPurchase("payment %s has %s left, less than %s", state.ID, orderAmount(left, state.Currency), given)
		}
		refunded = refunded.Add(given)
		status, detail = Approved, "partially_refunded"
		if refunded.Equal(state.Amount) {
			status, detail = Refunded, statusDetails[Refunded]
		}
	}
	return s.move(p, status, detail, refunded)
}

// announce notifies about a payment in a purchase's channel. A chargeback of a
// payment is notified in its own as well.
func (s *Simulator) announce(ctx context.Context, what Purchase, p *payment) []Webhook {
	if what.NoWebhook {
		return nil
	}
	id := p.current.Load().state.ID
	hook := func(topic, id string, result Result) Webhook {
		w := Webhook{Topic: topic, ID: id, StatusCode: result.StatusCode, QueueID: result.QueueID}
		if result.Err != nil {
			w.Error = result.Err.Error()
		}
		return w
	}
	order := s.orderOf(p)
	if what.As == AsOrder || what.As == "" && order != nil {
		if order == nil {
			order = s.createResource(OnlineOrder, p)
		}
		return []Webhook{hook(order.topic(), order.id, s.NotifyResource(ctx, order.kind, order.id))}
	}
	if what.As == AsMerchantOrder {
		merchantOrder, err := s.MerchantOrderOf(id)
		if err != nil {
			return []Webhook{hook("topic_merchant_order_wh", "", Result{Err: err})}
		}
		return []Webhook{hook("topic_merchant_order_wh", merchantOrder, s.NotifyMerchantOrder(ctx, merchantOrder))}
	}
	told := []Webhook{hook("payment", id, s.Notify(ctx, id))}
	if p.current.Load().state.Status == ChargedBack {
		chargeback := s.createResource(Chargeback, p)
		told = append(told, hook(chargeback.topic(), chargeback.id, s.NotifyResource(ctx, Chargeback, chargeback.id)))
	}
	return told
}

// orderOf is the Mercado Pago order that a payment is in; nil for none.
func (s *Simulator) orderOf(p *payment) *resource { return s.resourceAt(ordersPath + orderID(s, p)) }

// fill puts into a receipt what became of the payment.
func (s *Simulator) fill(receipt *Receipt, p *payment) {
	state := p.current.Load().state
	receipt.Reference, receipt.PaymentID = p.reference, state.ID
	receipt.Status, receipt.StatusDetail, receipt.Currency = state.Status, state.StatusDetail, state.Currency
	receipt.Amount, receipt.Refunded = orderAmount(state.Amount, state.Currency), orderAmount(state.Refunded, state.Currency)
	if order := s.orderOf(p); order != nil {
		receipt.OrderID = order.id
	}
	if id, err := s.MerchantOrderOf(state.ID); err == nil {
		receipt.MerchantOrderID = id
	}
}

// servePay answers POST PayPath.
func (s *Simulator) servePay(w http.ResponseWriter, r *http.Request) {
	if kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || kind != "application/json" {
		(&apiError{status: http.StatusUnsupportedMediaType, message: "the body must be JSON", word: "unsupported_media_type"}).write(w)
		return
	}
	var what Purchase
	body := json.NewDecoder(http.MaxBytesReader(w, r.Body, answerSize))
	body.DisallowUnknownFields()
	if err := body.Decode(&what); err != nil {
		(&apiError{status: http.StatusBadRequest, message: "the body is not a purchase: " + err.Error(), word: "bad_request"}).write(w)
		return
	}
	receipt, err := s.Pay(r.Context(), what)
	if err != nil {
		(&apiError{status: http.StatusBadRequest, message: err.Error(), word: "bad_request"}).write(w)
		return
	}
	writeJSON(w, http.StatusOK, encoded(receipt))
}
