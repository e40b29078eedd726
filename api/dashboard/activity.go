package dashboard

import (
	"context"
	"html/template"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/shopspring/decimal"
	"golang.org/x/sync/errgroup"

	"github.com/conciliar/conciliar/store"
	"github.com/conciliar/conciliar/store/day"
)

// A span is a choice of how far back the overview looks.
type span struct {
	// Name is its word in the address, and below span in the catalogues.
	Name string
	ago  time.Duration
	step time.Duration
}

// spans are the choices; the first one is shown when none is made.
var spans = []span{
	{"day", 24 * time.Hour, time.Hour},
	{"hour", time.Hour, time.Minute},
	{"week", 7 * 24 * time.Hour, 6 * time.Hour},
}

func spanNamed(name string) span {
	for _, s := range spans {
		if s.Name == name {
			return s
		}
	}
	return spans[0]
}

// at is the span that ends with the current minute. It begins with a whole hour
// where its steps are hours: the database keep what is long ago by the hour.
func (s span) at(now time.Time) store.Span {
	until := now.UTC().Truncate(time.Minute).Add(time.Minute)
	since := until.Add(-s.ago)
	if s.step%time.Hour == 0 {
		since = since.Truncate(time.Hour)
	}
	return store.Span{Since: since, Until: until, Step: s.step}
}

// moneyDays is how many days of money the overview shows.
const moneyDays = 7

// activityView is what happened over a span.
type activityView struct {
	Span  span
	Spans []span

	Received, Settled, Failed int64
	Activity                  picture

	Latency store.Latency
	// Times is how the latency moved.
	Times picture

	Reasons []store.DeathReason
	Money   []moneyBlock
	Healed  []store.HealedDay

	Outages []outage
}

// A picture is a chart, drawn.
type picture struct {
	chart

	SVG template.HTML
	// left is where its first step stands.
	left float64
}

// readActivity asks the database for all of it at the same time.
func (d *dashboard) readActivity(ctx context.Context, r *reader, name string) (activityView, error) {
	now := d.now()
	v := activityView{Span: spanNamed(name), Spans: []span{spans[1], spans[0], spans[2]}}
	asked := v.Span.at(now)
	since := now.In(r.days).AddDate(0, 0, 1-moneyDays)
	var points []store.ActivityPoint
	var times []store.LatencyPoint
	var money []store.MoneyDay
	var healed []store.HealedRun
	group, ctx := errgroup.WithContext(ctx)
	ask := func(question func() error) { group.Go(question) }
	ask(func() (err error) { points, err = d.deps.Storage.Activity(ctx, asked); return err })
	ask(func() (err error) { times, err = d.deps.Storage.LatencyOver(ctx, asked); return err })
	ask(func() (err error) { v.Latency, err = d.deps.Storage.Latency(ctx, asked.Since, now); return err })
	ask(func() (err error) { v.Reasons, err = d.deps.Storage.TopReasons(ctx, asked.Since, now); return err })
	ask(func() (err error) { money, err = d.deps.Storage.MoneyByDay(ctx, since, now, r.days); return err })
	var outages []store.Outage
	ask(func() (err error) { outages, err = d.deps.Storage.Outages(ctx, asked.Since, asked.Until); return err })
	ask(func() (err error) {
		healed, err = d.deps.Storage.Healed(ctx, day.Begin(since, r.days), now)
		return err
	})
	if err := group.Wait(); err != nil {
		return v, err
	}
	v.Money = moneyBlocks(money)
	v.Healed = store.HealedByDay(healed, r.days)
	v.Outages = bandsOf(outages, asked, now)
	for _, p := range points {
		v.Received += p.Received
		v.Settled += p.Settled
		v.Failed += p.Failed
	}
	var err error
	if v.Activity, err = drawActivity(r, v.Span, now, points); err != nil {
		return v, err
	}
	v.Times, err = drawTimes(r, v.Span, now, times)
	return v, err
}

// stepAt is the step that begins then, without its values.
func stepAt(r *reader, s span, now, at time.Time) (chartStep, error) {
	at, now = at.In(r.zone), now.In(r.zone)
	clock := at.Format("15:04")
	step := chartStep{Axis: clock, Label: clock, Open: at.Add(s.step).After(now), Link: eventsBetween(at, at.Add(s.step))}
	if s.ago <= 24*time.Hour && at.YearDay() == now.YearDay() {
		return step, nil
	}
	day, err := r.dayMonth(at)
	if err != nil {
		return step, err
	}
	if s.ago > 24*time.Hour {
		step.Axis = day
	}
	step.Label, err = r.T("time.at", "date", day, "time", clock)
	return step, err
}

func drawActivity(r *reader, s span, now time.Time, points []store.ActivityPoint) (picture, error) {
	p := picture{chart: chart{Series: []string{"received", "settled", "failed"}}}
	for _, at := range points {
		step, err := stepAt(r, s, now, at.At)
		if err != nil {
			return p, err
		}
		for _, n := range []int64{at.Received, at.Settled, at.Failed} {
			step.Values = append(step.Values, float64(n))
			step.Texts = append(step.Texts, r.whole(n))
		}
		p.Steps = append(p.Steps, step)
	}
	return p.draw(r, "chart.activity", axis{step: countStep, write: func(v float64) string { return r.whole(int64(v + 0.5)) }})
}

func drawTimes(r *reader, s span, now time.Time, points []store.LatencyPoint) (picture, error) {
	p := picture{chart: chart{Series: []string{"p50", "p90", "p99"}, Shades: true}}
	for _, at := range points {
		step, err := stepAt(r, s, now, at.At)
		if err != nil {
			return p, err
		}
		for _, d := range []time.Duration{at.P50, at.P90, at.P99} {
			text, err := r.Duration(d)
			if err != nil {
				return p, err
			}
			step.Values = append(step.Values, float64(d.Milliseconds()))
			step.Texts = append(step.Texts, text)
		}
		if at.Count == 0 { // nothing took no time: there is nothing to draw
			step.Values, step.Texts = nil, []string{"\u2013", "\u2013", "\u2013"}
		}
		p.Steps = append(p.Steps, step)
	}
	return p.draw(r, "chart.times", axis{step: durationStep, points: true, write: func(v float64) string {
		// The texts of units are there: the catalogues are tested.
		text, _ := r.Duration(time.Duration(v * float64(time.Millisecond)))
		return text
	}})
}

// draw draws what is not flat.
func (p picture) draw(r *reader, label string, a axis) (picture, error) {
	var err error
	for i, step := range p.Steps {
		said := make([]string, len(p.Series))
		for k, name := range p.Series {
			said[k] = r.Word("series", name) + " " + step.Texts[k]
		}
		p.Steps[i].Title = step.Label + ": " + strings.Join(said, ", ")
	}
	if p.Label, err = r.T(label); err != nil || p.Flat() {
		return p, err
	}
	p.SVG, p.left = p.plot(a)
	return p, nil
}

// A moneyBlock is the money of the days in one currency.
type moneyBlock struct {
	// Total is the days together; its own day says nothing.
	Total store.MoneyDay
	// Days are the latest first.
	Days []moneyRow
}

// A moneyRow is the money of a day in one currency.
type moneyRow struct {
	store.MoneyDay

	// Percent is how much of the currency's largest day was paid, 0 to 100, for
	// the bar beside it.
	Percent int64
}

// moneyBlocks are the days by currency, in the order of the alphabet: one that moves
// with the amounts would be read wrong.
func moneyBlocks(days []store.MoneyDay) []moneyBlock {
	byCurrency, largest := map[string]*moneyBlock{}, map[string]decimal.Decimal{}
	for _, d := range slices.Backward(days) {
		block := byCurrency[d.Currency]
		if block == nil {
			block = &moneyBlock{Total: store.MoneyDay{Currency: d.Currency}}
			byCurrency[d.Currency] = block
		}
		block.Days = append(block.Days, moneyRow{MoneyDay: d})
		block.Total.Paid = block.Total.Paid.Add(d.Paid)
		block.Total.Withdrawn = block.Total.Withdrawn.Add(d.Withdrawn)
		block.Total.Refunded = block.Total.Refunded.Add(d.Refunded)
		largest[d.Currency] = decimal.Max(largest[d.Currency], d.Paid)
	}
	blocks := make([]moneyBlock, 0, len(byCurrency))
	for _, currency := range slices.Sorted(maps.Keys(byCurrency)) {
		block := byCurrency[currency]
		for i, row := range block.Days {
			if most := largest[currency]; most.IsPositive() {
				block.Days[i].Percent = row.Paid.Mul(decimal.NewFromInt(100)).Div(most).IntPart()
			}
		}
		blocks = append(blocks, *block)
	}
	return blocks
}
