package store_test

import (
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/conciliar/conciliar/store"
	"github.com/conciliar/conciliar/store/order"
	"github.com/conciliar/conciliar/store/storetest"
)

var restorer = store.Actor{Name: "cli:ana"}

// nextIDs are the ids that each sequence of the schema gives next.
func nextIDs(t *testing.T, b *bundle) map[string]int64 {
	t.Helper()
	rows, err := b.pool.Query(t.Context(), `SELECT sequencename::text, nextval(format('%I.%I', schemaname, sequencename)::regclass) FROM pg_sequences
		WHERE schemaname = current_schema() AND sequencename <> 'conciliar_migrations_id_seq'`)
	require.NoError(t, err)
	next := map[string]int64{}
	var name string
	var id int64
	_, err = pgx.ForEachRow(rows, []any{&name, &id}, func() error { next[name] = id; return nil })
	require.NoError(t, err)
	return next
}

func feedEpoch(t *testing.T, b *bundle) (epoch string) {
	t.Helper()
	require.NoError(t, b.pool.QueryRow(t.Context(), `SELECT epoch FROM order_feed`).Scan(&epoch))
	return epoch
}

// A backup is taken, ids are handed out and told to callers, and the backup is
// restored.
func TestRestored_NoIDComesTwice(t *testing.T) {
	t.Parallel()
	address := storetest.URL(t)
	work := func(b *bundle, from int) {
		in := b.inbox(t, store.InboxOptions{})
		b.register(t, "A-"+string(rune('0'+from)), "100", "ARS")
		for i := from; i < from+5; i++ {
			b.apply(t, in, i, fetched("7"+string(rune('0'+i)), "A-"+string(rune('0'+from)), order.PaymentApproved, "100", 1))
		}
		in.Close()
	}
	before := storetest.Open(t, address)
	work(onPool(t, before), 0)
	before.Close()
	backup := storetest.Copy(t, address)
	went := onPool(t, storetest.Open(t, address))
	work(went, 5)
	handedOut := nextIDs(t, went)
	require.Contains(t, handedOut, "river_job_id_seq")
	require.Contains(t, handedOut, "order_events_id_seq")

	restored := onPool(t, storetest.Open(t, backup))
	epoch := feedEpoch(t, restored)
	done, err := restored.Restored(t.Context(), restorer, "conciliar")
	require.NoError(t, err)

	require.Len(t, done.Sequences, len(handedOut))
	for name, id := range nextIDs(t, restored) {
		require.Greater(t, id, handedOut[name], name)
	}
	require.NotEqual(t, epoch, feedEpoch(t, restored))
	require.Equal(t, 1, restored.count(t, `SELECT count(*) FROM operator_actions WHERE action = 'restored' AND target_kind = 'database' AND actor = 'cli:ana'`))
	work(restored, 5)
	report, err := restored.Verify(t.Context(), verifyOptions)
	require.NoError(t, err)
	require.Empty(t, report.Violations)
}

func TestRestored_MovesByAsManyIDsAsEverWere(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.exec(t, `SELECT setval('webhook_queue_id_seq', 5000000)`)
	done, err := b.Restored(t.Context(), restorer, "conciliar")
	require.NoError(t, err)
	require.Contains(t, done.Sequences, store.MovedSequence{Table: "webhook_queue", Stored: 5_000_000, Next: 10_000_000})
	require.Contains(t, done.Sequences, store.MovedSequence{Table: "anomalies", Stored: 1, Next: 1_000_001})
}

func TestRestored_RefusesWhileAProcessLives(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ sign, gone, says string }{
		"by its own word": {
			`INSERT INTO processes (id, host, role, version, pool_max, pool_in_use) VALUES ('a', 'host-1', 'api', 'v1', 10, 1)`,
			`UPDATE processes SET seen_at = now() - interval '2 minutes'`, "a (api) on host-1",
		},
		"by River's": {
			`INSERT INTO river_leader (name, leader_id, elected_at, expires_at) VALUES ('default', 'conciliar1_A', now(), now() + interval '10 seconds')`,
			`UPDATE river_leader SET elected_at = now() - interval '1 minute', expires_at = now() - interval '10 seconds'`, "River's leader conciliar1_A",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			b.exec(t, c.sign)
			before := b.count(t, `SELECT last_value FROM webhook_queue_id_seq`)
			_, err := b.Restored(t.Context(), restorer, "conciliar")
			var lives *store.LiveProcessesError
			require.ErrorAs(t, err, &lives)
			require.Equal(t, []string{c.says}, lives.Signs)
			require.Equal(t, before, b.count(t, `SELECT last_value FROM webhook_queue_id_seq`))
			b.exec(t, c.gone)
			_, err = b.Restored(t.Context(), restorer, "conciliar")
			require.NoError(t, err)
		})
	}
	t.Run("by its sessions", func(t *testing.T) {
		t.Parallel()
		address := storetest.URL(t)
		b := onPool(t, storetest.Open(t, address))
		config, err := pgx.ParseConfig(address)
		require.NoError(t, err)
		config.RuntimeParams["application_name"] = "conciliar"
		conn, err := pgx.ConnectConfig(t.Context(), config)
		require.NoError(t, err)
		_, err = b.Restored(t.Context(), restorer, "conciliar")
		require.ErrorContains(t, err, "1 sessions named conciliar")
		require.NoError(t, conn.Close(t.Context()))
		require.Eventually(t, func() bool {
			_, err = b.Restored(t.Context(), restorer, "conciliar")
			return err == nil
		}, 30*time.Second, 20*time.Millisecond)
	})
}

// What a restore of some tables left of the lists of events is mended.
func TestRestored_ListsTheEventsAnew(t *testing.T) {
	t.Parallel()
	l := newVerifyFixture(t)
	l.exec(t, `DELETE FROM webhook_open WHERE queue_id = $1`, l.pending)
	l.exec(t, `INSERT INTO webhook_open VALUES ($1), (1000000)`, l.settled)
	l.exec(t, `UPDATE webhook_completed SET outcome = 'unchanged', completed_at = completed_at - interval '1 hour' WHERE queue_id = $1`, l.covered)
	l.exec(t, `DELETE FROM webhook_completed WHERE queue_id = $1`, l.settled)
	report, err := l.Verify(t.Context(), verifyOptions)
	require.NoError(t, err)
	require.Len(t, report.Violations, 1)
	require.Equal(t, "event_listed", report.Violations[0].Invariant)

	_, err = l.Restored(t.Context(), restorer, "conciliar-restored-test")
	require.NoError(t, err)

	report, err = l.Verify(t.Context(), verifyOptions)
	require.NoError(t, err)
	require.Empty(t, report.Violations)
}
