package store_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/conciliar/conciliar/store/storetest/fixture"
)

// What autovacuum leaves when it gives way in the middle of a block range is read for every
// look at what is new, with all that comes after it, and VACUUM does not mend it.
func TestSummaries_OneThatWasNotFinishedIsMadeAnew(t *testing.T) {
	t.Parallel()
	b := setup(t)
	read := fixture.HalfSummarized(t, b.pool)
	require.EqualValues(t, 100-8, read(), "of a hundred blocks")

	mended, err := b.MendSummaries(t.Context())

	require.NoError(t, err)
	require.Equal(t, 2, mended)
	require.Zero(t, read())
	mended, err = b.MendSummaries(t.Context())
	require.NoError(t, err)
	require.Zero(t, mended)
}

// What another transaction holds is not waited for, lest autovacuum gives way once more.
func TestSummaries_WhoHoldsTheTableIsNotWaitedFor(t *testing.T) {
	t.Parallel()
	b := setup(t)
	read := fixture.HalfSummarized(t, b.pool)
	tx, err := b.pool.Begin(t.Context())
	require.NoError(t, err)
	_, err = tx.Exec(t.Context(), `LOCK TABLE happened IN SHARE UPDATE EXCLUSIVE MODE`)
	require.NoError(t, err)

	_, err = b.MendSummaries(t.Context())

	require.ErrorContains(t, err, "summarize blocks from 8 in happened_at_idx")
	require.ErrorContains(t, err, "lock timeout")
	require.NoError(t, tx.Rollback(t.Context()))
	require.EqualValues(t, 100-8, read(), "as before")
}
