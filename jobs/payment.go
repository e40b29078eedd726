package jobs

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/riverqueue/river"
	"github.com/riverqueue/river/riverdriver/riverpgxv5"
	"github.com/riverqueue/river/rivertype"

	"github.com/conciliar/conciliar/jobs/provider"
	"github.com/conciliar/conciliar/store"
	"github.com/conciliar/conciliar/store/order"
)

// QueueWebhooks is the River queue that event jobs wait in.
const QueueWebhooks = "webhooks"

// PaymentArgs are the arguments of the job that settles an event about a
// payment. They are stored data: fields are added, never renamed.
type PaymentArgs struct {
	QueueID int64 `json:"queue_id"`

	preset preset
	// notBefore is set by the attempt that fails and read by NextRetry.
	notBefore time.Time
}

// Kind is the job's name in the database. The prefix "webhook_" makes it an
// event job for the trigger that mirrors dead letters.
func (PaymentArgs) Kind() string { return "webhook_payment" }

// InsertOpts puts event jobs into their own queue.
func (PaymentArgs) InsertOpts() river.InsertOpts { return river.InsertOpts{Queue: QueueWebhooks} }

// A PaymentFetcher asks a provider for the truth.
type PaymentFetcher interface {
	// Payment fetches one payment. Its error is a *provider.Error.
	Payment(ctx context.Context, id string) (provider.Payment, error)
	// CheckCredentials returns nil when the provider accepts our credentials.
	CheckCredentials(ctx context.Context) error
}

// paymentWorker fetches the payment that an event is about and settles it.
type paymentWorker struct {
	river.WorkerDefaults[PaymentArgs]

	store    *store.Store
	payments map[string]PaymentFetcher
	circuits circuits
	policy   *RetryPolicy
	logger   *slog.Logger
	metrics  *metrics
}

// NextRetry is when a failed attempt is repeated: by the backoff, and never
// before the provider said.
func (w *paymentWorker) NextRetry(job *river.Job[PaymentArgs]) time.Time {
	next := w.policy.NextRetry(job.JobRow)
	if job.Args.notBefore.After(next) {
		return job.Args.notBefore
	}
	return next
}

// attemptReport is what one attempt's log line tells.
type attemptReport struct {
	event   store.AttemptStart
	result  store.SettleResult
	outcome string
	// class is the failure's; empty when the attempt did not fail.
	class string
}

// errHeld means that the event's provider is not to be asked now.
var errHeld = errors.New("the provider is not asked while it is held to be down")

// Work runs one attempt.
func (w *paymentWorker) Work(ctx context.Context, job *river.Job[PaymentArgs]) error {
	began := time.Now()
	attempt := store.Attempt{QueueID: job.Args.QueueID, JobID: job.ID, Number: job.Attempt}
	var report attemptReport
	if w.circuits.allHold(ctx) {
		return w.hold(ctx, attempt, report, began)
	}
	err := w.attempt(ctx, job, attempt, &report)
	if err == nil {
		w.log(ctx, slog.LevelInfo, attempt, report, began)
		return nil
	}
	if errors.Is(err, errHeld) {
		return w.hold(ctx, attempt, report, began)
	}
	if isStale(ctx, w.store, attempt, err) {
		report.outcome = "stale"
		w.log(ctx, slog.LevelWarn, attempt, report, began, slog.String("error", err.Error()))
		return leave(ctx, w.store, attempt)
	}
	if errors.Is(ctx.Err(), context.Canceled) {
		// The process is stopping, or somebody cancels the job. The error says
		// nothing about the payment. River gives the attempt back, but only
		// when it can see the cancellation, which not every cause repeats.
		return errors.Join(context.Canceled, err)
	}
	verdict := w.circuits.judge(ctx, question{
		source: report.event.Source, about: report.event.ResourceID, began: began, last: job.Attempt >= job.MaxAttempts,
	}, w.policy.now(), err)
	job.Args.notBefore = verdict.notBefore
	report.outcome, report.class = verdict.outcome(), verdict.class
	w.log(ctx, slog.LevelWarn, attempt, report, began, slog.String("error_class", verdict.class), slog.String("error", err.Error()))
	failure := &AttemptError{Class: verdict.class, Err: err}
	switch verdict.action {
	case ActionPermanent:
		return river.JobCancel(failure)
	case ActionHold:
		return river.JobSnooze(holdFor())
	case ActionPutOff:
		return river.JobSnooze(putOffFor)
	case ActionRetry, ActionDead, ActionDone:
	}
	return failure
}

// putOffFor is how long an attempt that could not ask is put off. River makes a
// job that is snoozed for less than five seconds available and not scheduled, so
// it does not count as held.
const putOffFor = 2 * time.Second

// hold gives the attempt back until the provider can be asked.
func (w *paymentWorker) hold(ctx context.Context, a store.Attempt, report attemptReport, began time.Time) error {
	report.outcome = "held"
	// In an outage this is what becomes of every event.
	w.log(ctx, slog.LevelDebug, a, report, began)
	return river.JobSnooze(holdFor())
}

// attempt does the work of one attempt.
func (w *paymentWorker) attempt(ctx context.Context, job *river.Job[PaymentArgs], a store.Attempt, report *attemptReport) error {
	event, err := w.store.StartAttempt(ctx, a.QueueID)
	if err != nil {
		return ofStore(err)
	}
	report.event = event
	complete := func(ctx context.Context, tx pgx.Tx) error { return completeJob(ctx, tx, job) }
	if event.Completed || event.Covered {
		report.outcome = store.OutcomeCovered
		return ofStore(w.store.Complete(ctx, a, store.OutcomeCovered, complete))
	}
	fetcher, ok := w.payments[event.Source]
	if !ok {
		return &AttemptError{Class: "unknown_source", Err: fmt.Errorf("no provider is set up for source %q", event.Source)}
	}
	if w.circuits.holds(ctx, event.Source) {
		return errHeld
	}
	fetched, err := fetcher.Payment(ctx, event.ResourceID)
	if err != nil {
		return err
	}
	w.circuits.succeeded(event.Source)
	payment, err := paymentOf(fetched, event.Now)
	if err != nil {
		// A person will want to see what the provider said, so the attempt
		// counts as judged only when that is kept.
		if keepErr := w.store.KeepResource(ctx, a, fetched.Raw); keepErr != nil {
			return ofStore(keepErr)
		}
		return err
	}
	report.result, err = w.store.Settle(ctx, a, store.FetchedPayment{
		Source: event.Source, Payment: payment, Reference: fetched.Reference, Raw: fetched.Raw,
	}, complete)
	report.outcome = report.result.Outcome
	return ofStore(err)
}

// completeJob completes the job as the last statement of tx. River answers a
// job that is not running with its row and no error, so the state is checked.
func completeJob[T river.JobArgs](ctx context.Context, tx pgx.Tx, job *river.Job[T]) error {
	done, err := river.JobCompleteTx[*riverpgxv5.Driver](ctx, tx, job)
	if err != nil {
		return fmt.Errorf("complete job %d: %w", job.ID, err)
	}
	if done.State != rivertype.JobStateCompleted {
		return fmt.Errorf("complete job %d: it is %s: %w", job.ID, done.State, store.ErrStaleAttempt)
	}
	return nil
}

// paymentOf translates a fetched payment into the database' words. The error is
// order.ErrUnknownStatus for a status outside the known ones.
func paymentOf(p provider.Payment, fetchedAt time.Time) (order.Payment, error) {
	status, err := order.ParsePaymentStatus(p.Status)
	if err != nil {
		return order.Payment{}, fmt.Errorf("payment %s: %w", p.ID, err)
	}
	payment := translate(p, fetchedAt)
	payment.Status = status
	return payment, nil
}

// translate is paymentOf without a judgement on the status.
func translate(p provider.Payment, fetchedAt time.Time) order.Payment {
	return order.Payment{
		ID: p.ID, Status: order.PaymentStatus(p.Status), StatusDetail: p.StatusDetail, Amount: p.Amount, Refunded: p.Refunded,
		Currency: p.Currency, CollectorID: p.CollectorID, LiveMode: p.LiveMode, Validation: p.Validation,
		UpdatedAt: p.UpdatedAt, FetchedAt: fetchedAt,
	}
}

// log tells of one attempt, once: its line and its metrics.
func (w *paymentWorker) log(ctx context.Context, level slog.Level, a store.Attempt, r attemptReport, began time.Time, extra ...slog.Attr) {
	took := time.Since(began)
	w.metrics.record(r, took)
	attrs := []slog.Attr{
		slog.Int64("queue_id", a.QueueID), slog.Int64("job_id", a.JobID), slog.Int("attempt", a.Number),
		slog.String("topic", r.event.Topic), slog.String("payment_id", r.event.ResourceID),
		slog.String("order_reference", r.result.Reference), slog.String("outcome", r.outcome),
		slog.String("order_status", string(r.result.OrderStatus)),
		slog.Float64("duration_ms", float64(took.Microseconds())/1000),
	}
	w.logger.LogAttrs(ctx, level, "attempt", append(attrs, extra...)...)
}
