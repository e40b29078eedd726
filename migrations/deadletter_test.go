package migrations_test

import (
	"context"
	"encoding/json"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/conciliar/conciliar/store/storetest"
)

// querier is a pool or a transaction.
type querier interface {
	QueryRow(ctx context.Context, query string, args ...any) pgx.Row
}

// insertEvent inserts an event and its job as the job's columns say.
func insertEvent(t *testing.T, tx querier, job string) (event int64) {
	t.Helper()
	require.NoError(t, tx.QueryRow(t.Context(), `
		WITH event AS (
			INSERT INTO webhook_queue (source, topic, payload, job_id)
			VALUES ('mercadopago', 'payment', '', nextval('river_job_id_seq'))
			RETURNING id, job_id
		), job AS (
			INSERT INTO river_job (id, kind, args, max_attempts, attempt, state, errors)
			SELECT event.job_id, 'webhook_payment', jsonb_build_object('queue_id', event.id), 7, j.*
			FROM event, (VALUES (`+job+`)) AS j
		)
		SELECT id FROM event`).Scan(&event))
	return event
}

const failedTwice = `ARRAY['{"attempt": 1, "error": "timeout: late"}', '{"attempt": 2, "error": "rate_limited: slow down"}']::jsonb[]`

type deadLetter struct {
	Reason, Class, Error, State string
	Attempts, Deaths, Errors    int
}

// letterOf returns the event's dead letter, nil when there is none.
func letterOf(t *testing.T, tx querier, event int64) *deadLetter {
	t.Helper()
	var raw []byte
	require.NoError(t, tx.QueryRow(t.Context(), `
		SELECT (SELECT jsonb_build_object('Reason', reason, 'Class', error_class, 'Error', error, 'State', state,
		                                  'Attempts', attempts, 'Deaths', deaths, 'Errors', jsonb_array_length(errors))
		        FROM webhook_dead_letter WHERE queue_id = $1)`, event).Scan(&raw))
	if raw == nil {
		return nil
	}
	var d deadLetter
	require.NoError(t, json.Unmarshal(raw, &d))
	return &d
}

func TestDeadLetterTrigger_PlainSQLIsMirrored(t *testing.T) {
	t.Parallel()
	const end = `finalized_at = now(), state = `
	cases := map[string]struct {
		job, statement string
		want           *deadLetter
	}{
		"discarded by hand": {
			job: `2, 'retryable'::river_job_state, ` + failedTwice, statement: `UPDATE river_job SET ` + end + `'discarded' WHERE id = $1`,
			want: &deadLetter{Reason: "cancelled", Class: "rate_limited", Error: "rate_limited: slow down", State: "open", Attempts: 2, Deaths: 1, Errors: 2},
		},
		"cancelled by hand before its first attempt": {
			job: `0, 'available'::river_job_state, NULL::jsonb[]`, statement: `UPDATE river_job SET ` + end + `'cancelled' WHERE id = $1`,
			want: &deadLetter{Reason: "cancelled", State: "open", Deaths: 1},
		},
		"deleted while it waits": {
			job: `2, 'retryable'::river_job_state, ` + failedTwice, statement: `DELETE FROM river_job WHERE id = $1`,
			want: &deadLetter{Reason: "deleted", Class: "rate_limited", Error: "rate_limited: slow down", State: "open", Attempts: 2, Deaths: 1, Errors: 2},
		},
		"deleted while it runs": {
			job: `1, 'running'::river_job_state, NULL::jsonb[]`, statement: `DELETE FROM river_job WHERE id = $1`,
			want: &deadLetter{Reason: "deleted", State: "open", Attempts: 1, Deaths: 1},
		},
		"failed for the last time": {
			job:       `7, 'running'::river_job_state, ` + failedTwice,
			statement: `UPDATE river_job SET errors = array_append(errors, '{"attempt": 7, "error": "payment_not_found: none (HTTP 404)"}'), ` + end + `'discarded' WHERE id = $1`,
			want:      &deadLetter{Reason: "retries_exhausted", Class: "payment_not_found", Error: "payment_not_found: none (HTTP 404)", State: "open", Attempts: 7, Deaths: 1, Errors: 3},
		},
		"ended by its worker": {
			job:       `3, 'running'::river_job_state, ` + failedTwice,
			statement: `UPDATE river_job SET errors = array_append(errors, '{"attempt": 3, "error": "JobCancelError: forbidden: no (HTTP 403)"}'), ` + end + `'cancelled' WHERE id = $1`,
			want:      &deadLetter{Reason: "permanent_failure", Class: "forbidden", Error: "forbidden: no (HTTP 403)", State: "open", Attempts: 3, Deaths: 1, Errors: 3},
		},
		"panicked for the last time": {
			job:       `7, 'running'::river_job_state, ` + failedTwice,
			statement: `UPDATE river_job SET errors = array_append(errors, '{"attempt": 7, "error": "boom", "trace": "main.go:1"}'), ` + end + `'discarded' WHERE id = $1`,
			want:      &deadLetter{Reason: "retries_exhausted", Class: "panic", Error: "boom", State: "open", Attempts: 7, Deaths: 1, Errors: 3},
		},
		"taken up as an orphan for the last time": {
			job:       `7, 'running'::river_job_state, NULL::jsonb[]`,
			statement: `UPDATE river_job SET errors = array_append(errors, '{"attempt": 7, "error": "orphaned: its process ended"}'), ` + end + `'discarded' WHERE id = $1`,
			want:      &deadLetter{Reason: "rescued_out", Class: "worker_died", Error: "orphaned: its process ended", State: "open", Attempts: 7, Deaths: 1, Errors: 1},
		},
		"an error without a class": {
			job:       `7, 'running'::river_job_state, NULL::jsonb[]`,
			statement: `UPDATE river_job SET errors = array_append(errors, '{"attempt": 7, "error": "Something: odd"}'), ` + end + `'discarded' WHERE id = $1`,
			want:      &deadLetter{Reason: "retries_exhausted", Error: "Something: odd", State: "open", Attempts: 7, Deaths: 1, Errors: 1},
		},
		"an error of another shape": {
			job:       `7, 'running'::river_job_state, NULL::jsonb[]`,
			statement: `UPDATE river_job SET errors = array_append(errors, '"text"'), ` + end + `'discarded' WHERE id = $1`,
			want:      &deadLetter{Reason: "retries_exhausted", State: "open", Attempts: 7, Deaths: 1, Errors: 1},
		},
		"put off":   {job: `2, 'running'::river_job_state, ` + failedTwice, statement: `UPDATE river_job SET state = 'retryable' WHERE id = $1`},
		"completed": {job: `2, 'running'::river_job_state, ` + failedTwice, statement: `UPDATE river_job SET ` + end + `'completed' WHERE id = $1`},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			tx := storetest.Tx(t)
			event := insertEvent(t, tx, c.job)

			_, err := tx.Exec(t.Context(), c.statement, scanTx[int64](t, tx, `SELECT job_id FROM webhook_queue WHERE id = $1`, event))
			require.NoError(t, err)

			require.Equal(t, c.want, letterOf(t, tx, event))
		})
	}
}

func scanTx[T any](t *testing.T, tx querier, query string, args ...any) T {
	t.Helper()
	var v T
	require.NoError(t, tx.QueryRow(t.Context(), query, args...).Scan(&v))
	return v
}

// Only event jobs have events.
func TestDeadLetterTrigger_JobsOfOtherKindsAreNotMirrored(t *testing.T) {
	t.Parallel()
	tx := storetest.Tx(t)
	event := insertEvent(t, tx, `2, 'available'::river_job_state, NULL::jsonb[]`)
	job := scanTx[int64](t, tx, `SELECT job_id FROM webhook_queue WHERE id = $1`, event)
	for _, statement := range []string{
		`UPDATE river_job SET kind = 'webhooksweep' WHERE id = $1`,
		`UPDATE river_job SET state = 'discarded', finalized_at = now() WHERE id = $1`,
		`UPDATE river_job SET state = 'available', finalized_at = NULL WHERE id = $1`,
		`DELETE FROM river_job WHERE id = $1`,
	} {
		_, err := tx.Exec(t.Context(), statement, job)
		require.NoError(t, err)
	}
	require.Nil(t, letterOf(t, tx, event))
}

// River ends many jobs in one statement: those that make no sense must not
// take the others with them.
func TestDeadLetterTrigger_IgnoresNonsenseBesideEventJobs(t *testing.T) {
	t.Parallel()
	nonsense := []string{
		`"text"`, `{}`, `[]`, `null`, `17`, `{"queue_id": "x"}`, `{"queue_id": "12"}`, `{"queue_id": 1e400}`, `{"queue_id": 1.5}`,
		`{"queue_id": -1}`, `{"queue_id": 9223372036854775807}`, `{"queue_id": 9223372036854775808}`, `{"queue_id": null}`,
		`{"queue_id": true}`, `{"queue_id": {}}`, `{"queue_id": []}`, `{"QUEUE_ID": 1}`,
	}
	for name, statement := range map[string]string{
		"discarded": `UPDATE river_job SET state = 'discarded', finalized_at = now(), errors = array_append(errors, '{"error": "timeout: late"}')`,
		"cancelled": `UPDATE river_job SET state = 'cancelled', finalized_at = now()`,
		"deleted":   `DELETE FROM river_job`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			pool := storetest.Pool(t)
			var events []int64
			for _, args := range nonsense {
				events = append(events, insertEvent(t, pool, `7, 'running'::river_job_state, NULL::jsonb[]`))
				exec(t, pool, `INSERT INTO river_job (kind, args, max_attempts, attempt, state) VALUES ('webhook_payment', $1, 7, 7, 'running')`, args)
			}

			exec(t, pool, statement)

			require.Equal(t, len(events), scan[int](t, pool, `SELECT count(*) FROM webhook_dead_letter WHERE queue_id = ANY ($1)`, events))
			require.Equal(t, len(events), scan[int](t, pool, `SELECT count(*) FROM webhook_dead_letter`))
			if name == "deleted" {
				return
			}
			exec(t, pool, `UPDATE river_job SET state = 'available', finalized_at = NULL`)
			require.Equal(t, len(events), scan[int](t, pool, `SELECT count(*) FROM webhook_dead_letter WHERE state = 'reopened'`))
		})
	}
}

func TestDeadLetterTrigger_GoesWithItsTransaction(t *testing.T) {
	t.Parallel()
	pool := storetest.Pool(t)
	event := insertEvent(t, pool, `2, 'retryable'::river_job_state, `+failedTwice)
	tx, err := pool.Begin(t.Context())
	require.NoError(t, err)
	_, err = tx.Exec(t.Context(), `DELETE FROM river_job`)
	require.NoError(t, err)
	require.NotNil(t, letterOf(t, tx, event))
	require.Nil(t, letterOf(t, pool, event), "nobody else sees it yet")

	require.NoError(t, tx.Rollback(t.Context()))

	require.Nil(t, letterOf(t, pool, event))
	require.Equal(t, "failed", scan[string](t, pool, `SELECT status FROM webhook_queue_status WHERE id = $1`, event))
}

// Whatever keeps the mirror from writing, the job still ends.
func TestDeadLetterTrigger_NeverRaises(t *testing.T) {
	t.Parallel()
	pool := storetest.Pool(t)
	event := insertEvent(t, pool, `7, 'running'::river_job_state, NULL::jsonb[]`)
	exec(t, pool, `ALTER TABLE webhook_dead_letter ADD CONSTRAINT closed_today CHECK (false)`)

	exec(t, pool, `UPDATE river_job SET state = 'discarded', finalized_at = now()`)

	require.Nil(t, letterOf(t, pool, event))
	require.Equal(t, "dead_letter", scan[string](t, pool, `SELECT status FROM webhook_queue_status WHERE id = $1`, event))
}

// An event that has ended is not a dead letter, whatever becomes of its job.
func TestDeadLetterTrigger_CompletedEventsAreNotMirrored(t *testing.T) {
	t.Parallel()
	for name, statement := range map[string]string{
		"cancelled": `UPDATE river_job SET state = 'cancelled', finalized_at = now()`,
		"discarded": `UPDATE river_job SET state = 'discarded', finalized_at = now()`,
		"deleted":   `DELETE FROM river_job`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			tx := storetest.Tx(t)
			event := insertEvent(t, tx, `2, 'available'::river_job_state, NULL::jsonb[]`)
			_, err := tx.Exec(t.Context(), `UPDATE webhook_queue SET completed_at = now(), outcome = 'settled' WHERE id = $1`, event)
			require.NoError(t, err)

			_, err = tx.Exec(t.Context(), statement+` WHERE id = (SELECT job_id FROM webhook_queue WHERE id = $1)`, event)
			require.NoError(t, err)

			require.Nil(t, letterOf(t, tx, event))
		})
	}
}
