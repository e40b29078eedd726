package jobs

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/riverqueue/river"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/trace"

	"github.com/conciliar/conciliar/jobs/delivery"
	"github.com/conciliar/conciliar/store"
)

const (
	// deliveryQueuePrefix begins the River queues of deliveries. Each receiver has one
	// of its own, so that one which never answers occupies its own workers and nobody
	// else's.
	deliveryQueuePrefix = "deliveries_"
	// deliveryTries is how often a delivery's job may die with its worker. Its failed
	// attempts are counted elsewhere: each of them is a job of its own.
	deliveryTries = 10
	// deliverySlack is what an attempt may take beside the call.
	deliverySlack = 15 * time.Second
	// sweepDeliveriesEvery is how often deliveries are looked for that have to get a
	// job, and every lostJobsEvery-th time also those whose job was lost.
	// A process without receivers looks less often: it may be told of some.
	sweepDeliveriesEvery = time.Second
	lostJobsEvery        = 60
	sweepNothingEvery    = 30 * time.Second
)

var queueName = regexp.MustCompile(`^[a-z0-9]+([_-]?[a-z0-9]+)*$`)

// deliveryQueue is the River queue of a receiver's deliveries. A name that River does
// not take is shortened to a hash.
func deliveryQueue(receiver string) string {
	name := deliveryQueuePrefix + strings.ReplaceAll(receiver, ":", "_")
	if queueName.MatchString(name) && len(name) <= 64 {
		return name
	}
	sum := sha256.Sum256([]byte(receiver))
	return deliveryQueuePrefix + hex.EncodeToString(sum[:8])
}

// DeliveryArgs are the arguments of the job that makes one attempt of a delivery. They
// are stored data: fields are added, never renamed.
type DeliveryArgs struct {
	DeliveryID int64 `json:"delivery_id"`

	preset preset
}

// Kind is the job's name in the database.
func (DeliveryArgs) Kind() string { return "delivery" }

func (a DeliveryArgs) presetOf() (preset, error) {
	if a.preset.at.IsZero() {
		return preset{}, errors.New("a delivery's job is inserted with its time only")
	}
	return a.preset, nil
}

// InsertDeliveries inserts the jobs of deliveries in tx. It is a
// store.InsertDeliveries.
func (i *Inserter) InsertDeliveries(ctx context.Context, tx pgx.Tx, deliveries []store.DeliveryJob) ([]int64, error) {
	params := make([]river.InsertManyParams, len(deliveries))
	for k, d := range deliveries {
		params[k] = river.InsertManyParams{
			Args:       DeliveryArgs{DeliveryID: d.DeliveryID, preset: preset{at: d.Now}},
			InsertOpts: &river.InsertOpts{Queue: deliveryQueue(d.Receiver), MaxAttempts: deliveryTries},
		}
		if d.Later {
			// River takes every job with a time for one that waits for it, and looks at
			// those every five seconds only.
			params[k].InsertOpts.ScheduledAt = d.At
		}
	}
	inserted, err := i.client.InsertManyTx(ctx, tx, params)
	if err != nil {
		return nil, fmt.Errorf("insert jobs of deliveries: %w", err)
	}
	ids := make([]int64, len(inserted))
	for k, result := range inserted {
		ids[k] = result.Job.ID
	}
	return ids, nil
}

// A deliveryWorker makes the attempts of deliveries: each job is one attempt, and the
// transaction that books it inserts the job of the next.
type deliveryWorker struct {
	river.WorkerDefaults[DeliveryArgs]

	store   *store.Store
	engine  *delivery.Engine
	policy  *RetryPolicy
	ended   *endedJobs
	logger  *slog.Logger
	metrics *deliveryMetrics
}

// Timeout leaves time to wait for the receiver's pace, and to book what came of it.
func (w *deliveryWorker) Timeout(*river.Job[DeliveryArgs]) time.Duration {
	return w.engine.LongestTimeout() + deliverySlack
}

// NextRetry is for what failed on our side, such as the database.
func (w *deliveryWorker) NextRetry(job *river.Job[DeliveryArgs]) time.Time {
	return w.policy.NextRetry(job.JobRow)
}

// Work makes one attempt. No database connection is held during the call. A process
// that dies after it sends the message once more, with the same id.
func (w *deliveryWorker) Work(ctx context.Context, job *river.Job[DeliveryArgs]) error {
	attempt := attemptOf(job.JobRow)
	err := w.attempt(ctx, job, attempt, store.CompleteJobOf(attempt))
	switch {
	case err == nil:
		w.ended.add(job.ID)
		return nil
	case errors.Is(err, store.ErrDeliverySuperseded):
		w.logger.DebugContext(ctx, "delivery has another job or has ended", "delivery_id", job.Args.DeliveryID, "job_id", job.ID)
		return nil
	case isSnooze(err):
		return err
	case isStale(ctx, w.store, attempt, err):
		return leave(ctx, w.store, attempt)
	case errors.Is(ctx.Err(), context.Canceled):
		// The process is stopping: River gives the attempt back.
		return errors.Join(context.Canceled, err)
	}
	w.logger.WarnContext(ctx, "delivery not attempted", "delivery_id", job.Args.DeliveryID, "job_id", job.ID, "error", err)
	return err
}

func isSnooze(err error) bool {
	var snooze *river.JobSnoozeError
	return errors.As(err, &snooze)
}

func (w *deliveryWorker) attempt(ctx context.Context, job *river.Job[DeliveryArgs], a store.Attempt, complete store.CompleteJob) error {
	d, err := w.store.StartDelivery(ctx, job.Args.DeliveryID, job.ID)
	if err != nil {
		return err
	}
	if d.Stopped {
		return w.store.ParkDelivery(ctx, d, a, complete)
	}
	if d.Body == nil {
		return w.book(ctx, job, d, a, store.DeliveryResult{Class: delivery.ClassExpired}, complete)
	}
	if until := w.engine.HeldUntil(d.Receiver); !until.IsZero() {
		return river.JobSnooze(max(time.Until(until), time.Second))
	}
	answer, err := w.engine.Send(ctx, d.Receiver, d.Attempts+1, delivery.Message{ID: d.MessageID, Headers: d.Headers, Body: d.Body, At: d.Now})
	if errors.Is(err, delivery.ErrUnknownReceiver) {
		return river.JobSnooze(time.Minute)
	}
	if err != nil {
		return err
	}
	result := store.DeliveryResult{
		Accepted: answer.Accepted(), Gone: answer.Class == delivery.ClassGone, Wait: answer.Wait,
		Status: answer.Status, Class: answer.Class, Answer: answer.Text, Took: answer.Took,
	}
	if answer.Err != nil {
		result.Error = answer.Err.Error()
	}
	return w.book(ctx, job, d, a, result, complete)
}

// book books what came of an attempt, and tells of it.
func (w *deliveryWorker) book(ctx context.Context, job *river.Job[DeliveryArgs], d store.DeliveryStart, a store.Attempt, result store.DeliveryResult, complete store.CompleteJob) error {
	// What came of it is booked also when the attempt's own time is up.
	booking, cancel := context.WithTimeout(context.WithoutCancel(ctx), fenceTimeout)
	defer cancel()
	end, err := w.store.EndDeliveryAttempt(booking, d, a, result, complete)
	if err != nil {
		return err
	}
	w.log(ctx, job, d, result, end)
	return nil
}

// log tells of one attempt, once: its line and its metric.
func (w *deliveryWorker) log(ctx context.Context, job *river.Job[DeliveryArgs], d store.DeliveryStart, result store.DeliveryResult, end store.DeliveryEnd) {
	level, outcome := slog.LevelInfo, end.State
	if !result.Accepted {
		level = slog.LevelWarn
		if end.State == store.DeliveryPending {
			outcome = "failed"
		}
	}
	w.metrics.count(d.Receiver, outcome)
	trace.SpanFromContext(ctx).SetAttributes(
		attribute.Int64("conciliar.delivery_id", d.ID), attribute.String("conciliar.receiver", d.Receiver), attribute.String("conciliar.webhook_id", d.MessageID),
		attribute.String("conciliar.outcome", outcome), attribute.Int("http.response.status_code", result.Status), attribute.String("error.type", result.Class))
	attrs := []slog.Attr{
		slog.Int64("delivery_id", d.ID), slog.Int64("job_id", job.ID), slog.Int("attempt", end.Attempts),
		slog.String("receiver", d.Receiver), slog.String("webhook_id", d.MessageID),
		slog.String("outcome", outcome), slog.Int("status", result.Status),
		slog.Float64("duration_ms", float64(result.Took.Microseconds())/1000),
	}
	if d.Receiver == store.ReceiverOrderEvents {
		attrs = append(attrs, slog.String("order_reference", d.Stream))
	}
	if d.QueueID != nil {
		attrs = append(attrs, slog.Int64("queue_id", *d.QueueID))
	}
	if !result.Accepted {
		attrs = append(attrs, slog.String("error_class", result.Class), slog.String("error", result.Error))
		if end.State == store.DeliveryPending {
			attrs = append(attrs, slog.Time("next_attempt_at", end.NextAttemptAt.UTC()))
		}
		if result.Gone {
			attrs = append(attrs, slog.Bool("receiver_stopped", true))
		}
	}
	w.logger.LogAttrs(ctx, level, "delivery", attrs...)
}

// addDeliveries adds the worker of deliveries and the queues of the receivers that
// there are.
func addDeliveries(config *river.Config, cfg Config, deps Deps, policy *RetryPolicy, ended *endedJobs) {
	if deps.Deliveries == nil || cfg.Helper {
		return
	}
	river.AddWorker(config.Workers, &deliveryWorker{
		store: deps.Store, engine: deps.Deliveries, policy: policy, ended: ended, logger: cfg.Logger, metrics: newDeliveryMetrics(cfg.Registerer),
	})
	for _, name := range deps.Deliveries.Names() {
		config.Queues[deliveryQueue(name)] = river.QueueConfig{MaxWorkers: delivery.Concurrency}
	}
}

// A deliverer keeps deliveries moving: it makes those of order events, gives a job to
// what has none, and takes up receivers that were added.
type deliverer struct {
	store  *store.Store
	engine *delivery.Engine
	client *river.Client[pgx.Tx]
	logger *slog.Logger
	// queues are those that are worked.
	queues []string
	// wake is told that the feed has new events.
	wake chan struct{}
}

// run keeps deliveries moving until ctx is done.
func (d *deliverer) run(ctx context.Context) {
	tick := time.NewTicker(sweepDeliveriesEvery)
	defer tick.Stop()
	for n := 0; ; n++ {
		d.tell(ctx, "queues of receivers not added", d.addQueues())
		d.tell(ctx, "deliveries not swept", d.store.SweepDeliveries(ctx, n%lostJobsEvery == 0))
		d.queueOrderEvents(ctx)
		if len(d.engine.Names()) == 0 {
			tick.Reset(sweepNothingEvery)
		} else {
			tick.Reset(sweepDeliveriesEvery)
		}
		for waiting := true; waiting; {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
				waiting = false
			case <-d.wake:
				d.queueOrderEvents(ctx)
			}
		}
	}
}

func (d *deliverer) queueOrderEvents(ctx context.Context) {
	for more := true; more && ctx.Err() == nil; {
		var err error
		more, err = d.store.QueueOrderEvents(ctx)
		d.tell(ctx, "order events not made deliveries", err)
	}
}

func (d *deliverer) tell(ctx context.Context, what string, err error) {
	if err != nil && ctx.Err() == nil {
		d.logger.WarnContext(ctx, what, "error", err)
	}
}

// addQueues works the queues of receivers that came later. One whose receiver went
// stays: what is in it waits for the receiver.
func (d *deliverer) addQueues() error {
	for _, name := range d.engine.Names() {
		queue := deliveryQueue(name)
		if slices.Contains(d.queues, queue) {
			continue
		}
		if err := d.client.Queues().Add(queue, river.QueueConfig{MaxWorkers: delivery.Concurrency}); err != nil {
			return err
		}
		d.queues = append(d.queues, queue)
	}
	return nil
}
