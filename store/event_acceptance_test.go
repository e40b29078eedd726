package store_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/conciliar/conciliar/store"
)

func TestTryAccept_LeavesNothing(t *testing.T) {
	t.Parallel()
	b := setup(t)
	require.NoError(t, b.TryAccept(t.Context()))
	require.Zero(t, b.count(t, `SELECT (SELECT count(*) FROM webhook_queue) + (SELECT count(*) FROM river_job)`))
}

// What keeps a webhook from becoming durable keeps the process from being ready, and
// no longer than that.
func TestReady_IsWhatAWebhookWouldBeAnswered(t *testing.T) {
	t.Parallel()
	lock := func(table string) func(t *testing.T, b *bundle) (end func()) {
		return func(t *testing.T, b *bundle) func() {
			t.Helper()
			tx, err := b.pool.Begin(t.Context())
			require.NoError(t, err)
			_, err = tx.Exec(t.Context(), `LOCK `+table)
			require.NoError(t, err)
			return func() { require.NoError(t, tx.Rollback(t.Context())) }
		}
	}
	for name, breaks := range map[string]func(t *testing.T, b *bundle) (end func()){
		"a locked queue": lock("webhook_queue"),
		"locked jobs":    lock("river_job"),
		"a full disk": func(t *testing.T, b *bundle) func() {
			t.Helper()
			b.exec(t, `CREATE FUNCTION full_disk() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'x' USING ERRCODE = '53100'; END $$`)
			b.exec(t, `CREATE TRIGGER full_disk BEFORE INSERT ON river_job FOR EACH ROW EXECUTE FUNCTION full_disk()`)
			return func() { b.exec(t, `DROP TRIGGER full_disk ON river_job`) }
		},
		"no writes": func(t *testing.T, b *bundle) func() {
			t.Helper()
			b.exec(t, `DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET default_transaction_read_only = on', current_database()); END $$`)
			b.pool.Reset()
			return func() {
				b.behindTheScenes(t, `DO $$ BEGIN EXECUTE format('ALTER DATABASE %I RESET default_transaction_read_only', current_database()); END $$`)
				b.pool.Reset()
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			in := b.inbox(t, store.InboxOptions{})
			end := breaks(t, b)

			require.Error(t, in.Ready(t.Context()))
			end()
			require.True(t, b.signals(t).NotAccepting, "the status says so, too")
			require.NoError(t, b.TryAccept(t.Context()))
			b.accept(t, signed(1, "1"))
			require.False(t, b.signals(t).NotAccepting)
		})
	}
}
