package store_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/conciliar/conciliar/store"
	"github.com/conciliar/conciliar/store/storetest/fixture"
)

func TestMachine_KnowsWhetherAnybodyWorks(t *testing.T) {
	t.Parallel()
	b := setup(t)
	m := b.signals(t).Machine
	require.True(t, m.NoWorker)
	require.Nil(t, m.WorkedAt)
	require.Empty(t, m.Paused)
	require.Nil(t, m.CountedUntil)

	b.exec(t, `INSERT INTO processes (id, host, role, version, pool_max, pool_in_use, seen_at) VALUES
		('a', 'h', 'api', 'v', 1, 1, now()), ('w', 'h', 'worker', 'v', 1, 1, now() - interval '2 minutes')`)
	m = b.signals(t).Machine
	require.True(t, m.NoWorker, "one that receives works nothing, and the other is gone")
	require.WithinDuration(t, time.Now().Add(-2*time.Minute), *m.WorkedAt, time.Minute)
	b.exec(t, `UPDATE alert_evaluation SET evaluated_at = now() - interval '1 minute'`)
	require.WithinDuration(t, time.Now().Add(-time.Minute), *b.signals(t).Machine.WorkedAt, 30*time.Second)

	fixture.Worker(t, b.pool)
	require.False(t, b.signals(t).Machine.NoWorker)
	_, err := b.RollUp(t.Context(), time.Hour)
	require.NoError(t, err)
	require.NotNil(t, b.signals(t).Machine.CountedUntil)
}

func TestMachine_KnowsWhoPausedAQueue(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.exec(t, `INSERT INTO river_queue (name, paused_at, updated_at) VALUES
		('webhooks', '2026-03-01 12:00Z', now()), ('operations', now(), now()), ('deliveries_a', NULL, now())`)
	b.exec(t, `INSERT INTO operator_actions (actor, action, target_kind, note, count) VALUES
		('before', 'pause_queue', 'job_queue', 'webhooks', 1), ('ana', 'pause_queue', 'job_queue', 'webhooks', 1),
		('eva', 'resume_queue', 'job_queue', 'webhooks', 1)`)

	paused := b.signals(t).Machine.Paused

	require.Len(t, paused, 2)
	require.Equal(t, store.PausedQueue{Since: time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC), By: "ana"}, paused["webhooks"])
	require.Empty(t, paused["operations"].By, "nobody whom the audit trail names")
}

// refuseSigned are refusals of webhooks about a topic that came with a signature.
func (b *bundle) refuseSigned(t *testing.T, topic string, n int, ago time.Duration) {
	t.Helper()
	b.exec(t, `INSERT INTO webhook_refused (source, reason, method, x_signature, topic, channel, refused_at)
		SELECT 'mercadopago', 'signature_mismatch', 'POST', 'ts=1,v1=00', $2, 'webhooks', now() - make_interval(secs => $3) FROM generate_series(1, $1)`,
		n, topic, ago.Seconds())
}

func TestIntake_ARefusalCountsUntilOneIsAccepted(t *testing.T) {
	t.Parallel()
	b := setup(t)
	in := b.signals(t).Intake
	require.True(t, in.NeverAccepted)
	require.False(t, in.FoundByRuns)
	require.Nil(t, in.AcceptedAt)
	require.Zero(t, in.Refused)

	b.refuseSigned(t, "payment", 2, time.Minute)
	b.refuseSigned(t, "", 1, 2*time.Minute)
	b.refuseSigned(t, "payment", 5, 73*time.Hour)
	in = b.signals(t).Intake
	require.EqualValues(t, 3, in.Refused, "of whatever topic, where none is ever accepted")
	require.WithinDuration(t, time.Now().Add(-2*time.Minute), *in.RefusedSince, 30*time.Second)

	b.arrive(t, "webhook_queue", 1, 90*time.Second, "payment", true)
	in = b.signals(t).Intake
	require.EqualValues(t, 2, in.Refused, "those since then")
	require.False(t, in.NeverAccepted)
	require.NotNil(t, in.AcceptedAt)
	b.refuseSigned(t, "order", 4, 0)
	require.EqualValues(t, 2, b.signals(t).Intake.Refused, "a topic that never verifies is another matter")
	b.arrive(t, "webhook_queue", 1, 0, "payment", true)
	require.Zero(t, b.signals(t).Intake.Refused)
}

func TestIntake_PaymentsWithoutAnyWebhookAreNoticed(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.exec(t, `INSERT INTO webhook_reconciliation_logs (trigger, status, missing_found, finished_at) VALUES ('schedule', 'succeeded', 2, now())`)
	require.True(t, b.signals(t).Intake.FoundByRuns)
	b.arrive(t, "webhook_queue", 1, 0, "payment", true)
	require.False(t, b.signals(t).Intake.FoundByRuns)
}

// What failed again after a replay is what it was, and what was dismissed is over.
func TestDecisions_ADeathCountsOnceAndWhileItIsOpen(t *testing.T) {
	t.Parallel()
	b := setup(t)
	var letters []int64
	for n, class := range []string{"forbidden: no", "forbidden: no", "timeout: late"} {
		queueID := b.accept(t, signed(n, "1"))
		fixture.Die(t, b.pool, queueID, 7, class)
		letters = append(letters, int64(b.count(t, `SELECT id FROM webhook_dead_letter WHERE queue_id = $1`, queueID)))
	}
	require.Equal(t, map[string]int64{"forbidden": 2, "timeout": 1}, b.signals(t).Decisions.Deaths1h)
	b.exec(t, `UPDATE webhook_dead_letter SET created_at = now() - interval '50 minutes' WHERE id = $1`, letters[0])

	replay, err := b.ReplayDeadLetter(t.Context(), letters[0], ana)
	require.NoError(t, err)
	require.EqualValues(t, 2, b.signals(t).Decisions.Total())
	fixture.Die(t, b.pool, replay.QueueID, 7, "forbidden: no")
	d := b.signals(t).Decisions
	require.EqualValues(t, 3, d.Total(), "it is open again, once")
	require.WithinDuration(t, time.Now().Add(-50*time.Minute), *d.OldestAt, time.Minute, "since it died first")

	b.exec(t, `UPDATE webhook_dead_letter SET created_at = now() - interval '2 hours' WHERE id = $1`, letters[0])
	require.EqualValues(t, 2, b.signals(t).Decisions.Total(), "a replay makes no new death of it")
	b.exec(t, `UPDATE webhook_dead_letter SET state = 'dismissed'`)
	d = b.signals(t).Decisions
	require.Zero(t, d.Total())
	require.Nil(t, d.OldestAt)
	b.exec(t, `INSERT INTO anomalies (kind, payment_id, source, opened_at) VALUES ('no_reference', '1', 'mercadopago', now() - interval '2 days'), ('underpaid', '2', 'mercadopago', now())`)
	require.WithinDuration(t, time.Now(), *b.signals(t).Decisions.OldestAt, time.Minute, "what informs waits for nobody")
}
