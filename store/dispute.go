package store

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/shopspring/decimal"

	"github.com/conciliar/conciliar/store/order"
)

// A Chargeback is money that a bank wants back, as its provider has it. It informs:
// what became of the money is for its payments to say.
type Chargeback struct {
	ID         string
	PaymentIDs []string
	// Amount is in units of Currency; not valid when not said.
	Amount   decimal.NullDecimal
	Currency string
	// CoverageApplied says how it ended, true where the merchant keeps the money;
	// nil while nothing is decided.
	CoverageApplied *bool
	// DocumentationRequired tells whether the merchant has to send documents; nil
	// when not said.
	DocumentationRequired *bool
	// DocumentationStatus is the provider's word for what became of the documents;
	// empty when not said.
	DocumentationStatus string
	// DocumentationDeadline is until when documents are taken; zero when not said.
	DocumentationDeadline time.Time
	// DocumentsWanted is true while the merchant is to send documents: none are under
	// review or accepted, and nothing is decided.
	DocumentsWanted bool
	// UpdatedAt is when the provider changed it last; zero when not said.
	UpdatedAt time.Time
}

// A Claim is a buyer's complaint, as its provider has it. Its words are the
// provider's, and empty when not said.
type Claim struct {
	ID string
	// PaymentID is the payment that it is about; empty where it is about an order
	// of the provider's, OrderID, which names the merchant's Reference or none.
	PaymentID, OrderID, Reference string
	Status, Type, Stage           string
	// Closed is true once nothing is asked of anybody any more.
	Closed bool
	// UpdatedAt is when the provider changed it last; zero when not said.
	UpdatedAt time.Time
}

// laterDispute is the condition under which what was fetched replaces what is known
// of a chargeback or a claim: the later change, else the later fetch.
func laterDispute(table string) string {
	return `CASE WHEN ` + table + `.date_last_updated <> excluded.date_last_updated
		THEN excluded.date_last_updated > ` + table + `.date_last_updated
		ELSE excluded.fetch_mark >= ` + table + `.fetch_mark END`
}

// saveDispute keeps a chargeback or a claim that was fetched, unless a later state
// of it is known.
func saveDispute(ctx context.Context, tx pgx.Tx, f Fetched) error {
	if c := f.Chargeback; c != nil {
		_, err := tx.Exec(ctx, `
			INSERT INTO chargebacks (source, chargeback_id, payment_ids, amount, currency, coverage_applied, documentation_required,
				documentation_status, date_documentation_deadline, documents_wanted, date_last_updated, fetched_at, fetch_mark)
			VALUES ($1, $2, $3, $4, nullif($5, ''), $6, $7, $8, $9, $10, $11, $12, $13)
			ON CONFLICT (source, chargeback_id) DO UPDATE SET
				payment_ids = excluded.payment_ids, amount = excluded.amount, currency = excluded.currency,
				coverage_applied = excluded.coverage_applied, documentation_required = excluded.documentation_required,
				documentation_status = excluded.documentation_status, date_documentation_deadline = excluded.date_documentation_deadline,
				documents_wanted = excluded.documents_wanted, date_last_updated = excluded.date_last_updated, fetched_at = excluded.fetched_at, fetch_mark = excluded.fetch_mark
			WHERE `+laterDispute("chargebacks"),
			f.Event.Source, c.ID, c.PaymentIDs, c.Amount, c.Currency, c.CoverageApplied, c.DocumentationRequired,
			c.DocumentationStatus, orNull(c.DocumentationDeadline), c.DocumentsWanted, orNull(c.UpdatedAt), f.Event.Now, f.Event.Mark)
		if err != nil {
			return fmt.Errorf("chargeback %s: %w", c.ID, err)
		}
	}
	if c := f.Claim; c != nil {
		reference := c.Reference
		if !order.NamesOrder(reference) {
			reference = ""
		}
		_, err := tx.Exec(ctx, `
			INSERT INTO claims (source, claim_id, payment_id, provider_order_id, order_reference, status, type, stage, closed,
				date_last_updated, fetched_at, fetch_mark)
			VALUES ($1, $2, nullif($3, ''), nullif($4, ''), nullif($5, ''), $6, $7, $8, $9, $10, $11, $12)
			ON CONFLICT (source, claim_id) DO UPDATE SET
				payment_id = excluded.payment_id, provider_order_id = excluded.provider_order_id, order_reference = excluded.order_reference,
				status = excluded.status, type = excluded.type, stage = excluded.stage,
				closed = excluded.closed, date_last_updated = excluded.date_last_updated, fetched_at = excluded.fetched_at, fetch_mark = excluded.fetch_mark
			WHERE `+laterDispute("claims"),
			f.Event.Source, c.ID, c.PaymentID, c.OrderID, reference, c.Status, c.Type, c.Stage, c.Closed,
			orNull(c.UpdatedAt), f.Event.Now, f.Event.Mark)
		if err != nil {
			return fmt.Errorf("claim %s: %w", c.ID, err)
		}
	}
	return nil
}

// The conditions on a chargeback c and a claim c by which they belong to an order
// with the reference ref, an expression.
func chargebackOf(ref string) string { return chargebackAmong(paymentsNaming(ref)) }

func claimOf(ref string) string { return claimAmong(ref, paymentsNaming(ref)) }

// chargebackAmong and claimAmong are the same conditions where the ids of the order's
// payments are known, as an array.
func chargebackAmong(ids string) string { return `c.payment_ids && ` + ids }

func claimAmong(ref, ids string) string {
	return `(c.order_reference = ` + ref + ` OR c.payment_id = ANY (` + ids + `))`
}

func paymentsNaming(ref string) string {
	return `ARRAY(SELECT payment_id FROM payments WHERE order_reference = ` + ref + `)`
}

// documentsWanted is the condition on a chargeback c that documents are to be sent:
// it ends when one of its payments says how the chargeback ended.
const documentsWanted = `(c.documents_wanted AND NOT EXISTS (
	SELECT FROM payments p WHERE p.source = c.source AND p.payment_id = ANY (c.payment_ids)
	  AND p.status = '` + string(order.PaymentChargedBack) + `' AND p.status_detail IN ('` + order.DetailSettled + `', '` + order.DetailReimbursed + `')))`

// queueDisputes adds to a batch what reads the chargebacks c and the claims c of which
// the conditions hold, the oldest first.
func queueDisputes(b *pgx.Batch, chargebacks *[]Chargeback, claims *[]Claim, ofChargebacks, ofClaims string, args ...any) {
	queueRows(b, chargebacks, func(row pgx.CollectableRow) (Chargeback, error) {
		var c Chargeback
		var deadline, updatedAt *time.Time
		err := row.Scan(&c.ID, &c.PaymentIDs, &c.Amount, &c.Currency, &c.CoverageApplied, &c.DocumentationRequired, &c.DocumentationStatus,
			&deadline, &c.DocumentsWanted, &updatedAt)
		toUTC(deadline, updatedAt)
		c.DocumentationDeadline, c.UpdatedAt = deref(deadline), deref(updatedAt)
		return c, err
	}, `
		SELECT chargeback_id, payment_ids, amount, coalesce(currency, ''), coverage_applied, documentation_required, documentation_status,
		       date_documentation_deadline, `+documentsWanted+`, date_last_updated
		FROM chargebacks c WHERE `+ofChargebacks+` ORDER BY created_at, chargeback_id`, args...)
	queueRows(b, claims, func(row pgx.CollectableRow) (Claim, error) {
		var c Claim
		var updatedAt *time.Time
		err := row.Scan(&c.ID, &c.PaymentID, &c.OrderID, &c.Reference, &c.Status, &c.Type, &c.Stage, &c.Closed, &updatedAt)
		toUTC(updatedAt)
		c.UpdatedAt = deref(updatedAt)
		return c, err
	}, `
		SELECT claim_id, coalesce(payment_id, ''), coalesce(provider_order_id, ''), coalesce(order_reference, ''), status, type, stage, closed, date_last_updated
		FROM claims c WHERE `+ofClaims+` ORDER BY created_at, claim_id`, args...)
}
