package e2e

import (
	"fmt"
	"net/http"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/conciliar/conciliar/store/storetest"
)

// What an operator does in River UI leaves the database true. A receiver runs
// without a worker first, so that every job stays in the state that the case
// needs.
func TestRiverUI_AnOperatorsActionsLeaveTheLedgerTrue(t *testing.T) {
	t.Parallel()
	sim, provider := newProvider(t)
	databaseURL := storetest.URL(t)
	environ := environment(databaseURL, provider, nil)
	_, service := serve(t, environ, "--only", "api")
	pool := storetest.Open(t, databaseURL)
	text := func(query string, args ...any) string {
		var v string
		require.NoError(t, pool.QueryRow(t.Context(), query, args...).Scan(&v), query)
		return v
	}
	state := func(reference string) string {
		return text(`SELECT concat_ws(' ', s.status, s.dead_letter_state, d.reason, o.status) FROM webhook_queue_status s
			JOIN orders o ON o.reference = $1 LEFT JOIN webhook_dead_letter d ON d.id = s.dead_letter_id
			WHERE s.id = $2::text::bigint`, reference, reference[len("event-"):])
	}
	// Orders are named after the event that will settle them.
	job := map[string]string{}
	for i := 1; i <= 4; i++ {
		reference := fmt.Sprintf("event-%d", i)
		buy(t, sim, service, reference)
		job[reference] = text(`SELECT job_id::text FROM webhook_queue WHERE id = $1`, i)
	}
	const retryable, cancelled, deleted, discarded = "event-1", "event-2", "event-3", "event-4"
	failed := func(reference, state string, attempt int) {
		_, err := pool.Exec(t.Context(), `UPDATE river_job SET state = $2::river_job_state, attempt = $3, scheduled_at = now() + interval '1 hour',
			finalized_at = CASE WHEN $2 = 'discarded' THEN now() END,
			errors = ARRAY['{"at": "2026-01-02T03:04:05Z", "attempt": 1, "error": "timeout: late", "trace": ""}']::jsonb[]
			WHERE id = $1::text::bigint`, job[reference], state, attempt)
		require.NoError(t, err)
	}
	failed(retryable, "retryable", 1)
	failed(deleted, "retryable", 3)
	failed(discarded, "discarded", 7)
	require.Equal(t, "dead_letter open retries_exhausted pending", state(discarded))

	operator := newOperator(t, service)
	status, _ := operator.riverUI(t, http.MethodPost, "jobs/cancel", `{"ids":["`+job[cancelled]+`"]}`)
	require.Equal(t, http.StatusUnauthorized, status)
	require.Equal(t, http.StatusOK, operator.logIn(t, operatorPassword).StatusCode)
	do := func(action, reference string) {
		status, answer := operator.riverUI(t, http.MethodPost, "jobs/"+action, `{"ids":["`+job[reference]+`"]}`)
		require.Equal(t, http.StatusOK, status, answer)
	}
	do("retry", retryable)
	do("cancel", cancelled)
	do("delete", deleted)
	do("retry", discarded)
	require.Equal(t, "failed pending", state(retryable), "due now, with its attempt behind it")
	require.Equal(t, "dead_letter open cancelled pending", state(cancelled))
	require.Equal(t, "dead_letter open deleted pending", state(deleted))
	require.Equal(t, "failed reopened retries_exhausted pending", state(discarded))

	serve(t, environ, "--only", "worker")
	for _, reference := range []string{retryable, discarded} {
		awaitBody(t, service+"/api/orders/"+reference, ordersToken, `"status":"paid"`)
	}
	require.Equal(t, "completed paid", state(retryable))
	require.Equal(t, "completed reopened retries_exhausted paid", state(discarded))
	require.Equal(t, "dead_letter open cancelled pending", state(cancelled))
	require.Equal(t, "dead_letter open deleted pending", state(deleted))

	// A completed job runs again and changes nothing.
	storage := func() string {
		return text(`SELECT jsonb_build_object('events', (SELECT jsonb_agg(to_jsonb(q) ORDER BY id) FROM webhook_queue q),
			'payments', (SELECT jsonb_agg(to_jsonb(p) ORDER BY payment_id) FROM payments p),
			'logs', (SELECT jsonb_agg(to_jsonb(l)) FROM payment_logs l), 'orders', (SELECT jsonb_agg(to_jsonb(o) ORDER BY reference) FROM orders o),
			'order_logs', (SELECT jsonb_agg(to_jsonb(l)) FROM order_logs l), 'anomalies', (SELECT jsonb_agg(to_jsonb(a)) FROM anomalies a),
			'letters', (SELECT jsonb_agg(to_jsonb(d) ORDER BY id) FROM webhook_dead_letter d))::text`)
	}
	before := storage()
	ended := text(`SELECT finalized_at::text FROM river_job WHERE id = $1::text::bigint`, job[retryable])
	do("retry", retryable)
	eventually(t, func() bool {
		var again string
		err := pool.QueryRow(t.Context(), `SELECT finalized_at::text FROM river_job WHERE id = $1::text::bigint AND state = 'completed'`, job[retryable]).Scan(&again)
		return err == nil && again != ended
	}, "the job must end again")
	require.Equal(t, before, storage())

	rows, err := pool.Query(t.Context(), `SELECT concat_ws(' ', actor, action, job_ids::text, queue_ids::text) FROM operator_actions ORDER BY id`)
	require.NoError(t, err)
	trail, err := pgx.CollectRows(rows, pgx.RowTo[string])
	require.NoError(t, err)
	require.Equal(t, []string{
		"operator login {} {}",
		"operator retry_jobs {" + job[retryable] + "} {1}",
		"operator cancel_jobs {" + job[cancelled] + "} {2}",
		"operator delete_jobs {" + job[deleted] + "} {3}",
		"operator retry_jobs {" + job[discarded] + "} {4}",
		"operator retry_jobs {" + job[retryable] + "} {1}",
	}, trail)
}
