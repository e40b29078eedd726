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
	// held up by them; a caller that walks the pages must look at these too.
	Odd []OddPayment
}

// An OrderQuery asks for the provider's orders by when they were made, those that
// changed last at the front.
type OrderQuery struct {
	// Begin and End bound when an order was made.
	Begin, End time.Time
	// Page counts from 1.
	Page int
}

// An OrderPage is one page of the provider's orders. What it says of a payment may lack
// what went back.
type OrderPage struct {
	Orders []FoundOrder
	// Unread is how many orders of the page are not even named.
	Unread int
}

// A FoundOrder is an order as a search shows it.
type FoundOrder struct {
	Ref
	// UpdatedAt is when it changed last, to the nanosecond; zero when not said.
	UpdatedAt time.Time
	// Payments are its payments; nil where they can't be read. Readable tells those
	// from none.
	Payments []OrderedPayment
	Readable bool
	// Raw is the row as received.
	Raw []byte
}
