package store

import (
	"context"
	"errors"

	"github.com/jackc/pgx/v5"
)

// A PaymentDetail is all that is known of one payment.
type PaymentDetail struct {
	ID string
	// Source is the provider; empty where nothing of the payment is known.
	Source string
	// Payment is nil where it was never read.
	Payment *KnownPayment
	// Logs are the latest states that were applied, the oldest first.
	Logs []LoggedPayment
	// Odd are answers about it that could not be booked, and were not since.
	Odd []OddPayment
	// Events are the newest about it.
	Events []Event
	// Movements are those of its money that reports show, the oldest first.
	Movements   []BookedMovement
	Chargebacks []Chargeback
	Claims      []Claim
	// Anomalies are all of it, closed ones included, the newest first.
	Anomalies []Anomaly
}

// paymentRows is how many rows of each kind a payment's detail has at most.
const paymentRows = 200

// PaymentDetail returns what is known of the payment with an id. Where source is empty
// it is that of the source that read it last. A payment that was never read has its
// events; the error wraps ErrPaymentNotFound where there is nothing at all.
func (s *Store) PaymentDetail(ctx context.Context, source, id string) (PaymentDetail, error) {
	d := PaymentDetail{ID: id, Source: source}
	if source == "" {
		var err error
		if d.Source, err = s.PaymentSource(ctx, id); err != nil {
			return d, err
		}
	}
	known, err := s.Payment(ctx, d.Source, id)
	switch {
	case err == nil:
		d.Payment = &known
	case !errors.Is(err, ErrPaymentNotFound):
		return d, err
	}
	events, err := s.Events(ctx, EventFilter{ResourceID: id, Source: d.Source}, Page{Limit: factEvents})
	if err != nil {
		return d, err
	}
	if d.Events = events.Items; d.Payment == nil && len(d.Events) == 0 {
		return d, ErrPaymentNotFound.With(id)
	}
	err = s.readSnapshot(ctx, func(tx pgx.Tx) error {
		var b pgx.Batch
		queuePayment(&b, &d)
		return tx.SendBatch(ctx, &b).Close()
	})
	return d, wrap(err, "payment %q", id)
}

// PaymentSource returns the source that read the payment with an id last; empty where
// none did.
func (s *Store) PaymentSource(ctx context.Context, id string) (string, error) {
	// There are few sources: each is where the one before it ends.
	source, err := readValue[string](ctx, s.pool, `
		WITH RECURSIVE known AS (
			(SELECT source FROM payments ORDER BY source LIMIT 1)
			UNION ALL
			SELECT (SELECT p.source FROM payments p WHERE p.source > known.source ORDER BY p.source LIMIT 1) FROM known WHERE known.source IS NOT NULL
		)
		SELECT p.source FROM known JOIN payments p ON p.source = known.source AND p.payment_id = $1
		ORDER BY p.fetched_at DESC LIMIT 1`, text(id))
	if errors.Is(err, pgx.ErrNoRows) {
		return "", nil
	}
	return source, wrap(err, "source of payment %q", id)
}

// queuePayment adds to a batch what reads the rest of a payment's detail.
func queuePayment(b *pgx.Batch, d *PaymentDetail) {
	source, id := text(d.Source), text(d.ID)
	queueRows(b, &d.Logs, scanLoggedPayment, `
		SELECT * FROM (
			SELECT `+paymentLogColumns+`, queue_id, id FROM payment_logs WHERE source = $1 AND payment_id = $2 ORDER BY id DESC LIMIT $3
		) AS latest ORDER BY id`, source, id, paymentRows)
	queueOddPayments(b, &d.Odd, "o.payment_id = $1 AND ($2 = '' OR o.source = $2)", id, source)
	queueRows(b, &d.Movements, rowTo[BookedMovement], `
		SELECT `+movementListColumns+` FROM account_movements m WHERE m.source = $1 AND m.payment_id = $2
		ORDER BY m.happened_at, m.id LIMIT $3`, source, id, paymentRows)
	queueDisputes(b, &d.Chargebacks, &d.Claims, `c.payment_ids @> ARRAY[$1::text]`, `c.payment_id = $1`, id)
	queueRows(b, &d.Anomalies, rowTo[Anomaly], `
		SELECT `+anomalyColumns+` FROM anomalies WHERE payment_id = $1 AND ($2 = '' OR coalesce(source, $2) = $2)
		ORDER BY id DESC LIMIT $3`, id, source, paymentRows)
}
