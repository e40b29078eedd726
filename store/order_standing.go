package store

import (
	"context"

	"github.com/jackc/pgx/v5"
	"github.com/shopspring/decimal"
)

// An OrderStanding is how an order stands, with the payments that say so.
type OrderStanding struct {
	OrderSummary
	// Known is false where no order has the reference, though payments may name it.
	Known    bool
	Payments []StandingPayment
}

// A StandingPayment is a payment in one line.
type StandingPayment struct {
	// ID is the payment's own, or that which a provider's order has given it while its
	// own isn't known; Status is then what that order says.
	ID, Status string
	// Amount and Refunded are units of Currency; an amount that wasn't said is null.
	Amount   decimal.NullDecimal
	Refunded decimal.Decimal
	Currency string
}

// A standingPayment is one with the order that it names.
type standingPayment struct {
	Reference string
	StandingPayment
}

// OrderStandings returns how each of the orders stands, by its reference, as of one
// moment. What can't be a reference stands nowhere.
func (s *Store) OrderStandings(ctx context.Context, references []string) (map[string]OrderStanding, error) {
	asked := make([]string, 0, len(references))
	for _, reference := range references {
		if ValidReference(reference) {
			asked = append(asked, reference)
		}
	}
	found := make(map[string]OrderStanding, len(asked))
	err := s.readSnapshot(ctx, func(tx pgx.Tx) error {
		rows, _ := tx.Query(ctx, `SELECT `+orderSummaryColumns+orderSummaryFrom+` WHERE reference = ANY ($1)`, asked)
		orders, err := pgx.CollectRows(rows, scanOrderSummary)
		if err != nil {
			return err
		}
		for _, o := range orders {
			found[o.Reference] = OrderStanding{OrderSummary: o, Known: true}
		}
		payments, err := readAll[standingPayment](ctx, tx, `
			SELECT order_reference, payment_id, status, amount, refunded_amount, currency FROM payments WHERE order_reference = ANY ($1)
			UNION ALL
			SELECT order_reference, alias, coalesce(nullif(status, ''), said), amount, refunded_amount, currency FROM payment_aliases
			WHERE order_reference = ANY ($1) AND payment_id IS NULL
			ORDER BY 1, 2`, asked)
		for _, p := range payments {
			standing := found[p.Reference]
			standing.Reference = p.Reference
			standing.Payments = append(standing.Payments, p.StandingPayment)
			found[p.Reference] = standing
		}
		return err
	})
	return found, wrap(err, "read how orders stand")
}
