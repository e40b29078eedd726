package api_test

import (
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/conciliar/conciliar/jobs"
)

const processPath = "/api/webhooks/process-queue"

// Nobody works the queue here: what is woken waits.
func TestProcessQueue_AnswersBeforeAndAfter(t *testing.T) {
	t.Parallel()
	b := setup(t, setupOptions{})
	b.accept(t, "1")
	failed := b.accept(t, "2")
	_, err := b.pool.Exec(t.Context(), `UPDATE river_job SET state = 'retryable', attempt = 1, scheduled_at = now() + interval '1 hour'
		WHERE id = (SELECT job_id FROM webhook_queue WHERE id = $1)`, failed)
	require.NoError(t, err)

	for _, c := range []struct {
		call  call
		woken int64
	}{
		{post(processPath+"?wait=0s&limit=1", ""), 1},
		{post(processPath, `{"wait":"0s","limit":1}`), 1},
		{post(processPath+"?limit=10000", `{"wait":"0s"}`), 2},
	} {
		done := answered[jobs.QueueProcessed](t, b, c.call, http.StatusOK)
		require.Equal(t, c.woken, done.Woken)
		require.True(t, done.TimedOut)
		require.EqualValues(t, 1, done.Before.Pending)
		require.EqualValues(t, 1, done.After.Pending)
		require.EqualValues(t, 1, done.Before.Failed)
		require.EqualValues(t, 1, done.After.Failed)
		require.Equal(t, "timed_out", b.logs.Last(t)["outcome"])
	}
	require.Equal(t, 2, b.count(t, `SELECT count(*) FROM river_job WHERE state = 'available' AND scheduled_at <= now()`))
	require.Equal(t, 3, b.count(t, `SELECT count(*) FROM operator_actions WHERE action = 'process_queue' AND actor = $1`, actor(processToken)))
}

func TestProcessQueue_OfNothingEndsAtOnce(t *testing.T) {
	t.Parallel()
	b := setup(t, setupOptions{})
	done := answered[jobs.QueueProcessed](t, b, post(processPath, ""), http.StatusOK)
	require.Zero(t, done.Woken)
	require.False(t, done.TimedOut)
}

func TestProcessQueue_RefusesWhatItDoesNotUnderstand(t *testing.T) {
	t.Parallel()
	b := setup(t, setupOptions{})
	for target, code := range map[string]string{
		"?wait=soon": "invalid_parameter", "?wait=31s": "invalid_parameter", "?wait=-1s": "invalid_parameter",
		"?limit=0": "invalid_parameter", "?limit=10001": "invalid_parameter", "?limit=ten": "invalid_parameter",
	} {
		requireProblem(t, b.do(t, post(processPath+target, "")), http.StatusBadRequest, code)
	}
	for body, code := range map[string]string{
		`{"limit":0}`: "invalid_parameter", `{"limit":1.5}`: "invalid_parameter", `{"limit":true}`: "invalid_field", `{"wait":10}`: "invalid_field",
		`{"trigger":"cron"}`: "invalid_field", `[]`: "invalid_json",
	} {
		requireProblem(t, b.do(t, post(processPath, body)), http.StatusBadRequest, code)
	}
	requireProblem(t, b.do(t, post(processPath+"?wait=1s", `{"wait":"1s"}`)), http.StatusBadRequest, "invalid_field")
	require.Zero(t, b.count(t, `SELECT count(*) FROM operator_actions`))
}
