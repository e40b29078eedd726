package store_test

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestOpenDeadLetters_AreGroupedByCause(t *testing.T) {
	t.Parallel()
	b := setup(t)
	groups, err := b.OpenDeadLetters(t.Context())
	require.NoError(t, err)
	require.Empty(t, groups)

	for number := range 3 {
		b.deadLetter(t, number, "100")
	}
	other, _ := b.deadLetter(t, 3, "101")
	b.exec(t, `UPDATE webhook_dead_letter SET reason = 'cancelled', error_class = '' WHERE id = $1`, other)
	dismissed, _ := b.deadLetter(t, 4, "102")
	require.NoError(t, b.DismissDeadLetter(t.Context(), dismissed, note(t, "a test"), ana))

	groups, err = b.OpenDeadLetters(t.Context())
	require.NoError(t, err)
	require.Len(t, groups, 2, "a dismissed one is not open")
	require.EqualValues(t, 3, groups[0].Count)
	require.Equal(t, "forbidden", groups[0].ErrorClass)
	require.Equal(t, "cancelled", groups[1].Reason)
	require.EqualValues(t, 1, groups[1].Count)
	require.False(t, groups[0].Oldest.IsZero())
}
