-- Alert codes and the circuit's reason get the names that operators know. An
-- alert that is open keeps its begin and what was sent about it.
--
-- The previous release may run on: it knows the old codes only, and leaves the
-- new ones alone. What it opens under an old code it keeps up and closes itself
-- while it evaluates; updated_at tells when it no longer does, and then a
-- newer release closes what it left.
-- +goose Up

-- Evaluations take turns by this row; the renaming takes its turn too.
SELECT singleton FROM alert_evaluation FOR UPDATE;

WITH renamed (old, new) AS (
    VALUES ('deaths_many', 'dead_letter_rate_high'),
           ('pool_strained', 'db_pool_saturated'),
           ('refusals_rising', 'signature_failures_rising'),
           ('webhooks_silent', 'no_webhooks_received'),
           ('pending_stalled', 'queue_stalled'),
           ('pending_slow', 'queue_latency_high'),
           ('credentials_refused', 'provider_credentials_rejected'),
           ('reconciliation_stopped', 'reconciliation_limit_exceeded'),
           ('alerts_undelivered', 'alert_delivery_failing'),
           ('alerts_stalled', 'alert_evaluation_stalled')
), watches AS (
    UPDATE alert_watches SET code = new FROM renamed WHERE code = old
)
UPDATE alerts SET code = new FROM renamed WHERE code = old;

-- updated_at is when an evaluation, of whatever release, wrote the watch last.
ALTER TABLE alert_watches ADD COLUMN updated_at timestamptz NOT NULL DEFAULT now();
CREATE TRIGGER alert_watches_touch BEFORE UPDATE ON alert_watches
    FOR EACH ROW EXECUTE FUNCTION conciliar_touch();

-- The reason shut_out is credentials_rejected from here on, also where a process
-- of the previous release writes it.
-- +goose StatementBegin
CREATE FUNCTION conciliar_rename_reason() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.reason := 'credentials_rejected';
    RETURN NEW;
END;
$$;
-- +goose StatementEnd
LOCK TABLE provider_state, provider_outages IN ACCESS EXCLUSIVE MODE;
ALTER TABLE provider_state DROP CONSTRAINT provider_state_reason_known;
ALTER TABLE provider_outages DROP CONSTRAINT provider_outages_reason_known;
UPDATE provider_state SET reason = 'credentials_rejected' WHERE reason = 'shut_out';
UPDATE provider_outages SET reason = 'credentials_rejected' WHERE reason = 'shut_out';
ALTER TABLE provider_state
    ADD CONSTRAINT provider_state_reason_known CHECK (reason IN ('', 'unavailable', 'credentials_rejected'));
ALTER TABLE provider_outages
    ADD CONSTRAINT provider_outages_reason_known CHECK (reason IN ('unavailable', 'credentials_rejected'));
CREATE TRIGGER provider_state_rename_reason BEFORE INSERT OR UPDATE ON provider_state
    FOR EACH ROW WHEN (NEW.reason = 'shut_out') EXECUTE FUNCTION conciliar_rename_reason();
CREATE TRIGGER provider_outages_rename_reason BEFORE INSERT OR UPDATE ON provider_outages
    FOR EACH ROW WHEN (NEW.reason = 'shut_out') EXECUTE FUNCTION conciliar_rename_reason();
