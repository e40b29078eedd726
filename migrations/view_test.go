package migrations_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/conciliar/conciliar/store/storetest"
)

func TestView_TellsAnEventsState(t *testing.T) {
	t.Parallel()
	const (
		failure = `ARRAY['{"attempt": 1, "error": "timeout: late"}', '{"attempt": 2, "error": "rate_limited: slow down"}']::jsonb[]`
		later   = `now() + interval '1 hour'`
		ended   = `ARRAY['{"attempt": 1, "error": "JobCancelError: forbidden: HTTP 403"}']::jsonb[]`
	)
	type job struct {
		// state is empty for an event without a job.
		state, attempt, scheduledAt, errors, metadata string
	}
	cases := map[string]struct {
		job       job
		completed bool
		// deadLetter is its state, empty for none.
		deadLetter string
		status     string
		attempts   int
		nextRetry  bool
		lastError  string
	}{
		"waits for its first attempt":                 {job: job{state: "available"}, status: "pending", nextRetry: true},
		"is put off before its first attempt":         {job: job{state: "scheduled", scheduledAt: later}, status: "pending", nextRetry: true},
		"runs for the first time":                     {job: job{state: "running", attempt: "1"}, status: "processing", attempts: 1},
		"runs again":                                  {job: job{state: "running", attempt: "3", errors: failure}, status: "processing", attempts: 3, lastError: "rate_limited: slow down"},
		"waits for its next attempt":                  {job: job{state: "retryable", attempt: "2", scheduledAt: later, errors: failure}, status: "failed", attempts: 2, nextRetry: true, lastError: "rate_limited: slow down"},
		"is due for its next attempt":                 {job: job{state: "available", attempt: "2", errors: failure}, status: "failed", attempts: 2, nextRetry: true, lastError: "rate_limited: slow down"},
		"waits out an outage":                         {job: job{state: "scheduled", scheduledAt: later, metadata: `{"snoozes": 1}`}, status: "held", nextRetry: true},
		"waits out an outage, and its time is up":     {job: job{state: "scheduled", metadata: `{"snoozes": 1}`}, status: "held", nextRetry: true},
		"is put off for a moment":                     {job: job{state: "available", scheduledAt: later, metadata: `{"snoozes": 1}`}, status: "pending", nextRetry: true},
		"was held and failed, to be retried soon":     {job: job{state: "available", attempt: "2", scheduledAt: later, errors: failure, metadata: `{"snoozes": 1}`}, status: "failed", attempts: 2, nextRetry: true, lastError: "rate_limited: slow down"},
		"waits out an outage after a failure":         {job: job{state: "scheduled", attempt: "2", scheduledAt: later, errors: failure, metadata: `{"snoozes": 4}`}, status: "held", attempts: 2, nextRetry: true, lastError: "rate_limited: slow down"},
		"was held and waits for its first turn":       {job: job{state: "available", metadata: `{"snoozes": 1}`}, status: "pending", nextRetry: true},
		"was held and failed since":                   {job: job{state: "retryable", attempt: "2", scheduledAt: later, errors: failure, metadata: `{"snoozes": 1}`}, status: "failed", attempts: 2, nextRetry: true, lastError: "rate_limited: slow down"},
		"was held and runs":                           {job: job{state: "running", attempt: "1", metadata: `{"snoozes": 1}`}, status: "processing", attempts: 1},
		"is completed":                                {job: job{state: "completed", attempt: "2", errors: failure}, completed: true, status: "completed", attempts: 9, lastError: "timeout: kept"},
		"is completed and its job is gone":            {completed: true, status: "completed", attempts: 9, lastError: "timeout: kept"},
		"is completed and its job is tried once more": {job: job{state: "running", attempt: "3"}, completed: true, status: "completed", attempts: 9, lastError: "timeout: kept"},
		"is dead":                               {job: job{state: "discarded", attempt: "7", errors: failure}, deadLetter: "open", status: "dead_letter", attempts: 7, lastError: "rate_limited: slow down"},
		"is dead at once":                       {job: job{state: "cancelled", attempt: "1", errors: ended}, deadLetter: "open", status: "dead_letter", attempts: 1, lastError: "forbidden: HTTP 403"},
		"is dead by an operator":                {job: job{state: "cancelled", attempt: "0"}, deadLetter: "open", status: "dead_letter", lastError: "the letter's"},
		"is dead and its job is gone":           {deadLetter: "open", status: "dead_letter", attempts: 5, lastError: "the letter's"},
		"is dead and was replayed":              {job: job{state: "discarded", attempt: "7"}, deadLetter: "replayed", status: "dead_letter", attempts: 7, lastError: "the letter's"},
		"is dead and was dismissed":             {job: job{state: "discarded", attempt: "7"}, deadLetter: "dismissed", status: "dead_letter", attempts: 7, lastError: "the letter's"},
		"is dead though the mirror failed":      {job: job{state: "discarded", attempt: "7", errors: failure}, status: "dead_letter", attempts: 7, lastError: "rate_limited: slow down"},
		"is cancelled though the mirror failed": {job: job{state: "cancelled", attempt: "2", errors: failure}, status: "dead_letter", attempts: 2, lastError: "rate_limited: slow down"},
		"was reopened and waits":                {job: job{state: "available", attempt: "7", errors: failure}, deadLetter: "reopened", status: "failed", attempts: 7, nextRetry: true, lastError: "rate_limited: slow down"},
		"was reopened and runs":                 {job: job{state: "running", attempt: "8", errors: failure}, deadLetter: "reopened", status: "processing", attempts: 8, lastError: "rate_limited: slow down"},
		"was reopened and is completed":         {job: job{state: "completed", attempt: "8"}, completed: true, deadLetter: "reopened", status: "completed", attempts: 9, lastError: "timeout: kept"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			tx := storetest.Tx(t)
			var event int64
			require.NoError(t, tx.QueryRow(t.Context(), `
				INSERT INTO webhook_queue (source, topic, payload, job_id, completed_at, outcome, attempts, attempt_errors)
				SELECT 'mercadopago', 'payment', '', nextval('river_job_id_seq'), CASE WHEN $1 THEN now() END, CASE WHEN $1 THEN 'settled' END,
				       CASE WHEN $1 THEN 9 ELSE 0 END, CASE WHEN $1 THEN '[{"error": "timeout: first"}, {"error": "timeout: kept"}]'::jsonb ELSE '[]' END
				RETURNING id`, c.completed).Scan(&event))
			or := func(s, fallback string) string {
				if s == "" {
					return fallback
				}
				return s
			}
			if c.job.state != "" {
				_, err := tx.Exec(t.Context(), `
					INSERT INTO river_job (id, kind, args, state, finalized_at, attempt, max_attempts, scheduled_at, errors, metadata)
					SELECT job_id, 'webhook_payment', jsonb_build_object('queue_id', id), $2::river_job_state,
					       CASE WHEN $2 IN ('completed', 'discarded', 'cancelled') THEN now() END,
					       `+or(c.job.attempt, "0")+`, 9, `+or(c.job.scheduledAt, "now()")+`, `+or(c.job.errors, "NULL")+`, $3
					FROM webhook_queue WHERE id = $1`, event, c.job.state, or(c.job.metadata, "{}"))
				require.NoError(t, err)
			}
			if c.deadLetter != "" {
				_, err := tx.Exec(t.Context(), `
					INSERT INTO webhook_dead_letter (queue_id, reason, state, error, attempts) VALUES ($1, 'deleted', $2, 'the letter''s', 5)`,
					event, c.deadLetter)
				require.NoError(t, err)
			}

			var status string
			var attempts int
			var nextRetry bool
			var lastError, deadLetter *string
			require.NoError(t, tx.QueryRow(t.Context(), `
				SELECT status, attempts, next_retry_at IS NOT NULL, last_error, dead_letter_state
				FROM webhook_queue_status WHERE id = $1`, event).Scan(&status, &attempts, &nextRetry, &lastError, &deadLetter))

			require.Equal(t, c.status, status)
			require.Equal(t, c.attempts, attempts)
			require.Equal(t, c.nextRetry, nextRetry)
			require.Equal(t, c.lastError, deref(lastError))
			require.Equal(t, c.deadLetter, deref(deadLetter))
		})
	}
}

func deref(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}
