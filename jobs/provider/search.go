package provider

import "time"

// A SearchQuery asks for payments by when they last changed, those that changed
// first at the front.
type SearchQuery struct {
	// Begin and End bound when a payment was last changed, both included and
	// to the millisecond. They go together; without both, the provider's own
	// default holds.
	Begin, End time.Time
	// Reference asks for the payments of one order; empty for all.
	Reference string
	// CollectorID asks for what one account was paid. Without it the answer
	// also has what the account paid itself.
	CollectorID string
	// Status asks for the payments that have this status word; empty for all.
	Status string
	// Descending shows those that changed last at the front.
	Descending bool
	// Limit is how many payments a page holds, the provider's largest when 0.
	Limit int
	// Offset is how many payments to pass over.
	Offset int
}

// A SearchPage is one answer to a search.
type SearchPage struct {
	// Total is how many payments the search finds, on all pages.
	Total int
	// Limit and Offset are what the provider applied, which may not be what was
	// asked for.
	Limit, Offset int
	Payments      []Payment
	// Odd are the results that can't be booked as they stand. The others are not
	// held up by them; whoever walks the pages must look at these too.
	Odd []OddPayment
}
