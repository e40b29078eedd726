package main

import (
	"log/slog"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/conciliar/conciliar/config"
	"github.com/conciliar/conciliar/store"
	"github.com/conciliar/conciliar/store/order"
	"github.com/conciliar/conciliar/store/storetest"
)

// What is measured must be what the service makes: the seed's books are sound, and
// the status counts what was seeded.
func TestBenchSeed_IsSound(t *testing.T) {
	t.Parallel()
	databaseURL := storetest.URL(t)
	b := &benchRun{say: t.Logf}
	var err error
	b.pool, err = openPool(t.Context(), config.Database{DatabaseURL: config.NewSecret(databaseURL)}, 4, nil)
	require.NoError(t, err)
	defer b.pool.Close()
	_, err = b.seed(t.Context(), benchSeed{archived: 2000, completed: 200, open: true})
	require.NoError(t, err)
	storage, err := store.New(b.pool, store.Options{
		Rules: order.Rules{Mode: order.ModeAny}, UnknownOrder: store.UnknownOrderWait, Logger: slog.New(slog.DiscardHandler),
	})
	require.NoError(t, err)

	got := execute(t, []string{"DATABASE_URL=" + databaseURL}, "verify")
	require.Equal(t, exitDone, got.code, got.out+got.err)

	report := statusBench{Archived: 2000, Completed: 200}
	require.NoError(t, b.countHistory(t.Context(), storage, &report))
	require.NoError(t, b.checkCounts(t.Context(), storage, report))
}

func TestBench_RefusesWrongFlags(t *testing.T) {
	t.Parallel()
	for _, args := range [][]string{
		{"--status", "--rows", "0"}, {"--status", "--rows", "1001"}, {"--status", "--rounds", "1"}, {"--rounds", "0"}, {"more"},
	} {
		got := execute(t, nil, append([]string{"bench"}, args...)...)
		require.Equal(t, exitUsage, got.code, args)
	}
}
