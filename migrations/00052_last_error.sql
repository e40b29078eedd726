-- Whoever reads an event's last error by SQL, in the API or in an export finds our words
-- alone, as on its page and in its dead letter.
-- +goose Up
CREATE OR REPLACE VIEW webhook_queue_status AS
SELECT q.id,
       q.source,
       q.topic,
       q.action,
       q.resource_id,
       q.origin,
       q.received_at,
       q.completed_at,
       q.outcome,
       q.job_id,
       CASE
           WHEN q.completed_at IS NOT NULL THEN 'completed'
           -- The job counts too: its end stands even where the mirror failed.
           WHEN d.state IN ('open', 'replayed', 'dismissed') OR j.state IN ('discarded', 'cancelled') THEN 'dead_letter'
           WHEN j.state = 'running' THEN 'processing'
           WHEN j.metadata ? 'snoozes' AND j.state = 'scheduled' THEN 'held'
           WHEN j.attempt > 0 THEN 'failed'
           ELSE 'pending'
       END AS status,
       CASE WHEN q.completed_at IS NOT NULL THEN q.attempts ELSE coalesce(j.attempt, d.attempts, q.attempts) END AS attempts,
       CASE WHEN q.completed_at IS NULL AND j.state IN ('available', 'scheduled', 'retryable') THEN j.scheduled_at END AS next_retry_at,
       -- River puts its own word before what a worker returned to end the job.
       regexp_replace(CASE
           WHEN q.completed_at IS NOT NULL THEN q.attempt_errors -> -1 ->> 'error'
           ELSE coalesce(to_jsonb(j.errors) -> -1 ->> 'error', d.error)
       END, '^JobCancelError: ', '') AS last_error,
       d.id AS dead_letter_id,
       d.state AS dead_letter_state,
       q.work
FROM webhook_queue q
LEFT JOIN river_job j ON j.id = q.job_id
LEFT JOIN webhook_dead_letter d ON d.queue_id = q.id;
