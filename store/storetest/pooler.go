package storetest

import (
	"testing"

	"github.com/conciliar/conciliar/store/localpg"
)

// Pooler starts a PgBouncer before the server of a database and returns that
// database's address through it. Settings are PgBouncer's, such as pool_mode. It ends
// with the test.
func Pooler(tb testing.TB, address string, settings map[string]string) string {
	tb.Helper()
	pooler, err := localpg.StartPooler(tb.Context(), localpg.PoolerOptions{Upstream: address, Settings: settings})
	if err != nil {
		tb.Fatalf("storetest: %v", err)
	}
	tb.Cleanup(func() {
		if err := pooler.Stop(); err != nil {
			tb.Errorf("storetest: %v", err)
		}
	})
	through, err := pooler.Through(address)
	if err != nil {
		tb.Fatalf("storetest: %v", err)
	}
	return through
}
