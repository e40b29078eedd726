package simulator

import (
	"cmp"
	"net/url"
	"regexp"
	"strconv"
	"time"
)

// Limits of the search. The reference gives the default; the largest page and
// the reach of paging are what integrators report.
const (
	defaultPage = 30
	largestPage = 50
	pageReach   = 1000 // rows that paging can reach
	longestDays = 365
	oldestDays  = 365 // only the last twelve months are searched
)

// A searchQuery is what a search asks for.
type searchQuery struct {
	by         string // the date that Begin and End bound
	begin, end time.Time
	sort       string
	descending bool
	limit      int
	offset     int

	account     int64 // who searches
	reference   string
	collectorID string
	payerID     string
	status      string
}

// The dates that can bound a search, and what it can be sorted by.
var (
	searchRanges = map[string]bool{
		"date_created": true, "date_approved": true, "date_last_updated": true, "money_release_date": true,
	}
	searchSorts = map[string]bool{
		"date_created": true, "date_approved": true, "date_last_updated": true, "money_release_date": true, "id": true,
	}
)

// parseSearch reads a search's parameters. The error is an answer.
func parseSearch(values url.Values, now time.Time) (searchQuery, *apiError) {
	q := searchQuery{
		by:          cmp.Or(values.Get("range"), "date_created"),
		sort:        cmp.Or(values.Get("sort"), "date_created"),
		reference:   values.Get("external_reference"),
		collectorID: values.Get("collector.id"),
		payerID:     values.Get("payer.id"),
		status:      values.Get("status"),
	}
	if !searchRanges[q.by] {
		return q, badRequest(9062, "Invalid range", "Invalid range value")
	}
	if !searchSorts[q.sort] {
		return q, badRequest(1003, "Invalid sort", "Invalid sort value")
	}
	switch criteria := cmp.Or(values.Get("criteria"), "asc"); criteria {
	case "asc":
	case "desc":
		q.descending = true
	default:
		return q, badRequest(1004, "Invalid criteria", "Invalid criteria value")
	}
	var readable [2]bool
	q.begin, readable[0] = parseSearchDate(cmp.Or(values.Get("begin_date"), "NOW-3MONTHS"), now)
	q.end, readable[1] = parseSearchDate(cmp.Or(values.Get("end_date"), "NOW"), now)
	if !readable[0] || !readable[1] {
		return q, badRequest(1001, "Invalid date format", "Date format must be yyyy-MM-dd'T'HH:mm:ss.SSSZ")
	}
	if q.end.Before(q.begin) || q.end.Sub(q.begin) >= longestDays*24*time.Hour {
		return q, badRequest(9062, "Invalid range", "Invalid range of dates")
	}
	if oldest := now.AddDate(0, 0, -oldestDays); q.begin.Before(oldest) {
		q.begin = oldest
	}
	var err error
	if q.limit, err = strconv.Atoi(cmp.Or(values.Get("limit"), strconv.Itoa(defaultPage))); err != nil || q.limit < 1 {
		return q, badRequest(1, "Params Error", "Invalid limit value")
	}
	if q.offset, err = strconv.Atoi(cmp.Or(values.Get("offset"), "0")); err != nil || q.offset < 0 {
		return q, badRequest(1, "Params Error", "Invalid offset value")
	}
	// The offset stands alone first, so that no sum overflows.
	if q.limit > largestPage || q.offset > pageReach || q.limit+q.offset > pageReach {
		return q, badRequest(1000, "Number of rows exceeded the limits", "Number of rows exceeded the limits")
	}
	return q, nil
}

var relativeDate = regexp.MustCompile(`^NOW(?:-([0-9]{1,4})(DAY|MONTH|YEAR|HOUR|MINUTE)S?)?$`)

// parseSearchDate reads NOW, NOW-3MONTHS and its like, or ISO 8601 with
// milliseconds and an offset, with or without its colon.
func parseSearchDate(text string, now time.Time) (time.Time, bool) {
	if parts := relativeDate.FindStringSubmatch(text); parts != nil {
		n, _ := strconv.Atoi(parts[1]) // digits, or nothing: 0
		switch parts[2] {
		case "DAY":
			return now.AddDate(0, 0, -n), true
		case "MONTH":
			return now.AddDate(0, -n, 0), true
		case "YEAR":
			return now.AddDate(-n, 0, 0), true
		case "HOUR":
			return now.Add(-time.Duration(n) * time.Hour), true
		case "MINUTE":
			return now.Add(-time.Duration(n) * time.Minute), true
		}
		return now, true
	}
	for _, layout := range []string{"2006-01-02T15:04:05.000Z07:00", "2006-01-02T15:04:05.000Z0700"} {
		if t, err := time.Parse(layout, text); err == nil {
			return t, true
		}
	}
	return time.Time{}, false
}
