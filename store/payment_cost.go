package store

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/shopspring/decimal"
)

// A PaymentCost is what a payment costs its collector, as the payment itself says.
// Costs are positive, in units of the payment's currency; invalid is what was not
// said, or nothing while no money has come. No order depends on it.
type PaymentCost struct {
	// Fee is the provider's own, ApplicationFee a marketplace's, FinancingFee that for
	// instalments without interest.
	Fee, ApplicationFee, FinancingFee, ShippingFee decimal.NullDecimal
	// Taxes were withheld.
	Taxes decimal.NullDecimal
	// Net is what is left.
	Net decimal.NullDecimal
	// ReleaseDate is when the money is or was made available; zero when not said.
	ReleaseDate time.Time
	// ReleaseStatus is the provider's word for that; empty when not said.
	ReleaseStatus string
}

// A CostKind is one of the costs that were said.
type CostKind struct {
	// Kind is fee, application_fee, financing_fee, shipping_fee or taxes.
	Kind   string
	Amount decimal.Decimal
}

// Kinds are the costs that were said and aren't nothing.
func (c PaymentCost) Kinds() []CostKind {
	var kinds []CostKind
	for _, k := range []struct {
		kind   string
		amount decimal.NullDecimal
	}{
		{"fee", c.Fee}, {"application_fee", c.ApplicationFee}, {"financing_fee", c.FinancingFee}, {"shipping_fee", c.ShippingFee}, {"taxes", c.Taxes},
	} {
		if k.amount.Valid && !k.amount.Decimal.IsZero() {
			kinds = append(kinds, CostKind{k.kind, k.amount.Decimal})
		}
	}
	return kinds
}

// Deducted is the sum of the costs that were said; invalid when none was.
func (c PaymentCost) Deducted() decimal.NullDecimal {
	sum := decimal.NullDecimal{Valid: c.Fee.Valid || c.ApplicationFee.Valid || c.FinancingFee.Valid || c.ShippingFee.Valid || c.Taxes.Valid}
	for _, k := range c.Kinds() {
		sum.Decimal = sum.Decimal.Add(k.Amount)
	}
	return sum
}

const costColumns = `fee_amount, application_fee_amount, financing_fee_amount, shipping_fee_amount, taxes_amount, net_amount,
	release_date, coalesce(release_status, '')`

// costRow takes costColumns.
type costRow struct {
	PaymentCost
	releaseDate *time.Time
}

func (c *costRow) fields() []any {
	return []any{&c.Fee, &c.ApplicationFee, &c.FinancingFee, &c.ShippingFee, &c.Taxes, &c.Net, &c.releaseDate, &c.ReleaseStatus}
}

func (c *costRow) cost() PaymentCost {
	c.ReleaseDate = deref(c.releaseDate)
	toUTC(&c.ReleaseDate)
	return c.PaymentCost
}

// scanCostedPayment reads paymentColumns, costColumns, releasesOf and source.
func scanCostedPayment(row pgx.Row, extra ...any) (OrderPayment, error) {
	var p OrderPayment
	var cost costRow
	var err error
	p.Payment, err = scanPayment(row, append(append(cost.fields(), &p.Releases, &p.Source), extra...)...)
	p.Cost = cost.cost()
	return p, err
}

// ReadCosts reads the costs of up to limit payments from the answers that an earlier
// release kept, and reports whether there are no more. read is false for an answer
// that can't be read: then nothing is said.
func (s *Store) ReadCosts(ctx context.Context, limit int, read func(source string, raw []byte) (PaymentCost, bool)) (done bool, err error) {
	err = s.inTx(ctx, func(tx pgx.Tx) error {
		type unread struct {
			Source, PaymentID string
			Raw               []byte
		}
		found, err := readAll[unread](ctx, tx, `
			SELECT source, payment_id, raw FROM payments
			WHERE cost_read_at IS DISTINCT FROM fetched_at AND raw <> ''
			ORDER BY source, payment_id LIMIT $1 FOR UPDATE SKIP LOCKED`, limit)
		if err != nil {
			return err
		}
		var batch pgx.Batch
		for _, p := range found {
			cost, readable := read(p.Source, p.Raw)
			if !readable {
				cost = PaymentCost{}
			}
			batch.Queue(`
				UPDATE payments SET fee_amount = $3, application_fee_amount = $4, financing_fee_amount = $5, shipping_fee_amount = $6,
					taxes_amount = $7, net_amount = $8, release_date = $9, release_status = nullif($10, ''), cost_read_at = fetched_at
				WHERE source = $1 AND payment_id = $2`,
				p.Source, p.PaymentID, cost.Fee, cost.ApplicationFee, cost.FinancingFee, cost.ShippingFee,
				cost.Taxes, cost.Net, orNull(cost.ReleaseDate), cost.ReleaseStatus)
		}
		done = len(found) < limit
		return tx.SendBatch(ctx, &batch).Close()
	})
	return done, wrap(err, "costs of payments of before")
}
