package store

import (
	"context"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
)

// Every count replaces what was counted of the same time, and reads the queue
// and the archive in one statement: an event that moves from one to the other is
// in one of them, and never in both or in neither.

// countMinutes counts what happened in [from, until), whole minutes, by the
// minute, and counts up the hours that these are of.
func (s *Store) countMinutes(ctx context.Context, tx pgx.Tx, from, until time.Time) error {
	if !from.Before(until) {
		return nil
	}
	if err := s.countEvents(ctx, tx, "minutes", time.Minute, from, until); err != nil {
		return err
	}
	first, end := from.Truncate(time.Hour), until.Add(time.Hour-1).Truncate(time.Hour)
	for _, sum := range []string{
		`DELETE FROM webhook_activity_hours WHERE began_at >= $1 AND began_at < $2`,
		`INSERT INTO webhook_activity_hours (began_at, topic, origin, outcome, events)
		 SELECT date_bin('1 hour', began_at, 'epoch'), topic, origin, outcome, sum(events)
		 FROM webhook_activity_minutes WHERE began_at >= $1 AND began_at < $2 GROUP BY 1, 2, 3, 4`,
		`DELETE FROM webhook_latency_hours WHERE began_at >= $1 AND began_at < $2`,
		`INSERT INTO webhook_latency_hours (began_at, step, events)
		 SELECT date_bin('1 hour', began_at, 'epoch'), step, sum(events)
		 FROM webhook_latency_minutes WHERE began_at >= $1 AND began_at < $2 GROUP BY 1, 2`,
	} {
		if _, err := tx.Exec(ctx, sum, first, end); err != nil {
			return err
		}
	}
	return countMoney(ctx, tx, from, until)
}

// countHours counts what happened in [from, until), whole hours, by the hour
// alone: its minutes are not kept any more.
func (s *Store) countHours(ctx context.Context, tx pgx.Tx, from, until time.Time) error {
	if err := s.countEvents(ctx, tx, "hours", time.Hour, from, until); err != nil {
		return err
	}
	return countMoney(ctx, tx, from, until)
}

// countEvents counts events by width, into the tables that end with the suffix.
func (s *Store) countEvents(ctx context.Context, tx pgx.Tx, suffix string, width time.Duration, from, until time.Time) error {
	for _, table := range []string{"webhook_activity_", "webhook_latency_"} {
		if _, err := tx.Exec(ctx, `DELETE FROM `+table+suffix+` WHERE began_at >= $1 AND began_at < $2`, from, until); err != nil {
			return err
		}
	}
	_, err := tx.Exec(ctx, strings.ReplaceAll(activitySQL, "{suffix}", suffix), from, until, width, topicsNamed, s.providers)
	if err != nil {
		return err
	}
	return execute(ctx, tx, strings.ReplaceAll(latencySQL, "{suffix}", suffix), from, until, width, OutcomeSettled, OriginWebhook)
}

// activityHook is the origin under which webhooks of declared senders are counted.
const activityHook = "hook"

// ofProviders is the condition that a row's source is one that payments come from,
// param having those.
func ofProviders(param string) string {
	return `(coalesce(cardinality(` + param + `::text[]), 0) = 0 OR source = ANY (` + param + `))`
}

// activitySQL counts webhooks of declared senders under an origin of their own.
var activitySQL = `
WITH happened AS (
    SELECT received_at AS at, topic, source, origin, '' AS outcome FROM webhook_queue WHERE received_at >= $1 AND received_at < $2
    UNION ALL
    SELECT received_at, topic, source, origin, '' FROM webhook_archive WHERE received_at >= $1 AND received_at < $2
    UNION ALL
    SELECT c.completed_at, topic, source, origin, c.outcome FROM webhook_completed c JOIN webhook_queue q ON q.id = c.queue_id WHERE c.completed_at >= $1 AND c.completed_at < $2
    UNION ALL
    SELECT completed_at, topic, source, origin, outcome FROM webhook_archive WHERE completed_at >= $1 AND completed_at < $2
), counted AS (
    SELECT date_bin($3, at, 'epoch') AS began_at, left(topic, 64) AS topic,
           CASE WHEN origin = '` + OriginWebhook + `' AND NOT ` + ofProviders("$5") + ` THEN '` + activityHook + `' ELSE origin END AS origin,
           outcome, count(*) AS events
    FROM happened GROUP BY 1, 2, 3, 4
), topics AS (
    SELECT began_at, topic, row_number() OVER (PARTITION BY began_at ORDER BY sum(events) DESC, topic) AS place
    FROM counted GROUP BY 1, 2
)
INSERT INTO webhook_activity_{suffix} (began_at, topic, origin, outcome, events)
SELECT began_at, CASE WHEN place <= $4 THEN topic ELSE 'other' END, origin, outcome, sum(events)
FROM counted JOIN topics USING (began_at, topic)
GROUP BY 1, 2, 3, 4`

// latencySQL files each end under its step: see stepBounds.
const latencySQL = `
WITH ended AS (
    SELECT received_at, c.completed_at FROM webhook_completed c JOIN webhook_queue q ON q.id = c.queue_id
    WHERE c.completed_at >= $1 AND c.completed_at < $2 AND c.outcome = $4 AND origin = $5
    UNION ALL
    SELECT received_at, completed_at FROM webhook_archive
    WHERE completed_at >= $1 AND completed_at < $2 AND outcome = $4 AND origin = $5
)
INSERT INTO webhook_latency_{suffix} (began_at, step, events)
SELECT date_bin($3, completed_at, 'epoch'),
       ceil(4 * ln(greatest(1, 1000 * extract(epoch FROM completed_at - received_at)::float8)) / ln(2::float8))::smallint,
       count(*)
FROM ended GROUP BY 1, 2`

// countMoney counts how the orders' money moved in the quarters of an hour that
// [from, until) touches. An order's log rows are written under its lock, so the
// row before one is the one with the next lower id, and is there.
func countMoney(ctx context.Context, tx pgx.Tx, from, until time.Time) error {
	first, end := from.Truncate(moneyWidth), until.Add(moneyWidth-1).Truncate(moneyWidth)
	if _, err := tx.Exec(ctx, `DELETE FROM order_money_quarters WHERE began_at >= $1 AND began_at < $2`, first, end); err != nil {
		return err
	}
	return execute(ctx, tx, `
		WITH moved AS (
			SELECT date_bin($3, l.changed_at, 'epoch') AS began_at, m.currency, sum(m.paid) AS paid, sum(m.refunded) AS refunded
			FROM order_logs l
			JOIN orders o ON o.reference = l.order_reference
			LEFT JOIN LATERAL (
				SELECT paid_amount, refunded_amount, coalesce(e.currency, l.currency, o.currency) AS currency FROM order_logs e
				WHERE e.order_reference = l.order_reference AND e.id < l.id ORDER BY e.id DESC LIMIT 1
			) b ON true
			CROSS JOIN LATERAL (VALUES
				(coalesce(l.currency, o.currency), l.paid_amount, l.refunded_amount),
				(b.currency, -b.paid_amount, -b.refunded_amount)
			) AS m (currency, paid, refunded)
			WHERE l.changed_at >= $1 AND l.changed_at < $2
			GROUP BY l.id, 1, 2
		)
		INSERT INTO order_money_quarters (began_at, currency, paid, withdrawn, refunded)
		SELECT began_at, currency, coalesce(sum(paid) FILTER (WHERE paid > 0), 0),
		       coalesce(-sum(paid) FILTER (WHERE paid < 0), 0), sum(refunded)
		FROM moved
		WHERE paid <> 0 OR refunded <> 0
		GROUP BY 1, 2`, first, end, moneyWidth)
}

// countSlots counts the completed events of the queue in the slots that
// [from, until) touches, as far as they are covered.
func countSlots(ctx context.Context, tx pgx.Tx, all covered, from, until time.Time) error {
	if !from.Before(until) {
		return nil
	}
	first, end := from.Truncate(slotWidth), until.Add(slotWidth-1).Truncate(slotWidth)
	if _, err := tx.Exec(ctx, `DELETE FROM webhook_completed_slots WHERE began_at >= $1 AND began_at < $2`, first, end); err != nil {
		return err
	}
	return execute(ctx, tx, `
		INSERT INTO webhook_completed_slots (began_at, events)
		SELECT date_bin($3, completed_at, 'epoch'), count(*) FROM webhook_completed
		WHERE completed_at >= $1 AND completed_at < $2 GROUP BY 1`, later(first, all.from), earlier(end, all.until), slotWidth)
}

// recountSlots counts those slots again whose counts are the oldest. A slot
// without events is dropped: events that ended come no more.
func recountSlots(ctx context.Context, tx pgx.Tx, slots int) error {
	_, err := tx.Exec(ctx, `
		WITH oldest AS (
			SELECT began_at FROM webhook_completed_slots ORDER BY counted_at LIMIT $1
		)
		UPDATE webhook_completed_slots s SET counted_at = clock_timestamp(), events = (
			SELECT count(*) FROM webhook_completed c, webhook_rollup r
			WHERE c.completed_at >= greatest(s.began_at, r.covered_from)
			  AND c.completed_at < least(s.began_at + $2, r.covered_until))
		FROM oldest WHERE s.began_at = oldest.began_at`, slots, slotWidth)
	if err != nil {
		return err
	}
	return execute(ctx, tx, `DELETE FROM webhook_completed_slots WHERE events = 0`)
}

// archiveFromSlots takes what is being archived off the slots, by the times at
// which the events ended. It waits for a roll-up under way, and must be in the
// transaction that moves them: whichever comes second sees the other's work.
func archiveFromSlots(ctx context.Context, tx pgx.Tx, ended []time.Time) error {
	if len(ended) == 0 {
		return nil
	}
	_, err := tx.Exec(ctx, `SELECT FROM webhook_rollup FOR UPDATE`)
	if err != nil {
		return err
	}
	return execute(ctx, tx, `
		UPDATE webhook_completed_slots s SET events = s.events - moved.events
		FROM (SELECT date_bin($2, e.at, 'epoch') AS began_at, count(*) AS events
		      FROM unnest($1::timestamptz[]) AS e (at), webhook_rollup r
		      WHERE e.at >= r.covered_from AND e.at < r.covered_until
		      GROUP BY 1) moved
		WHERE s.began_at = moved.began_at`, ended, slotWidth)
}
