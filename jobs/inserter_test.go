package jobs_test

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/riverqueue/river/rivertype"
	"github.com/stretchr/testify/require"

	"github.com/conciliar/conciliar/jobs"
	"github.com/conciliar/conciliar/store"
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
