package store

import (
	"cmp"
	"context"
	"errors"
	"hash/maphash"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// SettlerOptions are what a Settler needs besides its store. Zero values take the
// defaults.
type SettlerOptions struct {
	// MaxGroup is how many events one transaction takes, 100 by default.
	MaxGroup int
	// Lanes is how many transactions run side by side, 2 by default. Events of one order
	// are in one lane.
	Lanes int
	// Timeout bounds one transaction with its repetitions, 10 s by default.
	Timeout time.Duration
	// Observe is told of each group: how many events ended in its transaction, and how many
	// are left to be settled alone. May be nil.
	Observe func(ended, alone int)
}

// A Settler ends events. Those that wait at the same moment share one transaction and so
// one commit; no event waits for company. What a group cannot take is settled alone, by
// the store, as if there were no groups.
type Settler struct {
	store *Store
	opts  SettlerOptions
	seed  maphash.Seed
	lanes []*gatherer[*ending]
	// starts reads what attempts begin with, for all that begin at the same moment.
	starts *gatherer[*starting]
}

// A starting is an attempt that begins.
type starting struct {
	ctx     context.Context //nolint:containedctx // as an ending's
	queueID int64
	done    chan struct{}
	start   AttemptStart
	err     error
}

// An ending is an event that waits for its end.
type ending struct {
	ctx     context.Context //nolint:containedctx // it is one call's, on its way to another goroutine
	attempt Attempt
	// outcome is that of an event that needs no settlement; fetched is nil for one.
	outcome string
	fetched *Fetched

	done   chan struct{}
	result SettleResult
	err    error
	// alone is true when the group left the event to be settled alone.
	alone bool
}

// NewSettler starts a settler on store. Close stops it.
func NewSettler(store *Store, opts SettlerOptions) *Settler {
	opts.MaxGroup = cmp.Or(max(opts.MaxGroup, 0), 100)
	opts.Lanes = cmp.Or(max(opts.Lanes, 0), 2)
	opts.Timeout = cmp.Or(max(opts.Timeout, 0), 10*time.Second)
	s := &Settler{store: store, opts: opts, seed: maphash.MakeSeed()}
	for range opts.Lanes {
		s.lanes = append(s.lanes, gather(opts.MaxGroup, s.end))
	}
	s.starts = gather(opts.MaxGroup, s.begin)
	return s
}

// Start is Store.StartAttempt, in a group: one statement reads what all need that ask at
// the same moment, before any of them fetches.
func (s *Settler) Start(ctx context.Context, queueID int64) (AttemptStart, error) {
	b := &starting{ctx: ctx, queueID: queueID, done: make(chan struct{})}
	if !s.starts.submit(b) {
		return s.store.StartAttempt(ctx, queueID)
	}
	select {
	case <-b.done:
		return b.start, b.err
	case <-ctx.Done():
		return AttemptStart{}, ctx.Err()
	}
}

// begin reads what attempts begin with.
func (s *Settler) begin(starting []*starting) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(starting[0].ctx), s.opts.Timeout)
	defer cancel()
	queueIDs := make([]int64, len(starting))
	for i, b := range starting {
		queueIDs[i] = b.queueID
	}
	starts, err := s.store.startAttempts(ctx, queueIDs)
	for _, b := range starting {
		if b.err = wrap(err, "event %d", b.queueID); err == nil {
			b.start, b.err = startOf(starts, b.queueID)
		}
		close(b.done)
	}
}

// Close ends what waits and returns when it has ended. What comes later is settled
// alone.
func (s *Settler) Close() {
	s.starts.close()
	for _, lane := range s.lanes {
		lane.close()
	}
}

// Apply is Store.Apply, in a group.
func (s *Settler) Apply(ctx context.Context, a Attempt, fetched Fetched) (SettleResult, error) {
	e := &ending{ctx: ctx, attempt: a, fetched: &fetched}
	if s.grouped(e) {
		return e.result, wrap(e.err, "apply what was fetched for event %d", a.QueueID)
	}
	return s.store.Apply(ctx, a, fetched, CompleteJobOf(a))
}

// Complete is Store.Complete, in a group.
func (s *Settler) Complete(ctx context.Context, a Attempt, outcome string) error {
	e := &ending{ctx: ctx, attempt: a, outcome: outcome}
	if s.grouped(e) {
		return wrap(e.err, "complete event %d", a.QueueID)
	}
	return s.store.Complete(ctx, a, outcome, CompleteJobOf(a))
}

// grouped waits for the event's group, and reports false when the event is to be settled
// alone. It waits though its context ends, for the group may be committed: the options'
// timeout bounds that.
func (s *Settler) grouped(e *ending) bool {
	e.done = make(chan struct{})
	if !s.lanes[s.lane(e)].submit(e) {
		return false
	}
	<-e.done
	return !e.alone
}

// lane is which lane an event is in: that of its order, else of its payment.
func (s *Settler) lane(e *ending) int {
	var key any = e.attempt.QueueID
	if e.fetched != nil && e.fetched.Payment != nil {
		key = cmp.Or(e.fetched.Payment.Reference, e.fetched.Payment.Payment.ID)
	}
	return int(maphash.Comparable(s.seed, key) % uint64(len(s.lanes))) //nolint:gosec // below the number of lanes
}

// end ends events as one transaction, and tells each what became of it. One event is a
// group, too: while it is written those gather that make the next.
func (s *Settler) end(endings []*ending) {
	// One that waits for nobody has its statements in its own trace.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(endings[0].ctx), s.opts.Timeout)
	defer cancel()
	g, err := s.store.endGroup(ctx, endings)
	ended, left := 0, 0
	for i, e := range endings {
		switch {
		case err == nil:
			e.result, e.err, e.alone = g.verdicts[i].result, g.verdicts[i].err, g.verdicts[i].alone
			ended = len(g.ended)
		case isOneEvents(err):
			e.alone = true
		default:
			e.err = err
		}
		if e.alone {
			left++
		}
	}
	if s.opts.Observe != nil {
		s.opts.Observe(ended, left)
	}
	if err != nil && left > 1 {
		s.store.logger.WarnContext(ctx, "a group of events failed; they are settled alone", "events", len(endings), "error", err)
	}
	for _, e := range endings {
		close(e.done)
	}
}

// isOneEvents reports that a group failed over what may be the matter of one of its
// events: the database answered to a statement, or the ledger is not as it was read.
func isOneEvents(err error) bool {
	var answer *pgconn.PgError
	var newer *NewerLedgerError
	return errors.Is(err, errGroupDiffers) || errors.Is(err, ErrStaleAttempt) || errors.As(err, &newer) ||
		errors.As(err, &answer) && answer.SeverityUnlocalized == "ERROR" && !isConflict(err)
}

// endGroup ends events in one transaction.
func (s *Store) endGroup(ctx context.Context, endings []*ending) (g *group, err error) {
	err = s.tryTx(ctx, groupTx, func(tx pgx.Tx) error {
		g = s.newGroup(endings)
		if err := g.read(ctx, tx); err != nil {
			return err
		}
		g.fold()
		if len(g.ended) == 0 {
			return nil
		}
		return g.write(ctx, tx)
	}, true)
	return g, err
}
