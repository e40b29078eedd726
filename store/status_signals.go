package store

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/conciliar/conciliar/store/order"
)

// Signals are what conditions are judged by beside the counts of the status.
type Signals struct {
	// At is the moment of the snapshot, by PostgreSQL's clock.
	At time.Time
	// ReceivedSince tells whether a webhook came since the newest full hour that
	// was rolled up. Only when none did is ReceivedHours read: how many came in
	// that hour and in those before it, the newest first.
	ReceivedSince bool
	ReceivedHours []int64
	// RefusedLately counts deliveries of the last 15 minutes that came with a
	// signature and were refused, RefusedBefore those of the day before that.
	RefusedLately, RefusedBefore int64
	// AcceptedLately counts webhooks accepted in the same 15 minutes, as far as
	// RefusedLately.
	AcceptedLately int64
	// UnknownOrdersFresh counts open anomalies about an unknown order that are
	// younger than five minutes: the order often follows its payment.
	UnknownOrdersFresh int64
	// ReleasesHeld counts open anomalies about money that is not released for a reason
	// that is known: a dispute or a block.
	ReleasesHeld int64
	// Unseen counts the payments that the provider's search did not show in the
	// last seven days and has not shown since, at least, by why. UnseenSince is
	// when the earliest of them changed that are more than counted; nil when there
	// are none.
	Unseen      map[string]int64
	UnseenSince *time.Time
	// RefundsOpen counts refunds by their state that were asked for long ago and have not
	// ended, and RefundsOpenSince is when the oldest was.
	RefundsOpen      map[string]int64
	RefundsOpenSince *time.Time
	// Reports are the accounts whose money reports are read.
	Reports []ReportState
	// OddPayments counts payments that could not be booked, were not booked since,
	// and whose dead letters are open.
	OddPayments int64
	// FraudAlerts are the newest payments of open fraud alerts, and Chargebacks those
	// for which documents are to be sent, the next deadline first.
	FraudAlerts []FraudAlert
	Chargebacks []ChargebackDue
	// Arrivals says what came in the last day and what of it can be relied on.
	Arrivals Arrivals24h
	// ProvisionalPayments counts payments that must be there and that only an order of
	// the provider's has shown.
	ProvisionalPayments int64
	// OpenPayouts counts payouts that are not explained.
	OpenPayouts int64
	// FilesRejected are why configuration files are not in use as they are now, by the
	// variables that name them, and FilesDiffer how many contents of one living
	// processes use where it is more than one.
	FilesRejected map[string]string
	FilesDiffer   map[string]int64
	// PoolWait is the longest that callers of one living process waited for a
	// database connection, on average; PoolGaveUp the most of one process that
	// got none.
	PoolWait   time.Duration
	PoolGaveUp int64
	// AccountUnknown counts living processes that do not know which account is ours:
	// they take no payment for another account's.
	AccountUnknown int64
	// NotAccepted counts the webhooks that living processes could not make durable in
	// the last seconds; NotAccepting is true where this process's last try failed.
	NotAccepted  int64
	NotAccepting bool
	// UndeliveredSince is when the oldest message about alerts was made that
	// should have arrived by now; nil when all did, or a later one did.
	UndeliveredSince *time.Time
	// FailedLogins counts tries to log in with a wrong password in the last hour.
	FailedLogins int64
	// TimesAhead are stored times that are ahead of PostgreSQL's clock.
	TimesAhead []TimeAhead
	// EvaluatedAt is when alerts were evaluated last; nil for never.
	EvaluatedAt *time.Time
	// Machine says what works, Intake what becomes of deliveries, and Decisions what
	// waits for a person.
	Machine   Machine
	Intake    Intake
	Decisions Decisions
}

const (
	// rhythmHours is how far back the hours are read: four weeks, and the day
	// before them.
	rhythmHours = 29 * 24
	// newestLooked is how many of the newest events are looked at for a webhook.
	newestLooked = 10_000
)

func (s *Store) readSignals(ctx context.Context, tx pgx.Tx, st *Status) error {
	g := &st.Signals
	g.NotAccepting = s.acceptance.broken()
	var wait int64
	err := tx.QueryRow(ctx, `
		SELECT now(),
		       (SELECT count(*) FROM webhook_refused WHERE x_signature <> '' AND refused_at > now() - interval '15 minutes'),
		       (SELECT count(*) FROM webhook_refused WHERE x_signature <> '' AND refused_at <= now() - interval '15 minutes'
		               AND refused_at > now() - interval '24 hours 15 minutes'),
		       (SELECT count(*) FROM anomalies WHERE closed_at IS NULL AND kind = $1 AND opened_at > now() - interval '5 minutes'),
		       (SELECT count(*) FROM anomalies WHERE closed_at IS NULL AND kind = $4 AND detail ? 'reason'),
		       (SELECT coalesce(jsonb_object_agg(reason, payments), '{}') FROM (
		               SELECT reason, sum(payments) AS payments FROM webhook_reconciliation_unseen
		               WHERE seen_at IS NULL AND found_at > now() - $2::interval GROUP BY reason) u),
		       (SELECT min(begin_at) FROM webhook_reconciliation_unseen
		        WHERE seen_at IS NULL AND found_at > now() - $2::interval AND reason <> $3),
		       (SELECT coalesce(max(pool_wait_ms), 0) FROM processes WHERE seen_at > now() - interval '1 minute'),
		       (SELECT coalesce(max(pool_gave_up), 0) FROM processes WHERE seen_at > now() - interval '1 minute'),
		       (SELECT count(*) FROM processes WHERE NOT account_known AND seen_at > now() - interval '1 minute'),
		       (SELECT coalesce(sum(not_accepted), 0) FROM processes WHERE seen_at > now() - interval '1 minute'),
		       (SELECT min(created_at) FROM alert_messages
		        WHERE delivered_at IS NULL AND created_at < now() - interval '10 minutes' AND created_at > now() - interval '24 hours'
		          AND id > (SELECT coalesce(max(id), 0) FROM alert_messages WHERE delivered_at IS NOT NULL)),
		       (SELECT evaluated_at FROM alert_evaluation),
		       (SELECT count(DISTINCT (o.source, o.payment_id)) FROM `+openOddPayments(`d.state = 'open'`)+`),
		       (SELECT count(*) FROM operator_actions WHERE action = '`+ActionLoginFailed+`' AND acted_at > now() - interval '1 hour'),
		       (SELECT count(*) FROM payment_aliases WHERE payment_id IS NULL AND awaited),
		       (SELECT count(*) FROM payouts WHERE state = 'open')`, string(order.AnomalyUnknownOrder), unseenFor, UnseenCounted,
		string(order.AnomalyNotReleased)).
		Scan(&g.At, &g.RefusedLately, &g.RefusedBefore, &g.UnknownOrdersFresh, &g.ReleasesHeld, &g.Unseen, &g.UnseenSince, &wait, &g.PoolGaveUp, &g.AccountUnknown, &g.NotAccepted, &g.UndeliveredSince, &g.EvaluatedAt, &g.OddPayments, &g.FailedLogins, &g.ProvisionalPayments, &g.OpenPayouts)
	if err != nil {
		return err
	}
	if g.TimesAhead, err = readTimesAhead(ctx, tx); err != nil {
		return err
	}
	g.PoolWait = time.Duration(wait) * time.Millisecond
	toUTC(&g.At, g.UnseenSince, g.UndeliveredSince, g.EvaluatedAt)
	err = tx.QueryRow(ctx, `
		WITH alive AS (SELECT f.name, f.digest, f.problem FROM process_files f JOIN processes p ON p.id = f.process_id
		               WHERE p.seen_at > now() - interval '1 minute')
		SELECT coalesce((SELECT jsonb_object_agg(name, problem) FROM (
		           SELECT name, max(problem) AS problem FROM alive WHERE problem <> '' GROUP BY name) r), '{}'),
		       coalesce((SELECT jsonb_object_agg(name, contents) FROM (
		           SELECT name, count(DISTINCT digest) AS contents FROM alive GROUP BY name HAVING count(DISTINCT digest) > 1) d), '{}')`).
		Scan(&g.FilesRejected, &g.FilesDiffer)
	if err != nil {
		return err
	}
	if g.RefusedLately > 0 {
		err = tx.QueryRow(ctx, `
			SELECT count(*) FROM (SELECT FROM webhook_queue
				WHERE received_at > now() - interval '15 minutes' AND origin = 'webhook' LIMIT $1) accepted`, g.RefusedLately).Scan(&g.AcceptedLately)
		if err != nil {
			return err
		}
	}
	for _, read := range []func(context.Context, pgx.Tx, *Signals) error{
		readMachine, s.readIntake, readDecisions, readWarnings, s.readArrivals, s.readRhythm,
	} {
		if err := read(ctx, tx, g); err != nil {
			return err
		}
	}
	return nil
}

// readRhythm reads whether a webhook came lately and, when none did, the hours
// before.
func (s *Store) readRhythm(ctx context.Context, tx pgx.Tx, g *Signals) error {
	at, err := readCovered(ctx, tx)
	if err != nil {
		return err
	}
	end := at.until.Truncate(time.Hour)
	// The newest events by their ids: a webhook that came lately is among them,
	// whatever the planner thinks of times.
	err = tx.QueryRow(ctx, `
		SELECT EXISTS (SELECT FROM (SELECT source, origin, received_at FROM webhook_queue ORDER BY id DESC LIMIT $2) q
		               WHERE origin = 'webhook' AND received_at >= $1 AND `+ofProviders("$3")+`)
		    OR EXISTS (SELECT FROM (SELECT source, origin, received_at FROM webhook_archive ORDER BY id DESC LIMIT $2) q
		               WHERE origin = 'webhook' AND received_at >= $1 AND `+ofProviders("$3")+`)`, end, newestLooked, s.providers).Scan(&g.ReceivedSince)
	if err != nil || g.ReceivedSince {
		return err
	}
	begin := later(end.Add(-rhythmHours*time.Hour), at.from.Add(time.Hour-1).Truncate(time.Hour))
	if !begin.Before(end) {
		return nil
	}
	rows, _ := tx.Query(ctx, `
		SELECT began_at, sum(events)::bigint FROM webhook_activity_hours
		WHERE began_at >= $1 AND began_at < $2 AND outcome = '' AND origin = 'webhook' GROUP BY began_at`, begin, end)
	g.ReceivedHours = make([]int64, int(end.Sub(begin)/time.Hour))
	var began time.Time
	var webhooks int64
	_, err = pgx.ForEachRow(rows, []any{&began, &webhooks}, func() error {
		g.ReceivedHours[int(end.Sub(began)/time.Hour)-1] = webhooks
		return nil
	})
	return err
}
