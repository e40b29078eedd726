package store

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"
)

// The channels that a sender's deliveries come by, as webhook_refused has them.
const (
	ChannelWebhooks = "webhooks"
	ChannelIPN      = "ipn"
)

// Arrivals24h says what came in the last day and what of it can be relied on.
type Arrivals24h struct {
	// Unhandled counts events about money that ended without effect, by topic: those
	// that a signature proved or that we made, and that were not replayed.
	Unhandled map[string]int64
	// Unverified counts deliveries that came with a signature and were refused, of
	// topics of which none was verified in the last seven days, by topic.
	Unverified map[string]int64
	// Webhooks and IPN count the deliveries of each channel, refused ones too, as far
	// as the roll-up counted them; IPNBefore those of the six days before. What
	// nothing proves counts as IPN.
	Webhooks, IPN, IPNBefore int64
}

// unhandledLooked is how many of the newest events without effect are looked at: an
// earlier release may have left very many.
const unhandledLooked = 1000

// neverVerified is from how many refusals a topic is judged.
const neverVerified = 3

// readArrivals reads what came in the last day: from the roll-up, from the ring of
// refusals, which is short, and from the few events that ended without effect.
func (s *Store) readArrivals(ctx context.Context, tx pgx.Tx, g *Signals) error {
	a := &g.Arrivals
	err := tx.QueryRow(ctx, `
		WITH refused AS (
			SELECT channel, topic, x_signature <> '' AS signed, refused_at > now() - interval '24 hours' AS lately
			FROM webhook_refused WHERE refused_at > now() - interval '7 days' AND channel <> ''
		), accepted AS (
			SELECT signed, topic, began_at > now() - interval '24 hours' AS lately, events
			FROM webhook_accepted_hours WHERE began_at > now() - interval '7 days' AND `+ofProviders("$5")+`
		)
		SELECT (SELECT coalesce(jsonb_object_agg(topic, n), '{}') FROM (
		            SELECT topic, count(*) AS n FROM (
		                SELECT id, topic, signed, origin, c.completed_at
		                FROM (SELECT queue_id, completed_at FROM webhook_completed WHERE outcome = '`+OutcomeUnhandled+`' ORDER BY queue_id DESC LIMIT $1) c
		                JOIN webhook_queue q ON q.id = c.queue_id
		                UNION ALL
		                (SELECT id, topic, signed, origin, completed_at FROM webhook_archive WHERE outcome = '`+OutcomeUnhandled+`' ORDER BY id DESC LIMIT $1)) q
		            WHERE completed_at > now() - interval '24 hours' AND NOT (`+isHint+`)
		              AND NOT EXISTS (SELECT FROM webhook_queue r WHERE r.replay_of = q.id)
		              AND NOT EXISTS (SELECT FROM webhook_archive r WHERE r.replay_of = q.id)
		            GROUP BY topic ORDER BY n DESC LIMIT 20) u),
		       (SELECT coalesce(jsonb_object_agg(topic, n), '{}') FROM (
		            SELECT topic, count(*) AS n FROM refused
		            WHERE lately AND signed AND channel = $2 AND topic <> ''
		              AND topic NOT IN (SELECT topic FROM accepted WHERE accepted.signed)
		            GROUP BY topic HAVING count(*) >= $3) t),
		       (SELECT coalesce(sum(events), 0) FROM accepted WHERE signed AND lately)
		         + (SELECT count(*) FROM refused WHERE lately AND signed AND channel = $2),
		       (SELECT coalesce(sum(events), 0) FROM accepted WHERE NOT signed AND lately)
		         + (SELECT count(*) FROM refused WHERE lately AND channel = $4),
		       (SELECT coalesce(sum(events), 0) FROM accepted WHERE NOT signed AND NOT lately)
		         + (SELECT count(*) FROM refused WHERE NOT lately AND channel = $4)`,
		unhandledLooked, ChannelWebhooks, neverVerified, ChannelIPN, s.providers).
		Scan(&a.Unhandled, &a.Unverified, &a.Webhooks, &a.IPN, &a.IPNBefore)
	if err != nil || len(a.Unverified) == 0 && (a.Webhooks > 0 || a.IPN == 0) {
		return err
	}
	// What came since the roll-up, or before the first one.
	rows, _ := tx.Query(ctx, `
		SELECT topic, max(received_at) FROM (SELECT source, topic, received_at, signed, origin FROM webhook_queue ORDER BY id DESC LIMIT $1) newest
		WHERE signed AND origin = $2 AND `+ofProviders("$3")+` GROUP BY topic`, newestLooked, OriginWebhook, s.providers)
	var topic string
	var at time.Time
	_, err = pgx.ForEachRow(rows, []any{&topic, &at}, func() error {
		delete(a.Unverified, topic)
		if a.Webhooks == 0 && at.After(g.At.Add(-24*time.Hour)) {
			a.Webhooks = 1
		}
		return nil
	})
	return err
}

// countAccepted counts webhooks that were accepted in [from, until) into the hours.
// What it counts is added, so each time is counted once: under the roll-up's lock,
// and with its progress.
func countAccepted(ctx context.Context, tx pgx.Tx, from, until time.Time) error {
	return execute(ctx, tx, `
		INSERT INTO webhook_accepted_hours (began_at, source, signed, topic, events)
		SELECT date_bin('1 hour', received_at, 'epoch'), source, signed, CASE WHEN signed THEN left(topic, 64) ELSE '' END, count(*)
		FROM (SELECT received_at, source, signed, topic FROM webhook_queue WHERE received_at >= $1 AND received_at < $2 AND origin = $3
		      UNION ALL
		      SELECT received_at, source, signed, topic FROM webhook_archive WHERE received_at >= $1 AND received_at < $2 AND origin = $3) e
		GROUP BY 1, 2, 3, 4
		ON CONFLICT (began_at, source, signed, topic) DO UPDATE SET events = webhook_accepted_hours.events + excluded.events`,
		from, until, OriginWebhook)
}
