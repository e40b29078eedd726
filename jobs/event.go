package jobs

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/riverqueue/river"
	"github.com/riverqueue/river/rivertype"
	"golang.org/x/time/rate"

	"github.com/conciliar/conciliar/jobs/circuit"
	"github.com/conciliar/conciliar/store"
)

// QueueWebhooks is the River queue that event jobs wait in.
const QueueWebhooks = "webhooks"

// An eventRef says which event a job is about. The arguments of every event job
// embed it, and it is all that is stored of them: fields are added, never
// renamed.
type eventRef struct {
	QueueID int64 `json:"queue_id"`

	// notBefore is set by the attempt that fails and read by NextRetry.
	notBefore time.Time
}

func (r *eventRef) event() *eventRef { return r }

// eventArgs are a pointer to the arguments of an event job.
type eventArgs[T river.JobArgs] interface {
	*T
	event() *eventRef
}

// An eventWork does what the event asks for and ends it, the job included, in
// one transaction.
type eventWork func(s *eventShell, ctx context.Context, job *rivertype.JobRow, a store.Attempt, event store.AttemptStart) (store.SettleResult, error)

// An eventWorker works the event jobs of one kind: the shell around what the
// kind is for.
type eventWorker[T river.JobArgs, P eventArgs[T]] struct {
	river.WorkerDefaults[T]
	*eventShell

	work eventWork
}

// NextRetry is when a failed attempt is repeated: by the backoff, and never
// before the provider said.
func (w *eventWorker[T, P]) NextRetry(job *river.Job[T]) time.Time {
	next := w.policy.NextRetry(job.JobRow)
	if notBefore := P(&job.Args).event().notBefore; notBefore.After(next) {
		return notBefore
	}
	return next
}

// Work runs one attempt.
func (w *eventWorker[T, P]) Work(ctx context.Context, job *river.Job[T]) error {
	err := w.run(ctx, job.JobRow, P(&job.Args).event(), w.work)
	if err == nil {
		w.ended.add(job.ID)
	}
	return err
}

// An eventShell is what the attempts of all event jobs have in common: the
// outage that holds them, the fence, what their failures mean, and their log
// line and metrics.
type eventShell struct {
	store *store.Store
	// settler ends events, several that wait at the same moment at once.
	settler *store.Settler
	// turns are of those that begin and ask.
	turns turns
	// shared fetches payments, once for all events that wait for the same.
	shared   *sharedFetch
	accounts accounts
	sources  *Sources
	circuits *circuit.Circuits
	policy   *RetryPolicy
	// hints limits the calls for events that anybody may have sent.
	hints *rate.Limiter
	// ended are the jobs of events that have ended, and their jobs with them.
	ended   *endedJobs
	logger  *slog.Logger
	metrics *metrics
}

// attemptReport is what one attempt's log line tells.
type attemptReport struct {
	event store.AttemptStart
	// account is whose credentials asked.
	account store.Account
	result  store.SettleResult
	outcome string
	// class is the failure's; empty when the attempt did not fail.
	class string
}

// errHintWaits means that events which anybody may have sent had their share.
var errHintWaits = errors.New("hints have had their share of the calls")

// errHeld means that the event's provider is not to be asked now.
var errHeld = errors.New("the provider is not asked while it is held to be down")

// run runs one attempt of a job.
func (s *eventShell) run(ctx context.Context, job *rivertype.JobRow, ref *eventRef, work eventWork) error {
	began := time.Now()
	attempt := attemptOf(job)
	attempt.QueueID = ref.QueueID
	var report attemptReport
	if job.Kind != (ForwardArgs{}).Kind() && s.circuits.AllHold(ctx) {
		return s.hold(ctx, attempt, report, began)
	}
	err := s.attempt(ctx, job, attempt, work, &report)
	if err == nil {
		s.log(ctx, slog.LevelInfo, attempt, report, began)
		return nil
	}
	if errors.Is(err, errHeld) {
		return s.hold(ctx, attempt, report, began)
	}
	if errors.Is(err, store.ErrAnswerOlder) {
		report.outcome = "asked_again"
		s.log(ctx, slog.LevelInfo, attempt, report, began)
		return river.JobSnooze(s.policy.backoff.wait(1) / 2)
	}
	if errors.Is(err, errHintWaits) || errors.Is(err, errNoTurn) {
		return river.JobSnooze(putOffFor)
	}
	if isStale(ctx, s.store, attempt, err) {
		report.outcome = "stale"
		s.log(ctx, slog.LevelWarn, attempt, report, began, slog.String("error", err.Error()))
		return s.leave(ctx, attempt)
	}
	if errors.Is(ctx.Err(), context.Canceled) {
		// The process is stopping, or somebody cancels the job. The error says
		// nothing about the event. River gives the attempt back, but only
		// when it can see the cancellation, which not every cause repeats.
		return errors.Join(context.Canceled, err)
	}
	failed := classify(ctx, s.circuits, circuit.Question{
		Account: report.account, About: report.event.ResourceID, Began: began, Last: job.Attempt >= job.MaxAttempts,
		Hint: report.event.Hint,
	}, s.policy.now(), err)
	if failed.action == ActionRetry || failed.action == ActionPermanent {
		ended, err := s.endPointless(ctx, job, attempt, &report, failed.action == ActionPermanent, err)
		if ended || err != nil {
			if err == nil {
				s.log(ctx, slog.LevelInfo, attempt, report, began, slog.String("error_class", failed.class))
			}
			return err
		}
	}
	ref.notBefore = failed.notBefore
	report.outcome, report.class = failed.outcome(), failed.class
	s.log(ctx, slog.LevelWarn, attempt, report, began, slog.String("error_class", failed.class), slog.String("error", err.Error()))
	cause := &AttemptError{Class: failed.class, Err: err}
	switch failed.action {
	case ActionPermanent:
		return river.JobCancel(cause)
	case ActionHold:
		return river.JobSnooze(holdFor())
	case ActionPutOff:
		return river.JobSnooze(putOffFor)
	case ActionRetry, ActionDead, ActionDone:
	}
	return cause
}

// leave ends a stale attempt without an effect, see the function leave. An event that lost its job to
// the end of another gets a new one.
func (s *eventShell) leave(ctx context.Context, a store.Attempt) error {
	left := leave(ctx, s.store, a)
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), fenceTimeout)
	defer cancel()
	requeued, err := s.store.RequeueDeprived(ctx, a.QueueID)
	switch {
	case err != nil:
		// The hourly run finds it, too.
		s.logger.WarnContext(ctx, "not looked whether a stale attempt's event has a job", "queue_id", a.QueueID, "error", err)
	case requeued:
		s.logger.WarnContext(ctx, "an event whose job was ended by mistake has another", "queue_id", a.QueueID, "job_id", a.JobID)
	}
	return left
}

// putOffFor is how long an attempt that could not ask is put off. River makes a
// job that is snoozed for less than five seconds available and not scheduled, so
// it does not count as held.
const putOffFor = 2 * time.Second

// hold gives the attempt back until the provider can be asked.
func (s *eventShell) hold(ctx context.Context, a store.Attempt, report attemptReport, began time.Time) error {
	report.outcome = "held"
	// In an outage this is what becomes of every event.
	s.log(ctx, slog.LevelDebug, a, report, began)
	return river.JobSnooze(holdFor())
}

// attempt does the work of one attempt.
func (s *eventShell) attempt(ctx context.Context, job *rivertype.JobRow, a store.Attempt, work eventWork, report *attemptReport) error {
	ctx, err := s.turns.take(ctx)
	if err != nil {
		return err
	}
	defer endTurn(ctx)
	event, err := s.settler.Start(ctx, a.QueueID)
	if err != nil {
		return ofStore(err)
	}
	report.event = event
	if event.Completed || event.Covered {
		report.outcome = store.OutcomeCovered
		endTurn(ctx)
		return ofStore(s.settler.Complete(ctx, a, store.OutcomeCovered))
	}
	if event.Work == store.WorkForward {
		report.result, err = work(s, ctx, job, a, event)
		report.outcome = report.result.Outcome
		return err
	}
	if _, ok := s.accounts.providers[event.Source]; !ok {
		return &AttemptError{Class: "unknown_source", Err: fmt.Errorf("no provider is set up for source %q", event.Source)}
	}
	for moves := 0; ; moves++ {
		report.account = s.accounts.of(event.Source, event.CollectorID)
		if s.circuits.Holds(ctx, report.account) && !needsNobody(event.Work) {
			return errHeld
		}
		if event.Hint && !s.hints.Allow() {
			return errHintWaits
		}
		report.result, err = work(s, ctx, job, a, event)
		report.outcome = report.result.Outcome
		if err == nil || moves == mostMoves {
			return err
		}
		moved, moveErr := s.move(ctx, a, &event, report.account, err)
		if moveErr != nil || !moved {
			return errors.Join(moveErr, err)
		}
	}
}

// log tells of one attempt, once: its line and its metrics.
func (s *eventShell) log(ctx context.Context, level slog.Level, a store.Attempt, r attemptReport, began time.Time, extra ...slog.Attr) {
	took := time.Since(began)
	s.metrics.record(r, took)
	attrs := []slog.Attr{
		slog.Int64("queue_id", a.QueueID), slog.Int64("job_id", a.JobID), slog.Int("attempt", a.Number),
		slog.String("topic", r.event.Topic), slog.String(resourceKey(r.event.Work), r.event.ResourceID),
		slog.String("order_reference", r.result.Reference), slog.String("outcome", r.outcome),
		slog.String("order_status", string(r.result.OrderStatus)),
		slog.String("collector_id", r.account.CollectorID),
		slog.Float64("duration_ms", float64(took.Microseconds())/1000),
	}
	s.logger.LogAttrs(ctx, level, "attempt", append(attrs, extra...)...)
}

// resourceKey is the log's key for the resource of an event with that work.
func resourceKey(work string) string {
	if work == store.WorkPayment || work == store.WorkFraudAlert {
		return "payment_id"
	}
	return "resource_id"
}
