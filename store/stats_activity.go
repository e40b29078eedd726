package store

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"
)

// What analytics read was counted by roll-ups, up to the last one: a minute ago
// while workers run. What happened to dead letters and runs is read itself.

// ErrSpan means that a span cannot be answered as it was asked for.
var ErrSpan = &InvalidError{What: "the span", code: "invalid_parameter"}

// maxPoints bounds how many buckets one answer has.
const maxPoints = 5000

// A Span is a time in buckets: [Since, Since+Step), and on until one of them
// reaches Until. Step is whole minutes and Since begins a minute (it is cut to
// one). Buckets of whole hours that begin with an hour, in UTC, reach years back;
// others reach 8 days back, because what is older is kept by the hour.
type Span struct {
	Since, Until time.Time
	Step         time.Duration
}

// resolve checks the span and names the width of the tables that answer it.
func (sp Span) resolve(now time.Time) (resolved, error) {
	since := sp.Since.UTC().Truncate(time.Minute)
	r := resolved{since: since, step: sp.Step, tables: "minutes"}
	switch {
	case sp.Step < time.Minute || sp.Step%time.Minute != 0:
		return r, ErrSpan.because("has steps of %s; they must be whole minutes", sp.Step)
	case !since.Before(sp.Until):
		return r, ErrSpan.because("ends before it begins")
	}
	r.points = int((sp.Until.Sub(since) + sp.Step - 1) / sp.Step)
	if r.points > maxPoints {
		return r, ErrSpan.because("has %d steps; %d are the most", r.points, maxPoints)
	}
	r.until = since.Add(time.Duration(r.points) * sp.Step)
	if sp.Step%time.Hour == 0 && since.Equal(since.Truncate(time.Hour)) {
		r.tables = "hours"
	} else if since.Before(now.Add(-minutesKept)) {
		return r, ErrSpan.because("begins more than %s ago; such data is kept by the hour", minutesKept)
	}
	return r, nil
}

// A resolved span has points buckets and is answered by the tables whose names
// end so.
type resolved struct {
	since, until time.Time
	step         time.Duration
	points       int
	tables       string
}

// An ActivityPoint is what happened in one bucket.
type ActivityPoint struct {
	// At is when the bucket begins, in UTC.
	At time.Time
	// Received counts all events that were accepted; ByOrigin has them by their
	// origin.
	Received int64
	ByOrigin map[string]int64
	// Settled counts events that ended with OutcomeSettled, and Others those that
	// ended otherwise, by outcome.
	Settled int64
	Others  map[string]int64
	// Failed counts dead letters by when they died, a dead letter that died twice
	// by the last time.
	Failed int64
}

// Activity returns what happened in each bucket of the span, also in those where
// nothing did. The error wraps ErrSpan. Duplicates are answered without a trace
// in the ledger, so they are not counted here.
func (s *Store) Activity(ctx context.Context, span Span) ([]ActivityPoint, error) {
	points, err := s.activity(ctx, span)
	return points, wrap(err, "activity")
}

func (s *Store) activity(ctx context.Context, span Span) ([]ActivityPoint, error) {
	r, err := span.resolve(time.Now())
	if err != nil {
		return nil, err
	}
	points := make([]ActivityPoint, r.points)
	for i := range points {
		points[i] = ActivityPoint{At: r.since.Add(time.Duration(i) * r.step), ByOrigin: map[string]int64{}, Others: map[string]int64{}}
	}
	at := func(seconds int64) *ActivityPoint { return &points[time.Duration(seconds)*time.Second/r.step] }
	rows, _ := s.pool.Query(ctx, `
		SELECT extract(epoch FROM date_bin($3, began_at, $1) - $1)::bigint, origin, outcome, sum(events)::bigint
		FROM webhook_activity_`+r.tables+`
		WHERE began_at >= $1 AND began_at < $2
		GROUP BY 1, 2, 3`, r.since, r.until, r.step)
	var seconds, n int64
	var origin, outcome string
	if _, err := pgx.ForEachRow(rows, []any{&seconds, &origin, &outcome, &n}, func() error {
		at(seconds).count(origin, outcome, n)
		return nil
	}); err != nil {
		return nil, err
	}
	rows, _ = s.pool.Query(ctx, `
		SELECT extract(epoch FROM date_bin($3, died_at, $1) - $1)::bigint, count(*)
		FROM webhook_dead_letter WHERE died_at >= $1 AND died_at < $2 GROUP BY 1`, r.since, r.until, r.step)
	_, err = pgx.ForEachRow(rows, []any{&seconds, &n}, func() error {
		at(seconds).Failed = n
		return nil
	})
	return points, err
}

func (p *ActivityPoint) count(origin, outcome string, n int64) {
	switch outcome {
	case "":
		p.Received += n
		p.ByOrigin[origin] += n
	case OutcomeSettled:
		p.Settled += n
	default:
		p.Others[outcome] += n
	}
}
