// Package compare holds the orders that a shop has by other means against the ledger,
// for a merchant who comes from another handler of webhooks: it says which orders
// differ and why, and changes nothing.
package compare

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/conciliar/conciliar/store"
	"github.com/conciliar/conciliar/store/order"
)

// Statuses are what each of the shop's words for a status may mean. Ours mean
// themselves unless they are given.
type Statuses map[string][]order.Status

// Add takes a mapping as it is written: the shop's word, =, and ours, several by commas.
func (s Statuses) Add(text string) error {
	i := strings.LastIndex(text, "=")
	if i < 0 {
		return errors.New(`it takes the shop's word and ours, like "open=pending,in_process"`)
	}
	word := strings.TrimSpace(text[:i])
	if _, twice := s[word]; twice {
		return fmt.Errorf("%q is mapped twice", word)
	}
	for ours := range strings.SplitSeq(text[i+1:], ",") {
		status := order.Status(strings.TrimSpace(ours))
		if !slices.Contains(order.Statuses(), status) {
			return fmt.Errorf("%q is none of %s", ours, strings.Join(order.Words(order.Statuses()), ", "))
		}
		s[word] = append(s[word], status)
	}
	return nil
}

// of returns what a word may mean, nothing for one that nobody has mapped.
func (s Statuses) of(word string) []order.Status {
	if mapped := s[word]; mapped != nil {
		return mapped
	}
	if status := order.Status(word); slices.Contains(order.Statuses(), status) {
		return []order.Status{status}
	}
	return nil
}

// An UnmappedError has the statuses of a shop that nobody has mapped, in the order of
// their first lines.
type UnmappedError struct{ Words []Unmapped }

// An Unmapped is a word, how many rows have it, and the line of the first.
type Unmapped struct {
	Word       string
	Rows, Line int
}

// shownWords is how many words an error names.
const shownWords = 20

func (e *UnmappedError) Error() string {
	var all []string
	for _, w := range e.Words[:min(len(e.Words), shownWords)] {
		all = append(all, fmt.Sprintf("%q (rows: %d, the first in line %d)", w.Word, w.Rows, w.Line))
	}
	if more := len(e.Words) - shownWords; more > 0 {
		all = append(all, fmt.Sprintf("and %d more", more))
	}
	return fmt.Sprintf("statuses that are not mapped: %s. Say what each means, like --status '%s=%s'; ours are %s",
		strings.Join(all, ", "), e.Words[0].Word, order.StatusPending, strings.Join(order.Words(order.Statuses()), ", "))
}

// How an order may differ.
const (
	// Differs: both have it, with other facts.
	Differs = "differs"
	// Unregistered: the shop has it, and it is not registered here.
	Unregistered = "unregistered"
	// NotInFile: it is registered here and changed in the time that the shop's file is
	// about, and the file doesn't have it.
	NotInFile = "not_in_file"
)

// A Difference is an order of which the shop has something else than the ledger.
type Difference struct {
	Kind      string `json:"kind"`
	Reference string `json:"reference"`
	// Line is that of the file; null where the file doesn't have the order.
	Line *int `json:"line"`
	// Facts are what differs; for an order that one side doesn't have, its status.
	Facts []Fact `json:"facts"`
	// Why says what the ledger goes by.
	Why string `json:"why"`
}

// A Fact is a value of both sides, null where there is none.
type Fact struct {
	Name      string  `json:"name"`
	Shop      *string `json:"shop"`
	Conciliar *string `json:"conciliar"`
}

// A Result is what a comparison came to.
type Result struct {
	Same         int `json:"same"`
	Different    int `json:"different"`
	Unregistered int `json:"unregistered"`
	NotInFile    int `json:"not_in_file"`
	// Differences are the first of them, and More is true when there are others.
	Differences []Difference `json:"differences"`
	More        bool         `json:"more"`
}

// Equal reports whether nothing differs.
func (r Result) Equal() bool { return r.Different+r.Unregistered+r.NotInFile == 0 }

// Options say what to compare with.
type Options struct {
	Statuses Statuses
	// Since looks for orders that changed from then on and that the file doesn't have;
	// zero looks for none.
	Since time.Time
	// Limit is how many differences are kept.
	Limit int
}

// chunk is how many orders are read at a time.
const chunk = 500

// Run compares a shop's orders, a CSV, with the ledger. A file that can't be read to its
// end is a *FileError, and one with unknown statuses an *UnmappedError.
func Run(ctx context.Context, storage *store.Store, content io.Reader, opts Options) (Result, error) {
	c := comparison{store: storage, opts: opts, result: Result{Differences: []Difference{}}}
	f, err := openFile(content)
	if err != nil {
		return Result{}, err
	}
	rows, unmapped := make([]row, 0, chunk), map[string]Unmapped{}
	for ended := false; !ended; {
		r, err := f.next()
		switch {
		case errors.Is(err, io.EOF):
			ended = true
		case err != nil:
			return Result{}, err
		default:
			if opts.Statuses.of(r.status) == nil {
				first, known := unmapped[r.status]
				if !known {
					first = Unmapped{Word: strings.Clone(r.status), Line: r.line}
				}
				first.Rows++
				unmapped[first.Word] = first
			}
			rows = append(rows, r)
		}
		if len(rows) < chunk && !ended {
			continue
		}
		// What is to fail is read to its end only for all of its words.
		if len(unmapped) == 0 {
			if err := c.compare(ctx, rows); err != nil {
				return Result{}, err
			}
		}
		rows = rows[:0]
	}
	if len(unmapped) > 0 {
		return Result{}, newUnmappedError(unmapped)
	}
	if !opts.Since.IsZero() {
		if err := c.missing(ctx, f.seen); err != nil {
			return Result{}, err
		}
	}
	return c.result, nil
}

func newUnmappedError(unmapped map[string]Unmapped) *UnmappedError {
	e := &UnmappedError{}
	for _, w := range unmapped {
		e.Words = append(e.Words, w)
	}
	slices.SortFunc(e.Words, func(a, b Unmapped) int { return a.Line - b.Line })
	return e
}

// A comparison is one under way.
type comparison struct {
	store  *store.Store
	opts   Options
	result Result
}

func (c *comparison) compare(ctx context.Context, rows []row) error {
	references := make([]string, len(rows))
	for i, r := range rows {
		references[i] = r.reference
	}
	standings, err := c.store.OrderStandings(ctx, references)
	if err != nil {
		return err
	}
	for _, r := range rows {
		c.note(difference(r, standings[r.reference], c.opts.Statuses))
	}
	return nil
}

// missing notes the orders that changed and that the file doesn't have.
func (c *comparison) missing(ctx context.Context, seen map[string]int) error {
	page := store.PageOf[store.OrderPlace]{Limit: chunk}
	for {
		l, err := c.store.Orders(ctx, store.OrderFilter{ChangedSince: c.opts.Since}, page)
		if err != nil {
			return err
		}
		for _, o := range l.Items {
			if seen[o.Reference] == 0 {
				seen[o.Reference] = -1 // an order that changes meanwhile comes again
				c.note(&Difference{
					Kind: NotInFile, Reference: o.Reference, Facts: []Fact{{Name: columnStatus, Conciliar: (*string)(&o.Status)}},
					Why: "the file doesn't have it; it changed at " + o.UpdatedAt.Format(time.RFC3339),
				})
			}
		}
		if page.Before = l.Next; page.Before == (store.OrderPlace{}) {
			return nil
		}
	}
}

// note counts a difference, or an order that has none.
func (c *comparison) note(d *Difference) {
	if d == nil {
		c.result.Same++
		return
	}
	switch d.Kind {
	case Unregistered:
		c.result.Unregistered++
	case NotInFile:
		c.result.NotInFile++
	default:
		c.result.Different++
	}
	if len(c.result.Differences) == c.opts.Limit {
		c.result.More = true
		return
	}
	c.result.Differences = append(c.result.Differences, *d)
}

// difference is what differs between the shop's order and ours; nil when nothing does.
func difference(r row, ours store.OrderStanding, statuses Statuses) *Difference {
	d := &Difference{Kind: Differs, Reference: r.reference, Line: &r.line}
	if !ours.Known {
		d.Kind, d.Facts, d.Why = Unregistered, []Fact{{Name: columnStatus, Shop: &r.status}}, "not registered: "+paymentsOf(ours)
		return d
	}
	facts, moved := d.Facts, false
	if !slices.Contains(statuses.of(r.status), ours.Status) {
		facts, moved = append(facts, Fact{columnStatus, &r.status, (*string)(&ours.Status)}), true
	}
	currency := ours.Terms.Currency
	if theirs, given := r.given[columnCurrency]; given && theirs != currency {
		facts = append(facts, Fact{columnCurrency, &theirs, &currency})
	}
	for _, name := range []string{columnAmount, columnPaid, columnRefunded} {
		known := ours.Terms.Amount
		switch name {
		case columnPaid:
			known = ours.Paid
		case columnRefunded:
			known = ours.Refunded
		}
		if theirs, given := r.given[name]; given && !r.amounts[name].Equal(known) {
			text := order.FormatAmount(known, currency)
			facts, moved = append(facts, Fact{name, &theirs, &text}), moved || name != columnAmount
		}
	}
	if len(facts) == 0 {
		return nil
	}
	d.Facts, d.Why = facts, reason(ours, moved)
	return d
}

// meanings say what each status comes to.
var meanings = map[order.Status]string{
	order.StatusAuthorized:        "money is held and not captured",
	order.StatusPartiallyPaid:     "a part of the amount is there",
	order.StatusPaid:              "the amount is there",
	order.StatusPartiallyRefunded: "a part of the money went back",
	order.StatusRefunded:          "all of the money went back",
	order.StatusInMediation:       "the payment is disputed",
	order.StatusChargedBack:       "the money was charged back",
}

// reason says what the order's facts here go by: money that moved, or its terms.
func reason(ours store.OrderStanding, moved bool) string {
	terms := "registered for " + order.FormatAmount(ours.Terms.Amount, ours.Terms.Currency) + " " + ours.Terms.Currency
	if !moved {
		return terms
	}
	says, known := meanings[ours.Status]
	if !known {
		says = "no money is there"
	}
	says += ": " + paymentsOf(ours)
	if ours.CancelledAt != nil {
		says += "; the order was cancelled here"
	}
	for _, kind := range ours.Anomalies {
		says += "; anomaly " + string(kind)
	}
	return says + "; " + terms
}

// shownPayments is how many payments of an order are named.
const shownPayments = 5

func paymentsOf(ours store.OrderStanding) string {
	if len(ours.Payments) == 0 {
		return "no payment names it"
	}
	var all []string
	for _, p := range ours.Payments[:min(len(ours.Payments), shownPayments)] {
		text := "payment " + p.ID + " " + p.Status
		if p.Amount.Valid {
			text += " " + order.FormatAmount(p.Amount.Decimal, p.Currency) + " " + p.Currency
		}
		if p.Refunded.IsPositive() {
			text += ", of it back " + order.FormatAmount(p.Refunded, p.Currency)
		}
		all = append(all, text)
	}
	if more := len(ours.Payments) - shownPayments; more > 0 {
		all = append(all, "and "+strconv.Itoa(more)+" more")
	}
	return strings.Join(all, ", ")
}
