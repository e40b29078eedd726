package store_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/conciliar/conciliar/store"
)

func TestNotices_AQueueIsToldOfTenTimesASecondAtMost(t *testing.T) {
	t.Parallel()
	due, late := store.DueNotices()
	now := time.Now()
	require.Equal(t, []string{"a", "b"}, due([]string{"a", "", "b", "a"}, now), "what ends at once has no queue")
	require.Equal(t, []string{"b"}, due([]string{"b"}, now.Add(100*time.Millisecond)))
	require.Equal(t, []string{"c"}, due([]string{"c", "a"}, now.Add(99*time.Millisecond)))
	// Of a's second job its producers are told when the moment is over, and once.
	require.Empty(t, due([]string{"a", "a"}, now.Add(99*time.Millisecond)))
	require.Empty(t, due([]string{"a"}, now.Add(100*time.Millisecond)))
	require.Equal(t, "a", <-late)
	require.Equal(t, []string{"a"}, due([]string{"a"}, time.Now().Add(100*time.Millisecond)))
	require.Empty(t, late, "nothing is owed to b and c")
}
