package store

import (
	"context"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/shopspring/decimal"

	"github.com/conciliar/conciliar/store/order"
)

// Why an order of the provider's and the payments do not tell the same, as the detail
// of an ambiguous_payment says.
const (
	// ambiguousWords: the order's words settle nothing, and the payment is not known.
	ambiguousWords = "words"
	// ambiguousAmount: the payments' side has a payment of another amount or currency
	// that no order accounts for.
	ambiguousAmount = "amount"
	// ambiguousMissing: the payment was looked for as long as it is, and not found.
	ambiguousMissing = "missing"
	// ambiguousState: both sides are known, each since the other changed last, and
	// differ in what is left of the money.
	ambiguousState = "state"
)

// checkAliases opens an ambiguous_payment for each alias of a merchant's order in which
// the two sides differ in the end, and closes those of which that is no longer so. The
// caller holds the order's lock.
func (s *Store) checkAliases(ctx context.Context, tx pgx.Tx, why settling, reference string) error {
	input, err := loadFold(ctx, tx, reference)
	if err != nil || len(input.rows) == 0 {
		return err
	}
	now, err := readValue[time.Time](ctx, tx, `SELECT now()`)
	if err != nil {
		return err
	}
	sync := anomalySync{
		references: []string{reference}, kinds: []string{string(order.AnomalyAmbiguousPayment)}, closer: closedByReconciliation,
	}
	for i, a := range input.aliases {
		why := input.ambiguity(i, now)
		if why == "" {
			continue
		}
		row := input.rows[i]
		detail := map[string]string{"why": why, "provider_order_id": row.OrderID, "said": row.Said, "currency": row.Currency}
		if row.Amount.Valid {
			detail["amount"] = order.FormatAmount(row.Amount.Decimal, row.Currency)
		}
		if a.PaymentID != "" {
			detail["payment_id"] = a.PaymentID
		}
		sync.source = row.Source
		sync.add(reference, []order.Anomaly{{Kind: order.AnomalyAmbiguousPayment, PaymentID: row.Alias, Detail: detail}})
	}
	changed, err := sync.run(ctx, tx)
	if err != nil {
		return err
	}
	return s.tellOrders(ctx, tx, why, sync.references, nil, changed)
}

// ambiguity says in which way an alias, paired as it is kept, and the payments tell of
// different money; empty when they don't, or may still come to agree.
func (f *foldInput) ambiguity(i int, now time.Time) string {
	a, row := f.aliases[i], f.rows[i]
	switch {
	case a.Elsewhere:
		return ""
	case a.Missing() && row.NextLookAt != nil:
		return "" // it is still looked for in short order
	case a.Missing() && a.Payment.Status == "":
		return ambiguousWords
	case a.Missing() && f.unclaimed(a):
		return ambiguousAmount
	case a.Missing() && row.CreatedAt.Before(now.Add(-lookFor)):
		return ambiguousMissing
	case a.PaymentID == "" || a.Payment.Status == "":
		return ""
	}
	k := slices.IndexFunc(f.known, func(p order.Known) bool { return p.Source == a.Source && p.ID == a.PaymentID })
	if k < 0 {
		return ""
	}
	p := f.known[k]
	switch {
	case p.Status == order.PaymentInMediation, // orders show none
		p.FetchedAt.Before(a.Payment.UpdatedAt), a.Payment.FetchedAt.Before(p.ChangedAt()),
		now.Sub(p.FetchedAt) < checkAfter, now.Sub(a.Payment.FetchedAt) < checkAfter:
		return ""
	case !netOf(p.Payment).Equal(netOf(a.Payment)):
		return ambiguousState
	}
	return ""
}

// checkAfter is how long both sides must have been known for a difference to count:
// their clocks are not ours.
const checkAfter = 10 * time.Minute

// unclaimed reports whether the payments' side has a payment with money, made while the
// provider's order was under way, that no alias has.
func (f *foldInput) unclaimed(a order.Alias) bool {
	return slices.ContainsFunc(f.known, func(p order.Known) bool {
		return p.Status.HasMoney() && a.UnderWay(p) &&
			!slices.ContainsFunc(f.aliases, func(b order.Alias) bool { return b.Source == p.Source && b.PaymentID == p.ID })
	})
}

// netOf is what is left of a payment, shipping aside.
func netOf(p order.Payment) decimal.Decimal {
	switch {
	case p.Status == order.PaymentApproved, p.Reimbursed():
		return decimal.Max(decimal.Zero, p.Amount.Decimal.Sub(p.Refunded))
	}
	return decimal.Zero
}

// checkBatch is how many of the merchant's orders one transaction checks.
const checkBatch = 100

// checkBatchOf checks a batch of the merchant's orders after the given one, see
// checkAliases: those that wait for a payment which is not looked for in short order any
// more, that changed since the given time, and that have such an anomaly. It returns the
// last; done is true when there are no more.
func (s *Store) checkBatchOf(ctx context.Context, tx pgx.Tx, after string, since time.Time) (last string, done bool, err error) {
	references, err := readColumn[string](ctx, tx, `
		SELECT order_reference FROM (
			SELECT order_reference FROM payment_aliases WHERE payment_id IS NULL AND awaited AND next_look_at IS NULL
			UNION SELECT order_reference FROM payment_aliases WHERE updated_at >= $2
			UNION SELECT order_reference FROM anomalies WHERE kind = $4 AND closed_at IS NULL
		) r WHERE order_reference > $1 ORDER BY order_reference LIMIT $3`, after, since, checkBatch, order.AnomalyAmbiguousPayment)
	if err != nil {
		return "", false, err
	}
	if err := lockOrders(ctx, tx, referencesOf(references...)); err != nil {
		return "", false, err
	}
	for _, last = range references {
		if err := s.checkAliases(ctx, tx, settling{cause: causeReconciliation}, last); err != nil {
			return "", false, err
		}
	}
	return last, len(references) < checkBatch, nil
}
