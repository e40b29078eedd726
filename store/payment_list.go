package store

import (
	"context"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/shopspring/decimal"

	"github.com/conciliar/conciliar/store/day"
	"github.com/conciliar/conciliar/store/order"
)

// A PaymentSummary is a payment in one line.
type PaymentSummary struct {
	OrderPayment
	// Reference is the order's; empty when the payment names none.
	Reference string
	// MadeAt is when it was made; when it was recorded here where it does not say.
	MadeAt time.Time
	// WrittenAt is when the payment's row changed last.
	WrittenAt time.Time
}

// A PaymentFilter selects payments; an empty field selects all.
type PaymentFilter struct {
	Order    string
	Status   order.PaymentStatus
	Currency string
	// Method and Type are the words of a PaymentMethod.
	Method, Type string
	// CollectorID is the account that was paid, and Source the provider.
	CollectorID, Source string
	// Payer stands for the payer's e-mail address, see PayerKeyOf.
	Payer PayerKey
	// ChangedSince and ChangedUntil bound when a payment's row changed last:
	// [ChangedSince, ChangedUntil).
	ChangedSince, ChangedUntil time.Time
	// MadeSince and MadeUntil bound when a payment was made, or recorded here where it
	// does not say: [MadeSince, MadeUntil). With either the list is in that order.
	MadeSince, MadeUntil time.Time
	// AmountFrom and AmountTo bound the amount, both included; nil means no bound. They mean
	// little without a currency.
	AmountFrom, AmountTo *decimal.Decimal
	// LatestFirst lists what changed last, or was made last, at the beginning.
	LatestFirst bool
}

// ByMade reports whether the list is in the order in which payments were made, and not in
// that of their last changes: its pages have places of their own.
func (f PaymentFilter) ByMade() bool { return !f.MadeSince.IsZero() || !f.MadeUntil.IsZero() }

// madeAt is when a payment was made. An index is on this expression.
const madeAt = `coalesce(date_created, created_at)`

func (f PaymentFilter) narrow(c *conditions) {
	c.equal("p.order_reference", f.Order)
	c.equal("p.status", string(f.Status))
	c.equal("p.currency", f.Currency)
	c.equal("p.payment_method", f.Method)
	c.equal("p.payment_type", f.Type)
	c.equal("p.collector_id", f.CollectorID)
	c.equal("p.source", f.Source)
	if f.Payer != "" {
		c.add("p.payer_email_hash = ?", f.Payer.hash())
		c.always("p.payer_email_hash <> ''")
	}
	c.between("p.updated_at", f.ChangedSince, f.ChangedUntil)
	c.between(madeAt, f.MadeSince, f.MadeUntil)
	c.amounts("p.amount", f.AmountFrom, f.AmountTo)
}

// A PaymentPlace is where a payment stands in the list of payments: when its row changed
// last or, ByMade, when it was made, and its source and id.
type PaymentPlace struct {
	At                time.Time
	ByMade            bool
	Source, PaymentID string
}

// madePlace begins a place in the list by when payments were made.
const madePlace = "made"

// String is the place as one word of a cursor.
func (p PaymentPlace) String() string {
	order := ""
	if p.ByMade {
		order = madePlace
	}
	return order + strconv.FormatInt(p.At.UnixMicro(), 10) + "." + p.Source + "." + p.PaymentID
}

// ParsePaymentPlace reads what String makes of a place in the list that the filter
// selects, and nothing else.
func (f PaymentFilter) ParsePaymentPlace(text string) (PaymentPlace, bool) {
	parts := strings.SplitN(text, ".", 3)
	if len(parts) < 3 {
		return PaymentPlace{}, false
	}
	at, byMade := strings.CutPrefix(parts[0], madePlace)
	micros, err := strconv.ParseInt(at, 10, 64)
	place := PaymentPlace{At: time.UnixMicro(micros).UTC(), ByMade: byMade, Source: parts[1], PaymentID: parts[2]}
	return place, err == nil && micros >= 0 && place.String() == text && byMade == f.ByMade()
}

// Payments returns one page of the payments that the filter selects, by the last change of
// their rows or, where it bounds that, by when they were made, the oldest first unless the
// filter says otherwise. One that changes while pages are read by the last change, the
// oldest first, comes once more at the end; latest first it may be passed over, being at the
// beginning now.
func (s *Store) Payments(ctx context.Context, filter PaymentFilter, page PageOf[PaymentPlace]) (ListOf[PaymentSummary, PaymentPlace], error) {
	var c conditions
	filter.narrow(&c)
	by, byMade := "updated_at", filter.ByMade()
	if byMade {
		by = madeAt
	}
	return readOrdered(ctx, s, ordered[PaymentSummary, PaymentPlace]{
		what: "payments", columns: []string{by, "source", "payment_id"}, ascending: !filter.LatestFirst,
		statement: `
			SELECT ` + paymentColumns + `, ` + toldColumnNames + `, ` + releasesOf(`p`) + `, source, coalesce(order_reference, ''), updated_at, ` + madeAt + `,
			       coalesce((SELECT a.provider_order_id FROM payment_aliases a WHERE a.source = p.source AND a.payment_id = p.payment_id), '')
			FROM payments p`,
		scan: scanPaymentSummary,
		placeOf: func(p PaymentSummary) PaymentPlace {
			at := p.WrittenAt
			if byMade {
				at = p.MadeAt
			}
			return PaymentPlace{at, byMade, p.Source, p.ID}
		},
		values: func(p PaymentPlace) []any { return []any{p.At, text(p.Source), text(p.PaymentID)} },
	}, c, page)
}

func scanPaymentSummary(row pgx.CollectableRow) (p PaymentSummary, err error) {
	var providerOrderID string
	p.OrderPayment, err = scanToldPayment(row, &p.Reference, &p.WrittenAt, &p.MadeAt, &providerOrderID)
	p.ProviderOrderID = providerOrderID
	toUTC(&p.WrittenAt, &p.MadeAt)
	return p, err
}

// A PaymentDay is what the payments of one currency that were made on one day brought,
// as they are now. Payments without money are not among them.
type PaymentDay struct {
	// Day is when the day began, in the zone asked for.
	Day      time.Time
	Currency string
	Payments int64
	// Gross is what was charged, Refunded what went back of it.
	Gross, Refunded decimal.Decimal
	// Cost is the sum of what was said of each payment.
	Cost PaymentCost
	// Unknown is how many payments have not said what is left of them, CostUnknown how
	// many have not said all that was taken of them.
	Unknown, CostUnknown int64
}

// MostPaymentDays is how many days PaymentDays sums up at most.
const MostPaymentDays = 366

// PaymentDays returns the days of [since, until) in the zone, oldest first and by
// currency within a day. Days without payments are absent.
func (s *Store) PaymentDays(ctx context.Context, since, until time.Time, zone *time.Location) ([]PaymentDay, error) {
	// PostgreSQL's zones are its own: it is told where the days begin.
	begins := day.Begins(since, until, zone)
	rows, _ := s.pool.Query(ctx, `
		SELECT width_bucket(`+madeAt+`, $3::timestamptz[]), currency, count(*), sum(amount), sum(least(refunded_amount, amount)),
		       sum(fee_amount), sum(application_fee_amount), sum(financing_fee_amount), sum(shipping_fee_amount), sum(taxes_amount), sum(net_amount),
		       count(*) FILTER (WHERE net_amount IS NULL), count(*) FILTER (WHERE fee_amount IS NULL OR taxes_amount IS NULL)
		FROM payments
		WHERE `+madeAt+` >= $1 AND `+madeAt+` < $2
		  AND status IN ('approved', 'in_mediation', 'refunded', 'charged_back') AND NOT validation
		GROUP BY 1, 2 ORDER BY 1, 2`, since, until, begins)
	days, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (PaymentDay, error) {
		var d PaymentDay
		var place int
		err := row.Scan(&place, &d.Currency, &d.Payments, &d.Gross, &d.Refunded, &d.Cost.Fee, &d.Cost.ApplicationFee,
			&d.Cost.FinancingFee, &d.Cost.ShippingFee, &d.Cost.Taxes, &d.Cost.Net, &d.Unknown, &d.CostUnknown)
		if err == nil {
			d.Day = begins[place-1]
		}
		return d, err
	})
	return days, wrap(err, "payments by day")
}
