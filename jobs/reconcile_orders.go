package jobs

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"time"

	"github.com/conciliar/conciliar/jobs/provider"
	"github.com/conciliar/conciliar/store"
)

// An OrderSearcher is a PaymentSearcher whose provider has orders of its own as well.
type OrderSearcher interface {
	// SearchOrders fetches one page of orders, those that changed last at the front.
	// Its error is a *provider.Error.
	SearchOrders(ctx context.Context, query provider.OrderQuery) (provider.OrderPage, error)
}

const (
	// ordersSpan is how far apart the creations of the orders may be that one search
	// is asked for: 30 days less an hour.
	ordersSpan = 30*24*time.Hour - time.Hour
	// orderSearchCalls bounds the searches of one walk.
	orderSearchCalls = 500
)

// An orderWalk reads the orders that changed since a time, those that changed last
// first. The search takes a window of creations only, of 30 days at most: what was
// created before is seen on the payments' side. Rows are believed and no count: the
// walk goes on until a page is empty, begins before the time, or shows nothing new. An
// order that changes meanwhile moves to the front and pushes others onto the next
// page: none is passed over but that one, which is the next run's.
//
// It is stored between two pages as it is.
type orderWalk struct {
	// Source is the account's name.
	Source string `json:"source"`
	// Since is when the walk ends.
	Since time.Time `json:"since"`
	// Begin and End bound the creations.
	Begin time.Time `json:"begin"`
	End   time.Time `json:"end"`
	Page  int       `json:"page"`
	// Shown are the orders of the last page.
	Shown []string `json:"shown,omitempty"`
	Calls int      `json:"calls"`
	// Why the walk ended before its end; empty for none.
	Why   string `json:"why,omitempty"`
	Ended bool   `json:"ended,omitempty"`
}

func newOrderWalk(account store.Account, since, until time.Time) *orderWalk {
	return &orderWalk{Source: account.String(), Since: since, Begin: until.Add(-ordersSpan), End: until, Page: 1}
}

// account is the account that is searched.
func (w *orderWalk) account() store.Account { return store.AccountNamed(w.Source) }

// take takes a page in, and returns its orders that were not on the page before.
func (w *orderWalk) take(page provider.OrderPage) []store.FoundOrder {
	w.Calls++
	var fresh []store.FoundOrder
	shown := make([]string, len(page.Orders))
	past := false
	for i, o := range page.Orders {
		shown[i] = o.ID
		past = past || !o.UpdatedAt.IsZero() && o.UpdatedAt.Before(w.Since)
		if !slices.Contains(w.Shown, o.ID) && (o.UpdatedAt.IsZero() || !o.UpdatedAt.Before(w.Since)) {
			fresh = append(fresh, foundOrder(w.account(), o))
		}
	}
	switch {
	case len(page.Orders)+page.Unread == 0, past:
		w.Ended = true
	case len(page.Orders) > 0 && slices.Equal(shown, w.Shown):
		w.Ended, w.Why = true, "each page shows the same"
	case w.Calls >= orderSearchCalls:
		w.Ended, w.Why = true, fmt.Sprintf("the limit of %d calls", orderSearchCalls)
	}
	w.Page++
	w.Shown = shown
	return fresh
}

func foundOrder(account store.Account, o provider.FoundOrder) store.FoundOrder {
	found := store.FoundOrder{
		Account: account, Order: store.Ref(o.Ref), Unreadable: !o.Readable, Raw: o.Raw,
		// Nothing is kept of a row but whether its order is to be fetched.
		Payments: orderedPayments(store.AttemptStart{Source: account.Source}, o.Payments),
	}
	if !o.UpdatedAt.IsZero() {
		found.UpdatedNanos = o.UpdatedAt.UnixNano()
	}
	return found
}

// errNotOffered means that the provider refuses to be asked for orders, as with test
// credentials. It says nothing about our credentials or about the provider.
var errNotOffered = errors.New("the search of orders is refused")

// nextOrders fetches the walk's next page and returns what is new on it. Where the
// provider refuses the question the walk is over and says why, and the error is
// errNotOffered: payments are seen by their own search.
func (r *reconciler) nextOrders(ctx context.Context, w *orderWalk) ([]store.FoundOrder, error) {
	searches := r.accounts.searcher(w.account())
	if searches == nil {
		return nil, errNoSearch
	}
	searcher, ok := searches.(OrderSearcher)
	if !ok {
		w.Ended = true
		return nil, nil
	}
	page, err := searcher.SearchOrders(ctx, provider.OrderQuery{Begin: w.Begin, End: w.End, Page: w.Page})
	if err != nil {
		if why := notOffered(err); why != "" {
			w.Ended, w.Why = true, why
			return nil, errNotOffered
		}
		return nil, err
	}
	return w.take(page), nil
}

// notOffered says why the search of orders is none for us; empty where it may be.
func notOffered(err error) string {
	var asked *provider.Error
	if !errors.As(err, &asked) {
		return ""
	}
	switch asked.StatusCode {
	case http.StatusBadRequest, http.StatusUnauthorized, http.StatusForbidden, http.StatusNotFound, http.StatusMethodNotAllowed, http.StatusGone:
		return fmt.Sprintf("the provider answers HTTP %d", asked.StatusCode)
	}
	return ""
}

// lookForOrders looks at one page of the provider's orders that changed in the run's
// window, and reports whether it was the last. What cannot be asked is said in the
// run's note, and the run goes on.
func (w *stepWorker) lookForOrders(ctx context.Context, step *store.RunStep, last bool) (done bool, err error) {
	at := newOrderWalk(w.accounts.searched()[0], *step.Run.WindowStart, *step.Run.WindowEnd)
	if err := step.ReadCursor(at); err != nil {
		return false, err
	}
	if at.Ended {
		return w.endOrderWalk(ctx, step, at)
	}
	var found []store.FoundOrder
	err = w.ask(ctx, at.account(), last, func() error {
		found, err = w.nextOrders(ctx, at)
		return err
	})
	var asked *provider.Error
	switch {
	case err == nil, errors.Is(err, errNotOffered):
	case ctx.Err() == nil && (at.account().CollectorID != "" || last && errors.As(err, &asked)):
		// The payments have been seen: this is no reason to lose the run, nor is one
		// seller that can't be asked.
		at.Ended, at.Why = true, classOf(err)
	default:
		return false, err
	}
	return false, step.FoundOrders(ctx, found, at)
}

// endOrderWalk says why a walk came to no end and goes on with the next account's.
func (w *stepWorker) endOrderWalk(ctx context.Context, step *store.RunStep, at *orderWalk) (done bool, err error) {
	note := ""
	if at.Why != "" {
		note = "the orders of " + at.Source + " were not all read (" + at.Why + "); their payments were searched for"
		w.logger.WarnContext(ctx, "a search of orders does not show all", "run_id", step.Run.ID, "source", at.Source, "reason", at.Why)
	}
	next, err := w.accountAfter(ctx, step, at.account())
	switch {
	case err != nil:
		return false, err
	case next == nil:
		return true, step.Note(ctx, note, nil)
	}
	return false, step.Note(ctx, note, newOrderWalk(next.account, next.begin, *step.Run.WindowEnd))
}
