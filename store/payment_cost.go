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

// A PaymentMethod is what a payment was made with, in the provider's words. No order
// depends on it.
type PaymentMethod struct {
	// ID is the card's brand, the voucher or the scheme, for example visa or pix, and Type
	// the kind of it, for example credit_card; each is empty when not said, or not read yet.
	ID, Type string
}

const toldColumnNames = `fee_amount, application_fee_amount, financing_fee_amount, shipping_fee_amount, taxes_amount, net_amount,
	release_date, coalesce(release_status, ''), coalesce(payment_method, ''), coalesce(payment_type, '')`

// scanToldPayment reads paymentColumns, toldColumnNames, releasesOf and source.
func scanToldPayment(row pgx.Row, extra ...any) (OrderPayment, error) {
	var p OrderPayment
	var releaseDate *time.Time
	var err error
	c := &p.Cost
	p.Payment, err = scanPayment(row, append([]any{
		&c.Fee, &c.ApplicationFee, &c.FinancingFee, &c.ShippingFee, &c.Taxes, &c.Net, &releaseDate, &c.ReleaseStatus,
		&p.Method.ID, &p.Method.Type, &p.Releases, &p.Source,
	}, extra...)...)
	c.ReleaseDate = deref(releaseDate)
	toUTC(&c.ReleaseDate)
	return p, err
}

// A ReadAnswer reads an answer as it was received: what the payment costs, and what it was
// made with. It is false for one that can't be read: then nothing is said.
type ReadAnswer func(source string, raw []byte) (PaymentCost, PaymentMethod, bool)

// ReadAnswers reads again up to limit payments' answers of which an earlier release, which
// kept them, did not read costs or method, and reports whether there are no more.
func (s *Store) ReadAnswers(ctx context.Context, limit int, read ReadAnswer) (done bool, err error) {
	err = s.inTx(ctx, func(tx pgx.Tx) error {
		type unread struct {
			Source, PaymentID string
			Raw               []byte
		}
		found, err := readAll[unread](ctx, tx, `
			SELECT source, payment_id, raw FROM payments
			WHERE (cost_read_at IS DISTINCT FROM fetched_at OR payment_method IS NULL) AND raw <> ''
			ORDER BY source, payment_id LIMIT $1 FOR UPDATE SKIP LOCKED`, limit)
		if err != nil {
			return err
		}
		var batch pgx.Batch
		for _, p := range found {
			cost, method, readable := read(p.Source, p.Raw)
			if !readable {
				cost, method = PaymentCost{}, PaymentMethod{}
			}
			batch.Queue(`
				UPDATE payments SET fee_amount = $3, application_fee_amount = $4, financing_fee_amount = $5, shipping_fee_amount = $6,
					taxes_amount = $7, net_amount = $8, release_date = $9, release_status = nullif($10, ''),
					payment_method = $11, payment_type = $12, cost_read_at = fetched_at
				WHERE source = $1 AND payment_id = $2`,
				p.Source, p.PaymentID, cost.Fee, cost.ApplicationFee, cost.FinancingFee, cost.ShippingFee,
				cost.Taxes, cost.Net, orNull(cost.ReleaseDate), cost.ReleaseStatus, method.ID, method.Type)
		}
		done = len(found) < limit
		return tx.SendBatch(ctx, &batch).Close()
	})
	return done, wrap(err, "costs and methods of earlier payments")
}
