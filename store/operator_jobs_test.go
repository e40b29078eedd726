package store_test

import (
	"errors"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/conciliar/conciliar/store"
)

func TestOperatorJobs_AnActionAndItsRecordAreOne(t *testing.T) {
	t.Parallel()
	b := setup(t)
	job := func(args string) (id int64) {
		require.NoError(t, b.pool.QueryRow(t.Context(), `INSERT INTO river_job (kind, args, max_attempts) VALUES ('other', $1, 1) RETURNING id`, args).Scan(&id))
		return id
	}
	// Whatever arguments hold, what is not an event's id is none.
	jobs := []int64{job(`{"queue_id": 9}`), job(`{"queue_id": 7}`), job(`{"queue_id": 7}`), job(`{}`), job(`{"queue_id": "x"}`),
		job(`{"queue_id": 1.5}`), job(`{"queue_id": 99999999999999999999}`), job(`{"queue_id": null}`), job(`[]`), job(`{"queue_id": -1}`)}
	touch := func(err error) func(tx pgx.Tx) error {
		return func(tx pgx.Tx) error {
			_, failed := tx.Exec(t.Context(), `UPDATE river_job SET kind = 'touched'`)
			return errors.Join(failed, err)
		}
	}
	refused := errors.New("refused")
	action := store.JobAction{By: ana, Action: store.ActionCancelJobs, JobIDs: jobs}
	require.ErrorIs(t, b.ActOnJobs(t.Context(), action, touch(refused)), refused)
	require.ErrorContains(t, b.ActOnJobs(t.Context(), store.JobAction{Action: store.ActionCancelJobs, JobIDs: jobs}, touch(nil)), "needs the name of who acts")
	touched := func() (n int) {
		require.NoError(t, b.pool.QueryRow(t.Context(), `SELECT count(*) FROM river_job WHERE kind = 'touched'`).Scan(&n))
		return n
	}
	require.Zero(t, touched())
	require.Empty(t, b.actions(t))

	require.NoError(t, b.ActOnJobs(t.Context(), action, touch(nil)))
	require.Equal(t, len(jobs), touched())
	require.NoError(t, b.ActOnJobs(t.Context(), store.JobAction{By: ana, Action: store.ActionDeleteJobs, JobIDs: jobs[:1]}, touch(nil)))
	require.NoError(t, b.ActOnJobs(t.Context(), store.JobAction{By: ana, Action: store.ActionPauseQueue, Queue: "default"}, touch(nil)))
	require.Equal(t, []auditRow{
		byAna(store.ActionCancelJobs, store.TargetJob, 0, len(jobs), "", 7, 9),
		byAna(store.ActionDeleteJobs, store.TargetJob, jobs[0], 1, "", 9),
		byAna(store.ActionPauseQueue, store.TargetJobQueue, 0, 1, "default"),
	}, b.actions(t))
	var recorded []int64
	require.NoError(t, b.pool.QueryRow(t.Context(), `SELECT job_ids FROM operator_actions ORDER BY id LIMIT 1`).Scan(&recorded))
	require.Equal(t, jobs, recorded)
}
