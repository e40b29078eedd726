package bench

import (
	"log/slog"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/conciliar/conciliar/store"
	"github.com/conciliar/conciliar/store/order"
	"github.com/conciliar/conciliar/store/storetest"
)

// What is measured must be what the service makes: the seed's ledger is sound, and
// the status counts what was seeded.
func TestSeed_IsWhatTheServiceMakes(t *testing.T) {
	t.Parallel()
	pool := storetest.Open(t, storetest.URL(t))
	b := &harness{pool: pool, say: t.Logf}
	size := Size{Archived: 2000, Completed: 200, Open: true}
	_, err := Seed(t.Context(), pool, size, t.Logf)
	require.NoError(t, err)
	storage, err := store.New(b.pool, store.Options{
		Rules: order.Rules{Mode: order.ModeAny}, UnknownOrder: store.UnknownOrderWait, Logger: slog.New(slog.DiscardHandler),
	})
	require.NoError(t, err)

	verified, err := storage.Verify(t.Context(), store.VerifyOptions{RescueAfter: time.Minute, Limit: 10})
	require.NoError(t, err)
	require.Empty(t, verified.Violations)

	_, err = b.countHistory(t.Context(), storage)
	require.NoError(t, err)
	require.NoError(t, b.checkCounts(t.Context(), storage, size))
}
