package store

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/conciliar/conciliar/store/order"
)

// Machine says which parts of the service do their work.
type Machine struct {
	// Workers counts the living processes that work jobs; NoWorker is true where there is
	// none.
	Workers  int64
	NoWorker bool
	// WorkedAt is when one was last known to; nil when nothing says.
	WorkedAt *time.Time
	// Paused are River's queues that are paused, by name.
	Paused map[string]PausedQueue
	// CountedUntil is up to when events are counted into minutes; nil before the first
	// time.
	CountedUntil *time.Time
}

// A PausedQueue is one of River's queues that nothing is taken from.
type PausedQueue struct {
	Since time.Time `json:"since"`
	// By is who paused it; empty where the audit trail has nothing of it.
	By string `json:"by"`
}

// Intake says what became of the deliveries of our providers.
type Intake struct {
	// AcceptedAt is when the newest webhook came that was accepted; nil when none is
	// known.
	AcceptedAt *time.Time
	// NeverAccepted is true where none ever was.
	NeverAccepted bool
	// FoundByRuns is true where none ever was, although reconciliations found payments
	// that one should have told of.
	FoundByRuns bool
	// Refused counts the deliveries with a signature that were refused since the last
	// one whose signature held, of topics of which any ever does; RefusedSince is when
	// the first of them came.
	Refused      int64
	RefusedSince *time.Time
}

// Decisions are what waits for a person.
type Decisions struct {
	// Deaths1h counts events that became dead letters in the last hour and are open
	// still, by class of error. A replay that failed again is the event it replays.
	Deaths1h map[string]int64
	// OldestAt is when the oldest open dead letter or anomaly of those that must be
	// looked at began; nil when there is none.
	OldestAt *time.Time
}

// Total adds the deaths up.
func (d Decisions) Total() (n int64) {
	for _, deaths := range d.Deaths1h {
		n += deaths
	}
	return n
}

// refusedJudged is how far back refusals are judged: a provider delivers for about as
// long what is refused.
const refusedJudged = 72 * time.Hour

// readMachine reads which processes and queues work, and how far the roll-up came.
func readMachine(ctx context.Context, tx pgx.Tx, g *Signals) error {
	m := &g.Machine
	m.Paused = map[string]PausedQueue{}
	var until time.Time
	err := tx.QueryRow(ctx, `
		SELECT (SELECT count(*) FROM processes WHERE role <> $1 AND seen_at > now() - interval '1 minute'),
		       greatest((SELECT max(seen_at) FROM processes WHERE role <> $1 AND seen_at <= now()),
		                (SELECT evaluated_at FROM alert_evaluation)),
		       coalesce((SELECT covered_until FROM webhook_rollup), 'epoch')`, RoleAPI).Scan(&m.Workers, &m.WorkedAt, &until)
	if err != nil {
		return err
	}
	m.NoWorker = m.Workers == 0
	if until.Unix() > 0 {
		m.CountedUntil = &until
	}
	toUTC(m.WorkedAt, m.CountedUntil)
	rows, _ := tx.Query(ctx, `
		SELECT q.name, q.paused_at, coalesce((
		           SELECT a.actor FROM operator_actions a
		           WHERE a.target_kind = $1 AND a.action = $2 AND a.note IN (q.name, '*') ORDER BY a.id DESC LIMIT 1), '')
		FROM river_queue q WHERE q.paused_at IS NOT NULL`, TargetJobQueue, ActionPauseQueue)
	var name string
	var paused PausedQueue
	_, err = pgx.ForEachRow(rows, []any{&name, &paused.Since, &paused.By}, func() error {
		paused.Since = paused.Since.UTC()
		m.Paused[name] = paused
		return nil
	})
	return err
}

// readIntake reads when a webhook was last accepted, and what was refused since.
func (s *Store) readIntake(ctx context.Context, tx pgx.Tx, g *Signals) error {
	in := &g.Intake
	// The newest by their ids: webhooks are among them wherever some come.
	newest := func(table, also string) string {
		return `(SELECT received_at FROM (SELECT id, source, origin, signed, received_at FROM ` + table + ` ORDER BY id DESC LIMIT $2) q
			WHERE origin = $3 AND ` + ofProviders("$1") + also + ` ORDER BY id DESC LIMIT 1)`
	}
	err := tx.QueryRow(ctx, `SELECT greatest(`+newest("webhook_queue", "")+`, `+newest("webhook_archive", "")+`)`,
		s.providers, newestLooked, OriginWebhook).Scan(&in.AcceptedAt)
	if err != nil {
		return err
	}
	toUTC(in.AcceptedAt)
	if in.AcceptedAt == nil {
		err = tx.QueryRow(ctx, `
			SELECT NOT EXISTS (SELECT FROM webhook_accepted_hours WHERE `+ofProviders("$1")+`),
			       EXISTS (SELECT FROM webhook_reconciliation_logs WHERE missing_found > 0)`, s.providers).Scan(&in.NeverAccepted, &in.FoundByRuns)
		if err != nil {
			return err
		}
		in.FoundByRuns = in.FoundByRuns && in.NeverAccepted
	}
	var signed int64
	err = tx.QueryRow(ctx, `
		SELECT count(*) FROM webhook_refused WHERE x_signature <> '' AND refused_at > now() - $2::interval AND `+ofProviders("$1"),
		s.providers, refusedJudged).Scan(&signed)
	if err != nil || signed == 0 {
		return err
	}
	// A topic of which no signature ever holds is a fault of its sender's, and of no
	// interest here as long as those of other topics hold.
	err = tx.QueryRow(ctx, `
		WITH held AS (
			SELECT topic, max(received_at) AS at FROM (
				(SELECT id, source, origin, signed, topic, received_at FROM webhook_queue ORDER BY id DESC LIMIT $2)
				UNION ALL
				(SELECT id, source, origin, signed, topic, received_at FROM webhook_archive ORDER BY id DESC LIMIT $2)) e
			WHERE signed AND origin = $3 AND `+ofProviders("$1")+` GROUP BY topic
		), verified AS (
			SELECT topic FROM held
			UNION SELECT topic FROM webhook_accepted_hours WHERE signed AND `+ofProviders("$1")+`
		)
		SELECT count(*), min(refused_at) FROM webhook_refused
		WHERE x_signature <> '' AND refused_at > now() - $4::interval AND `+ofProviders("$1")+`
		  AND refused_at > coalesce((SELECT max(at) FROM held), '-infinity')
		  AND (topic IN (SELECT topic FROM verified) OR NOT EXISTS (SELECT FROM verified))`,
		s.providers, newestLooked, OriginWebhook, refusedJudged).Scan(&in.Refused, &in.RefusedSince)
	toUTC(in.RefusedSince)
	return err
}

// readDecisions reads what waits for a person, and since when.
func readDecisions(ctx context.Context, tx pgx.Tx, g *Signals) error {
	d := &g.Decisions
	err := tx.QueryRow(ctx, `
		WITH RECURSIVE line AS (
			SELECT d.id, d.error_class, q.id AS root, q.replay_of, d.created_at AS died_at
			FROM webhook_dead_letter d JOIN webhook_queue q ON q.id = d.queue_id
			WHERE d.state = 'open' AND d.died_at > now() - interval '1 hour'
			UNION ALL
			SELECT l.id, l.error_class, q.id, q.replay_of, d.created_at
			FROM line l JOIN webhook_queue q ON q.id = l.replay_of JOIN webhook_dead_letter d ON d.queue_id = q.id
		), first AS (
			SELECT id, min(error_class) AS class, min(root) AS root, min(died_at) AS died_at FROM line GROUP BY id
		)
		SELECT (SELECT coalesce(jsonb_object_agg(class, n), '{}') FROM (
		            SELECT class, count(DISTINCT root) AS n FROM first WHERE died_at > now() - interval '1 hour' GROUP BY class) by_class),
		       least((SELECT min(least(d.created_at, before.created_at))
		              FROM webhook_dead_letter d JOIN webhook_queue q ON q.id = d.queue_id
		              LEFT JOIN webhook_dead_letter before ON before.queue_id = q.replay_of
		              WHERE d.state = 'open'),
		             (SELECT min(opened_at) FROM anomalies WHERE closed_at IS NULL AND kind <> ALL ($1)))`,
		[]order.AnomalyKind{order.AnomalyNoReference, order.AnomalyWrongMode}).
		Scan(&d.Deaths1h, &d.OldestAt)
	toUTC(d.OldestAt)
	return err
}
