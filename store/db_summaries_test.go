package store_test

import (
	"context"
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

// What another transaction holds is not waited for, lest autovacuum gives way once more,
// and keeps nothing else from being mended.
func TestSummaries_WhoHoldsATableIsNotWaitedFor(t *testing.T) {
	t.Parallel()
	for mode, want := range map[string]string{
		"SHARE UPDATE EXCLUSIVE": "summarize blocks from 8 in happened_at_idx",
		"ACCESS EXCLUSIVE":       "look for block ranges without a summary in happened_at_idx",
	} {
		t.Run(mode, func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			read := fixture.HalfSummarized(t, b.pool)
			b.exec(t, `ALTER TABLE happened RENAME TO other`)
			b.exec(t, `ALTER INDEX happened_at_idx RENAME TO other_at_idx`)
			b.exec(t, `ALTER FUNCTION interrupted RENAME TO other_interrupted`)
			_ = fixture.HalfSummarized(t, b.pool)
			tx, err := b.pool.Begin(t.Context())
			require.NoError(t, err)
			t.Cleanup(func() { _ = tx.Rollback(context.WithoutCancel(t.Context())) })
			_, err = tx.Exec(t.Context(), `LOCK TABLE happened IN `+mode+` MODE`)
			require.NoError(t, err)

			mended, err := b.MendSummaries(t.Context())

			require.ErrorContains(t, err, want)
			require.ErrorContains(t, err, "lock timeout")
			require.Equal(t, 2, mended, "of the other index")
			require.NoError(t, tx.Rollback(t.Context()))
			require.EqualValues(t, 100-8, read(), "as before")
		})
	}
}
