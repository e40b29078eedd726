package store

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/conciliar/conciliar/store/order"
)

// warningsNamed is how many payments or chargebacks the signals name of each kind.
const warningsNamed = 50

// A FraudAlert is an open one.
type FraudAlert struct {
	PaymentID string
	// Reference is the order's; empty when the payment names none.
	Reference string
}

// A ChargebackDue is a chargeback for which documents are to be sent.
type ChargebackDue struct {
	ID string
	// PaymentID is one of its payments, and Reference that payment's order; empty
	// where none is known.
	PaymentID, Reference string
	// Deadline is until when documents are taken, which is not over; nil when not
	// said.
	Deadline *time.Time
}

// readWarnings reads what a person has to act on before a time that a provider sets.
func readWarnings(ctx context.Context, tx pgx.Tx, g *Signals) error {
	var err error
	if g.FraudAlerts, err = readAll[FraudAlert](ctx, tx, `
		SELECT payment_id, coalesce(order_reference, '') FROM anomalies
		WHERE kind = $1 AND closed_at IS NULL ORDER BY id DESC LIMIT $2`, order.AnomalyFraudAlert, warningsNamed); err != nil {
		return err
	}
	g.Chargebacks, err = readAll[ChargebackDue](ctx, tx, `
		SELECT c.chargeback_id, coalesce(c.payment_ids[1], ''), coalesce(p.order_reference, ''), c.date_documentation_deadline
		FROM chargebacks c LEFT JOIN payments p ON p.source = c.source AND p.payment_id = c.payment_ids[1]
		WHERE `+documentsWanted+` AND (c.date_documentation_deadline > now() OR c.date_documentation_deadline IS NULL)
		ORDER BY c.date_documentation_deadline NULLS FIRST, c.chargeback_id LIMIT $1`, warningsNamed)
	if err != nil {
		return err
	}
	if g.Reports, err = reportStates(ctx, tx); err != nil {
		return err
	}
	g.RefundsOpen, g.RefundsOpenSince, err = lateRefunds(ctx, tx)
	return err
}
