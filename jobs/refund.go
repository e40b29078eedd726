package jobs

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
	"github.com/riverqueue/river"
	"github.com/shopspring/decimal"

	"github.com/conciliar/conciliar/jobs/circuit"
	"github.com/conciliar/conciliar/jobs/provider"
	"github.com/conciliar/conciliar/store"
)

// QueueRefunds is the River queue that refunds wait in. A process that may not send any
// does not work it.
const QueueRefunds = "refunds"

const (
	// refundWorkers is how many refunds one process sends at once.
	refundWorkers = 2
	// refundTries is how often a refund's job may die with its worker, before another job
	// takes its place. Its failed tries are counted elsewhere.
	refundTries = 10
	// refundClocks is how far the provider's clock may be behind ours.
	refundClocks = 5 * time.Minute
	// noAccountFor is how long a refund of an account waits that is not configured.
	noAccountFor = time.Minute
	// sweepRefundsEvery is how often refunds whose job was lost are looked for.
	sweepRefundsEvery = time.Minute
)

// A RefundProvider gives money back.
type RefundProvider interface {
	// Refund asks for a refund. A refusal in the provider's words is an answer; the error
	// is a *provider.Error, and says nothing of whether the refund was made.
	Refund(ctx context.Context, ask provider.RefundRequest) (provider.Refund, error)
	// Refunds lists a payment's refunds. Its error is a *provider.Error.
	Refunds(ctx context.Context, paymentID string) ([]provider.Refund, error)
}

// RefundArgs are the arguments of the job that sends a refund. They are stored data:
// fields are added, never renamed.
type RefundArgs struct {
	RefundID string `json:"refund_id"`

	preset preset
}

// Kind is the job's name in the database. It is not an event job: its end is its refund's.
func (RefundArgs) Kind() string { return "refund" }

// InsertOpts puts refunds into their own queue.
func (RefundArgs) InsertOpts() river.InsertOpts {
	return river.InsertOpts{Queue: QueueRefunds, MaxAttempts: refundTries}
}

func (a RefundArgs) presetOf() (preset, error) {
	if a.preset.at.IsZero() {
		return preset{}, errors.New("a refund's job is inserted with its refund only")
	}
	return a.preset, nil
}

// InsertRefund inserts the job that sends a refund in tx. It is a store.InsertRefund.
func (i *Inserter) InsertRefund(ctx context.Context, tx pgx.Tx, id string, at time.Time) (int64, error) {
	inserted, err := i.client.InsertTx(ctx, tx, RefundArgs{RefundID: id, preset: preset{at: at}}, nil)
	if err != nil {
		return 0, fmt.Errorf("insert the job of refund %s: %w", id, err)
	}
	return inserted.Job.ID, nil
}

// A refundWorker sends refunds: each until the provider says what became of it.
type refundWorker struct {
	river.WorkerDefaults[RefundArgs]

	store    *store.Store
	accounts accounts
	circuits *circuit.Circuits
	policy   *RetryPolicy
	logger   *slog.Logger
	results  *prometheus.CounterVec
}

// addRefunds adds the worker of refunds and its queue.
func addRefunds(config *river.Config, cfg Config, deps Deps, circuits *circuit.Circuits, policy *RetryPolicy) {
	if !deps.Refunds {
		return
	}
	w := &refundWorker{
		store: deps.Store, accounts: accountsOf(deps), circuits: circuits, policy: policy, logger: cfg.Logger,
		results: promauto.With(cfg.Registerer).NewCounterVec(prometheus.CounterOpts{
			Name: "conciliar_refund_tries_total", Help: "Tries to send a refund, by the state that it had afterwards.",
		}, []string{"state"}),
	}
	for _, state := range store.RefundStates() {
		w.results.WithLabelValues(state)
	}
	river.AddWorker(config.Workers, w)
	config.Queues[QueueRefunds] = river.QueueConfig{MaxWorkers: refundWorkers, FetchPollInterval: seldomPoll}
}

// NextRetry is for what failed on our side, such as the database.
func (w *refundWorker) NextRetry(job *river.Job[RefundArgs]) time.Time {
	return w.policy.NextRetry(job.JobRow)
}

// Work sends the refund once. That it is sent is committed before the call, and no
// database connection is held during it. Whatever ends between the two is sent again with
// the same key.
func (w *refundWorker) Work(ctx context.Context, job *river.Job[RefundArgs]) error {
	attempt := attemptOf(job.JobRow)
	err := w.work(ctx, job, attempt)
	switch {
	case err == nil, isSnooze(err):
		return err
	case errors.Is(err, store.ErrRefundNotFound):
		w.logger.WarnContext(ctx, "a job of a refund that does not exist", "refund_id", job.Args.RefundID, "job_id", job.ID)
		return nil
	case isStale(ctx, w.store, attempt, err):
		return leave(ctx, w.store, attempt)
	case errors.Is(ctx.Err(), context.Canceled):
		return errors.Join(context.Canceled, err)
	}
	w.logger.WarnContext(ctx, "refund not sent", "refund_id", job.Args.RefundID, "job_id", job.ID, "error", err)
	return err
}

func (w *refundWorker) work(ctx context.Context, job *river.Job[RefundArgs], a store.Attempt) error {
	began := time.Now()
	refund, err := w.store.Refund(ctx, job.Args.RefundID)
	if err != nil || !refund.Open() {
		return err
	}
	account := w.accounts.of(refund.Source, refund.CollectorID)
	asks, ok := w.accounts.fetcher(account).(RefundProvider)
	if !ok {
		return river.JobSnooze(noAccountFor)
	}
	if w.circuits.Holds(ctx, account) {
		return river.JobSnooze(stepHeldFor)
	}
	start, err := w.store.StartRefund(ctx, a, refund.ID)
	if err != nil || start.Superseded || !start.Open() {
		return err
	}
	t := w.try(ctx, asks, circuit.Question{Account: account, About: "refund " + refund.ID, Began: began}, start)
	if t.err != nil && errors.Is(ctx.Err(), context.Canceled) {
		return t.err // the process is stopping: the refund stays sent
	}
	// What came of it is booked also when the attempt's own time is up.
	booking, cancel := context.WithTimeout(context.WithoutCancel(ctx), fenceTimeout)
	defer cancel()
	ended, err := w.store.EndRefundTry(booking, a, refund.ID, t.result, func(ctx context.Context, tx pgx.Tx) error { return completeJob(ctx, tx, job) })
	if err != nil {
		return err
	}
	w.log(ctx, job, ended, t.err, began)
	if ended.Open() {
		return river.JobSnooze(max(t.wait, time.Second))
	}
	return nil
}

// A refundTry is what came of asking the provider.
type refundTry struct {
	result store.RefundResult
	// wait is how long until it is asked again, and err why; for one that has not ended.
	wait time.Duration
	err  error
}

// try sends the refund, or looks for it where it must not be sent. A refusal counts only
// when the list of the payment's refunds does not have it: an earlier call may have made
// it, and some that are under way are answered as refused.
func (w *refundWorker) try(ctx context.Context, asks RefundProvider, q circuit.Question, start store.RefundStart) refundTry {
	if start.ProviderID != nil || start.Expired {
		found, err := w.look(ctx, asks, start)
		switch {
		case err != nil:
			return w.notKnown(ctx, q, start, err)
		case found != nil:
			return w.answered(start, *found)
		case start.ProviderID != nil:
			return w.notKnown(ctx, q, start, errNotListed)
		}
		return failedRefund(store.RefundExpired, "")
	}
	answer, err := asks.Refund(ctx, provider.RefundRequest{PaymentID: start.PaymentID, Key: start.ID, Amount: start.Amount, Whole: start.Whole})
	if err != nil {
		f := classify(ctx, w.circuits, q, w.policy.now(), err)
		if f.class != provider.Forbidden.String() || f.action != ActionPermanent {
			return w.put(start, f, err)
		}
		answer = provider.Refund{State: provider.RefundRefused, Reason: provider.RefundNotAllowed, Said: "HTTP 403"}
	} else {
		w.circuits.Succeeded(q.Account)
	}
	if answer.State != provider.RefundRefused {
		return w.answered(start, answer)
	}
	found, err := w.look(ctx, asks, start)
	switch {
	case err != nil && (start.Ambiguous || classOf(err) != provider.Forbidden.String()):
		start.Ambiguous = true // until the list has been read
		return w.notKnown(ctx, q, start, err)
	case found != nil:
		return w.answered(start, *found)
	}
	return failedRefund(string(answer.Reason), answer.Said)
}

// errNotListed means that the provider does not list a refund that it took.
var errNotListed = errors.New("the provider took the refund, and does not list it")

func failedRefund(reason, said string) refundTry {
	return refundTry{result: store.RefundResult{State: store.RefundFailed, Reason: reason, Error: said}}
}

// look finds the refund among those that the provider lists; nil when it is not there.
func (w *refundWorker) look(ctx context.Context, asks RefundProvider, start store.RefundStart) (*provider.Refund, error) {
	listed, err := asks.Refunds(ctx, start.PaymentID)
	var failed *provider.Error
	if errors.As(err, &failed) && failed.Kind == provider.NotFound {
		return nil, nil //nolint:nilnil // a payment that is not there has no refunds
	}
	if err != nil {
		return nil, err
	}
	since := start.RequestedAt.Add(-refundClocks)
	for _, r := range listed {
		mine := start.ProviderID == nil && r.State != provider.RefundRefused && !slices.Contains(start.Taken, r.ID) &&
			(start.Whole || r.Amount.Equal(start.Amount)) && (r.CreatedAt.IsZero() || r.CreatedAt.After(since))
		if mine || start.ProviderID != nil && r.ID == *start.ProviderID {
			return &r, nil
		}
	}
	return nil, nil //nolint:nilnil // that it is not listed is not an error
}

// answered is what follows from a refund as the provider shows it.
func (w *refundWorker) answered(start store.RefundStart, r provider.Refund) refundTry {
	result := store.RefundResult{ProviderID: r.ID}
	switch r.State {
	case provider.RefundMade:
		result.State, result.Confirmed = store.RefundDone, decimal.NewNullDecimal(r.Amount)
		return refundTry{result: result}
	case provider.RefundRefused:
		return failedRefund(string(r.Reason), r.Said)
	case provider.RefundUnderWay:
	}
	result.State, result.Reason = store.RefundSent, string(r.State)
	return refundTry{result: result, wait: w.wait(start)}
}

// notKnown is what follows from an error that leaves it open what became of the refund.
func (w *refundWorker) notKnown(ctx context.Context, q circuit.Question, start store.RefundStart, err error) refundTry {
	return w.put(start, classify(ctx, w.circuits, q, w.policy.now(), err), err)
}

// put puts a refund off after an error. What was certainly not made is requested again.
func (w *refundWorker) put(start store.RefundStart, f failure, err error) refundTry {
	result := store.RefundResult{State: store.RefundUnknown, Reason: f.class, Error: storable(err.Error())}
	notMade := []string{
		classNotAsked, provider.Unauthorized.String(), provider.Forbidden.String(), provider.RateLimited.String(), provider.Locked.String(),
	}
	switch {
	case start.ProviderID != nil:
		result.State = store.RefundSent
	case !start.Ambiguous && slices.Contains(notMade, f.class):
		result.State = store.RefundRequested
	}
	t := refundTry{result: result, wait: w.wait(start), err: err}
	if f.action == ActionHold {
		t.wait = stepHeldFor
	}
	t.wait = max(t.wait, f.notBefore.Sub(w.policy.now()))
	return t
}

// wait is how long it is waited before a refund is sent again.
func (w *refundWorker) wait(start store.RefundStart) time.Duration {
	wait := w.policy.backoff.wait(start.Tries + 1)
	return wait + time.Duration(rand.Float64()*retryJitter*float64(wait)) //nolint:gosec // spreads load, guards nothing
}

// log tells of one try, once: its line and its metric.
func (w *refundWorker) log(ctx context.Context, job *river.Job[RefundArgs], r store.Refund, err error, began time.Time) {
	w.results.WithLabelValues(r.State).Inc()
	level := slog.LevelInfo
	if r.State == store.RefundUnknown || r.State == store.RefundFailed || err != nil {
		level = slog.LevelWarn
	}
	w.logger.LogAttrs(ctx, level, "refund",
		slog.String("refund_id", r.ID), slog.Int64("job_id", job.ID), slog.Int("attempt", r.Tries),
		slog.String("payment_id", r.PaymentID), slog.String("order_reference", r.OrderReference), slog.String("state", r.State),
		slog.String("error_class", r.Reason), slog.String("error", r.Error),
		slog.Float64("duration_ms", float64(time.Since(began).Microseconds())/1000))
}
