package store

import (
	"context"
	"time"
)

// receiptSlack is how far the order of the events' ids and of their times of
// receipt may differ: a transaction takes its time when it begins and its ids a
// little later, and PostgreSQL's clock may have been set back a little.
const receiptSlack = 10 * time.Minute

// An idSpan is a range of ids, [from, to); to 0 means no bound.
type idSpan struct{ from, to int64 }

// idSpanOf returns the ids that events received in [since, until) can have in
// one of the two tables of events. Ids and times grow together, so the bounds
// are searched for by halving: without them a list of what was received long
// ago would read everything that came after it.
func (s *Store) idSpanOf(ctx context.Context, table string, since, until time.Time) (idSpan, error) {
	var span idSpan
	var err error
	if !since.IsZero() {
		if span.from, err = s.firstReceived(ctx, table, since.Add(-receiptSlack)); err != nil {
			return span, err
		}
	}
	if !until.IsZero() {
		span.to, err = s.firstReceived(ctx, table, until.Add(receiptSlack))
	}
	return span, err
}

// firstReceived is the id from which on events were received at t or later. In
// each round, row is the first one from the middle of what is left.
func (s *Store) firstReceived(ctx context.Context, table string, t time.Time) (id int64, err error) {
	err = s.pool.QueryRow(ctx, `
		WITH RECURSIVE search (low, high) AS (
			SELECT coalesce(min(id), 1), coalesce(max(id), 0) + 1 FROM `+table+`
			UNION ALL
			SELECT CASE WHEN row.received_at < $1 THEN row.id + 1 ELSE low END,
			       CASE WHEN row.received_at < $1 THEN high ELSE middle END
			FROM (SELECT low, high, low + (high - low) / 2 AS middle FROM search WHERE low < high) AS halved,
			     LATERAL (SELECT id, received_at FROM `+table+` WHERE id >= middle ORDER BY id LIMIT 1) AS row
		)
		SELECT max(low) FROM search`, t).Scan(&id)
	return id, wrap(err, "events since %s", t.UTC().Format(time.RFC3339))
}

// within adds the span's terms.
func (c *conditions) within(span idSpan) {
	if span.from > 0 {
		c.add("q.id >= ?", span.from)
	}
	if span.to > 0 {
		c.add("q.id < ?", span.to)
	}
}
