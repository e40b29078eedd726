-- What each event asks of us, stored with it, and events that we make of others.
-- Statement by statement, so that no lock is held while rows are rewritten: each
-- statement can be run again after one that broke off.
-- +goose NO TRANSACTION
-- +goose Up

-- The default is right for the jobs of the previous release, which settles
-- payments and nothing else, and for what was inserted before.
-- +goose StatementBegin
ALTER TABLE webhook_queue
    ADD COLUMN IF NOT EXISTS work text NOT NULL DEFAULT 'payment',
    DROP CONSTRAINT IF EXISTS webhook_queue_work_known,
    ADD CONSTRAINT webhook_queue_work_known CHECK (work IN ('keep', 'test', 'unhandled', 'payment', 'follow')) NOT VALID,
    DROP CONSTRAINT IF EXISTS webhook_queue_origin_known,
    ADD CONSTRAINT webhook_queue_origin_known CHECK (origin IN ('webhook', 'reconciliation', 'replay', 'follow')) NOT VALID;
-- +goose StatementEnd
-- +goose StatementBegin
ALTER TABLE webhook_archive
    ADD COLUMN IF NOT EXISTS work text NOT NULL DEFAULT 'payment',
    DROP CONSTRAINT IF EXISTS webhook_queue_work_known,
    ADD CONSTRAINT webhook_queue_work_known CHECK (work IN ('keep', 'test', 'unhandled', 'payment', 'follow')) NOT VALID,
    DROP CONSTRAINT IF EXISTS webhook_queue_origin_known,
    ADD CONSTRAINT webhook_queue_origin_known CHECK (origin IN ('webhook', 'reconciliation', 'replay', 'follow')) NOT VALID;
-- +goose StatementEnd

-- An event that the previous release ends in the inbox, or moves to the archive,
-- has the default too. How it ended says what it asked for.
-- +goose StatementBegin
CREATE OR REPLACE FUNCTION conciliar_work_of_outcome() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.work := CASE NEW.outcome WHEN 'kept' THEN 'keep' WHEN 'followed' THEN 'follow' ELSE NEW.outcome END;
    RETURN NEW;
END;
$$;
-- +goose StatementEnd
-- +goose StatementBegin
DROP TRIGGER IF EXISTS webhook_queue_work ON webhook_queue;
CREATE TRIGGER webhook_queue_work BEFORE INSERT ON webhook_queue
    FOR EACH ROW WHEN (NEW.work = 'payment' AND NEW.outcome IN ('unhandled', 'test', 'kept', 'followed'))
    EXECUTE FUNCTION conciliar_work_of_outcome();
DROP TRIGGER IF EXISTS webhook_archive_work ON webhook_archive;
CREATE TRIGGER webhook_archive_work BEFORE INSERT ON webhook_archive
    FOR EACH ROW WHEN (NEW.work = 'payment' AND NEW.outcome IN ('unhandled', 'test', 'kept', 'followed'))
    EXECUTE FUNCTION conciliar_work_of_outcome();
-- +goose StatementEnd

-- The same for the rows that are there, in steps: there may be millions.
-- +goose StatementBegin
DO $$
DECLARE
    part  text;
    low   bigint;
    last  bigint;
BEGIN
    FOREACH part IN ARRAY ARRAY['webhook_queue', 'webhook_archive'] LOOP
        EXECUTE format('SELECT coalesce(min(id), 1), coalesce(max(id), 0) FROM %I', part) INTO low, last;
        WHILE low <= last LOOP
            EXECUTE format($sql$
                UPDATE %I SET work = outcome
                WHERE id >= $1 AND id < $1 + 10000 AND outcome IN ('unhandled', 'test') AND work = 'payment'$sql$, part) USING low;
            COMMIT;
            low := low + 10000;
        END LOOP;
    END LOOP;
END;
$$;
-- +goose StatementEnd

ALTER TABLE webhook_queue VALIDATE CONSTRAINT webhook_queue_work_known;
ALTER TABLE webhook_queue VALIDATE CONSTRAINT webhook_queue_origin_known;
ALTER TABLE webhook_archive VALIDATE CONSTRAINT webhook_queue_work_known;
ALTER TABLE webhook_archive VALIDATE CONSTRAINT webhook_queue_origin_known;

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
       CASE
           WHEN q.completed_at IS NOT NULL THEN q.attempt_errors -> -1 ->> 'error'
           ELSE coalesce(to_jsonb(j.errors) -> -1 ->> 'error', d.error)
       END AS last_error,
       d.id AS dead_letter_id,
       d.state AS dead_letter_state,
       q.work
FROM webhook_queue q
LEFT JOIN river_job j ON j.id = q.job_id
LEFT JOIN webhook_dead_letter d ON d.queue_id = q.id;
