package jobs

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/riverqueue/river"

	"github.com/conciliar/conciliar/jobs/circuit"
	"github.com/conciliar/conciliar/jobs/provider"
	"github.com/conciliar/conciliar/store"
)

// QueueReconciliation is the River queue that the steps of runs wait in.
const QueueReconciliation = "reconciliation"

const (
	// reconciliationWorkers is how many of its jobs one process works: a step of
	// each scope, and what starts a run.
	reconciliationWorkers = 3
	// stepBudget is how long a step goes on before it hands over: less than a
	// stopping process waits. With a short job timeout it is a third of that.
	stepBudget = 5 * time.Second
	// waitPoll is how often a step looks whether the run's events have ended.
	waitPoll = 50 * time.Millisecond
	// waitSnooze is how long a run sleeps between two looks at events that take
	// longer than a step.
	waitSnooze = time.Second
	// backfillAhead is how many events of a backfill may wait: more would only
	// fill the queue.
	backfillAhead = 500
	// unpaidOrders is how many orders one run asks about at most.
	unpaidOrders = 200
	// unpaidBefore is how long before an order was registered its payments may
	// have changed last.
	unpaidBefore = 30 * 24 * time.Hour
)

// ReconcileStepArgs are the arguments of the job that does one step of a run.
// They are stored data: fields are added, never renamed.
type ReconcileStepArgs struct {
	RunID int64 `json:"run_id"`

	preset preset
	// notBefore is set by the attempt that fails and read by NextRetry.
	notBefore time.Time
}

// Kind is the job's name in the database. It is not an event job: its end is its
// run's, and no dead letter.
func (ReconcileStepArgs) Kind() string { return "reconcile_step" }

// InsertOpts puts steps into their own queue.
func (ReconcileStepArgs) InsertOpts() river.InsertOpts {
	return river.InsertOpts{Queue: QueueReconciliation}
}

func (a ReconcileStepArgs) presetOf() (preset, error) {
	if a.preset.at.IsZero() {
		return preset{}, errors.New("a step is inserted with its run only")
	}
	return a.preset, nil
}

// A PaymentSearcher asks a provider which payments changed.
type PaymentSearcher interface {
	// SearchPayments fetches one page of payments, those that changed first at
	// the front. Its error is a *provider.Error.
	SearchPayments(ctx context.Context, query provider.SearchQuery) (provider.SearchPage, error)
	// Account is the account that our credentials belong to.
	Account(ctx context.Context) (string, error)
}

// A reconciler asks the providers what was paid. Runs and checks share it.
type reconciler struct {
	store    *store.Store
	accounts accounts
	// collectorID is the account whose payments are looked at; empty for that of
	// each provider's credentials. mains are those accounts by source.
	collectorID string
	mains       *sync.Map
	logger      *slog.Logger
	metrics     *metrics
}

// collector is the id of the account whose payments are looked at.
func (r *reconciler) collector(ctx context.Context, account store.Account) (string, error) {
	switch {
	case account.CollectorID != "":
		return account.CollectorID, nil
	case r.collectorID != "":
		return r.collectorID, nil
	}
	if known, ok := r.mains.Load(account.Source); ok {
		if account, ok := known.(string); ok {
			return account, nil
		}
	}
	id, err := r.accounts.searcher(account).Account(ctx)
	if err == nil {
		r.mains.Store(account.Source, id)
	}
	return id, err
}

// errNoSearch means that nobody is set up who could search an account.
var errNoSearch = errors.New("the account is not configured for searching")

// next fetches the walk's next page and returns what is new on it.
func (r *reconciler) next(ctx context.Context, account store.Account, reference, collector string, w *searchWalk) ([]store.FoundPayment, error) {
	searcher := r.accounts.searcher(account)
	if searcher == nil {
		return nil, errNoSearch
	}
	page, err := searcher.SearchPayments(ctx, w.query(reference, collector))
	if err != nil {
		if reference == "" && w.refused(err) {
			return nil, nil
		}
		return nil, err
	}
	fresh := w.take(page)
	found := make([]store.FoundPayment, 0, len(fresh)+len(page.Odd))
	for _, p := range fresh {
		// Not every provider need honour the filter.
		if p.CollectorID == collector || p.CollectorID == "" {
			found = append(found, foundPayment(account.Source, p))
		}
	}
	var nameless []string
	for _, odd := range page.Odd {
		if odd.ID == "" { // it can't be asked for
			nameless = append(nameless, odd.Problem)
			r.metrics.countOdd(odd.Fields)
		}
		f := foundPayment(account.Source, provider.Payment{ID: odd.ID, Reference: odd.Reference, UpdatedAt: odd.UpdatedAt, Raw: odd.Raw})
		f.Odd = odd.Problem
		found = append(found, f)
	}
	if len(nameless) > 0 {
		r.logger.WarnContext(ctx, "a search shows payments whose ids cannot be read", "count", len(nameless), "error", nameless[0])
	}
	return found, nil
}

func foundPayment(source string, p provider.Payment) store.FoundPayment {
	return store.FoundPayment{ReferenceElsewhere: p.Reference == "" && p.MerchantOrderID != "", FetchedPayment: store.FetchedPayment{
		// The status is compared as it is: one that is not known is found out,
		// and dead-lettered, by the event that fetches the payment.
		Source: source, Payment: translate(p), Reference: p.Reference, Raw: p.Raw,
	}}
}

// stepWorker does the steps of runs.
type stepWorker struct {
	river.WorkerDefaults[ReconcileStepArgs]
	reconciler

	circuits *circuit.Circuits
	policy   *RetryPolicy
	keep     store.Keep
	budget   time.Duration
}

// NextRetry is when a failed attempt is repeated: by the backoff, and never
// before the provider said.
func (w *stepWorker) NextRetry(job *river.Job[ReconcileStepArgs]) time.Time {
	next := w.policy.NextRetry(job.JobRow)
	if job.Args.notBefore.After(next) {
		return job.Args.notBefore
	}
	return next
}

// Work runs one attempt at a step.
func (w *stepWorker) Work(ctx context.Context, job *river.Job[ReconcileStepArgs]) error {
	attempt := attemptOf(job.JobRow)
	step, err := w.store.OpenStep(ctx, job.Args.RunID, attempt)
	if errors.Is(err, store.ErrRunEnded) || errors.Is(err, store.ErrRunNotFound) {
		return nil
	}
	if err == nil {
		began := step.Run
		err = w.goOn(ctx, step, job.Attempt >= job.MaxAttempts, func(ctx context.Context, tx pgx.Tx) error { return completeJob(ctx, tx, job) })
		if err == nil {
			w.log(ctx, job, step.Run, began)
			return nil
		}
	}
	var snoozed *river.JobSnoozeError
	switch {
	case errors.Is(err, store.ErrRunEnded):
		return nil
	case isStale(ctx, w.store, attempt, err):
		w.logger.WarnContext(ctx, "step is stale", "run_id", job.Args.RunID, "job_id", job.ID, "attempt", job.Attempt, "error", err)
		return leave(ctx, w.store, attempt)
	case errors.As(err, &snoozed):
		return err
	case errors.Is(ctx.Err(), context.Canceled):
		return errors.Join(context.Canceled, err)
	}
	return w.fail(ctx, job, step, err)
}

// fail files a failed attempt. The last one ends the run with it.
func (w *stepWorker) fail(ctx context.Context, job *river.Job[ReconcileStepArgs], step *store.RunStep, err error) error {
	failure := &AttemptError{Class: classOf(err), Err: err}
	var asked *provider.Error
	if errors.As(err, &asked) && asked.RetryAfter > 0 {
		job.Args.notBefore = w.policy.now().Add(asked.RetryAfter)
	}
	last := job.Attempt >= job.MaxAttempts
	w.logger.WarnContext(ctx, "step failed", "run_id", job.Args.RunID, "job_id", job.ID, "attempt", job.Attempt,
		"last_attempt", last, "error_class", failure.Class, "error", failure)
	if !last {
		return failure
	}
	// The job's time may be up; the run's end is written all the same.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), fenceTimeout)
	defer cancel()
	var endErr error
	if step == nil {
		step, endErr = w.store.OpenStep(ctx, job.Args.RunID, attemptOf(job.JobRow))
	}
	if endErr == nil {
		endErr = step.Fail(ctx, failure.Error())
	}
	if endErr != nil {
		// The next start, or a caller that awaits the run, finds that it has died.
		return &AttemptError{Class: failure.Class, Err: errors.Join(err, endErr)}
	}
	w.logger.ErrorContext(ctx, "reconciliation failed", "run_id", job.Args.RunID, "phase", step.Run.Phase, "error", failure)
	return failure
}

// log tells of a step that went well.
func (w *stepWorker) log(ctx context.Context, job *river.Job[ReconcileStepArgs], run, began store.Run) {
	level := slog.LevelDebug
	if run.Status != store.RunRunning {
		level = slog.LevelInfo
	}
	if run.Status == store.RunStoppedByCap {
		level = slog.LevelError
	}
	attrs := []slog.Attr{
		slog.Int64("run_id", run.ID), slog.Int64("job_id", job.ID), slog.Int("attempt", job.Attempt),
		slog.String("scope", run.Scope), slog.String("trigger", run.Trigger), slog.String("status", run.Status),
		slog.String("phase_before", began.Phase), slog.String("phase", run.Phase),
		slog.Int64("payments_checked", run.PaymentsChecked), slog.Int64("orders_checked", run.OrdersChecked),
		slog.Int64("stuck_requeued", run.StuckRequeued), slog.Int64("retries_due", run.RetriesDue),
		slog.Int64("missing_found", run.MissingFound), slog.Int64("drift_found", run.DriftFound), slog.Int64("odd_found", run.OddFound), slog.Int64("archived", run.Archived), slog.Int64("unseen", run.Unseen),
	}
	if run.Error != nil {
		attrs = append(attrs, slog.String("error", *run.Error))
	}
	w.logger.LogAttrs(ctx, level, "reconciliation", attrs...)
}

// goOn does as much of the run as a step may, then hands over or ends the run.
// The last attempt is the one whose failure ends the run.
func (w *stepWorker) goOn(ctx context.Context, step *store.RunStep, last bool, complete store.CompleteJob) error {
	until := time.Now().Add(w.budget)
	for pieces := 0; pieces == 0 || time.Now().Before(until); pieces++ {
		phase, err := phaseOf(step.Run.Phase)
		if err != nil {
			return err
		}
		if phase.work == nil {
			return step.Succeed(ctx, complete)
		}
		done, err := phase.work(ctx, w, piece{step: step, last: last, until: until})
		if err != nil {
			return err
		}
		if step.Run.Status != store.RunRunning {
			// The cap stopped it. River completes the job: there is no next.
			return nil
		}
		if done {
			if err := w.enterNext(ctx, step); err != nil {
				return err
			}
		}
	}
	return step.HandOver(ctx, complete)
}
