-- What is known of each provider as a whole, and its outages.
-- +goose Up

-- revision counts the changes, so that a reader can tell an older look from a
-- newer one and a probe can tell that the circuit moved on without it.
-- next_probe_at hands the probes out: whoever moves it on first makes the next.
-- A row appears with a provider's first outage; none reads as closed.
CREATE TABLE provider_state (
    source        text        PRIMARY KEY,
    circuit       text        NOT NULL DEFAULT 'closed',
    reason        text        NOT NULL DEFAULT '',
    since         timestamptz NOT NULL DEFAULT now(),
    next_probe_at timestamptz,
    revision      bigint      NOT NULL DEFAULT 0,
    updated_at    timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT provider_state_circuit_known CHECK (circuit IN ('closed', 'open', 'half_open')),
    CONSTRAINT provider_state_reason_known CHECK (reason IN ('', 'unavailable', 'shut_out')),
    CONSTRAINT provider_state_reason_while_not_closed CHECK ((circuit = 'closed') = (reason = '')),
    CONSTRAINT provider_state_probe_while_not_closed CHECK ((circuit = 'closed') = (next_probe_at IS NULL))
);
CREATE TRIGGER provider_state_touch BEFORE UPDATE ON provider_state
    FOR EACH ROW EXECUTE FUNCTION conciliar_touch();

-- One row for each outage. first_failure_at begins the streak that opened the
-- circuit; released_at is when all that waited it out had been let go.
CREATE TABLE provider_outages (
    id                    bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    source                text        NOT NULL,
    reason                text        NOT NULL,
    first_failure_at      timestamptz NOT NULL,
    opened_at             timestamptz NOT NULL,
    closed_at             timestamptz,
    released_at           timestamptz,
    held_released         bigint      NOT NULL DEFAULT 0,
    dead_letters_replayed bigint      NOT NULL DEFAULT 0,
    updated_at            timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT provider_outages_reason_known CHECK (reason IN ('unavailable', 'shut_out')),
    CONSTRAINT provider_outages_forward CHECK (first_failure_at <= opened_at AND opened_at <= closed_at AND closed_at <= released_at),
    CONSTRAINT provider_outages_released_after_end CHECK (released_at IS NULL OR closed_at IS NOT NULL)
);
-- A provider has one outage at a time.
CREATE UNIQUE INDEX provider_outages_open_key ON provider_outages (source) WHERE closed_at IS NULL;
-- Outages whose events are still being let go.
CREATE INDEX provider_outages_unreleased_idx ON provider_outages (source, id) WHERE closed_at IS NOT NULL AND released_at IS NULL;
-- The outages of a time.
CREATE INDEX provider_outages_opened_idx ON provider_outages (opened_at);
CREATE TRIGGER provider_outages_touch BEFORE UPDATE ON provider_outages
    FOR EACH ROW EXECUTE FUNCTION conciliar_touch();

-- Held is a job that was snoozed for long. River makes a job available, and not
-- scheduled, that is retried or snoozed within seconds: one that was held once
-- and then fails with a short delay has failed, and is not held.
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
       d.state AS dead_letter_state
FROM webhook_queue q
LEFT JOIN river_job j ON j.id = q.job_id
LEFT JOIN webhook_dead_letter d ON d.queue_id = q.id;
