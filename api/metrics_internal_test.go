package api

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestMetrics_ATopicThatIsNotOnTheListIsOther(t *testing.T) {
	t.Parallel()
	m := newMetrics(nil, []Webhook{{Topics: []string{"payment", "claim"}}})
	require.Equal(t, topicOther, m.topicLabel("zz1"))
	require.Equal(t, "payment", m.topicLabel("payment"))
	require.Equal(t, topicOther, m.topicLabel("zz2"), "not even the first ones")
	require.Equal(t, "claim", m.topicLabel("claim"))
}

func TestSeenAsks_ASignatureWithoutAnIDMakesSixteenEvents(t *testing.T) {
	t.Parallel()
	var s seenAsks
	ask := func(i int) []byte { return []byte{byte(i)} }
	for i := range asksPerSignature {
		require.False(t, s.tooMany([]byte("a"), ask(i)))
	}
	require.True(t, s.tooMany([]byte("a"), ask(99)))
	require.False(t, s.tooMany([]byte("a"), ask(3)), "the same again is none more")
	require.False(t, s.tooMany([]byte("b"), ask(99)), "another signature")
	for i := range signaturesKept - 2 {
		require.False(t, s.tooMany([]byte{1, byte(i), byte(i >> 8)}, ask(0)))
	}
	require.True(t, s.tooMany([]byte("a"), ask(99)), "known through one generation more")
	require.LessOrEqual(t, len(s.young)+len(s.aged), 2*signaturesKept)
}
