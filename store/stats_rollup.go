package store

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"
)

const (
	// minutesKept is how long what happened is kept by the minute; by the hour it
	// is kept for hoursKept. Both are far below what a day of events takes.
	minutesKept = 8 * 24 * time.Hour
	hoursKept   = 3 * 366 * 24 * time.Hour

	// lateCommits is the least time that passes before a minute is counted for
	// good: an event bears the time at which its transaction began, and is seen
	// when it commits.
	lateCommits = 2 * time.Minute
	// longestWait is how long a minute stays open for a transaction that began
	// before its end. The service's own are over long before; without a bound,
	// a session that somebody forgot would have ever more counted each minute.
	longestWait = time.Hour

	// slotWidth is the width of webhook_completed_slots, moneyWidth that of
	// order_money_quarters.
	slotWidth  = 10 * time.Minute
	moneyWidth = 15 * time.Minute
	// slotsRecounted is how many slots each roll-up counts again, the longest
	// uncounted first, so that rows which somebody deleted by hand are noticed.
	slotsRecounted = 6
	// topicsNamed is how many topics of one minute or hour keep their names. An
	// unsigned sender chooses its topics, and must not choose how much is kept.
	topicsNamed = 20
)

// A RollUp says what a roll-up did.
type RollUp struct {
	// From and Until are what is counted for good: [From, Until).
	From, Until time.Time
	// Behind is true when what happened until now is not all counted yet.
	Behind bool
	// Complete is true when the history from before the first roll-up is counted
	// as well.
	Complete bool
}

// RollUp counts what happened since the last roll-up, at most a span of it, for
// the status and the analytics. It may run anywhere, at any time and twice: what
// it counts replaces what was counted before, and roll-ups take turns.
//
// A minute is counted for good once every transaction that began before its end
// is over; until then each roll-up counts it again. Only this service's own
// transactions are seen, and each for an hour at most.
func (s *Store) RollUp(ctx context.Context, span time.Duration) (RollUp, error) {
	return s.rollUp(ctx, span, 0)
}

// rollUp is RollUp with a clock that is ahead of PostgreSQL's.
func (s *Store) rollUp(ctx context.Context, span, ahead time.Duration) (RollUp, error) {
	var done RollUp
	err := s.inTx(ctx, func(tx pgx.Tx) error {
		at, err := lockRollUp(ctx, tx, ahead)
		if err != nil {
			return err
		}
		// To the end of the current minute, so that charts show what just was.
		end := at.now.Truncate(time.Minute).Add(time.Minute)
		to := earlier(end, at.until.Add(max(span.Truncate(time.Minute), time.Minute)))
		if err := s.countMinutes(ctx, tx, at.until, to); err != nil {
			return err
		}
		until := later(at.until, earlier(to, at.horizon))
		if _, err := tx.Exec(ctx, `UPDATE webhook_rollup SET covered_until = $1, rolled_at = clock_timestamp()`, until); err != nil {
			return err
		}
		if err := countSlots(ctx, tx, covered{at.from, until}, at.until, until); err != nil {
			return err
		}
		if err := countAccepted(ctx, tx, at.until, until); err != nil {
			return err
		}
		if err := recountSlots(ctx, tx, slotsRecounted); err != nil {
			return err
		}
		done = RollUp{From: at.from, Until: until, Behind: to.Before(end), Complete: at.complete}
		return pruneRollUps(ctx, tx, at.now, until)
	})
	return done, wrap(err, "roll up")
}

// RollUpHistory counts what happened before the first roll-up, a span of it, the
// latest first. RollUp must have run before.
func (s *Store) RollUpHistory(ctx context.Context, span time.Duration) (RollUp, error) {
	var done RollUp
	err := s.inTx(ctx, func(tx pgx.Tx) error {
		at, err := lockRollUp(ctx, tx, 0)
		if err != nil {
			return err
		}
		done = RollUp{From: at.from, Until: at.until, Complete: at.complete}
		if at.complete {
			return nil
		}
		oldest, err := oldestHistory(ctx, tx)
		if err != nil {
			return err
		}
		// Whole hours, and never some whose minutes are kept with some whose are not.
		from := later(at.from.Add(-max(span.Truncate(time.Hour), time.Hour)), oldest)
		kept := at.now.Add(-minutesKept).Truncate(time.Hour)
		if from.Before(at.from) {
			if at.from.After(kept) {
				from = later(from, kept)
				err = s.countMinutes(ctx, tx, from, at.from)
			} else {
				err = s.countHours(ctx, tx, from, at.from)
			}
			if err != nil {
				return err
			}
		}
		done.From, done.Complete = earlier(from, at.from), !from.After(oldest)
		if _, err := tx.Exec(ctx, `UPDATE webhook_rollup SET covered_from = $1, complete = $2`, done.From, done.Complete); err != nil {
			return err
		}
		return countSlots(ctx, tx, covered{done.From, at.until}, done.From, at.from)
	})
	return done, wrap(err, "roll up the history")
}

// rollUpAt is where the counting stands.
type rollUpAt struct {
	covered
	complete bool
	now      time.Time
	// horizon is the end of what no transaction can add to any more.
	horizon time.Time
}

// covered is what is counted for good: [from, until).
type covered struct{ from, until time.Time }

// readCovered reads what is counted. Before the first roll-up that is nothing,
// and everything lies after it.
func readCovered(ctx context.Context, tx pgx.Tx) (c covered, err error) {
	err = tx.QueryRow(ctx, `
		SELECT coalesce(covered_from, 'epoch'), coalesce(covered_until, 'epoch') FROM webhook_rollup`).Scan(&c.from, &c.until)
	return c, err
}

// lockRollUp locks the counting until the transaction ends, and begins it with
// the current hour where it never began.
func lockRollUp(ctx context.Context, tx pgx.Tx, ahead time.Duration) (rollUpAt, error) {
	var at rollUpAt
	var from, until *time.Time
	err := tx.QueryRow(ctx, `
		SELECT covered_from, covered_until, complete, clock_timestamp() FROM webhook_rollup FOR UPDATE`).
		Scan(&from, &until, &at.complete, &at.now)
	if err != nil {
		return at, err
	}
	// The open transactions are read before anything is counted: one that is gone
	// by now has its rows in the counts, one that comes later has later times.
	oldest, err := readValue[*time.Time](ctx, tx, `
		SELECT min(xact_start) FROM pg_stat_activity
		WHERE datname = current_database() AND backend_type = 'client backend' AND pid <> pg_backend_pid()`)
	if err != nil {
		return at, err
	}
	at.now = at.now.Add(ahead)
	at.horizon = at.now.Add(-lateCommits)
	if oldest != nil {
		at.horizon = later(earlier(at.horizon, *oldest), at.now.Add(-longestWait))
	}
	at.horizon = at.horizon.Truncate(time.Minute)
	if from == nil || until == nil {
		at.from = at.horizon.Truncate(time.Hour)
		at.until = at.from
		_, err = tx.Exec(ctx, `UPDATE webhook_rollup SET covered_from = $1, covered_until = $1`, at.from)
		return at, err
	}
	// What is counted beyond now was counted by a clock that has been set back since, and
	// what happens until then is not in it.
	at.until = earlier(*until, at.now.Truncate(time.Minute))
	at.from = earlier(*from, at.until)
	return at, nil
}

// oldestHistory is the hour before which nothing is counted. Ids and times grow
// together but for minutes, so the first rows tell it.
func oldestHistory(ctx context.Context, tx pgx.Tx) (oldest time.Time, err error) {
	err = tx.QueryRow(ctx, `
		SELECT greatest(now() - make_interval(secs => $1), coalesce(least(
			(SELECT received_at FROM webhook_queue ORDER BY id LIMIT 1),
			(SELECT received_at FROM webhook_archive ORDER BY id LIMIT 1),
			(SELECT min(completed_at) FROM webhook_completed),
			(SELECT changed_at FROM order_logs ORDER BY id LIMIT 1)), now()))`, hoursKept.Seconds()).Scan(&oldest)
	return oldest.Add(-receiptSlack).Truncate(time.Hour), err
}

// pruneRollUps removes what is older than it is kept. The minutes of an hour
// that is not over yet, for a roll-up that is catching up, are needed once more.
func pruneRollUps(ctx context.Context, tx pgx.Tx, now, until time.Time) error {
	minutes := earlier(now.Add(-minutesKept), until).Truncate(time.Hour)
	hours := now.Add(-hoursKept)
	return execute(ctx, tx, `
		WITH activity AS (DELETE FROM webhook_activity_minutes WHERE began_at < $1),
		     latency AS (DELETE FROM webhook_latency_minutes WHERE began_at < $1),
		     accepted AS (DELETE FROM webhook_accepted_hours WHERE began_at < $1),
		     activity_hours AS (DELETE FROM webhook_activity_hours WHERE began_at < $2)
		DELETE FROM webhook_latency_hours WHERE began_at < $2`, minutes, hours)
}

func earlier(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}

func later(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}
