package jobs

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/conciliar/conciliar/jobs/provider"
	"github.com/conciliar/conciliar/store"
)

func TestKinds_EveryWorkHasAKindOrEndsAtOnce(t *testing.T) {
	t.Parallel()
	for _, work := range store.Works() {
		_, hasKind := kinds[provider.Work(work)]
		require.NotEqual(t, hasKind, store.OutcomeAtOnce(work) != "", work)
	}
	for work := range kinds {
		require.Contains(t, store.Works(), string(work))
	}
	for _, work := range []provider.Work{provider.Keep, provider.Test, provider.Unhandled, provider.Settle, provider.Follow, provider.FraudAlert} {
		require.Contains(t, store.Works(), string(work))
	}
}

// The trigger that mirrors dead letters knows event jobs by the prefix.
func TestKinds_AreNamedAsEventJobs(t *testing.T) {
	t.Parallel()
	names := kindNames()
	require.Len(t, names, len(kinds))
	for _, name := range names {
		require.True(t, strings.HasPrefix(name, "webhook_"), name)
	}
}

func TestKinds_AnUnknownWorkIsAnError(t *testing.T) {
	t.Parallel()
	for _, work := range []string{"", "keep", "of a later release"} {
		_, err := kindOfWork(work)
		require.ErrorContains(t, err, `"`+work+`"`)
	}
}
