package simulator

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"

	"github.com/shopspring/decimal"
)

// ErrUnknownMerchantOrder is the error for a merchant order that the simulator
// never made, or a payment that belongs to none.
var ErrUnknownMerchantOrder = errors.New("unknown merchant order")

// A merchantOrder holds the payments of one reference. Some references have none,
// as some at Mercado Pago have.
type merchantOrder struct {
	id        int64
	reference string
	payments  []*payment // in the order of creation
}

// enterMerchantOrder puts a payment into the merchant order of its reference, or
// into a new one. The caller holds the lock, and nobody has seen the payment yet.
func (s *Simulator) enterMerchantOrder(p *payment) {
	if known, ok := s.merchantOrderIDs[p.reference]; ok {
		p.looks.merchantOrderID = known
	}
	if p.looks.merchantOrderID == 0 {
		return
	}
	if p.reference != "" {
		s.merchantOrderIDs[p.reference] = p.looks.merchantOrderID
	}
	m := s.merchantOrders[p.looks.merchantOrderID]
	if m == nil {
		m = &merchantOrder{id: p.looks.merchantOrderID, reference: p.reference}
		s.merchantOrders[m.id] = m
	}
	m.payments = append(m.payments, p)
}

// MerchantOrderOf is the id of the merchant order that a payment belongs to.
func (s *Simulator) MerchantOrderOf(paymentID string) (id string, err error) {
	p, err := s.payment(paymentID)
	if err != nil {
		return "", err
	}
	if p.looks.merchantOrderID == 0 {
		return "", fmt.Errorf("%w: payment %s belongs to none", ErrUnknownMerchantOrder, paymentID)
	}
	return strconv.FormatInt(p.looks.merchantOrderID, 10), nil
}

// NotifyMerchantOrder is Notify about a merchant order instead of a payment.
func (s *Simulator) NotifyMerchantOrder(ctx context.Context, id string) Result {
	return s.sendMade(s.SignedMerchantOrderRequest(ctx, id))
}

// SignedMerchantOrderRequest makes the request that NotifyMerchantOrder would
// send. Its body has the merchant order's id on top, and no data.
func (s *Simulator) SignedMerchantOrderRequest(ctx context.Context, id string) (*http.Request, error) {
	m, err := s.merchantOrder(id)
	if err != nil {
		return nil, err
	}
	chance := draws(s.cfg.Seed, forMerchantOrder, uint64(m.id), s.notified.Add(1)) //nolint:gosec // not negative
	body := encoded(object{
		"action":         "update",
		"api_version":    "v1",
		"application_id": "8100200300400",
		"date_created":   s.now().UTC().Format("2006-01-02T15:04:05Z"),
		"id":             id,
		"live_mode":      s.cfg.LiveMode,
		"status":         "opened",
		"type":           "topic_merchant_order_wh",
		"user_id":        s.cfg.CollectorID,
		"version":        0,
	})
	requestID, ts := s.stamp(chance, s.now())
	return s.request(ctx, s.seal(s.cfg.Secret, "topic_merchant_order_wh", id, requestID, ts, 0, body))
}

// merchantOrder finds a merchant order by its id.
func (s *Simulator) merchantOrder(id string) (*merchantOrder, error) {
	n, err := strconv.ParseInt(id, 10, 64)
	if err != nil {
		return nil, fmt.Errorf("%w: the id is not a number", ErrUnknownMerchantOrder)
	}
	s.mu.RLock()
	defer s.mu.RUnlock()
	m := s.merchantOrders[n]
	if m == nil {
		return nil, fmt.Errorf("%w: %d", ErrUnknownMerchantOrder, n)
	}
	return m, nil
}

// getMerchantOrder answers GET /merchant_orders/{id}.
func (s *Simulator) getMerchantOrder(w http.ResponseWriter, r *http.Request) error {
	calls := s.counters.merchantOrders.Add(1)
	m, err := s.merchantOrder(r.PathValue("id"))
	if err != nil {
		return &apiError{status: http.StatusNotFound, message: "merchant order not found", word: "not_found"}
	}
	if fault := s.fault(forMerchantOrder, uint64(m.id), uint64(calls)); fault != nil { //nolint:gosec // not negative
		return fault
	}
	writeJSON(w, http.StatusOK, encoded(s.describeMerchantOrder(m)))
	return nil
}

// describeMerchantOrder is a merchant order as the API prints it: the payments as
// they are now, and the sums of those that were approved.
func (s *Simulator) describeMerchantOrder(m *merchantOrder) object {
	s.mu.RLock()
	members := m.payments
	s.mu.RUnlock()
	payments := make([]object, len(members))
	var paid, refunded, total decimal.Decimal
	first := members[0]
	last := first.current.Load().state.DateLastUpdated
	for i, p := range members {
		state := p.current.Load().state
		approved := decimal.Zero
		if state.Status == Approved {
			approved = state.Amount
		}
		paid, refunded, total = paid.Add(approved), refunded.Add(state.Refunded), decimal.Max(total, state.Amount)
		if state.DateLastUpdated.After(last) {
			last = state.DateLastUpdated
		}
		payments[i] = object{
			"id": p.id, "transaction_amount": amount{state.Amount}, "total_paid_amount": amount{approved},
			"currency_id": state.Currency, "status": state.Status, "status_detail": state.StatusDetail,
			"amount_refunded": amount{state.Refunded},
		}
	}
	status, orderStatus := "opened", "payment_required"
	if paid.GreaterThanOrEqual(total) {
		status, orderStatus = "closed", "paid"
	}
	var reference *string
	if m.reference != "" {
		reference = &m.reference
	}
	return object{
		"id": m.id, "status": status, "order_status": orderStatus, "external_reference": reference,
		"preference_id": strconv.FormatInt(s.cfg.CollectorID, 10) + "-" + strconv.FormatInt(m.id, 16),
		"collector":     object{"id": s.cfg.CollectorID},
		"payments":      payments,
		"total_amount":  amount{total}, "paid_amount": amount{paid}, "refunded_amount": amount{refunded},
		"cancelled": false, "is_test": !s.cfg.LiveMode,
		"date_created": date(first.createdAt), "last_updated": date(last),
	}
}
