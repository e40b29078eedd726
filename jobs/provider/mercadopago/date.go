package mercadopago

import (
	"strings"
	"time"
)

// zoneless is the zone of a date that names none: Mercado Pago's own.
var zoneless = time.FixedZone("-04:00", -4*60*60)

// earliestDate is before any payment of Mercado Pago's: a date before it is
// the zero value of some program, and no date.
var earliestDate = time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)

// dateLayouts are the forms of a date, after readTime has made them one in
// blanks and case. A fraction of a second may follow the seconds in each.
var dateLayouts = []string{"2006-01-02T15:04:05Z07:00", "2006-01-02T15:04:05Z0700", "2006-01-02T15:04:05Z07", "2006-01-02T15:04:05"}

// readTime reads a date in each form that the payments reference documents or
// that was seen: ISO 8601 with an offset, with its colon or without; without an
// offset, which is −04:00; with a blank for the T. Anything else, a day without its
// time included, is the zero time. The date is in UTC and to the
// microsecond that PostgreSQL keeps, so that what was stored compares equal.
func readTime(s string) time.Time { return readNanos(s).Truncate(time.Microsecond) }

// readNanos is readTime to the nanosecond, as finely as orders are dated.
func readNanos(s string) time.Time {
	const day = len("2006-01-02")
	s = strings.ToUpper(strings.TrimSpace(s))
	if len(s) > day && s[day] == ' ' {
		s = s[:day] + "T" + s[day+1:]
	}
	s = strings.ReplaceAll(s, " ", "") // before an offset
	for _, layout := range dateLayouts {
		if t, err := time.ParseInLocation(layout, s, zoneless); err == nil && !t.Before(earliestDate) {
			return t.UTC()
		}
	}
	return time.Time{}
}
