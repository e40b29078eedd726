package store_test

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/conciliar/conciliar/store"
)

func TestRefusedLog_WritesWhatWaitsBeforeItCloses(t *testing.T) {
	t.Parallel()
	b := setup(t)
	log := store.NewRefusedLog(b.Store)
	const n = 5 // what a busy machine writes in the second that closing takes at most, too
	for range n {
		log.Record(store.Refused{
			Source: "mercadopago", Reason: "signature_mismatch", Method: "POST", Query: "a=\x00\xff", XSignature: "ts=1,v1=\x00",
			RemoteIP: netip.MustParseAddr("203.0.113.9"), BodyBytes: 1 << 20, Body: []byte(strings.Repeat("\x00", 100_000)),
		})
	}
	log.Close()
	require.Zero(t, log.Dropped())
	require.Equal(t, n, b.count(t, `SELECT count(*) FROM webhook_refused
		WHERE reason = 'signature_mismatch' AND host(remote_ip) = '203.0.113.9' AND body_bytes = 1048576 AND octet_length(body) = 65536`))
}

func TestRefusedLog_NeverWaits(t *testing.T) {
	t.Parallel()
	b := setup(t)
	log := store.NewRefusedLog(b.Store)
	// Far more than its queue takes while fifty are written in a second.
	for range 5000 {
		log.Record(store.Refused{Source: "mercadopago", Reason: "flood", Method: "POST"})
	}
	require.Positive(t, log.Dropped())
	log.Close()
	require.Equal(t, int64(5000), log.Dropped()+int64(b.count(t, `SELECT count(*) FROM webhook_refused`)), "each is written or counted")
}

func TestPruneRefused_KeepsTheNewest(t *testing.T) {
	t.Parallel()
	b := setup(t)
	for range 20 {
		require.NoError(t, b.InsertRefused(t.Context(), store.Refused{Source: "s", Reason: "r", Method: "POST"}))
	}
	_, err := b.pool.Exec(t.Context(), `UPDATE webhook_refused SET refused_at = now() - interval '8 days' WHERE id = 20`)
	require.NoError(t, err)
	require.NoError(t, b.PruneRefused(t.Context(), 5))
	require.Equal(t, 4, b.count(t, `SELECT count(*) FROM webhook_refused WHERE id > 15`))
	require.Equal(t, 4, b.count(t, `SELECT count(*) FROM webhook_refused`))
}
