package store

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
)

// MostAtOnce is how many things one call dismisses or resolves at most.
const MostAtOnce = 1000

// A Matching is how many open things a filter selected, and when. Whoever then acts on
// those with At as the filter's end acts on none that came since.
type Matching struct {
	Count int64
	At    time.Time
}

// A ManyDone says how many things were dismissed or resolved by one call. Remaining of
// those that the filter selects are still open.
type ManyDone struct {
	Done      int64 `json:"done"`
	Remaining int64 `json:"remaining"`
}

// atMost is the limit of a call for at most n; 0 is no wish.
func atMost(n int64) int64 {
	if n <= 0 {
		return MostAtOnce
	}
	return min(n, MostAtOnce)
}

// MatchingDeadLetters counts the open dead letters that the filter selects.
func (s *Store) MatchingDeadLetters(ctx context.Context, filter DeadLetterFilter) (m Matching, err error) {
	var c conditions
	filter.State = DeadLetterOpen
	filter.narrow(&c)
	err = s.pool.QueryRow(ctx, `SELECT count(*), clock_timestamp()`+deadLetterFrom+` WHERE `+c.sql(), c.args...).Scan(&m.Count, &m.At)
	return m, wrap(err, "count dead letters")
}

// DismissDeadLetters dismisses the open dead letters that the filter selects, the
// oldest ones, up to limit and MostAtOnce, for the reason that note gives. Those that
// somebody else deals with are left out. The audit has one row for all, with their events.
func (s *Store) DismissDeadLetters(ctx context.Context, filter DeadLetterFilter, limit int64, note Note, by Actor) (ManyDone, error) {
	var done ManyDone
	err := note.check()
	if err == nil && filter.State != "" {
		err = errors.New("only open dead letters are dismissed, so the filter takes no state")
	}
	if err == nil {
		err = s.inTx(ctx, func(tx pgx.Tx) error {
			var c conditions
			filter.State = DeadLetterOpen
			filter.narrow(&c)
			where := c.sql()
			events, err := readColumn[int64](ctx, tx, `
				WITH chosen AS (
					SELECT d.id`+deadLetterFrom+` WHERE `+where+` ORDER BY d.id LIMIT `+c.arg(atMost(limit))+` FOR UPDATE OF d
				)
				UPDATE webhook_dead_letter d SET state = 'dismissed', note = `+c.arg(note.text)+` FROM chosen WHERE chosen.id = d.id
				RETURNING d.queue_id`, c.args...)
			if err != nil {
				return err
			}
			if done.Done = int64(len(events)); done.Done > 0 {
				err = record(ctx, tx, act{by: by, action: ActionDismiss, kind: TargetDeadLetter, events: events, count: len(events), note: note.text})
			}
			if err != nil {
				return err
			}
			done.Remaining, err = readValue[int64](ctx, tx, `SELECT count(*)`+deadLetterFrom+` WHERE `+where, c.args[:len(c.args)-2]...)
			return err
		})
	}
	return done, wrap(err, "dismiss dead letters")
}

// ReopenDeadLetter takes back a dismissal: the dead letter waits for a person again. One
// that is not dismissed is a *StateError.
func (s *Store) ReopenDeadLetter(ctx context.Context, id int64, by Actor) error {
	err := s.inTx(ctx, func(tx pgx.Tx) error {
		letter, err := lockDeadLetter(ctx, tx, id, DeadLetterDismissed)
		if err != nil {
			return err
		}
		if err := execute(ctx, tx, `UPDATE webhook_dead_letter SET state = 'open', note = '' WHERE id = $1`, id); err != nil {
			return err
		}
		return record(ctx, tx, act{by: by, action: ActionReopen, kind: TargetDeadLetter, target: id, events: []int64{letter.queueID}, count: 1})
	})
	return wrap(err, "reopen dead letter %d", id)
}

// narrowOpen adds the filter's terms and that an anomaly is open.
func (f AnomalyFilter) narrowOpen(c *conditions) error {
	f.State = AnomalyOpen
	return f.narrow(c)
}

// MatchingAnomalies counts the open anomalies that the filter selects.
func (s *Store) MatchingAnomalies(ctx context.Context, filter AnomalyFilter) (m Matching, err error) {
	var c conditions
	if err := filter.narrowOpen(&c); err != nil {
		return m, err
	}
	err = s.pool.QueryRow(ctx, `SELECT count(*), clock_timestamp() FROM anomalies WHERE `+c.sql(), c.args...).Scan(&m.Count, &m.At)
	return m, wrap(err, "count anomalies")
}

// ResolveAnomalies closes the open anomalies that the filter selects, the oldest ones, up
// to limit and MostAtOnce, for the reason that note gives. They do not open again over
// the same facts. The audit has one row for each.
func (s *Store) ResolveAnomalies(ctx context.Context, filter AnomalyFilter, limit int64, note Note, by Actor) (ManyDone, error) {
	var done ManyDone
	if err := resolvable(note, by); err != nil {
		return done, fmt.Errorf("resolve anomalies: %w", err)
	}
	if filter.State != "" {
		return done, errors.New("resolve anomalies: only open ones are resolved, so the filter takes no state")
	}
	err := s.inTx(ctx, func(tx pgx.Tx) error {
		var c conditions
		if err := filter.narrowOpen(&c); err != nil {
			return err
		}
		where := c.sql()
		chosen, err := readAll[Anomaly](ctx, tx, `SELECT `+anomalyColumns+` FROM anomalies WHERE `+where+` ORDER BY id LIMIT `+c.arg(atMost(limit)), c.args...)
		if err != nil {
			return err
		}
		references, ids := []string{}, []int64{}
		for _, a := range chosen {
			references, ids = append(references, a.Reference), append(ids, a.ID)
		}
		// The orders' locks come first, as they do in every settlement.
		references = referencesOf(references...)
		if err := lockOrders(ctx, tx, references); err != nil {
			return err
		}
		closed, err := readColumn[int64](ctx, tx, `
			UPDATE anomalies SET closed_at = now(), closed_by = $2, note = $3 WHERE id = ANY ($1) AND `+checked(`closed_at IS NULL`)+` RETURNING id`, ids, text(by.Name), note.text)
		if err != nil {
			return err
		}
		done.Done = int64(len(closed))
		if err := s.tellAnomalies(ctx, tx, settling{cause: causeOperator}, references...); err != nil {
			return err
		}
		for _, id := range closed {
			if err := record(ctx, tx, act{by: by, action: ActionResolve, kind: TargetAnomaly, target: id, count: 1, note: note.text}); err != nil {
				return err
			}
		}
		done.Remaining, err = readValue[int64](ctx, tx, `SELECT count(*) FROM anomalies WHERE `+where, c.args[:len(c.args)-1]...)
		return err
	})
	return done, wrap(err, "resolve anomalies")
}

// ReopenAnomaly takes back that a person resolved an anomaly. One that is open, or whose
// difference went away, is a *StateError, and so is one beside which the same is open.
func (s *Store) ReopenAnomaly(ctx context.Context, id int64, by Actor) error {
	err := s.inTx(ctx, func(tx pgx.Tx) error {
		reference, err := readValue[string](ctx, tx, `SELECT coalesce(order_reference, '') FROM anomalies WHERE id = $1`, id)
		if err = ErrAnomalyNotFound.ifNone(err, id); err != nil {
			return err
		}
		if err := lockOrders(ctx, tx, referencesOf(reference)); err != nil {
			return err
		}
		tag, err := tx.Exec(ctx, `
			UPDATE anomalies a SET closed_at = NULL, closed_by = NULL, note = NULL
			WHERE a.id = $1 AND a.closed_at IS NOT NULL AND a.closed_by NOT IN ($2, $3)
			  AND NOT EXISTS (SELECT FROM anomalies o WHERE o.closed_at IS NULL AND o.kind = a.kind
			        AND coalesce(o.order_reference, '') = coalesce(a.order_reference, '') AND coalesce(o.payment_id, '') = coalesce(a.payment_id, ''))`,
			id, closedBySettlement, closedByReconciliation)
		if err != nil {
			return err
		}
		if tag.RowsAffected() == 0 {
			state, err := readValue[string](ctx, tx, `SELECT CASE WHEN closed_at IS NULL THEN 'open' ELSE 'closed' END FROM anomalies WHERE id = $1`, id)
			if err != nil {
				return err
			}
			return &StateError{What: "anomaly", ID: id, State: state}
		}
		if err := s.tellAnomalies(ctx, tx, settling{cause: causeOperator}, reference); err != nil {
			return err
		}
		return record(ctx, tx, act{by: by, action: ActionReopen, kind: TargetAnomaly, target: id, count: 1})
	})
	return wrap(err, "reopen anomaly %d", id)
}
