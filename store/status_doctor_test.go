package store_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/conciliar/conciliar/store"
)

func TestServer_SaysWhoItIs(t *testing.T) {
	t.Parallel()
	found, err := setup(t).Server(t.Context())
	require.NoError(t, err)
	require.GreaterOrEqual(t, found.Version, 140000)
	require.NotEmpty(t, found.Name)
	require.WithinDuration(t, time.Now(), found.Now, time.Hour)
}

func TestArrivals_AreTheLatestDeliveries(t *testing.T) {
	t.Parallel()
	b := setup(t)
	found, err := b.Arrivals(t.Context())
	require.NoError(t, err)
	require.Equal(t, store.Arrivals{}, found)

	_, err = b.pool.Exec(t.Context(), `
		INSERT INTO webhook_archive (id, source, topic, payload, received_at, completed_at, outcome, job_id)
		VALUES (-1, 'mercadopago', 'payment', '', '2026-01-02T03:04:05Z', now(), 'settled', -1)`)
	require.NoError(t, err)
	for _, r := range []store.Refused{{Reason: "signature_mismatch"}, {Reason: "missing_hash"}} {
		r.Source, r.Method = "mercadopago", "POST"
		require.NoError(t, b.InsertRefused(t.Context(), r))
	}
	found, err = b.Arrivals(t.Context())
	require.NoError(t, err)
	require.Equal(t, time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC), *found.LastAt, "archived ones count")
	require.EqualValues(t, 2, found.Refused24h)
	require.EqualValues(t, 2, found.LastRefusedID)
	require.Equal(t, "missing_hash", found.LastReason)

	_, err = b.pool.Exec(t.Context(), `
		INSERT INTO webhook_queue (source, topic, payload, received_at, completed_at, outcome, origin)
		VALUES ('mercadopago', 'payment', '', '2026-02-02T03:04:05Z', now(), 'settled', 'webhook'),
		       ('mercadopago', 'payment', '', '2026-03-02T03:04:05Z', now(), 'settled', 'reconciliation')`)
	require.NoError(t, err)
	found, err = b.Arrivals(t.Context())
	require.NoError(t, err)
	require.Equal(t, time.Date(2026, 2, 2, 3, 4, 5, 0, time.UTC), *found.LastAt, "what a reconciliation found did not arrive")
}
