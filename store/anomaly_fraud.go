package store

import (
	"context"

	"github.com/jackc/pgx/v5"

	"github.com/conciliar/conciliar/store/order"
)

// raiseFraudAlert opens the anomaly of an event that warns of a fraud with the
// payment that was fetched, unless the payment is another account's. There is one
// for each payment, and only a person closes it: a second alert about it says
// nothing new. What anybody may have sent warns of nothing. The caller holds the
// payment's lock.
//
// The reference is the payment's, whether its order is known or not: an order that
// comes later has the alert from its first moment.
func (s *Store) raiseFraudAlert(ctx context.Context, tx pgx.Tx, queueID int64, fetched Fetched, result *SettleResult) error {
	p := fetched.Payment
	if fetched.Event.Work != WorkFraudAlert || fetched.Event.Hint || s.rulesNow().IsForeign(p.Payment) {
		return nil
	}
	tag, err := tx.Exec(ctx, `
		INSERT INTO anomalies (kind, source, order_reference, payment_id, detail)
		SELECT $1, source, order_reference, payment_id, '{}'
		FROM payments WHERE source = $2 AND payment_id = $3
		ON CONFLICT (source, payment_id) WHERE kind = 'fraud_alert' DO NOTHING`,
		order.AnomalyFraudAlert, p.Source, p.Payment.ID)
	if err != nil || tag.RowsAffected() == 0 {
		return err
	}
	result.Outcome = OutcomeSettled
	return s.tellAnomalies(ctx, tx, settling{cause: causePayment, queueID: queueID}, p.Reference)
}

// moveFraudAlert brings the fraud alert of a payment to the order that the payment
// names now.
func moveFraudAlert(ctx context.Context, tx pgx.Tx, p FetchedPayment) error {
	return execute(ctx, tx, `UPDATE anomalies SET order_reference = nullif($4, '') WHERE kind = $1 AND source = $2 AND payment_id = $3`,
		order.AnomalyFraudAlert, p.Source, p.Payment.ID, p.Reference)
}
