package jobs_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/conciliar/conciliar/jobs"
	"github.com/conciliar/conciliar/jobs/provider"
	"github.com/conciliar/conciliar/store"
)

// A class that the code gives and the table lacks would be retried without
// anybody being told what to do.
func TestFailureClasses_AreTotal(t *testing.T) {
	t.Parallel()
	table := map[string]jobs.FailureClass{}
	for _, c := range jobs.FailureClasses() {
		require.NotContains(t, table, c.Class, "a class stands for one cause")
		require.NotEmpty(t, c.Cause, c.Class)
		require.NotEmpty(t, c.Remedy, c.Class)
		table[c.Class] = c
	}
	for kind := provider.Unexpected; kind <= provider.Odd; kind++ {
		require.Contains(t, table, kind.String())
	}
	for _, failure := range store.DatabaseFailures() {
		require.Equal(t, jobs.ActionRetry, table[string(failure)].Action, failure)
	}
	for _, class := range []string{
		"provider_not_asked", "unknown_status", "unknown_source", "event_not_found", "timeout", "internal",
		// The trigger's that mirrors dead letters.
		"panic", "worker_died", "unknown_kind",
	} {
		require.Contains(t, table, class)
	}
}
