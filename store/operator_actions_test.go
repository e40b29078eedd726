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

func TestActions_AreListedAsTheFilterSelects(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.exec(t, `INSERT INTO operator_actions (acted_at, actor, action, target_kind, target_id, note, order_reference) VALUES
		('2026-01-01', 'ana', 'dismiss', 'dead_letter', 7, 'by hand', NULL), ('2026-01-02', 'ben', 'login', 'session', 1, '', NULL),
		('2026-01-03', 'ana', 'cancel_order', 'order', NULL, 'sold out', 'o-1')`)
	listed := func(filter store.ActionFilter) (found []string) {
		t.Helper()
		page := store.Page{Limit: 2}
		for {
			l, err := b.Actions(t.Context(), filter, page)
			require.NoError(t, err)
			for _, a := range l.Items {
				found = append(found, a.Action)
			}
			if page.Before = l.Next; page.Before == 0 {
				return found
			}
		}
	}
	require.Equal(t, []string{"cancel_order", "login", "dismiss"}, listed(store.ActionFilter{}))
	require.Equal(t, []string{"cancel_order", "dismiss"}, listed(store.ActionFilter{Actor: "ana"}))
	require.Equal(t, []string{"login"}, listed(store.ActionFilter{Action: store.ActionLogin}))
	require.Equal(t, []string{"dismiss"}, listed(store.ActionFilter{TargetKind: store.TargetDeadLetter}))
	require.Equal(t, []string{"login"}, listed(store.ActionFilter{Since: time.Date(2026, 1, 2, 0, 0, 0, 0, time.UTC), Until: time.Date(2026, 1, 3, 0, 0, 0, 0, time.UTC)}))
	l, err := b.Actions(t.Context(), store.ActionFilter{}, store.Page{Limit: 1})
	require.NoError(t, err)
	require.Equal(t, "o-1", l.Items[0].Reference)
}
