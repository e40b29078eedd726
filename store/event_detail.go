package store

import (
	"context"
	"encoding/json"
	"errors"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/shopspring/decimal"

	"github.com/conciliar/conciliar/store/order"
)

// An EventDetail is an event with its whole history.
type EventDetail struct {
	Event
	JobID    *int64  `json:"job_id"`
	Query    string  `json:"query"`
	RemoteIP *string `json:"remote_ip"`
	Body
	// AttemptErrors are the errors of every attempt that failed, oldest first.
	AttemptErrors []AttemptFailure `json:"attempt_errors"`
	// PaymentLogs and OrderChanges are what the event changed.
	PaymentLogs  []PaymentLog  `json:"payment_logs"`
	OrderChanges []EventChange `json:"order_changes"`
	// DeadLetter is nil when it never became one.
	DeadLetter *DeadLetter `json:"dead_letter"`
	// Replays are the events that replay this one.
	Replays []ReplayedAs `json:"replays"`
	// Actions are what operators did to it.
	Actions []OperatorAction `json:"actions"`
}

// A PaymentLog is one state of a payment that was applied.
type PaymentLog struct {
	PaymentID      string  `json:"payment_id"`
	OrderReference *string `json:"order_reference"`
	Status         string  `json:"status"`
	StatusDetail   string  `json:"status_detail"`
	// Amount and Currency are nil where the payment says none.
	Amount         *string `json:"amount"`
	RefundedAmount string  `json:"refunded_amount"`
	Currency       *string `json:"currency"`
	// Refunded is true when RefundedAmount is not zero.
	Refunded bool `json:"-"`
	// DateLastUpdated is nil where the provider gave no date that can be read.
	DateLastUpdated *time.Time `json:"date_last_updated"`
	AppliedAt       time.Time  `json:"applied_at"`
}

// An EventChange is an order as it stood after the event had changed it.
type EventChange struct {
	OrderReference string    `json:"order_reference"`
	At             time.Time `json:"at"`
	Cause          string    `json:"cause"`
	Status         string    `json:"status"`
	PaidAmount     string    `json:"paid_amount"`
	RefundedAmount string    `json:"refunded_amount"`
	Currency       string    `json:"currency"`
}

// A ReplayedAs is an event that replays another.
type ReplayedAs struct {
	QueueID    int64     `json:"queue_id"`
	Status     string    `json:"status"`
	Outcome    *string   `json:"outcome"`
	ReceivedAt time.Time `json:"received_at"`
}

// Event returns one event with its history, from the archive too, or
// ErrEventNotFound.
func (s *Store) Event(ctx context.Context, queueID int64) (EventDetail, error) {
	var d EventDetail
	err := s.readSnapshot(ctx, func(tx pgx.Tx) (err error) {
		if d, err = readEvent(ctx, tx, queueID); err != nil {
			return err
		}
		if d.PaymentLogs, err = paymentLogsOf(ctx, tx, queueID, d.CompletedAt); err != nil {
			return err
		}
		if d.OrderChanges, err = orderChangesOf(ctx, tx, queueID, d.CompletedAt); err != nil {
			return err
		}
		if d.DeadLetterID != nil {
			letter, err := readOne[DeadLetter](ctx, tx, `SELECT `+deadLetterColumns+deadLetterFrom+` WHERE d.id = $1`, *d.DeadLetterID)
			if err != nil {
				return err
			}
			d.DeadLetter = &letter
		}
		if d.Replays, err = replaysOf(ctx, tx, queueID); err != nil {
			return err
		}
		d.Actions, err = actionsOnEvent(ctx, tx, queueID)
		return err
	})
	return d, wrap(err, "event %d", queueID)
}

// readEvent reads an event and its attempts: from its own row when it has ended,
// else from its job or, when that is gone, from its dead letter.
func readEvent(ctx context.Context, tx pgx.Tx, queueID int64) (EventDetail, error) {
	var d EventDetail
	var payload, resource []byte
	var emptied *time.Time
	var failures json.RawMessage
	const detail = `, q.job_id, q.query, host(q.remote_ip), q.payload, q.resource, q.emptied_at, `
	read := func(statement string) (err error) {
		d.Event, err = scanEvent(tx.QueryRow(ctx, statement, queueID), &d.JobID, &d.Query, &d.RemoteIP, &payload, &resource, &emptied, &failures)
		return err
	}
	err := read(`
		SELECT ` + liveEventColumns + detail + `
		       CASE WHEN q.completed_at IS NOT NULL THEN q.attempt_errors
		            ELSE coalesce((SELECT to_jsonb(j.errors) FROM river_job j WHERE j.id = q.job_id),
		                          (SELECT l.errors FROM webhook_dead_letter l WHERE l.queue_id = q.id), '[]') END` +
		liveEventFrom + ` WHERE q.id = $1`)
	if errors.Is(err, pgx.ErrNoRows) {
		err = read(`SELECT ` + archivedEventColumns + detail + `q.attempt_errors` + archivedEventFrom + ` WHERE q.id = $1`)
	}
	if err = ErrEventNotFound.ifNone(err, queueID); err != nil {
		return d, err
	}
	d.Body = newBody(payload, resource, emptied)
	d.AttemptErrors, err = parseFailures(failures)
	return d, err
}

// paymentLogsOf are the states that an event applied. It did so in the transaction that
// ended it: the time is the same, and by it they are found. One that has not ended has
// none.
func paymentLogsOf(ctx context.Context, tx pgx.Tx, queueID int64, ended *time.Time) ([]PaymentLog, error) {
	rows, _ := tx.Query(ctx, `
		SELECT `+paymentLogColumns+` FROM payment_logs WHERE applied_at = $2 AND queue_id = $1 ORDER BY id`, queueID, ended)
	return pgx.CollectRows(rows, func(row pgx.CollectableRow) (PaymentLog, error) { return scanPaymentLog(row) })
}

// paymentLogColumns are what scanPaymentLog reads.
const paymentLogColumns = `payment_id, order_reference, status, status_detail, amount, refunded_amount, currency, date_last_updated, applied_at`

// scanPaymentLog reads a row of paymentLogColumns and, after them, the extra
// columns.
func scanPaymentLog(row pgx.CollectableRow, extra ...any) (PaymentLog, error) {
	var p PaymentLog
	var amount decimal.NullDecimal
	var refunded decimal.Decimal
	err := row.Scan(append([]any{&p.PaymentID, &p.OrderReference, &p.Status, &p.StatusDetail, &amount, &refunded, &p.Currency,
		&p.DateLastUpdated, &p.AppliedAt}, extra...)...)
	p.Amount = order.FormatKnown(amount, orEmpty(p.Currency))
	p.RefundedAmount, p.Refunded = order.FormatAmount(refunded, orEmpty(p.Currency)), refunded.IsPositive()
	toUTC(p.DateLastUpdated, &p.AppliedAt)
	return p, err
}

// orderChangesOf are the changes that an event made, see paymentLogsOf.
func orderChangesOf(ctx context.Context, tx pgx.Tx, queueID int64, ended *time.Time) ([]EventChange, error) {
	rows, _ := tx.Query(ctx, `
		SELECT l.order_reference, l.changed_at, l.cause, l.status, l.paid_amount, l.refunded_amount, coalesce(l.currency, o.currency)
		FROM order_logs l JOIN orders o ON o.reference = l.order_reference
		WHERE l.changed_at = $2 AND l.queue_id = $1 ORDER BY l.id`, queueID, ended)
	return pgx.CollectRows(rows, func(row pgx.CollectableRow) (EventChange, error) {
		var o EventChange
		var paid, refunded decimal.Decimal
		err := row.Scan(&o.OrderReference, &o.At, &o.Cause, &o.Status, &paid, &refunded, &o.Currency)
		o.PaidAmount, o.RefundedAmount = order.FormatAmount(paid, o.Currency), order.FormatAmount(refunded, o.Currency)
		toUTC(&o.At)
		return o, err
	})
}

// replaysOf are the events that replay the event, oldest first.
func replaysOf(ctx context.Context, tx pgx.Tx, queueID int64) ([]ReplayedAs, error) {
	return readAll[ReplayedAs](ctx, tx, `
		SELECT q.id, v.status, q.outcome, q.received_at`+liveEventFrom+` WHERE q.replay_of = $1
		UNION ALL
		SELECT q.id, 'completed', q.outcome, q.received_at`+archivedEventFrom+` WHERE q.replay_of = $1
		ORDER BY 1`, queueID)
}
