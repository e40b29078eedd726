package jobs_test

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/riverqueue/river"
	"github.com/riverqueue/river/riverdriver"
	"github.com/riverqueue/river/riverdriver/riverpgxv5"
	"github.com/riverqueue/river/rivertype"
	"github.com/stretchr/testify/require"

	"github.com/conciliar/conciliar/jobs"
	"github.com/conciliar/conciliar/store"
	"github.com/conciliar/conciliar/store/storetest"
	"github.com/conciliar/conciliar/store/storetest/fixture"
)

func TestInserter_AJobBelongsToItsEvent(t *testing.T) {
	t.Parallel()
	b := setup(t, func(c *jobs.Config) { c.Backoff.Attempts = 5 })
	for _, event := range []int64{b.accept(t, "77"), b.accept(t, "78")} {
		job := b.job(t, event)
		var args jobs.PaymentArgs
		require.NoError(t, json.Unmarshal(job.EncodedArgs, &args))
		require.Equal(t, event, args.QueueID)
		require.JSONEq(t, `{"queue_id": `+scan[string](t, b, `SELECT $1::bigint::text`, event)+`}`, string(job.EncodedArgs), "ids and nothing else")
		require.Equal(t, "webhook_payment", job.Kind)
		require.Equal(t, "webhooks", job.Queue)
		require.Equal(t, 5, job.MaxAttempts)
		require.Equal(t, rivertype.JobStateAvailable, job.State)

		// By this process's own clock they would not be equal to the
		// microsecond.
		received := scan[time.Time](t, b, `SELECT received_at FROM webhook_queue WHERE id = $1`, event)
		require.True(t, job.ScheduledAt.Equal(received))
		require.True(t, job.CreatedAt.Equal(received))
	}
}

func TestInserter_LiveWebhooksPassTheRest(t *testing.T) {
	t.Parallel()
	b := setup(t)
	for origin, priority := range map[string]int{store.OriginWebhook: 1, store.OriginReplay: 2, store.OriginReconciliation: 2} {
		event := b.accept(t, "77", func(e *store.NewEvent) { e.Origin = origin })
		require.Equal(t, priority, b.job(t, event).Priority, origin)
	}
	event := b.accept(t, "77", func(e *store.NewEvent) { e.Origin, e.Background = store.OriginReconciliation, true })
	require.Equal(t, 3, b.job(t, event).Priority)
}

func TestInserter_AnEventThatEndsAtOnceHasNoJob(t *testing.T) {
	t.Parallel()
	b := setup(t)
	event := b.accept(t, "77", func(e *store.NewEvent) { e.Work = store.WorkUnhandled })
	require.Equal(t, "completed", b.status(t, event))
	require.Zero(t, scan[int](t, b, `SELECT count(*) FROM river_job`))
}

// What inserts an event inserts its job too: as River would, column by column.
func TestInserter_AJobIsAsRiverInsertsIt(t *testing.T) {
	t.Parallel()
	b := setup(t)
	const trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
	for name, c := range map[string]struct {
		change func(*store.NewEvent)
		opts   river.InsertOpts
	}{
		"live":   {func(*store.NewEvent) {}, river.InsertOpts{MaxAttempts: 7, Priority: 1}},
		"traced": {func(e *store.NewEvent) { e.Trace = trace }, river.InsertOpts{MaxAttempts: 7, Priority: 1, Metadata: []byte(`{"traceparent": "` + trace + `"}`)}},
		"hint":   {func(e *store.NewEvent) { e.Signed = false }, river.InsertOpts{MaxAttempts: 2, Priority: 4}},
	} {
		event := b.accept(t, "77", c.change)
		var args jobs.PaymentArgs
		args.QueueID = event
		c.opts.Queue = jobs.QueueWebhooks
		rivers, err := b.operator.Insert(t.Context(), args, &c.opts)
		require.NoError(t, err)
		const columns = `SELECT (to_jsonb(j) - 'id' - 'created_at' - 'scheduled_at')::text FROM river_job j WHERE id = $1`
		require.JSONEq(t, scan[string](t, b, columns, rivers.Job.ID), scan[string](t, b, columns, b.jobID(t, event)), name)
	}
}

// What ends an event completes its job too: as River would, column by column.
func TestCompleteJobOf_AJobIsAsRiverCompletesIt(t *testing.T) {
	t.Parallel()
	b := setup(t)
	var rows []string
	for _, complete := range []func(tx pgx.Tx, a store.Attempt) error{
		func(tx pgx.Tx, a store.Attempt) error { return store.CompleteJobOf(a)(t.Context(), tx) },
		func(tx pgx.Tx, a store.Attempt) error {
			one := riverdriver.JobSetStateCompleted(a.JobID, time.Now(), nil)
			_, err := riverpgxv5.New(b.pool).UnwrapExecutor(tx).JobSetStateIfRunningMany(t.Context(), &riverdriver.JobSetStateIfRunningManyParams{
				ID: []int64{one.ID}, Attempt: []*int{one.Attempt}, ErrData: [][]byte{one.ErrData}, FinalizedAt: []*time.Time{one.FinalizedAt},
				MetadataDoMerge: []bool{one.MetadataDoMerge}, MetadataUpdates: [][]byte{one.MetadataUpdates}, ScheduledAt: []*time.Time{one.ScheduledAt},
				Schema: storetest.Schema, State: []rivertype.JobState{one.State},
			})
			return err
		},
	} {
		event := b.accept(t, "77")
		b.exec(t, `UPDATE river_job SET errors = ARRAY ['{"error": "before"}'::jsonb], metadata = '{"cancel_attempted_at": "now"}', attempted_by = '{w}' WHERE id = $1`, b.jobID(t, event))
		a, err := fixture.Fetch(t.Context(), b.pool, `SELECT job_id FROM webhook_queue WHERE id = $1`, event)
		require.NoError(t, err)
		require.NoError(t, pgx.BeginFunc(t.Context(), b.pool, func(tx pgx.Tx) error { return complete(tx, a) }))
		require.WithinDuration(t, time.Now(), *b.job(t, event).FinalizedAt, time.Minute)
		rows = append(rows, scan[string](t, b, `
			SELECT (to_jsonb(j) - '{id,args,created_at,scheduled_at,attempted_at,finalized_at}'::text[])::text FROM river_job j WHERE id = $1`, a.JobID))

		err = pgx.BeginFunc(t.Context(), b.pool, func(tx pgx.Tx) error { return store.CompleteJobOf(a)(t.Context(), tx) })
		require.ErrorIs(t, err, store.ErrStaleAttempt, "it does not run any more")
	}
	require.JSONEq(t, rows[1], rows[0])
	require.Contains(t, rows[0], `"state": "completed"`)
}

func TestInserter_WorkersAreToldAsRiverTellsThem(t *testing.T) {
	t.Parallel()
	b := setup(t)
	conn, err := b.pool.Acquire(t.Context())
	require.NoError(t, err)
	defer conn.Release()
	_, err = conn.Exec(t.Context(), `LISTEN "`+storetest.Schema+`.river_insert"`)
	require.NoError(t, err)
	told := func() *pgconn.Notification {
		notice, err := conn.Conn().WaitForNotification(t.Context())
		require.NoError(t, err)
		notice.PID = 0
		return notice
	}
	_, err = b.operator.Insert(t.Context(), jobs.PaymentArgs{}, &river.InsertOpts{Queue: jobs.QueueWebhooks})
	require.NoError(t, err)
	rivers := told()

	b.accept(t, "77")

	ours := told()
	require.JSONEq(t, rivers.Payload, ours.Payload)
	rivers.Payload, ours.Payload = "", ""
	require.Equal(t, rivers, ours)
}
