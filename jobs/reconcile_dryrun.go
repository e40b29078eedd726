package jobs

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/conciliar/conciliar/jobs/provider"
	"github.com/conciliar/conciliar/store"
)

// A Checker holds the database against the providers and against themselves, and
// changes nothing.
type Checker struct{ reconciler }

// NewChecker returns a Checker. It asks the searches of deps.
func NewChecker(deps Deps) (*Checker, error) {
	if deps.Store == nil || len(deps.Searches) == 0 || deps.Logger == nil {
		return nil, errors.New("a check needs a store, a logger and at least one provider to search")
	}
	return &Checker{newReconciler(deps, newMetrics(nil))}, nil
}

func newReconciler(deps Deps, metrics *metrics) reconciler {
	return reconciler{
		store: deps.Store, accounts: accountsOf(deps), collectorID: deps.CollectorID, mains: &sync.Map{}, logger: deps.Logger,
		metrics: metrics,
	}
}

// A CheckRequest says what is checked.
type CheckRequest struct {
	// Since and Until are the window. Both zero is the window that a regular run
	// would have now; without Until it ends now.
	Since, Until time.Time
	// Progress, when not nil, is told how far the check has come after each
	// piece of it.
	Progress func(CheckReport)
}

// A CheckReport is what a check found.
type CheckReport struct {
	WindowStart time.Time `json:"window_start"`
	WindowEnd   time.Time `json:"window_end"`
	// Position is how far into the window the search has come.
	Position        time.Time `json:"position"`
	PaymentsChecked int64     `json:"payments_checked"`
	OrdersChecked   int64     `json:"orders_checked"`
	// Stuck counts events that nothing would bring to their end.
	Stuck int64 `json:"stuck"`
	// Unseen is how many payments the search counted or held back and did not
	// show, at least.
	Unseen int64 `json:"unseen"`
	// SellersSkipped are the sellers whose payments could not be looked at.
	SellersSkipped []string `json:"sellers_skipped"`
	// Differences are what a run would act on. An open anomaly is none.
	Differences []store.Difference `json:"differences"`
}

// Clean reports whether nothing differs.
func (r CheckReport) Clean() bool { return r.Stuck == 0 && len(r.Differences) == 0 }

// Check makes the comparisons of a run and writes nothing. The error wraps
// store.ErrRunWindow when the dates cannot be looked at; what was found until an
// error came is in the report.
func (c *Checker) Check(ctx context.Context, req CheckRequest) (CheckReport, error) {
	report := CheckReport{Differences: []store.Difference{}, SellersSkipped: []string{}}
	var err error
	regular := req.Since.IsZero() && req.Until.IsZero()
	if regular {
		report.WindowStart, report.WindowEnd, err = c.store.RegularWindow(ctx)
	} else {
		report.WindowStart, report.WindowEnd, err = c.store.BackfillWindow(ctx, req.Since, req.Until)
	}
	if err != nil {
		return report, err
	}
	report.Position = report.WindowStart
	k := &check{Checker: c, report: &report, progress: req.Progress, seen: map[string]bool{}}
	parts := []func(context.Context) error{k.stuck, k.eachAccount(k.payments), k.eachAccount(k.orders), k.ledger}
	if regular {
		parts = append(parts, k.unpaid)
	}
	for _, part := range parts {
		if err := part(ctx); err != nil {
			return report, err
		}
	}
	return report, nil
}

// A check is one check under way.
type check struct {
	*Checker
	report   *CheckReport
	progress func(CheckReport)
	// seen are the payments and orders that were reported.
	seen map[string]bool
}

func (k *check) stuck(ctx context.Context) (err error) {
	k.report.Stuck, err = k.store.CheckStuck(ctx)
	k.tell()
	return err
}

// eachAccount looks at every account that can be searched.
func (k *check) eachAccount(look func(context.Context, store.Account) error) func(context.Context) error {
	return func(ctx context.Context) error {
		for _, account := range k.accounts.searched() {
			if err := k.skip(ctx, account, look(ctx, account)); err != nil {
				return err
			}
		}
		return nil
	}
}

// payments looks at every payment of one account that changed in the window.
func (k *check) payments(ctx context.Context, account store.Account) error {
	collector, err := k.collector(ctx, account)
	if err != nil {
		return err
	}
	walk := newSearchWalk(k.report.WindowStart, k.report.WindowEnd, backfillCalls)
	for !walk.over() {
		found, err := k.next(ctx, account, "", collector, walk)
		if err != nil {
			return err
		}
		k.report.Position = walk.At
		known := len(k.report.Differences)
		if err := k.compare(ctx, account, found); err != nil {
			return err
		}
		walk.New += int64(len(k.report.Differences) - known)
	}
	for _, u := range walk.Unseen {
		k.report.Unseen += int64(u.Payments)
	}
	return nil
}

// skip takes a seller that can't be asked out of the check and says so; any other
// error stays.
func (k *check) skip(ctx context.Context, account store.Account, err error) error {
	var asked *provider.Error
	if account.CollectorID == "" || !errors.As(err, &asked) && !errors.Is(err, errNoSearch) || ctx.Err() != nil {
		return err
	}
	if !slices.Contains(k.report.SellersSkipped, account.CollectorID) {
		k.report.SellersSkipped = append(k.report.SellersSkipped, account.CollectorID)
	}
	k.logger.WarnContext(ctx, "a seller's payments could not be looked at", "collector_id", account.CollectorID, "error", err)
	return nil
}

// orders looks at every order of the provider's own that changed in the window. Where
// that is refused it is said, and payments are what is checked.
func (k *check) orders(ctx context.Context, account store.Account) error {
	walk := newOrderWalk(account, k.report.WindowStart, k.report.WindowEnd)
	for !walk.Ended {
		found, err := k.nextOrders(ctx, walk)
		if err != nil && !errors.Is(err, errNotOffered) {
			return err
		}
		differ, err := k.store.CheckOrders(ctx, found)
		if err != nil {
			return err
		}
		for _, f := range found {
			k.report.PaymentsChecked += int64(len(f.Payments))
		}
		k.add(differ)
	}
	if walk.Why != "" {
		k.logger.WarnContext(ctx, "a search of orders does not show all", "source", walk.Source, "reason", walk.Why)
	}
	return nil
}

// unpaid asks about orders that stay unpaid, as many as a run would.
func (k *check) unpaid(ctx context.Context) error {
	orders, err := k.store.UnpaidOrders(ctx, store.UnpaidOrder{}, unpaidOrders)
	if err != nil {
		return err
	}
	for _, o := range orders {
		for _, account := range k.accountsOf(o) {
			found, err := k.paymentsOf(ctx, account, o, k.report.WindowEnd)
			if isRefused(err) {
				k.logger.WarnContext(ctx, "the provider refuses to search for an order", "order_reference", o.Reference, "error", err)
				continue
			}
			if err != nil {
				if err := k.skip(ctx, account, err); err != nil {
					return err
				}
				continue
			}
			if err := k.compare(ctx, account, found); err != nil {
				return err
			}
		}
	}
	return nil
}

func (k *check) compare(ctx context.Context, account store.Account, found []store.FoundPayment) error {
	differ, err := k.store.CheckFound(ctx, account, found)
	if err != nil {
		return err
	}
	k.report.PaymentsChecked += int64(len(found))
	k.add(differ)
	return nil
}

// ledger holds the database against themselves.
func (k *check) ledger(ctx context.Context) error {
	var walk store.LedgerCheck
	for !walk.Done {
		orders, differ, err := k.store.CheckLedger(ctx, k.report.WindowStart, &walk)
		if err != nil {
			return err
		}
		k.report.OrdersChecked += orders
		k.add(differ)
	}
	return nil
}

// add reports differences, each payment and order once.
func (k *check) add(differ []store.Difference) {
	for _, d := range differ {
		key := "payment " + d.Source + "/" + d.PaymentID
		if d.PaymentID == "" {
			key = "order " + d.Reference
		}
		if !k.seen[key] {
			k.seen[key] = true
			k.report.Differences = append(k.report.Differences, d)
		}
	}
	k.tell()
}

func (k *check) tell() {
	if k.progress != nil {
		k.progress(*k.report)
	}
}
