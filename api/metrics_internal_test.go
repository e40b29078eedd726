package api

import (
	"strconv"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestBoundedLabelCallsTheRestOther(t *testing.T) {
	t.Parallel()
	l := boundedLabel{most: 2, known: map[string]bool{}}
	require.Equal(t, "payment", l.of("payment"))
	require.Equal(t, "claim", l.of("claim"))
	for i := range 100 {
		require.Equal(t, topicOther, l.of("topic-"+strconv.Itoa(i)))
	}
	require.Equal(t, "payment", l.of("payment"))
	require.Len(t, l.known, 2)
}
