package jobs

import (
	"context"
	"log/slog"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/riverqueue/river"

	"github.com/conciliar/conciliar/jobs/circuit"
	"github.com/conciliar/conciliar/store"
)

// WithStepBudget makes the steps of runs hand over after the first piece of work
// that ends later than budget.
func (d Deps) WithStepBudget(budget time.Duration) Deps {
	d.stepBudget = &budget
	return d
}

// NextSpan is the span that a roll-up counts after one that took so long.
var NextSpan = nextSpan

// WithOrphanTimes shortens what is waited for until a job counts as nobody's.
func (d Deps) WithOrphanTimes(every, dead, leftOver time.Duration) Deps {
	d.takeoverTimes = &takeoverTimes{every: every, dead: dead, leftOver: leftOver}
	return d
}

// ProcessPrefix begins the id of every process that locks it while it lives.
const ProcessPrefix = processPrefix

// WithProbeEvery makes a provider that is down be tried that often, and all else
// around outages happen as much more often.
func (d Deps) WithProbeEvery(every time.Duration) Deps {
	usual := circuit.DefaultTiming()
	faster := float64(every) / float64(usual.Probe)
	scaled := func(t time.Duration) time.Duration { return max(60*time.Millisecond, time.Duration(float64(t)*faster)) }
	d.circuitTiming = &circuit.Timing{Look: scaled(usual.Look), Probe: every, ProbeHold: usual.ProbeHold, Release: scaled(usual.Release)}
	return d
}

// DeliveryQueue is the River queue of a receiver's deliveries.
var DeliveryQueue = deliveryQueue

// An Evaluator evaluates alerts when it is told to.
type Evaluator struct{ e *evaluator }

// NewEvaluator returns an evaluator that has a reconciliation each hour.
func NewEvaluator(s *store.Store, notify bool, logger *slog.Logger) (Evaluator, error) {
	schedule, err := ParseSchedule("@hourly")
	return Evaluator{&evaluator{store: s, schedule: &schedule, notify: func() bool { return notify }, logger: logger}}, err
}

// Evaluate evaluates the database as they are.
func (v Evaluator) Evaluate(ctx context.Context, client *river.Client[pgx.Tx]) error {
	return v.e.evaluate(ctx, insertAlertSend(client))
}

// EvaluateStatus evaluates a status at its signals' time.
func (v Evaluator) EvaluateStatus(ctx context.Context, st store.Status, send store.SendMessage) error {
	return v.e.evaluateStatus(ctx, st, send)
}

// InsertAlertSend inserts the job of a message with the client.
func InsertAlertSend(client *river.Client[pgx.Tx]) store.SendMessage { return insertAlertSend(client) }

// Step does the next steps of fetching reports, as the job does at now.
func (f *ReportFetcher) Step(ctx context.Context, now time.Time) (time.Duration, error) {
	f.now = func() time.Time { return now }
	return f.step(ctx)
}

// Reindexed are the indexes that River rebuilds.
func (c Config) Reindexed() []string { return c.reindexed() }
