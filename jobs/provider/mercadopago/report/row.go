package report

import (
	"errors"
	"strings"
	"time"

	"github.com/shopspring/decimal"

	"github.com/conciliar/conciliar/jobs/provider"
)

var (
	errNoDate     = errors.New("is not a date")
	errMangledID  = errors.New("was made a number by a spreadsheet: take the file as Mercado Pago wrote it")
	errNoCurrency = errors.New("the row names no currency: say which one the account has")
	errCurrency   = errors.New("is not an ISO 4217 code")
	errNegative   = errors.New("is negative")
	errTranslated = errors.New("is translated, in words that we don't know: take the report through the API, or with untranslated values")
)

// movement reads a row.
func (r *Reader) movement(record []string) (provider.Movement, error) {
	f := &fields{r: r, record: record}
	f.learn()
	m := provider.Movement{
		Row: r.row, CollectorID: r.opts.CollectorID,
		SourceID: f.sourceID(), Reference: f.text(columnReference),
		Fee: f.optional(columnFee), FinancingFee: f.optional(columnFinancingFee),
		ShippingFee: f.optional(columnShippingFee), Taxes: f.optional(columnTaxes),
		Coupon: f.optional(columnCoupon), Balance: f.optional(columnBalance),
	}
	if r.shape.report == provider.SettlementReport {
		f.settlement(&m)
	} else {
		f.release(&m)
	}
	if m.Kind == provider.MovementRow {
		m.Class = class(m.RecordType, m.Description, m.Debit.GreaterThan(m.Credit))
		if m.HappenedAt.IsZero() {
			f.fail(f.dateColumn(), errNoDate)
		}
	}
	m.Currency = f.currency(m.Kind)
	sharedCoupon := f.optional(columnSharedCoupon)
	if f.err != nil {
		return provider.Movement{}, f.err
	}
	sign(&m, sharedCoupon)
	return m, nil
}

// release reads what only a release report has.
func (f *fields) release(m *provider.Movement) {
	var ok bool
	if m.RecordType, m.Description, ok = translated(f.text(columnRecordType), f.text(columnDescription)); !ok {
		f.fail(columnDescription, errTranslated)
	}
	m.Kind = rowKind(m.RecordType)
	m.HappenedAt = f.date(columnDate)
	m.Gross = f.optional(columnGross)
	m.Credit, m.Debit = f.amount(columnIn), f.amount(columnOut)
	if m.Kind != provider.MovementRow {
		return // a balance may be below 0
	}
	if m.Credit.IsNegative() {
		f.fail(columnIn, errNegative)
	}
	// Some exports write what went with its sign.
	m.Debit = m.Debit.Abs()
}

// settlement reads what only a settlement report has.
func (f *fields) settlement(m *provider.Movement) {
	m.Kind, m.RecordType = provider.MovementRow, f.text(columnTransactionType)
	m.Description = strings.ToLower(m.RecordType)
	if m.HappenedAt = f.date(columnSettledOn); m.HappenedAt.IsZero() {
		m.HappenedAt = f.date(columnTransactionDate)
	}
	m.Gross = f.optional(columnAmount)
	net := f.amount(columnNet)
	m.Credit, m.Debit = decimal.Max(net, decimal.Zero), decimal.Max(net.Neg(), decimal.Zero)
}

func (f *fields) dateColumn() column {
	if f.r.shape.report == provider.SettlementReport {
		return columnTransactionDate
	}
	return columnDate
}

// sourceID is the id as it stands. A spreadsheet that was saved again has lost
// digits of it.
func (f *fields) sourceID() string {
	id := f.text(columnSourceID)
	mantissa, exponent, found := strings.Cut(strings.ToUpper(id), "E+")
	if found && allDigits(exponent) && strings.Trim(mantissa, "0123456789.,") == "" && mantissa != "" {
		f.fail(columnSourceID, errMangledID)
	}
	return id
}

// currency is the row's own, else the account's.
func (f *fields) currency(kind provider.RowKind) string {
	name := columnCurrency
	if !f.has(name) {
		name = columnAmountCurrency
	}
	code := strings.ToUpper(f.text(name))
	switch {
	case code == "" && f.r.opts.Currency == "" && kind == provider.MovementRow:
		f.fail("", errNoCurrency)
	case code == "":
		return f.r.opts.Currency
	case len(code) != 3 || strings.Trim(code, "ABCDEFGHIJKLMNOPQRSTUVWXYZ") != "":
		f.fail(name, errCurrency)
	}
	return code
}

// dateLayouts are the forms of a date, the documented one first. A fraction of a
// second may follow the seconds in each.
var dateLayouts = []string{
	"2006-01-02T15:04:05Z07:00", "2006-01-02T15:04:05Z0700", "2006-01-02T15:04:05Z07", "2006-01-02T15:04:05",
	"02/01/2006T15:04:05", "02-01-2006T15:04:05", "2006-01-02", "02/01/2006",
}

// date reads a date to the microsecond that PostgreSQL keeps; zero where there is
// none.
func (f *fields) date(name column) time.Time {
	text := strings.ToUpper(f.text(name))
	if text == "" {
		return time.Time{}
	}
	const day = len("2006-01-02")
	if len(text) > day && text[day] == ' ' {
		text = text[:day] + "T" + text[day+1:]
	}
	text = strings.ReplaceAll(text, " ", "") // before an offset
	for _, layout := range dateLayouts {
		if t, err := time.ParseInLocation(layout, text, f.r.zone); err == nil && t.Year() >= 2000 && t.Year() < 3000 {
			return t.UTC().Truncate(time.Microsecond)
		}
	}
	f.fail(name, errNoDate)
	return time.Time{}
}

// sign gives the deductions the sign of what they add to the gross amount. Exports
// write costs negative or positive, and some coupons are the payer's alone: what
// makes the net of the gross is right.
func sign(m *provider.Movement, sharedCoupon decimal.NullDecimal) {
	if !m.Gross.Valid {
		return
	}
	gross, net := m.Gross.Decimal, m.Net()
	if gross.Sign()*net.Sign() < 0 { // an export that writes every gross amount as positive
		gross = gross.Neg()
	}
	costs := decimal.Sum(m.Fee.Decimal, m.FinancingFee.Decimal, m.ShippingFee.Decimal, m.Taxes.Decimal)
	for _, coupon := range []decimal.NullDecimal{{Valid: m.Coupon.Valid}, sharedCoupon, m.Coupon} {
		deducted := costs.Add(coupon.Decimal)
		negated := !gross.Add(deducted).Equal(net)
		if negated && !gross.Sub(deducted).Equal(net) {
			continue
		}
		m.Coupon, m.Gross.Decimal, m.Explained = coupon, gross, true
		if negated {
			for _, d := range []*decimal.NullDecimal{&m.Fee, &m.FinancingFee, &m.ShippingFee, &m.Taxes, &m.Coupon} {
				d.Decimal = d.Decimal.Neg()
			}
		}
		return
	}
}
