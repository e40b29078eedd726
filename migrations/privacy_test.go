package migrations_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/conciliar/conciliar/migrations"
)

// Whoever follows the payments that changed must not see all that are emptied.
func TestPrivacy_AnEmptiedPaymentDidNotChange(t *testing.T) {
	t.Parallel()
	pool := empty(t)
	require.NoError(t, migrations.Up(t.Context(), pool, silent))
	for change, touches := range map[string]bool{
		`raw = ''`:                               false,
		`raw = '', fetched_at = now()`:           true,
		`raw = '\x7b7d'`:                         true,
		`status = 'refunded'`:                    true,
		`raw = '\x7b', status = 'refunded'`:      true,
		`collector_id = '2', fold_version = 2`:   true,
		`date_last_updated = '2026-01-03'::date`: true,
		`payer_email_hash = ''`:                  false,
		`payer_email_hash = '', fetched_at = now(), status = 'refunded'`: true,
	} {
		exec(t, pool, `DELETE FROM payments`)
		exec(t, pool, `INSERT INTO payments (source, payment_id, status, amount, currency, live_mode, date_last_updated, fetched_at, raw, updated_at)
			VALUES ('mercadopago', '77', 'approved', 150, 'ARS', true, '2026-01-02', '2026-01-02', '\x7b7d', '2026-01-02')`)
		exec(t, pool, `UPDATE payments SET `+change)
		require.Equal(t, touches, scan[bool](t, pool, `SELECT updated_at > '2026-01-02' FROM payments`), change)
		exec(t, pool, `UPDATE payments SET updated_at = '2026-01-02', raw = ''`)
		exec(t, pool, `UPDATE payments SET status = 'approved'`)
		require.True(t, scan[bool](t, pool, `SELECT updated_at > '2026-01-02' FROM payments`), "an emptied one, after "+change)
	}
}

func TestPrivacy_EachDatabaseHasAKeyOfItsOwn(t *testing.T) {
	t.Parallel()
	var keys []string
	for range 2 {
		pool := empty(t)
		require.NoError(t, migrations.Up(t.Context(), pool, silent))
		keys = append(keys, scan[string](t, pool, `SELECT encode(key, 'hex') FROM forgotten_key`))
	}
	require.Len(t, keys[0], 64)
	require.NotEqual(t, keys[0], keys[1])
}

// Whoever empties an answer, the previous release too, empties what it is found by.
func TestPrivacy_TheHashOfAnEmailGoesWithTheAnswer(t *testing.T) {
	t.Parallel()
	pool := empty(t)
	require.NoError(t, migrations.Up(t.Context(), pool, silent))
	exec(t, pool, `INSERT INTO payments (source, payment_id, status, amount, currency, live_mode, date_last_updated, fetched_at, raw, payer_email_hash)
		VALUES ('mercadopago', '77', 'approved', 150, 'ARS', true, now(), now(), '\x7b7d', substr(sha256('a'), 1, 16)),
		       ('mercadopago', '78', 'approved', 150, 'ARS', true, now(), now(), '', substr(sha256('a'), 1, 16))`)
	require.Equal(t, "77", scan[string](t, pool, `SELECT string_agg(payment_id, ' ') FROM payments WHERE payer_email_hash IS NOT NULL`))
	exec(t, pool, `UPDATE payments SET raw = ''`)
	require.Zero(t, scan[int](t, pool, `SELECT count(*) FROM payments WHERE payer_email_hash IS NOT NULL`))
}

// The previous release archives by the names of the columns that it knows.
func TestPrivacy_ThePreviousReleaseGoesOn(t *testing.T) {
	t.Parallel()
	pool := empty(t)
	require.NoError(t, migrations.Up(t.Context(), pool, silent))
	exec(t, pool, `INSERT INTO webhook_queue (id, source, topic, payload, completed_at, outcome) VALUES (1, 'mercadopago', 'payment', '\x7b7d', now(), 'settled')`)
	exec(t, pool, `WITH moved AS (DELETE FROM webhook_queue RETURNING *)
		INSERT INTO webhook_archive (id, received_at, completed_at, updated_at, source, topic, outcome, payload)
		SELECT id, received_at, completed_at, updated_at, source, topic, outcome, payload FROM moved`)
	require.True(t, scan[bool](t, pool, `SELECT emptied_at IS NULL AND NOT forgotten FROM webhook_archive`))
}
