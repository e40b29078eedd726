package store

import (
	"context"
	"time"

	"github.com/conciliar/conciliar/store/day"
)

// A DeathReason is how many events died of one cause.
type DeathReason struct {
	// Reason is one of DeadLetterReasons; ErrorClass is the finer cause, empty
	// where there is none.
	Reason     string
	ErrorClass string
	Count      int64
	// Open is how many of them still wait for a person.
	Open int64
	// LastAt is when the last of them died, in UTC.
	LastAt time.Time
}

// TopReasons returns what events died of in [since, until), the most frequent
// cause first. A dead letter that died twice counts by the last time.
func (s *Store) TopReasons(ctx context.Context, since, until time.Time) ([]DeathReason, error) {
	reasons, err := readAll[DeathReason](ctx, s.pool, `
		SELECT reason, error_class, count(*), count(*) FILTER (WHERE state = 'open'), max(died_at)
		FROM webhook_dead_letter WHERE died_at >= $1 AND died_at < $2
		GROUP BY 1, 2 ORDER BY 3 DESC, 1, 2`, since, until)
	return reasons, wrap(err, "top reasons")
}

// A HealedRun is what one reconciliation found, and what came of it.
type HealedRun struct {
	RunID     int64
	Trigger   string
	Scope     string
	Status    string
	StartedAt time.Time
	// Missing are payments that no webhook told of, Drifted what disagreed with
	// itself or with the provider, Stuck events that were put back in the queue.
	Missing, Drifted, Stuck int64
	// Repaired is how many of these are right by now: repaired by the run itself,
	// or by the event that it made, which has ended.
	Repaired int64
	// Unsettled are differences that no repair settled: they became anomalies.
	Unsettled int64
}

// Healed returns the runs that began in [since, until) and found something,
// oldest first.
func (s *Store) Healed(ctx context.Context, since, until time.Time) ([]HealedRun, error) {
	runs, err := readAll[HealedRun](ctx, s.pool, `
		SELECT r.id, r.trigger, r.scope, r.status, r.started_at, r.missing_found, r.drift_found, r.stuck_requeued,
		       f.repaired, f.unsettled
		FROM webhook_reconciliation_logs r
		LEFT JOIN LATERAL (
			SELECT count(*) FILTER (WHERE f.kind <> 'unsettled' AND (
			           f.queue_id IS NULL AND f.repaired_at IS NOT NULL
			           OR EXISTS (SELECT FROM webhook_queue q WHERE q.id = f.queue_id AND q.completed_at IS NOT NULL)
			           OR EXISTS (SELECT FROM webhook_archive a WHERE a.id = f.queue_id))) AS repaired,
			       count(*) FILTER (WHERE f.kind = 'unsettled') AS unsettled
			FROM webhook_reconciliation_findings f WHERE f.run_id = r.id
		) f ON true
		WHERE r.started_at >= $1 AND r.started_at < $2
		  AND (r.missing_found > 0 OR r.drift_found > 0 OR r.stuck_requeued > 0 OR f.unsettled > 0)
		ORDER BY r.started_at, r.id`, since, until)
	return runs, wrap(err, "healed")
}

// A HealedDay is what all reconciliations of one day found and repaired.
type HealedDay struct {
	// Day is when the day began, in the zone asked for.
	Day                     time.Time
	Runs                    int
	Missing, Drifted, Stuck int64
	Repaired, Unsettled     int64
}

// HealedByDay adds the runs up by the day on which they began. Days without one
// are absent.
func HealedByDay(runs []HealedRun, zone *time.Location) []HealedDay {
	var days []HealedDay
	for _, r := range runs {
		begin := day.Begin(r.StartedAt, zone)
		if n := len(days); n == 0 || !days[n-1].Day.Equal(begin) {
			days = append(days, HealedDay{Day: begin})
		}
		d := &days[len(days)-1]
		d.Runs++
		d.Missing += r.Missing
		d.Drifted += r.Drifted
		d.Stuck += r.Stuck
		d.Repaired += r.Repaired
		d.Unsettled += r.Unsettled
	}
	return days
}
