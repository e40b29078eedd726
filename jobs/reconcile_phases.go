package jobs

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/riverqueue/river"

	"github.com/conciliar/conciliar/jobs/circuit"
	"github.com/conciliar/conciliar/store"
)

// missingCursor is where the search for missing payments is: accounts are searched
// one after the other, first in the run's window, then where earlier runs could not
// see.
type missingCursor struct {
	// Source is the account's name.
	Source string      `json:"source"`
	Walk   *searchWalk `json:"walk"`
	// Again is the range that Walk reads once more, nil in the run's window, and
	// Ranges are those that follow.
	Again  *store.UnseenRange  `json:"again,omitempty"`
	Ranges []store.UnseenRange `json:"ranges,omitempty"`
}

// lookForMissing looks at one page of the payments that changed in the run's
// window, and reports whether it was the last.
func (w *stepWorker) lookForMissing(ctx context.Context, step *store.RunStep, last bool) (done bool, err error) {
	begin, end, most := *step.Run.WindowStart, *step.Run.WindowEnd, regularCalls
	if step.Run.Scope == store.ScopeBackfill {
		most = backfillCalls
	}
	at := missingCursor{Source: w.accounts.searched()[0].String(), Walk: newSearchWalk(begin, end, most)}
	if err := step.ReadCursor(&at); err != nil {
		return false, err
	}
	account := at.account()
	if w.accounts.searcher(account) == nil && account.CollectorID == "" {
		return false, fmt.Errorf("no provider is set up for source %q", at.Source)
	}
	if step.Run.Scope == store.ScopeBackfill {
		crowded, err := step.Crowded(ctx, backfillAhead)
		if err != nil {
			return false, err
		}
		if crowded {
			return false, river.JobSnooze(waitSnooze)
		}
	}
	if at.Walk.over() {
		return w.endWalk(ctx, step, at, most)
	}
	var found []store.FoundPayment
	err = w.ask(ctx, account, last, func() error {
		collector, err := w.collector(ctx, account)
		if err != nil {
			return err
		}
		found, err = w.next(ctx, account, "", collector, at.Walk)
		return err
	})
	if err != nil && account.CollectorID != "" && ctx.Err() == nil {
		return w.skipSeller(ctx, step, at, err, most)
	}
	if err != nil {
		return false, err
	}
	position := at.Walk.At
	if at.Again != nil || at.Walk.Reading > 1 {
		position = time.Time{}
	}
	// The transaction may be tried again.
	before := at.Walk.New
	return false, step.Found(ctx, account, found, nil, &at, position, func(n int64) { at.Walk.New = before + n })
}

// account is the account that is searched.
func (at missingCursor) account() store.Account { return store.AccountNamed(at.Source) }

// An accountWindow is an account with the beginning of its window in a run.
type accountWindow struct {
	account store.Account
	begin   time.Time
}

// accountAfter is the account that is searched after another; nil after the last.
func (w *stepWorker) accountAfter(ctx context.Context, step *store.RunStep, account store.Account) (*accountWindow, error) {
	all := w.accounts.searched()
	// One that is gone since stands where it would.
	following := 1 + slices.IndexFunc(all, func(a store.Account) bool { return a == account })
	if following == 0 {
		following = slices.IndexFunc(all, func(a store.Account) bool { return a.CollectorID > account.CollectorID })
	}
	if following < 0 || following == len(all) {
		return nil, nil //nolint:nilnil // that there is no next is not an error
	}
	begin, err := step.AccountWindow(ctx, all[following])
	return &accountWindow{all[following], begin}, err
}

// after is where the search of the next account begins; nil after the last.
func (w *stepWorker) after(ctx context.Context, step *store.RunStep, at missingCursor, most int) (*missingCursor, error) {
	next, err := w.accountAfter(ctx, step, at.account())
	if err != nil || next == nil {
		return nil, err
	}
	return &missingCursor{Source: next.account.String(), Walk: newSearchWalk(next.begin, *step.Run.WindowEnd, most)}, nil
}

// skipSeller goes on without a seller that can't be asked: the others' payments must
// not wait for it, and its own are looked at by the next run that can.
func (w *stepWorker) skipSeller(ctx context.Context, step *store.RunStep, at missingCursor, why error, most int) (done bool, err error) {
	words := classOf(why)
	if _, ok := errors.AsType[*river.JobSnoozeError](why); ok {
		words = "held"
	}
	w.logger.WarnContext(ctx, "a seller's payments were not looked at", "run_id", step.Run.ID,
		"collector_id", at.account().CollectorID, "reason", words, "error", why)
	next, err := w.after(ctx, step, at, most)
	if err != nil {
		return false, err
	}
	return next == nil, step.SkipSeller(ctx, at.account(), words, cursorOrNone(next))
}

// cursorOrNone is the cursor as a step keeps it: a nil pointer is none.
func cursorOrNone(next *missingCursor) any {
	if next == nil {
		return nil
	}
	return next
}

// endWalk keeps what a walk did not see and goes on with the next: the ranges
// that earlier runs did not see, then the next account's window. It reports
// whether there is none.
func (w *stepWorker) endWalk(ctx context.Context, step *store.RunStep, at missingCursor, most int) (done bool, err error) {
	if len(at.Walk.Unseen) > 0 {
		w.logger.WarnContext(ctx, "a search does not show all payments", "run_id", step.Run.ID, "source", at.Source,
			"again", at.Again != nil, "unseen", describeUnseen(at.Walk.Unseen))
	}
	next := &missingCursor{Source: at.Source, Ranges: at.Ranges}
	if at.Again == nil && step.Run.Scope == store.ScopeRegular {
		if next.Ranges, err = step.UnseenRanges(ctx, at.account()); err != nil {
			return false, err
		}
	}
	if len(next.Ranges) > 0 {
		again := next.Ranges[0]
		next.Again, next.Ranges = &again, next.Ranges[1:]
		next.Walk = newSearchWalk(again.Begin, again.End, rereadCalls)
	} else if next, err = w.after(ctx, step, at, most); err != nil {
		return false, err
	}
	read := store.SearchedRange{Account: at.account(), Begin: at.Walk.Begin, End: at.Walk.End, Again: at.Again, Unseen: at.Walk.Unseen}
	return next == nil, step.NoteUnseen(ctx, read, cursorOrNone(next))
}

// unpaidCursor is where the asking about unpaid orders is.
type unpaidCursor struct {
	After store.UnpaidOrder `json:"after"`
	Asked int               `json:"asked"`
}

// askAboutUnpaid asks about one order that stays unpaid, and reports whether it
// was the last.
func (w *stepWorker) askAboutUnpaid(ctx context.Context, step *store.RunStep, last bool) (done bool, err error) {
	var at unpaidCursor
	if err := step.ReadCursor(&at); err != nil {
		return false, err
	}
	if at.Asked >= unpaidOrders {
		return true, nil
	}
	orders, err := w.store.UnpaidOrders(ctx, at.After, 1)
	if err != nil || len(orders) == 0 {
		return true, err
	}
	at.After, at.Asked = orders[0], at.Asked+1
	accounts := w.accountsOf(orders[0])
	if len(accounts) == 0 {
		// Its seller is not configured any more.
		return false, step.Found(ctx, store.Account{}, nil, nil, at, time.Time{}, nil)
	}
	for i, account := range accounts {
		var found []store.FoundPayment
		err := w.ask(ctx, account, last, func() (err error) {
			found, err = w.paymentsOf(ctx, account, orders[0], *step.Run.WindowEnd)
			return err
		})
		asked := []string{orders[0].Reference}
		switch {
		case isRefused(err):
			// A reference that the provider will not search for must not keep the
			// run from the others.
			w.logger.WarnContext(ctx, "the provider refuses to search for an order", "order_reference", orders[0].Reference, "error", err)
		case err != nil && account.CollectorID != "" && ctx.Err() == nil:
			// Nor must a seller that can't be asked. The next run asks again.
			asked = nil
		case err != nil:
			return false, err
		}
		if i < len(accounts)-1 {
			asked = nil
		}
		if err := step.Found(ctx, account, found, asked, at, time.Time{}, nil); err != nil {
			return false, err
		}
	}
	return false, nil
}

// closeStaleAnomalies closes what was left open although nothing yields it, such as
// after a setting changed which payments are the merchant's own.
func (w *stepWorker) closeStaleAnomalies(ctx context.Context) error {
	closed, err := w.store.CloseStaleAnomalies(ctx)
	if err == nil && closed > 0 {
		w.logger.InfoContext(ctx, "anomalies that nothing yields closed", "count", closed)
	}
	return err
}

// checkPayouts does what an import of a report left undone, and looks at payments that
// changed since.
func (w *stepWorker) checkPayouts(ctx context.Context) error {
	if err := w.store.ExplainPayouts(ctx); err != nil {
		return err
	}
	return w.store.CheckReleases(ctx)
}

// ask puts a question with an account's credentials, unless that is held: then the
// step sleeps, and none of its attempts is spent.
func (w *stepWorker) ask(ctx context.Context, account store.Account, last bool, ask func() error) error {
	if w.circuits.Holds(ctx, account) {
		return river.JobSnooze(stepHeldFor)
	}
	q := circuit.Question{Account: account, About: circuit.AboutSearch, Began: time.Now(), Last: last}
	err := ask()
	if err == nil {
		w.circuits.Succeeded(account)
		return nil
	}
	if errors.Is(ctx.Err(), context.Canceled) || errors.Is(err, errNotOffered) {
		return err
	}
	switch classify(ctx, w.circuits, q, w.policy.now(), err).action {
	case ActionHold, ActionPutOff:
		return river.JobSnooze(stepHeldFor)
	case ActionRetry, ActionPermanent, ActionDead, ActionDone:
	}
	return err
}

// accountsOf are the accounts that may know payments of an order: its seller's, or
// every main one.
func (r *reconciler) accountsOf(o store.UnpaidOrder) []store.Account {
	return slices.DeleteFunc(r.accounts.searched(), func(account store.Account) bool { return account.CollectorID != o.CollectorID })
}

// paymentsOf fetches all payments of an order that one account knows.
func (r *reconciler) paymentsOf(ctx context.Context, account store.Account, o store.UnpaidOrder, now time.Time) ([]store.FoundPayment, error) {
	collector, err := r.collector(ctx, account)
	if err != nil {
		return nil, err
	}
	var all []store.FoundPayment
	walk := newSearchWalk(o.CreatedAt.Add(-unpaidBefore), now, orderCalls)
	for !walk.over() {
		found, err := r.next(ctx, account, o.Reference, collector, walk)
		if err != nil {
			return nil, err
		}
		all = append(all, found...)
	}
	return all, nil
}

// await waits until the events that the run made have ended or are in other
// hands. What takes longer than a step is slept through.
func (w *stepWorker) await(ctx context.Context, step *store.RunStep, until time.Time) (done bool, err error) {
	poll := time.Tick(waitPoll)
	for {
		waiting, err := step.Waiting(ctx)
		if err != nil || !waiting {
			return !waiting, err
		}
		if time.Now().After(until) {
			if err := step.Remember(ctx); err != nil {
				return false, err
			}
			return false, river.JobSnooze(waitSnooze)
		}
		select {
		case <-poll:
		case <-ctx.Done():
			return false, ctx.Err()
		}
	}
}
