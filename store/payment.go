package store

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"
)

// ErrPaymentNotFound means that no payment with that id was fetched yet.
var ErrPaymentNotFound = noSuch("payment", "not_found")

// A KnownPayment is a payment in the latest state that is known.
type KnownPayment struct {
	OrderPayment
	// Reference is the order's; empty when the payment names none.
	Reference string
	// Raw is the provider's body as it was fetched. It holds the payer's data; nil
	// where it is hidden.
	Raw *Content
}

// Payment returns the payment as it is known, or ErrPaymentNotFound.
func (s *Store) Payment(ctx context.Context, source, paymentID string) (KnownPayment, error) {
	var k KnownPayment
	var raw []byte
	var err error
	k.OrderPayment, err = scanToldPayment(s.pool.QueryRow(ctx, `
		SELECT `+paymentColumns+`, `+toldColumnNames+`, `+releasesOf(`payments`)+`, source, coalesce(order_reference, ''), raw
		FROM payments WHERE source = $1 AND payment_id = $2`, text(source), text(paymentID)), &k.Reference, &raw)
	if err = ErrPaymentNotFound.ifNone(err, paymentID); err != nil {
		return KnownPayment{}, fmt.Errorf("payment %q: %w", paymentID, err)
	}
	toUTC(&k.UpdatedAt, &k.FetchedAt)
	content := newContent(raw)
	k.Raw = &content
	return k, nil
}

// A LoggedPayment is one state of a payment that was applied to an order, and
// the event that brought it.
type LoggedPayment struct {
	PaymentLog
	QueueID int64
}

// OrderPaymentLogs returns the latest states, at most limit of them and the
// oldest first, of the payments that named the order when they were applied.
func (s *Store) OrderPaymentLogs(ctx context.Context, reference string, limit int) ([]LoggedPayment, error) {
	rows, _ := s.pool.Query(ctx, `
		SELECT * FROM (
			SELECT `+paymentLogColumns+`, queue_id, id FROM payment_logs WHERE order_reference = $1 ORDER BY id DESC LIMIT $2
		) AS latest ORDER BY id`, text(reference), limit)
	logs, err := pgx.CollectRows(rows, scanLoggedPayment)
	return logs, wrap(err, "payment logs of order %q", reference)
}

// scanLoggedPayment reads paymentLogColumns, queue_id and id.
func scanLoggedPayment(row pgx.CollectableRow) (l LoggedPayment, err error) {
	var id int64
	l.PaymentLog, err = scanPaymentLog(row, &l.QueueID, &id)
	return l, err
}
