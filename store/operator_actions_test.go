package store_test

import (
	"context"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/conciliar/conciliar/store"
)

func TestOperatorActions_NameWhoAskedForARun(t *testing.T) {
	t.Parallel()
	b := setup(t, func(o *store.Options) {
		o.InsertStep = func(ctx context.Context, tx pgx.Tx, runID int64, at time.Time) (jobID int64, err error) {
			err = tx.QueryRow(ctx, `
				INSERT INTO river_job (kind, args, state, max_attempts, queue, scheduled_at)
				VALUES ('reconcile_step', jsonb_build_object('run_id', $1::bigint), 'available', 7, 'reconciliation', $2) RETURNING id`, runID, at).Scan(&jobID)
			return jobID, err
		}
	})
	scheduled, joined, err := b.StartRun(t.Context(), store.RunRequest{Trigger: store.TriggerSchedule, Scope: store.ScopeRegular})
	require.NoError(t, err)
	require.False(t, joined)
	require.Empty(t, b.actions(t), "the schedule is nobody")

	_, joined, err = b.StartRun(t.Context(), store.RunRequest{Trigger: store.TriggerManual, Scope: store.ScopeRegular, By: ana})
	require.NoError(t, err)
	require.True(t, joined)
	backfill, joined, err := b.StartRun(t.Context(), store.RunRequest{
		Trigger: store.TriggerCLI, Scope: store.ScopeBackfill, Since: time.Now().Add(-time.Hour), By: ana,
	})
	require.NoError(t, err)
	require.False(t, joined)
	require.Equal(t, ana.Name, backfill.RequestedBy)
	require.Equal(t, []auditRow{
		byAna(store.ActionReconcile, store.TargetRun, scheduled.ID, 1, "regular, joined"),
		byAna(store.ActionReconcile, store.TargetRun, backfill.ID, 1, "backfill"),
	}, b.actions(t))

	_, _, err = b.StartRun(t.Context(), store.RunRequest{
		Trigger: store.TriggerManual, Scope: store.ScopeRegular, By: store.Actor{RequestID: "call-2"},
	})
	require.ErrorContains(t, err, "needs the name of who acts")
}
