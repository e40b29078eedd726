package store

import (
	"context"
	"fmt"
	"math"
	"time"

	"github.com/jackc/pgx/v5"
)

// A Latency is how long webhooks took from their receipt to the end that settled
// them, retries and outages included. Times are read from steps that grow by a
// quarter of a power of two, so a percentile is off by at most 9.1 % (2^(1/8)),
// and what took a millisecond or less is told as one. Without a webhook in it,
// all is zero.
type Latency struct {
	Count         int64
	P50, P90, P99 time.Duration
}

// A LatencyPoint is the latency of what settled in one bucket.
type LatencyPoint struct {
	// At is when the bucket begins, in UTC.
	At time.Time
	Latency
}

// Latency returns the latency of what settled in [since, until). Times are cut to
// the minute, or to the hour where since is more than six hours ago. The error
// wraps ErrSpan.
func (s *Store) Latency(ctx context.Context, since, until time.Time) (Latency, error) {
	r, err := resolveSpan(since, until, time.Now())
	if err != nil {
		return Latency{}, fmt.Errorf("latency: %w", err)
	}
	points, err := s.latencies(ctx, r)
	if err != nil {
		return Latency{}, fmt.Errorf("latency: %w", err)
	}
	return points[0].Latency, nil
}

// latencyRecent is how long ago a latency may begin that is read by the minute:
// further back an hour more or less tells nothing, and minutes are sixty times as
// many.
const latencyRecent = 6 * time.Hour

// resolveSpan makes one bucket of a time.
func resolveSpan(since, until, now time.Time) (resolved, error) {
	r := resolved{points: 1, tables: "minutes", since: since.UTC().Truncate(time.Minute), until: until.UTC()}
	if r.since.Before(now.Add(-latencyRecent)) {
		r.tables, r.since = "hours", since.UTC().Truncate(time.Hour)
	}
	if !r.since.Before(r.until) {
		return r, ErrSpan.because("ends before it begins")
	}
	r.step = r.until.Sub(r.since)
	return r, nil
}

// LatencyOver returns the latency of each bucket of the span, also of those
// without a settlement. The error wraps ErrSpan.
func (s *Store) LatencyOver(ctx context.Context, span Span) ([]LatencyPoint, error) {
	r, err := span.resolve(time.Now())
	if err != nil {
		return nil, fmt.Errorf("latency over time: %w", err)
	}
	points, err := s.latencies(ctx, r)
	return points, wrap(err, "latency over time")
}

func (s *Store) latencies(ctx context.Context, r resolved) ([]LatencyPoint, error) {
	rows, _ := s.pool.Query(ctx, `
		SELECT extract(epoch FROM date_bin($3, began_at, $1) - $1)::bigint, step, sum(events)::bigint
		FROM webhook_latency_`+r.tables+`
		WHERE began_at >= $1 AND began_at < $2
		GROUP BY 1, 2 ORDER BY 1, 2`, r.since, r.until, r.step)
	steps := make([][]stepCount, r.points)
	var seconds int64
	var c stepCount
	if _, err := pgx.ForEachRow(rows, []any{&seconds, &c.step, &c.events}, func() error {
		k := time.Duration(seconds) * time.Second / r.step
		steps[k] = append(steps[k], c)
		return nil
	}); err != nil {
		return nil, err
	}
	points := make([]LatencyPoint, r.points)
	for k := range points {
		points[k] = LatencyPoint{At: r.since.Add(time.Duration(k) * r.step), Latency: latencyOf(steps[k])}
	}
	return points, nil
}

// A stepCount is how many events took a step's time.
type stepCount struct {
	step   int
	events int64
}

// latencyOf reads percentiles from steps, which are in order.
func latencyOf(steps []stepCount) Latency {
	var l Latency
	for _, s := range steps {
		l.Count += s.events
	}
	if l.Count == 0 {
		return l
	}
	at := func(share float64) time.Duration {
		// The nearest rank: the least time that the share of all took at most.
		rank := int64(math.Ceil(share * float64(l.Count)))
		var seen int64
		for _, s := range steps {
			if seen += s.events; seen >= rank {
				return stepTime(s.step)
			}
		}
		return stepTime(steps[len(steps)-1].step)
	}
	l.P50, l.P90, l.P99 = at(0.50), at(0.90), at(0.99)
	return l
}

// stepTime is the time that stands for a step: the geometric middle of its
// bounds. Step 0 ends at a millisecond.
func stepTime(step int) time.Duration {
	if step <= 0 {
		return time.Millisecond
	}
	return time.Duration(math.Exp2((float64(step)-0.5)/4) * float64(time.Millisecond)).Round(time.Microsecond)
}
