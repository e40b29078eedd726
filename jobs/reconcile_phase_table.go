package jobs

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/conciliar/conciliar/store"
)

// A Phase is one part of a run, as people read it.
type Phase struct {
	// Name is the stable word.
	Name string
	// Scopes are the scopes of the runs that have it.
	Scopes []string
	// Does says what it does.
	Does string
}

// A phase is one row of what a run does, in the order of the rows.
type phase struct {
	Phase
	// enter begins the phase and writes that it has begun; nil writes only that.
	enter func(ctx context.Context, w *stepWorker, step *store.RunStep) error
	// work does one piece of it and reports whether it is done; nil for the end
	// of the run.
	work func(ctx context.Context, w *stepWorker, p piece) (done bool, err error)
}

// A piece is what a phase is given for one piece of its work.
type piece struct {
	step *store.RunStep
	// last is true for the attempt whose failure ends the run.
	last bool
	// until is when the step hands over.
	until time.Time
}

var (
	regularRun = []string{store.ScopeRegular}
	everyRun   = []string{store.ScopeRegular, store.ScopeBackfill}
)

// ofStep is the work that the database does by itself.
func ofStep(do func(*store.RunStep, context.Context) (bool, error)) func(context.Context, *stepWorker, piece) (bool, error) {
	return func(ctx context.Context, _ *stepWorker, p piece) (bool, error) { return do(p.step, ctx) }
}

// asking is the work that asks providers.
func asking(do func(*stepWorker, context.Context, *store.RunStep, bool) (bool, error)) func(context.Context, *stepWorker, piece) (bool, error) {
	return func(ctx context.Context, w *stepWorker, p piece) (bool, error) { return do(w, ctx, p.step, p.last) }
}

// phases is the table of all phases.
var phases = []phase{
	{
		Phase: Phase{store.PhaseStuck, regularRun, "puts events without an end and without a job back in the queue"},
		work:  ofStep((*store.RunStep).RequeueStuck),
	},
	{
		Phase: Phase{store.PhaseRetention, regularRun, "moves old events to the archive and empties what is kept for a time only, before a provider is asked: an outage must not let the queue grow"},
		work: func(ctx context.Context, w *stepWorker, p piece) (bool, error) {
			return p.step.RetentionBatch(ctx, w.keep)
		},
	},
	{
		Phase: Phase{store.PhaseMissing, everyRun, "reads every payment that the provider changed in the window"},
		work:  asking((*stepWorker).lookForMissing),
	},
	{
		Phase: Phase{store.PhaseOrders, everyRun, "reads every order of the provider's that changed in the window"},
		work:  asking((*stepWorker).lookForOrders),
	},
	{
		Phase: Phase{store.PhaseProvisional, regularRun, "looks again for payments that only an order of the provider's has shown"},
		work:  ofStep((*store.RunStep).Provisional),
	},
	{
		Phase: Phase{store.PhaseUnpaid, regularRun, "asks about orders that are still unpaid"},
		enter: func(ctx context.Context, _ *stepWorker, step *store.RunStep) error { return step.BeginUnpaid(ctx) },
		work:  asking((*stepWorker).askAboutUnpaid),
	},
	{
		Phase: Phase{store.PhasePayouts, regularRun, "explains payouts of which movements came, and compares what was released with the payments"},
		work: func(ctx context.Context, w *stepWorker, _ piece) (bool, error) {
			return true, w.checkPayouts(ctx)
		},
	},
	{
		Phase: Phase{store.PhaseDrift, everyRun, "compares the ledger with itself"},
		work: func(ctx context.Context, w *stepWorker, p piece) (bool, error) {
			done, err := p.step.CompareLedger(ctx)
			if done && err == nil {
				err = w.closeStaleAnomalies(ctx)
			}
			return done, err
		},
	},
	{
		Phase: Phase{store.PhaseRepair, everyRun, "repairs what differs, unless it is more than a share of the orders"},
		work:  ofStep((*store.RunStep).Repair),
	},
	{
		Phase: Phase{store.PhaseWait, everyRun, "waits for the events that the run made"},
		work: func(ctx context.Context, w *stepWorker, p piece) (bool, error) {
			return w.await(ctx, p.step, p.until)
		},
	},
	{Phase: Phase{store.PhaseDone, everyRun, "is over"}},
}

// Phases returns the table of a run's phases, in their order.
func Phases() []Phase {
	rows := make([]Phase, len(phases))
	for i, p := range phases {
		rows[i] = p.Phase
		rows[i].Scopes = slices.Clone(p.Scopes)
	}
	return rows
}

// phaseOf is the row of the phase with that name.
func phaseOf(name string) (phase, error) {
	i := slices.IndexFunc(phases, func(p phase) bool { return p.Name == name })
	if i < 0 {
		return phase{}, fmt.Errorf("unknown phase %q", name)
	}
	return phases[i], nil
}

// enterNext begins the next phase of the run's scope.
func (w *stepWorker) enterNext(ctx context.Context, step *store.RunStep) error {
	run := step.Run
	ofScope := func(p phase) bool { return slices.Contains(p.Scopes, run.Scope) }
	at := slices.IndexFunc(phases, func(p phase) bool { return p.Name == run.Phase && ofScope(p) })
	if at < 0 || at == len(phases)-1 {
		return fmt.Errorf("phase %q of a %s run has no next", run.Phase, run.Scope)
	}
	next := phases[at+1:]
	to := next[slices.IndexFunc(next, ofScope)] // every run has the last one
	if to.enter != nil {
		return to.enter(ctx, w, step)
	}
	return step.Enter(ctx, to.Name)
}
