package dashboard

import (
	"fmt"
	"html/template"
	"strconv"
	"strings"
	"time"

	"github.com/shopspring/decimal"

	"github.com/conciliar/conciliar/store/order"
)

// Number writes an int or an int64 in the reader's form.
func (r *reader) Number(n any) (string, error) {
	whole, ok := integer(n)
	if !ok {
		return "", fmt.Errorf("%T is not a whole number", n)
	}
	return r.whole(whole), nil
}

func (r *reader) whole(n int64) string { return r.exact(strconv.FormatInt(n, 10)) }

// exact writes a decimal of the form -1234.5 in the reader's form, digit by
// digit: nothing is rounded.
func (r *reader) exact(plain string) string {
	sign := ""
	if strings.HasPrefix(plain, "-") {
		sign, plain = "\u2212", plain[1:]
	}
	whole, fraction, broken := strings.Cut(plain, ".")
	if len(whole) >= r.minGrouped {
		var b strings.Builder
		for i, digit := range whole {
			if i > 0 && (len(whole)-i)%3 == 0 {
				b.WriteString(r.group)
			}
			b.WriteRune(digit)
		}
		whole = b.String()
	}
	if broken {
		return sign + whole + r.point + fraction
	}
	return sign + whole
}

// Plain writes an amount as forms take it, in digits and a point.
func (r *reader) Plain(amount decimal.Decimal, currency string) string {
	return order.FormatAmount(amount, currency)
}

// Money writes an amount, a decimal or its string, with its currency's code:
// several countries call their own money $. Its digits are those of
// order.FormatAmount. An amount that is not said is a dash.
func (r *reader) Money(amount, currency any) (string, error) {
	code := plain(currency)
	var d decimal.Decimal
	switch v := amount.(type) {
	case decimal.Decimal:
		d = v
	case decimal.NullDecimal:
		if !v.Valid {
			return "\u2013", nil
		}
		d = v.Decimal
	case *string:
		if v == nil {
			return "\u2013", nil
		}
		return r.Money(*v, code)
	case string:
		parsed, err := decimal.NewFromString(v)
		if err != nil {
			return "", fmt.Errorf("an amount: %w", err)
		}
		d = parsed
	default:
		return "", fmt.Errorf("%T is not an amount", amount)
	}
	// A space that does not break: an amount is read as one word.
	return strings.TrimLeft(code+"\u00a0"+r.Sum(d, code), "\u00a0"), nil
}

// Sum writes an amount without its currency's code, which the block that it stands in
// names.
func (r *reader) Sum(amount decimal.Decimal, currency string) string {
	return r.exact(order.FormatAmount(amount, currency))
}

// Time writes a moment in the reader's zone, to the second, as a time element.
// A nil or zero one is a dash.
func (r *reader) Time(t any) (template.HTML, error) {
	return r.element(t, r.zone, r.exactly)
}

// When writes a moment as briefly as it can be told from others: today by its time of
// day, this year without the year. The whole of it is the element's title.
func (r *reader) When(t any) (template.HTML, error) {
	return r.element(t, r.zone, r.briefly)
}

// Moment is When without markup, to stand in a sentence.
func (r *reader) Moment(t *time.Time) (string, error) { return r.briefly(t.In(r.zone)) }

func (r *reader) briefly(at time.Time) (string, error) {
	now := r.now.In(r.zone)
	if at.Year() != now.Year() || r.now.IsZero() {
		return r.exactly(at)
	}
	if at.YearDay() == now.YearDay() {
		return at.Format("15:04:05"), nil
	}
	day, err := r.dayMonth(at)
	if err != nil {
		return "", err
	}
	return r.T("time.at", "date", day, "time", at.Format("15:04"))
}

// dayMonth writes a day of this year that no line ends within.
func (r *reader) dayMonth(at time.Time) (string, error) {
	day, err := r.T("time.day_month", "day", strconv.Itoa(at.Day()), "month", r.Word("month", int(at.Month())))
	return strings.ReplaceAll(day, " ", "\u00a0"), err
}

// Age writes how long ago a moment was, with the moment as the element's title.
func (r *reader) Age(t any) (template.HTML, error) { return r.Ago(r.now, t) }

// exactly is a day with its time, to the second.
func (r *reader) exactly(at time.Time) (string, error) {
	day, err := r.date(at)
	if err != nil {
		return "", err
	}
	return r.T("time.at", "date", day, "time", at.Format("15:04:05"))
}

// Clock writes a moment's time of day.
func (r *reader) Clock(t any) (template.HTML, error) {
	return r.element(t, r.zone, func(at time.Time) (string, error) { return at.Format("15:04:05"), nil })
}

// Day writes the merchant's day of a moment.
func (r *reader) Day(t any) (template.HTML, error) { return r.element(t, r.days, r.date) }

// Ago writes how long ago a moment was, of two units at most.
func (r *reader) Ago(now time.Time, t any) (template.HTML, error) {
	return r.element(t, r.zone, func(at time.Time) (string, error) {
		age, err := r.Duration(now.Sub(at))
		if err != nil {
			return "", err
		}
		return r.T("time.ago", "age", age)
	})
}

// element writes a moment in a zone, a nil or zero one as a dash.
func (r *reader) element(t any, zone *time.Location, write func(time.Time) (string, error)) (template.HTML, error) {
	var at time.Time
	switch v := t.(type) {
	case time.Time:
		at = v
	case *time.Time:
		if v != nil {
			at = *v
		}
	default:
		return "", fmt.Errorf("%T is no time", t)
	}
	if at.IsZero() {
		return "\u2013", nil
	}
	text, err := write(at.In(zone))
	if err != nil {
		return "", err
	}
	exact, err := r.exactly(at.In(zone))
	if err != nil {
		return "", err
	}
	title := ""
	if exact != text {
		title = `" title="` + template.HTMLEscapeString(exact)
	}
	// All are ours: formatted times, and texts from the catalogue.
	return template.HTML(`<time datetime="` + at.UTC().Format(time.RFC3339) + title + `">` + //nolint:gosec // see above
		template.HTMLEscapeString(text) + `</time>`), nil
}

// date writes a day that no line ends within.
func (r *reader) date(at time.Time) (string, error) {
	month := r.Word("month", int(at.Month()))
	day, err := r.T("time.date", "day", strconv.Itoa(at.Day()), "month", month, "year", strconv.Itoa(at.Year()))
	return strings.ReplaceAll(day, " ", "\u00a0"), err
}

// Duration writes a length of time by its largest unit and the next: 3 d 4 h,
// 2 h 5 min, 40 s, 1.5 s, 20 ms. One below zero is 0 s: clocks differ.
func (r *reader) Duration(d time.Duration) (string, error) {
	unit := func(name string, n int64) (string, error) { return r.T("unit."+name, "count", n) }
	two := func(large string, n int64, small string, rest int64) (string, error) {
		first, err := unit(large, n)
		if err != nil || rest == 0 {
			return first, err
		}
		second, err := unit(small, rest)
		return first + " " + second, err
	}
	day := 24 * time.Hour
	switch {
	case d >= day:
		return two("day", int64(d/day), "hour", int64(d%day/time.Hour))
	case d >= time.Hour:
		return two("hour", int64(d/time.Hour), "minute", int64(d%time.Hour/time.Minute))
	case d >= time.Minute:
		return two("minute", int64(d/time.Minute), "second", int64(d%time.Minute/time.Second))
	case d >= 10*time.Second || d <= 0:
		return unit("second", max(0, int64(d/time.Second)))
	case d >= time.Second:
		tenths := d.Round(100 * time.Millisecond)
		return r.T("unit.second", "count", r.exact(strconv.FormatFloat(tenths.Seconds(), 'f', 1, 64)))
	}
	return r.T("unit.millisecond", "count", max(1, d.Milliseconds()))
}

// Share writes part of whole as a percentage without decimals; a part that is
// there is never 0 %.
func (r *reader) Share(part, whole int64) string {
	if whole <= 0 || part <= 0 {
		return "0\u00a0%"
	}
	return r.whole(max(1, (part*100+whole/2)/whole)) + "\u00a0%"
}
