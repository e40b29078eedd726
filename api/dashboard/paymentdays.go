package dashboard

import (
	"maps"
	"net/url"
	"slices"
	"time"

	"github.com/shopspring/decimal"

	"github.com/conciliar/conciliar/store"
	"github.com/conciliar/conciliar/store/day"
)

// paymentDays is how many days are summed up unless the reader chooses others.
const paymentDays = 31

// paymentDaysView is the body of the page of what payments brought by the day on which
// they were made.
type paymentDaysView struct {
	listing

	// Blocks are in the order of the alphabet.
	Blocks []madeBlock
}

// ExportPath exports the payments that were made on the days: the export bounds when a
// payment was made, as the sums do.
func (v paymentDaysView) ExportPath() string {
	params := url.Values{"export": {store.ExportPayments}}
	for _, f := range v.Fields {
		params.Set(f.Name, f.Value)
	}
	return Base + "/export?" + params.Encode()
}

// Made leads to the payments of the currency that were made on the day, whatever came of
// them.
func (paymentDaysView) Made(at time.Time, currency string) string {
	on := at.Format(time.DateOnly)
	return Base + "/payments?" + url.Values{"made_since": {on}, "made_until": {on}, "currency": {currency}}.Encode()
}

// A madeBlock is the payments of the days in one currency.
type madeBlock struct {
	Currency string
	// Total is the days together; its own day says nothing.
	Total madeDay
	// Days are the latest first.
	Days []madeDay
}

// A madeDay is the payments that were made on a day in one currency.
type madeDay struct {
	store.PaymentDay

	// Costs are all that were said; invalid when none was.
	Costs decimal.NullDecimal
}

// paymentDays sums up payments by the day on which they were made.
func (d *dashboard) paymentDays(c *call) error {
	f := c.filters()
	since, until := f.lastDays(d.now(), paymentDays)
	if f.err == nil && until.Sub(since) > store.MostPaymentDays*24*time.Hour+12*time.Hour { // days may be longer
		f.err = errManyDays
	}
	if f.refuseOthers(); f.err != nil {
		return f.err
	}
	days, err := d.deps.Storage.PaymentDays(c.ctx, since, until, c.reader.days)
	if err != nil {
		return err
	}
	v := paymentDaysView{listing: listing{Path: "/dashboard/payments/days", Fields: f.fields}, Blocks: madeBlocks(days)}
	return d.show(c, "paymentdays", &page{Title: "payments.by_day", Nav: "payments", Body: v})
}

// lastDays are the bounds of some of the merchant's days, by default the last n until today.
func (f *filters) lastDays(now time.Time, n int) (since, until time.Time) {
	since, _ = f.on("since", "export.since")
	_, until = f.on("until", "export.until")
	if until.IsZero() {
		until = day.Next(now, f.days)
	}
	last := until.Add(-time.Nanosecond).In(f.days)
	if since.IsZero() {
		since = day.Begin(last.AddDate(0, 0, 1-n), f.days)
	}
	for i, at := range []time.Time{since, last} {
		if l := &f.fields[len(f.fields)-2+i]; l.Value == "" {
			l.Value = at.In(f.days).Format(time.DateOnly)
			l.Default = l.Value
		}
	}
	return since, until
}

// madeBlocks are the days by currency.
func madeBlocks(days []store.PaymentDay) []madeBlock {
	byCurrency := map[string]*madeBlock{}
	for _, d := range slices.Backward(days) {
		block := byCurrency[d.Currency]
		if block == nil {
			block = &madeBlock{Currency: d.Currency}
			byCurrency[d.Currency] = block
		}
		made := madeDay{PaymentDay: d, Costs: d.Cost.Deducted()}
		block.Days = append(block.Days, made)
		block.Total.add(made)
	}
	blocks := make([]madeBlock, 0, len(byCurrency))
	for _, currency := range slices.Sorted(maps.Keys(byCurrency)) {
		blocks = append(blocks, *byCurrency[currency])
	}
	return blocks
}

func (d *madeDay) add(other madeDay) {
	d.Payments += other.Payments
	d.Unknown += other.Unknown
	d.CostUnknown += other.CostUnknown
	d.Gross, d.Refunded = d.Gross.Add(other.Gross), d.Refunded.Add(other.Refunded)
	d.Costs, d.Cost.Net = plus(d.Costs, other.Costs), plus(d.Cost.Net, other.Cost.Net)
}

// plus is the sum of what was said; invalid when nothing was.
func plus(a, b decimal.NullDecimal) decimal.NullDecimal {
	return decimal.NullDecimal{Decimal: a.Decimal.Add(b.Decimal), Valid: a.Valid || b.Valid}
}
