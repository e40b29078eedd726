package store

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"
	"github.com/shopspring/decimal"

	"github.com/conciliar/conciliar/store/order"
)

// States of a refund.
const (
	// RefundRequested: nobody has sent it yet.
	RefundRequested = "requested"
	// RefundSent: it is being sent, or the provider took it and has not decided.
	RefundSent = "sent"
	// RefundUnknown: it was sent, and nobody can say whether it was made. It is sent
	// again with the same key.
	RefundUnknown = "unknown"
	// RefundDone: the money went back.
	RefundDone = "done"
	// RefundFailed: no money went back, and none will.
	RefundFailed = "failed"
)

// RefundExpired is why a refund failed that was not made and must not be sent any more.
const RefundExpired = "expired"

// RefundStates lists every state of a refund, in their order.
func RefundStates() []string {
	return []string{RefundRequested, RefundSent, RefundUnknown, RefundDone, RefundFailed}
}

var (
	// ErrRefundNotFound means that no refund has that id.
	ErrRefundNotFound = noSuch("refund", "refund_not_found")
	// ErrRefundChanged means that what can be refunded is not what the person saw who
	// asks, or that the same form was sent with other words.
	ErrRefundChanged = newPlainError(Conflict, "refund_changed", "what can be refunded has changed",
		"What can be refunded of the payment has changed since it was shown.")
)

// A RefundLimitError means that more was asked for than can be given back.
type RefundLimitError struct {
	PaymentID string
	// Left is what can be given back, in units of Currency: 0 when nothing can, such as
	// of a payment that is not approved.
	Left     decimal.Decimal
	Currency string
}

func (e *RefundLimitError) Error() string {
	if !e.Left.IsPositive() {
		return fmt.Sprintf("nothing of payment %s can be refunded", e.PaymentID)
	}
	return fmt.Sprintf("at most %s %s of payment %s can be refunded", order.FormatAmount(e.Left, e.Currency), e.Currency, e.PaymentID)
}

// Problem classifies the error for the caller.
func (e *RefundLimitError) Problem() Problem {
	return Problem{
		Class: Conflict, Code: "refund_exceeds", Text: capitalised(e.Error()) + ".",
		Args: []any{"id", e.PaymentID, "left", order.FormatAmount(e.Left, e.Currency) + " " + e.Currency},
	}
}

// A Refund is money of a payment that is to go back.
type Refund struct {
	// ID is the key that makes it one at the provider, Number its place in lists.
	ID     string
	Number int64

	Source, PaymentID string
	// CollectorID is the account that was paid, OrderReference the order's.
	CollectorID, OrderReference string
	Amount                      decimal.Decimal
	Currency                    string
	// Whole is true when all goes back and the provider is told no amount.
	Whole bool
	// State is one of RefundStates.
	State string
	// RequestedBy asked for it, and Note says why.
	RequestedBy, Note string
	RequestedAt       time.Time
	// Tries is how often it was sent, SentAt when it was first; nil before.
	Tries   int
	SentAt  *time.Time
	EndedAt *time.Time
	// ProviderID is the provider's id of it, nil until that is known; Confirmed what the
	// provider says went back.
	ProviderID *string
	Confirmed  decimal.NullDecimal
	// Reason is why it failed or is not known, in a word; Error is what the provider
	// said. Both are empty where there is nothing to say.
	Reason, Error string
	// QueueID is the event that reads back what came of it.
	QueueID *int64
}

// Open reports whether it has not ended.
func (r Refund) Open() bool { return r.EndedAt == nil }

// ValidRefundID reports whether a text can be a refund's id: a UUID.
func ValidRefundID(id string) bool {
	var parsed pgtype.UUID
	return parsed.Scan(id) == nil
}

const refundColumns = `id::text, number, source, payment_id, collector_id, order_reference, amount, currency, whole, state, requested_by, note,
	requested_at, tries, sent_at, ended_at, provider_id, confirmed_amount, reason, error, queue_id`

// InsertRefund inserts the job that sends a refund, to run at the given time, and returns
// the job's id. Any error rolls the transaction back.
type InsertRefund func(ctx context.Context, tx pgx.Tx, id string, at time.Time) (jobID int64, err error)

// A RefundRequest asks for a refund.
type RefundRequest struct {
	// ID is the refund's, a UUID: the same again is the same refund.
	ID                string
	Source, PaymentID string
	Amount            decimal.Decimal
	// Seen is what could be given back when the person who asks was shown it.
	Seen decimal.Decimal
	Note Note
	By   Actor
}

// RequestRefund writes a refund down, with the job that sends it. Nothing is asked of the
// provider before that is committed. The same request again returns the refund that there
// is. The error wraps ErrPaymentNotFound or ErrRefundChanged, or is a *RefundLimitError or
// an *order.TermsError.
func (s *Store) RequestRefund(ctx context.Context, req RefundRequest) (Refund, error) {
	var refund Refund
	err := req.Note.check()
	if s.insertRefund == nil {
		err = errNoRefunds
	}
	if err == nil {
		err = s.inTx(ctx, func(tx pgx.Tx) (err error) {
			if err := lockPayment(ctx, tx, req.Source, req.PaymentID); err != nil {
				return err
			}
			refund, err = s.requestRefund(ctx, tx, req)
			return err
		})
	}
	return refund, wrap(err, "refund of payment %q", req.PaymentID)
}

func (s *Store) requestRefund(ctx context.Context, tx pgx.Tx, req RefundRequest) (Refund, error) {
	known, err := readRefund(ctx, tx, req.ID)
	switch {
	case err == nil && known.Source == req.Source && known.PaymentID == req.PaymentID && known.Amount.Equal(req.Amount):
		return known, nil
	case err == nil:
		return Refund{}, ErrRefundChanged
	case !errors.Is(err, ErrRefundNotFound):
		return Refund{}, err
	}
	p, err := loadPayment(ctx, tx, req.Source, req.PaymentID)
	if err != nil {
		return Refund{}, err
	}
	if p == nil {
		return Refund{}, ErrPaymentNotFound.With(req.PaymentID)
	}
	unread, err := unreadRefunds(ctx, tx, req.Source, []string{req.PaymentID})
	if err != nil {
		return Refund{}, err
	}
	left := refundable(s.rulesNow(), p.Payment, p.reference, unread[req.PaymentID])
	switch {
	case !req.Amount.IsPositive() || req.Amount.GreaterThan(left):
		return Refund{}, &RefundLimitError{PaymentID: req.PaymentID, Left: left, Currency: p.Currency}
	case !req.Seen.Equal(left):
		return Refund{}, ErrRefundChanged
	}
	if err := (order.Terms{Amount: req.Amount, Currency: p.Currency}).Validate(); err != nil {
		return Refund{}, err
	}
	whole := req.Amount.Equal(p.Amount.Decimal) && p.Refunded.IsZero()
	at, err := readValue[time.Time](ctx, tx, `
		INSERT INTO refunds (id, source, payment_id, collector_id, order_reference, amount, currency, whole, requested_by, note, requested_at)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, clock_timestamp()) RETURNING requested_at`,
		req.ID, req.Source, req.PaymentID, p.CollectorID, p.reference, req.Amount, p.Currency, whole, text(req.By.Name), req.Note.text)
	if err != nil {
		return Refund{}, refusedBySchema("refund", err)
	}
	if err := s.giveRefundJob(ctx, tx, req.ID, at); err != nil {
		return Refund{}, err
	}
	said := fmt.Sprintf("payment %s, %s %s: %s", req.PaymentID, order.FormatAmount(req.Amount, p.Currency), p.Currency, req.Note.text)
	if err := record(ctx, tx, act{by: req.By, action: ActionRefund, kind: TargetOrder, order: p.reference, count: 1, note: said}); err != nil {
		return Refund{}, err
	}
	return readRefund(ctx, tx, req.ID)
}

// errNoRefunds means that the process was not told to send refunds.
var errNoRefunds = errors.New("this store cannot send refunds")

func (s *Store) giveRefundJob(ctx context.Context, tx pgx.Tx, id string, at time.Time) error {
	jobID, err := s.insertRefund(ctx, tx, id, at)
	if err != nil {
		return err
	}
	return execute(ctx, tx, `UPDATE refunds SET job_id = $2 WHERE id = $1`, id, jobID)
}

// refundable is how much of a payment can be given back, in units of its currency, when
// that much is asked for already and not read back.
func refundable(rules order.Rules, p order.Payment, reference string, unread decimal.Decimal) decimal.Decimal {
	if p.Status != order.PaymentApproved || !p.Amount.Valid || p.Validation || reference == "" || rules.IsForeign(p) {
		return decimal.Zero
	}
	return decimal.Max(decimal.Zero, p.Amount.Decimal.Sub(p.Refunded).Sub(unread))
}

// unreadRefunds are, by payment, the sums of the refunds that no fetch of the payment
// shows yet: what is open, and what is done and was not read back.
func unreadRefunds(ctx context.Context, q querier, source string, paymentIDs []string) (map[string]decimal.Decimal, error) {
	rows, _ := q.Query(ctx, `
		SELECT r.payment_id, sum(r.amount)
		FROM refunds r LEFT JOIN payments p ON p.source = r.source AND p.payment_id = r.payment_id
		WHERE r.source = $1 AND r.payment_id = ANY ($2) AND (r.ended_at IS NULL OR r.state = 'done' AND (p.fetch_mark >= r.queue_id) IS NOT TRUE)
		GROUP BY 1`, source, paymentIDs)
	unread := map[string]decimal.Decimal{}
	var id string
	var sum decimal.Decimal
	_, err := pgx.ForEachRow(rows, []any{&id, &sum}, func() error {
		unread[id] = sum
		return nil
	})
	return unread, err
}

// A Refundable is how much of a payment can be given back.
type Refundable struct {
	Source, PaymentID string
	Left              decimal.Decimal
	Currency          string
	// ID is for the refund that is asked for next, so that it is one however often the
	// form is sent.
	ID string
}

// OrderRefunds returns the refunds of an order's payments, newest first, and what can be
// given back of each of the payments.
func (s *Store) OrderRefunds(ctx context.Context, reference string, payments []OrderPayment) (refunds []Refund, left []Refundable, err error) {
	err = s.readSnapshot(ctx, func(tx pgx.Tx) error {
		refunds, err = readAll[Refund](ctx, tx, `SELECT `+refundColumns+` FROM refunds WHERE order_reference = $1 ORDER BY number DESC`, text(reference))
		if err != nil {
			return err
		}
		for _, p := range payments {
			unread, err := unreadRefunds(ctx, tx, p.Source, []string{p.ID})
			if err != nil {
				return err
			}
			most := refundable(s.rulesNow(), p.Payment, reference, unread[p.ID])
			if !most.IsPositive() {
				continue
			}
			id, err := readValue[string](ctx, tx, `SELECT gen_random_uuid()::text`)
			if err != nil {
				return err
			}
			left = append(left, Refundable{Source: p.Source, PaymentID: p.ID, Left: most, Currency: p.Currency, ID: id})
		}
		return nil
	})
	return refunds, left, wrap(err, "refunds of order %q", reference)
}

// Refund returns a refund, or ErrRefundNotFound.
func (s *Store) Refund(ctx context.Context, id string) (Refund, error) {
	refund, err := readRefund(ctx, s.pool, id)
	return refund, wrap(err, "refund %q", id)
}

func readRefund(ctx context.Context, q querier, id string) (Refund, error) {
	if !ValidRefundID(id) {
		return Refund{}, ErrRefundNotFound.With(id)
	}
	refund, err := readOne[Refund](ctx, q, `SELECT `+refundColumns+` FROM refunds WHERE id = $1`, id)
	return refund, ErrRefundNotFound.ifNone(err, id)
}

// refundLate is how long a refund may be open before it is told of: it has been sent
// again four times by then.
const refundLate = 15 * time.Minute

// lateRefunds counts refunds that have been open for long, by their state, and says
// since when the oldest is.
func lateRefunds(ctx context.Context, tx pgx.Tx) (map[string]int64, *time.Time, error) {
	rows, _ := tx.Query(ctx, `
		SELECT state, count(*), min(requested_at) FROM refunds WHERE ended_at IS NULL AND requested_at < now() - `+seconds(refundLate)+` GROUP BY state`)
	late := map[string]int64{}
	var since *time.Time
	var state string
	var n int64
	var oldest time.Time
	_, err := pgx.ForEachRow(rows, []any{&state, &n, &oldest}, func() error {
		late[state] = n
		if since == nil || oldest.Before(*since) {
			at := oldest.UTC()
			since = &at
		}
		return nil
	})
	return late, since, err
}

// A RefundFilter selects refunds; an empty field selects all.
type RefundFilter struct {
	State, PaymentID, OrderReference string
}

// Refunds returns one page of the refunds that the filter selects.
func (s *Store) Refunds(ctx context.Context, filter RefundFilter, page Page) (List[Refund], error) {
	var c conditions
	c.equal("state", filter.State)
	c.equal("payment_id", filter.PaymentID)
	c.equal("order_reference", filter.OrderReference)
	return readPage(ctx, s, "refunds", `SELECT `+refundColumns+` FROM refunds`, "number", c, page, rowTo[Refund], func(r Refund) int64 { return r.Number })
}
