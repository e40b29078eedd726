package store_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/conciliar/conciliar/store"
)

func TestNotices_AQueueIsToldOfTenTimesASecondAtMost(t *testing.T) {
	t.Parallel()
	due, now := store.DueNotices(), time.Now()
	require.Equal(t, []string{"a", "b"}, due([]string{"a", "", "b", "a"}, now), "what ends at once has no queue")
	require.Empty(t, due([]string{"a", "b"}, now.Add(99*time.Millisecond)))
	require.Equal(t, []string{"c"}, due([]string{"c", "a"}, now.Add(99*time.Millisecond)))
	require.Equal(t, []string{"b"}, due([]string{"b"}, now.Add(100*time.Millisecond)))
}
