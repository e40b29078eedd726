-- Dead letters: a mirror of every event job that will not run again by itself,
-- written in the transaction that ended the job, whoever ended it.
-- +goose Up

CREATE TABLE webhook_dead_letter (
    id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    queue_id    bigint      NOT NULL REFERENCES webhook_queue (id),
    reason      text        NOT NULL,
    error_class text        NOT NULL DEFAULT '',
    error       text        NOT NULL DEFAULT '',
    errors      jsonb       NOT NULL DEFAULT '[]',
    attempts    integer     NOT NULL DEFAULT 0,
    state       text        NOT NULL DEFAULT 'open',
    deaths      integer     NOT NULL DEFAULT 1,
    note        text        NOT NULL DEFAULT '',
    created_at  timestamptz NOT NULL DEFAULT now(),
    died_at     timestamptz NOT NULL DEFAULT now(),
    updated_at  timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT webhook_dead_letter_event_key UNIQUE (queue_id),
    CONSTRAINT webhook_dead_letter_reason_known CHECK (reason IN ('retries_exhausted', 'permanent_failure', 'cancelled',
        'rescued_out', 'unknown_kind', 'deleted')),
    CONSTRAINT webhook_dead_letter_state_known CHECK (state IN ('open', 'reopened', 'replayed', 'dismissed')),
    CONSTRAINT webhook_dead_letter_deaths_positive CHECK (deaths > 0)
);
CREATE INDEX webhook_dead_letter_open_idx ON webhook_dead_letter (reason, id) WHERE state = 'open';
CREATE INDEX webhook_dead_letter_died_idx ON webhook_dead_letter (died_at);
CREATE TRIGGER webhook_dead_letter_touch BEFORE UPDATE ON webhook_dead_letter
    FOR EACH ROW EXECUTE FUNCTION conciliar_touch();

-- It runs inside River's own batches: raising would fail other jobs, so it
-- never does, whatever args and errors hold. Besides the dead letter it writes
-- nothing, so it adds no lock order.
-- +goose StatementBegin
CREATE FUNCTION conciliar_mirror_dead_job() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    job        river_job;
    event      bigint;
    failure    jsonb;
    message    text;
    cause      text;
    failed_now boolean;
BEGIN
    IF TG_OP = 'DELETE' THEN job := OLD; ELSE job := NEW; END IF;
    IF jsonb_typeof(job.args -> 'queue_id') IS DISTINCT FROM 'number' THEN
        RETURN NULL;
    END IF;
    event := (job.args ->> 'queue_id')::bigint;

    -- Retried from anywhere: it lives again.
    IF TG_OP = 'UPDATE' AND job.state NOT IN ('discarded', 'cancelled') THEN
        UPDATE webhook_dead_letter SET state = 'reopened' WHERE queue_id = event AND state <> 'reopened';
        RETURN NULL;
    END IF;

    failure := to_jsonb(job.errors) -> -1;
    -- River puts its own word before what a worker returned to end the job.
    message := regexp_replace(coalesce(failure ->> 'error', ''), '^JobCancelError: ', '');
    failed_now := TG_OP = 'UPDATE' AND coalesce(cardinality(NEW.errors), 0) > coalesce(cardinality(OLD.errors), 0);

    cause := CASE
        WHEN TG_OP = 'DELETE' THEN 'deleted'
        WHEN job.metadata ? 'cancel_attempted_at' THEN 'cancelled'
        WHEN NOT failed_now THEN 'cancelled'
        WHEN job.state = 'cancelled' THEN 'permanent_failure'
        WHEN message = 'Stuck job rescued by JobRescuer' AND job.attempt < job.max_attempts THEN 'unknown_kind'
        WHEN message = 'Stuck job rescued by JobRescuer' OR message LIKE 'orphaned: %' THEN 'rescued_out'
        ELSE 'retries_exhausted'
    END;

    INSERT INTO webhook_dead_letter AS d (queue_id, reason, error_class, error, errors, attempts)
    SELECT q.id,
           cause,
           CASE
               WHEN cause = 'rescued_out' THEN 'worker_died'
               WHEN cause = 'unknown_kind' THEN 'unknown_kind'
               WHEN coalesce(failure ->> 'trace', '') <> '' THEN 'panic'
               ELSE coalesce(substring(message FROM '^([a-z][a-z0-9_]*): '), '')
           END,
           left(message, 4000),
           coalesce(to_jsonb(job.errors), '[]'),
           job.attempt
    FROM webhook_queue q
    WHERE q.id = event AND q.completed_at IS NULL
    ON CONFLICT (queue_id) DO UPDATE SET
        reason = excluded.reason,
        error_class = excluded.error_class,
        error = excluded.error,
        errors = excluded.errors,
        attempts = excluded.attempts,
        state = 'open',
        deaths = d.deaths + 1,
        died_at = now();
    RETURN NULL;
EXCEPTION WHEN OTHERS THEN
    RAISE WARNING 'conciliar: job % could not be mirrored into webhook_dead_letter: %', job.id, SQLERRM;
    RETURN NULL;
END;
$$;
-- +goose StatementEnd

CREATE TRIGGER conciliar_job_ended AFTER UPDATE OF state ON river_job
    FOR EACH ROW
    WHEN (NEW.kind LIKE 'webhook\_%' AND OLD.state IS DISTINCT FROM NEW.state
          AND (NEW.state IN ('discarded', 'cancelled') OR OLD.state IN ('discarded', 'cancelled')))
    EXECUTE FUNCTION conciliar_mirror_dead_job();

CREATE TRIGGER conciliar_job_deleted AFTER DELETE ON river_job
    FOR EACH ROW
    WHEN (OLD.kind LIKE 'webhook\_%' AND OLD.state NOT IN ('completed', 'discarded', 'cancelled'))
    EXECUTE FUNCTION conciliar_mirror_dead_job();

-- An event's state stands in one place, its job or its dead letter, and is
-- read here; it is not copied on every step.
CREATE VIEW webhook_queue_status AS
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
           WHEN j.metadata ? 'snoozes' AND j.state IN ('scheduled', 'available') AND j.scheduled_at > now() THEN 'held'
           WHEN j.attempt > 0 THEN 'failed'
           ELSE 'pending'
       END AS status,
       CASE WHEN q.completed_at IS NOT NULL THEN q.attempts ELSE coalesce(j.attempt, d.attempts, q.attempts) END AS attempts,
       CASE WHEN q.completed_at IS NULL AND j.state IN ('available', 'scheduled', 'retryable') THEN j.scheduled_at END AS next_retry_at,
       CASE
           WHEN q.completed_at IS NOT NULL THEN q.attempt_errors -> -1 ->> 'error'
           ELSE coalesce(to_jsonb(j.errors) -> -1 ->> 'error', d.error)
       END AS last_error,
       d.id AS dead_letter_id,
       d.state AS dead_letter_state
FROM webhook_queue q
LEFT JOIN river_job j ON j.id = q.job_id
LEFT JOIN webhook_dead_letter d ON d.queue_id = q.id;
