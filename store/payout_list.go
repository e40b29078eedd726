package store

import (
	"context"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/shopspring/decimal"

	"github.com/conciliar/conciliar/store/payout"
)

// ErrPayoutNotFound means that no payout has that id.
var ErrPayoutNotFound = noSuch("payout", "payout_not_found")

// A Payout is money that went to the account's owner, and whether it is known what it
// is made of.
type Payout struct {
	ID          string
	CollectorID string
	Currency    string
	PaidAt      time.Time
	Amount      decimal.Decimal
	State       payout.State
	// Opening is the balance that its movements begin with, and Kept the one afterwards;
	// not valid where it is not known.
	Opening, Kept decimal.NullDecimal
	// Unexplained is the amount less what is explained.
	Unexplained decimal.Decimal
}

const payoutColumns = `id, collector_id, currency, paid_at, amount, state, opening_balance, balance_kept, unexplained_amount`

// A PayoutFilter selects payouts; an empty field selects all.
type PayoutFilter struct {
	State    payout.State
	Currency string
	// Since and Until bound when it was paid: [Since, Until).
	Since, Until time.Time
}

// A MoneyPlace is where a payout or a movement stands in a list: when it happened, and
// its id.
type MoneyPlace struct {
	At time.Time
	ID string
}

// String is the place as one word of an address or a cursor.
func (p MoneyPlace) String() string { return strconv.FormatInt(p.At.UnixMicro(), 10) + "." + p.ID }

// ParsePayoutPlace reads what String makes of a payout's place, and nothing else.
func ParsePayoutPlace(text string) (MoneyPlace, bool) {
	at, id, _ := strings.Cut(text, ".")
	micros, err := strconv.ParseInt(at, 10, 64)
	place := MoneyPlace{At: time.UnixMicro(micros).UTC(), ID: id}
	return place, err == nil && micros >= 0 && id != "" && !strings.ContainsRune(id, 0) && place.String() == text
}

// ParseMovementPlace reads what String makes of a movement's place, and nothing else.
func ParseMovementPlace(text string) (MoneyPlace, bool) {
	place, ok := ParsePayoutPlace(text)
	id, err := strconv.ParseInt(place.ID, 10, 64)
	return place, ok && err == nil && id > 0 && strconv.FormatInt(id, 10) == place.ID
}

// Place is where the payout stands in the list.
func (p Payout) Place() MoneyPlace { return MoneyPlace{p.PaidAt, p.ID} }

// Payouts returns one page of the payouts that the filter selects, the latest first.
func (s *Store) Payouts(ctx context.Context, filter PayoutFilter, page PageOf[MoneyPlace]) (ListOf[Payout, MoneyPlace], error) {
	return readOrdered(ctx, s, ordered[Payout, MoneyPlace]{
		what: "payouts", statement: `SELECT ` + payoutColumns + ` FROM payouts`, columns: []string{"paid_at", "id"},
		scan: rowTo[Payout], placeOf: Payout.Place, values: func(p MoneyPlace) []any { return []any{p.At, text(p.ID)} },
	}, filter.conditions(), page)
}

func (f PayoutFilter) conditions() conditions {
	var c conditions
	c.equal("state", string(f.State))
	c.equal("currency", f.Currency)
	c.between("paid_at", f.Since, f.Until)
	return c
}

// A PayoutPart is what movements of one kind add to a payout.
type PayoutPart struct {
	// Class is what they are in our words, Description in the provider's.
	Class, Description string
	Movements          int64
	Net                decimal.Decimal
}

// A PayoutDetail is a payout with what makes it up, by kind.
type PayoutDetail struct {
	Payout

	Parts []PayoutPart
}

// Payout returns a payout with what makes it up, or ErrPayoutNotFound.
func (s *Store) Payout(ctx context.Context, id string) (PayoutDetail, error) {
	var detail PayoutDetail
	err := s.readSnapshot(ctx, func(tx pgx.Tx) (err error) {
		detail.Payout, err = readOne[Payout](ctx, tx, `SELECT `+payoutColumns+` FROM payouts WHERE id = $1`, text(id))
		if err != nil {
			return ErrPayoutNotFound.ifNone(err, id)
		}
		detail.Parts, err = readAll[PayoutPart](ctx, tx, `
			SELECT m.class, m.description, count(*), sum(m.credit - m.debit)
			FROM account_movements m WHERE `+movementsOf("$1")+` AND NOT `+isPayout("$1")+`
			GROUP BY m.class, m.description ORDER BY sum(m.credit - m.debit) DESC, m.class, m.description`, text(id))
		return err
	})
	return detail, wrap(err, "payout %q", id)
}

// movementsOf selects the movements m of the payout with an id, an expression. They are
// found by their time, from the payout before on: payout_id is in no index.
func movementsOf(id string) string {
	return `m.source = (SELECT source FROM payouts WHERE id = ` + id + `)
		AND m.collector_id = (SELECT collector_id FROM payouts WHERE id = ` + id + `)
		AND m.currency = (SELECT currency FROM payouts WHERE id = ` + id + `)
		AND m.happened_at <= (SELECT paid_at FROM payouts WHERE id = ` + id + `)
		AND m.happened_at >= coalesce((
			SELECT max(e.paid_at) FROM payouts e JOIN payouts p USING (source, collector_id, currency)
			WHERE p.id = ` + id + ` AND e.paid_at < p.paid_at), '-infinity')
		AND m.payout_id = ` + id
}

// isPayout selects the movement that the payout itself is.
func isPayout(id string) string {
	return `(m.id = (SELECT movement_id FROM payouts WHERE id = ` + id + `))`
}

// A BookedMovement is a movement as it is kept.
type BookedMovement struct {
	ID          int64
	CollectorID string
	PaymentID   string
	// Reference is the order's, as the report has it; empty when it names none.
	Reference               string
	SourceID                string
	RecordType, Description string
	// Class is what it is in our words.
	Class         string
	HappenedAt    time.Time
	Credit, Debit decimal.Decimal
	// Gross is the amount before deductions, which the others are; not valid where no
	// report says so.
	Gross, Fee, FinancingFee, ShippingFee, Taxes, Coupon decimal.NullDecimal
	Currency                                             string
	// PayoutID is the payout that it is a part of, or is; empty while there is none.
	PayoutID string
}

// Net is what the movement adds to the balance.
func (m BookedMovement) Net() decimal.Decimal { return m.Credit.Sub(m.Debit) }

// Place is where the movement stands in its list.
func (m BookedMovement) Place() MoneyPlace {
	return MoneyPlace{m.HappenedAt, strconv.FormatInt(m.ID, 10)}
}

const movementListColumns = `m.id, m.collector_id, coalesce(m.payment_id, ''), coalesce(m.order_reference, ''), m.source_id, m.record_type,
	m.description, m.class, m.happened_at, m.credit, m.debit, m.gross, m.fee, m.financing_fee, m.shipping_fee, m.taxes, m.coupon,
	m.currency, coalesce(m.payout_id, '')`

// PayoutMovements returns one page of what makes up a payout, the latest first; the
// payout itself is not among them.
func (s *Store) PayoutMovements(ctx context.Context, id string, page PageOf[MoneyPlace]) (ListOf[BookedMovement, MoneyPlace], error) {
	var c conditions
	place := c.arg(text(id))
	c.always(movementsOf(place))
	c.always("NOT " + isPayout(place))
	if page.Before != (MoneyPlace{}) {
		c.always("(m.happened_at, m.id) < (" + c.arg(page.Before.At) + ", " + c.arg(page.Before.ID) + "::text::bigint)")
	}
	where := c.sql()
	found, err := readAll[BookedMovement](ctx, s.pool, `SELECT `+movementListColumns+` FROM account_movements m WHERE `+where+`
		ORDER BY m.happened_at DESC, m.id DESC LIMIT `+c.arg(page.Limit+1), c.args...)
	return list(found, page, BookedMovement.Place), wrap(err, "movements of payout %q", id)
}

// A PaymentRelease is money of a payment that became available, as a report says.
type PaymentRelease struct {
	ReleasedAt time.Time       `json:"released_at"`
	Amount     decimal.Decimal `json:"amount"`
	// PayoutID is the payout that it is a part of, and PaidOutAt when that was paid; nil
	// while there is none.
	PayoutID  *string    `json:"payout_id"`
	PaidOutAt *time.Time `json:"paid_out_at"`
}

// releasesOf reads the releases of a row of payments, which has the name given, the
// oldest first.
func releasesOf(table string) string {
	return `coalesce((
		SELECT jsonb_agg(jsonb_build_object('released_at', m.happened_at, 'amount', m.credit - m.debit, 'payout_id', m.payout_id, 'paid_out_at', o.paid_at)
		                 ORDER BY m.happened_at, m.id)
		FROM account_movements m LEFT JOIN payouts o ON o.id = m.payout_id
		WHERE m.source = ` + table + `.source AND m.payment_id = ` + table + `.payment_id AND m.class = 'payment'), '[]')`
}
