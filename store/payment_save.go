package store

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/shopspring/decimal"

	"github.com/conciliar/conciliar/store/order"
)

const paymentColumns = `payment_id, status, status_detail, amount, refunded_amount, shipping, coalesce(currency, ''),
	collector_id, coalesce(subscription_id, ''), subscription_number, live_mode, validation,
	date_created, date_last_updated, changed_at, fetched_at, fetch_mark`

func scanPayment(row pgx.Row, extra ...any) (order.Payment, error) {
	var p order.Payment
	var createdAt, updatedAt, changedAt *time.Time
	err := row.Scan(append([]any{
		&p.ID, &p.Status, &p.StatusDetail, &p.Amount, &p.Refunded, &p.Shipping, &p.Currency,
		&p.CollectorID, &p.SubscriptionID, &p.SubscriptionNumber, &p.LiveMode, &p.Validation,
		&createdAt, &updatedAt, &changedAt, &p.FetchedAt, &p.FetchMark,
	}, extra...)...)
	p.CreatedAt = deref(createdAt)
	date(&p, updatedAt, changedAt)
	return p, err
}

// date sets when a payment in the ledger was changed, as reported and as it counts.
func date(p *order.Payment, updatedAt, changedAt *time.Time) {
	p.UpdatedAt, p.KnownAt = deref(updatedAt), deref(changedAt)
	if changedAt == nil {
		p.KnownAt = p.UpdatedAt
	}
}

func deref(t *time.Time) time.Time {
	if t == nil {
		return time.Time{}
	}
	return *t
}

// changedAt is what is stored of when a payment counts as changed: nothing where
// that is its date.
func changedAt(p order.Payment) *time.Time {
	at := p.ChangedAt()
	if at.Equal(p.UpdatedAt) {
		return nil
	}
	return &at
}

// A knownPayment is a payment in the ledger with its order's reference.
type knownPayment struct {
	order.Payment
	reference string
	// folded is true when it was read under the rules of this release.
	folded bool
}

// applies reports whether what was fetched takes the place of what is known, nil for
// nothing.
func (f FetchedPayment) applies(known *knownPayment) bool {
	return known == nil || f.Payment.Supersedes(known.Payment) || known.renamed(f)
}

// renamed reports whether a later fetch found the payment as it is known, under
// another reference.
func (p *knownPayment) renamed(f FetchedPayment) bool {
	later := cmp.Or(cmp.Compare(f.Payment.FetchMark, p.FetchMark), f.Payment.FetchedAt.Compare(p.FetchedAt)) > 0
	return later && f.Reference != p.reference && f.Payment.Repeats(p.Payment)
}

// loadPayment returns the payment as it is known, nil when it is not. The caller
// holds its lock.
func loadPayment(ctx context.Context, tx pgx.Tx, source, paymentID string) (*knownPayment, error) {
	var ledger, version int
	if err := tx.QueryRow(ctx, `SELECT `+foldVersion).Scan(&ledger); err != nil {
		return nil, err
	}
	if err := checkFold(ledger); err != nil {
		return nil, err
	}
	var p knownPayment
	var err error
	p.Payment, err = scanPayment(tx.QueryRow(ctx, `
		SELECT `+paymentColumns+`, coalesce(order_reference, ''), fold_version
		FROM payments WHERE source = $1 AND payment_id = $2`, source, paymentID), &p.reference, &version)
	if errors.Is(err, pgx.ErrNoRows) {
		return nil, nil //nolint:nilnil // that it is not known is not an error
	}
	if err != nil {
		return nil, err
	}
	p.folded = version >= order.FoldVersion
	return &p, nil
}

// A paymentState is a state of a payment that is to be saved, through an event.
type paymentState struct {
	FetchedPayment
	queueID int64
	// payerHash is what payersOf finds: the payment is found by it.
	payerHash []byte
}

// stateColumns are what payments and payment_logs both keep of a state.
var stateColumns = []column[paymentState]{
	value("source", "text", func(s paymentState) string { return s.Source }),
	value("payment_id", "text", func(s paymentState) string { return s.Payment.ID }),
	value("order_reference", "text", func(s paymentState) *string { return orNil(s.Reference) }),
	value("status", "text", func(s paymentState) string { return string(s.Payment.Status) }),
	value("status_detail", "text", func(s paymentState) string { return s.Payment.StatusDetail }),
	money("amount", func(s paymentState) decimal.NullDecimal { return s.Payment.Amount }),
	money("refunded_amount", func(s paymentState) decimal.NullDecimal { return decimal.NewNullDecimal(s.Payment.Refunded) }),
	money("shipping", func(s paymentState) decimal.NullDecimal { return decimal.NewNullDecimal(s.Payment.Shipping) }),
	value("currency", "text", func(s paymentState) *string { return orNil(s.Payment.Currency) }),
	value("date_last_updated", "timestamptz", func(s paymentState) *time.Time { return orNull(s.Payment.UpdatedAt) }),
	value("changed_at", "timestamptz", func(s paymentState) *time.Time { return changedAt(s.Payment) }),
}

// currentColumns are what payments alone keeps of it.
var currentColumns = []column[paymentState]{
	value("collector_id", "text", func(s paymentState) string { return s.Payment.CollectorID }),
	value("subscription_id", "text", func(s paymentState) *string { return orNil(s.Payment.SubscriptionID) }),
	value("subscription_number", "bigint", func(s paymentState) int64 { return s.Payment.SubscriptionNumber }),
	value("live_mode", "boolean", func(s paymentState) bool { return s.Payment.LiveMode }),
	value("validation", "boolean", func(s paymentState) bool { return s.Payment.Validation }),
	value("date_created", "timestamptz", func(s paymentState) *time.Time { return orNull(s.Payment.CreatedAt) }),
	value("raw", "bytea", func(s paymentState) []byte { return s.Raw }),
	value("payer_email_hash", "bytea", func(s paymentState) []byte { return s.payerHash }),
}

// fetchColumns are when it was fetched, and toldColumns its costs, its release and what it
// was made with, which are no part of a state: each fetch may tell others.
var (
	fetchColumns = []column[paymentState]{
		value("fetched_at", "timestamptz", func(s paymentState) time.Time { return s.Payment.FetchedAt }),
		value("fetch_mark", "bigint", func(s paymentState) int64 { return s.Payment.FetchMark }),
	}
	toldColumns = []column[paymentState]{
		money("fee_amount", func(s paymentState) decimal.NullDecimal { return s.Cost.Fee }),
		money("application_fee_amount", func(s paymentState) decimal.NullDecimal { return s.Cost.ApplicationFee }),
		money("financing_fee_amount", func(s paymentState) decimal.NullDecimal { return s.Cost.FinancingFee }),
		money("shipping_fee_amount", func(s paymentState) decimal.NullDecimal { return s.Cost.ShippingFee }),
		money("taxes_amount", func(s paymentState) decimal.NullDecimal { return s.Cost.Taxes }),
		money("net_amount", func(s paymentState) decimal.NullDecimal { return s.Cost.Net }),
		value("release_date", "timestamptz", func(s paymentState) *time.Time { return orNull(s.Cost.ReleaseDate) }),
		value("release_status", "text", func(s paymentState) *string { return orNil(s.Cost.ReleaseStatus) }),
		value("payment_method", "text", func(s paymentState) string { return s.Method.ID }),
		value("payment_type", "text", func(s paymentState) string { return s.Method.Type }),
	}
)

// savePayments saves payments, each once and in a state that supersedes what is known.
// The first two parameters are the hashes of whom they name, see payersOf.
var savePayments = func() rowsStatement[paymentState] {
	columns := slices.Concat(stateColumns, currentColumns, fetchColumns, toldColumns)
	forgotten := forgottenSQL("x.source", "x.payment_id", "SELECT h.hash FROM unnest($1::int[], $2::bytea[]) AS h (n, hash) WHERE h.n = x.n")
	values := strings.Replace(namesOf(columns, "x."), "x.raw", "CASE WHEN "+forgotten+" THEN '' ELSE x.raw END", 1)
	var set []string
	for _, c := range columns {
		switch c.name {
		case "source", "payment_id":
		case "fetch_mark":
			set = append(set, "fetch_mark = greatest(payments.fetch_mark, excluded.fetch_mark)")
		default:
			set = append(set, c.name+" = excluded."+c.name)
		}
	}
	return writeRows(columns, 2, func(x string) string {
		return fmt.Sprintf(`
			INSERT INTO payments (%s, fold_version, cost_read_at)
			SELECT %s, %d, x.fetched_at FROM %s
			ON CONFLICT (source, payment_id) DO UPDATE SET %s, fold_version = excluded.fold_version, cost_read_at = excluded.cost_read_at`,
			namesOf(columns, ""), values, order.FoldVersion, x, strings.Join(set, ", "))
	})
}()

// logPayments logs states, unless they were applied before.
var logPayments = func() rowsStatement[paymentState] {
	columns := slices.Concat(stateColumns, []column[paymentState]{
		value("queue_id", "bigint", func(s paymentState) int64 { return s.queueID }),
	})
	return writeRows(columns, 0, func(x string) string {
		return `
			INSERT INTO payment_logs (` + namesOf(columns, "") + `)
			SELECT ` + namesOf(columns, "x.") + ` FROM ` + x + ` ORDER BY x.n
			ON CONFLICT DO NOTHING`
	})
}()

// confirmPayments notes that fetches found payments in the state that is known.
var confirmPayments = func() rowsStatement[paymentState] {
	var set []string
	for _, c := range toldColumns {
		set = append(set, c.name+" = x."+c.name)
	}
	return writeRows(slices.Concat(stateColumns[:2], fetchColumns, toldColumns), 0, func(x string) string {
		return `
			UPDATE payments p SET fetched_at = greatest(p.fetched_at, x.fetched_at), fetch_mark = greatest(p.fetch_mark, x.fetch_mark),
				cost_read_at = greatest(p.fetched_at, x.fetched_at), ` + strings.Join(set, ", ") + `
			FROM ` + x + `
			WHERE p.source = x.source AND p.payment_id = x.payment_id AND (p.fetched_at < x.fetched_at OR p.fetch_mark < x.fetch_mark)`
	})
}()

// payersOf hashes whom the answers of payments name, each with the place of its payment,
// and writes into each state by which address it is found.
func (s *Store) payersOf(ctx context.Context, q querier, states []paymentState) (places []int, hashes [][]byte, err error) {
	for i := range states {
		payers := s.payersIn(states[i].Source, states[i].Raw)
		if states[i].payerHash, err = s.payerEmailHash(ctx, q, payers); err != nil {
			return nil, nil, err
		}
		payers.Emails = append(payers.Emails, emailsIn(states[i].Raw)...)
		named, err := s.hashPayers(ctx, q, payers)
		if err != nil {
			return nil, nil, err
		}
		for _, hash := range named {
			places, hashes = append(places, i+1), append(hashes, hash)
		}
	}
	return places, hashes, nil
}

// savePayment saves the payment, which must supersede what is known, and logs
// its state. It reports whether the state is one that was never applied. The answer
// of a forgotten payer's payment is not kept.
func (s *Store) savePayment(ctx context.Context, tx pgx.Tx, queueID int64, f FetchedPayment) (fresh bool, err error) {
	states := []paymentState{{FetchedPayment: f, queueID: queueID}}
	places, hashes, err := s.payersOf(ctx, tx, states)
	if err != nil {
		return false, err
	}
	if _, err := savePayments.exec(ctx, tx, states, places, hashes); err != nil {
		return false, err
	}
	tag, err := logPayments.exec(ctx, tx, states)
	if err != nil || tag.RowsAffected() == 1 {
		return err == nil, err
	}
	// The state was applied before; shipping is no part of what makes one.
	p := f.Payment
	_, err = tx.Exec(ctx, `
		UPDATE payment_logs SET shipping = $8
		WHERE source = $1 AND payment_id = $2 AND status = $3 AND status_detail = $4 AND amount IS NOT DISTINCT FROM $5
		  AND refunded_amount = $6 AND date_last_updated IS NOT DISTINCT FROM $7 AND shipping IS DISTINCT FROM $8`,
		f.Source, p.ID, p.Status, p.StatusDetail, p.Amount, p.Refunded, orNull(p.UpdatedAt), p.Shipping)
	return false, err
}

func orNull(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	return &t
}
