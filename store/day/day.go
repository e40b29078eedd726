// Package day knows where the days of a time zone begin and end. A day may have 23 or
// 25 hours, and need not begin at midnight: where clocks are set ahead then, it begins
// an hour later.
package day

import "time"

// Begin is when the day of a moment began in the zone.
func Begin(t time.Time, zone *time.Location) time.Time {
	year, month, day := t.In(zone).Date()
	return begin(year, month, day, zone)
}

// Next is when the day after that of a moment begins in the zone.
func Next(t time.Time, zone *time.Location) time.Time {
	year, month, day := t.In(zone).Date()
	return begin(year, month, day+1, zone)
}

// Parse is when a day such as 2026-01-31 begins in the zone.
func Parse(text string, zone *time.Location) (time.Time, error) {
	d, err := time.Parse(time.DateOnly, text)
	if err != nil {
		return time.Time{}, err
	}
	return begin(d.Year(), d.Month(), d.Day(), zone), nil
}

// Begins are when the days of [since, until) begin in the zone: the day of since comes
// first, and the last is the one that ends the last day.
func Begins(since, until time.Time, zone *time.Location) []time.Time {
	begins := []time.Time{Begin(since, zone)}
	for begins[len(begins)-1].Before(until) {
		begins = append(begins, Next(begins[len(begins)-1], zone))
	}
	return begins
}

// begin is the first moment of a day. time.Date may take either side of a change of
// the clocks at midnight; the offsets on both sides tell which one is the day's.
func begin(year int, month time.Month, day int, zone *time.Location) time.Time {
	noon := time.Date(year, month, day, 12, 0, 0, 0, zone)
	midnight := func(at time.Time) time.Time {
		_, offset := at.Zone()
		return time.Date(year, month, day, 0, 0, 0, 0, time.FixedZone("", offset)).In(zone)
	}
	after := midnight(noon)
	change, _ := noon.ZoneBounds()
	if change.IsZero() || change.Before(after.Add(-12*time.Hour)) {
		return after
	}
	before := midnight(change.Add(-time.Nanosecond))
	switch {
	case before.Before(change): // the clocks were changed later, or had shown midnight already
		return before
	case after.Before(change): // midnight was left out
		return change
	}
	return after
}
