-- What a reconciliation works with: where it is, what it found, whom it asked.
-- +goose Up

-- revision counts the steps' commits: a step that read an older one is stale.
-- job_id is the run's current step; River's row may be gone. position is how
-- far into the window the search has come. Runs of an earlier release that
-- still count as running have no step any more.
ALTER TABLE webhook_reconciliation_logs
    ADD COLUMN scope        text        NOT NULL DEFAULT 'regular',
    ADD COLUMN phase        text        NOT NULL DEFAULT '',
    ADD COLUMN position     timestamptz,
    ADD COLUMN cursor       jsonb       NOT NULL DEFAULT '{}',
    ADD COLUMN revision     bigint      NOT NULL DEFAULT 0,
    ADD COLUMN job_id       bigint,
    ADD COLUMN requested_by text        NOT NULL DEFAULT '',
    ADD COLUMN note         text        NOT NULL DEFAULT '',
    ADD CONSTRAINT webhook_reconciliation_logs_scope_known CHECK (scope IN ('regular', 'backfill'));
UPDATE webhook_reconciliation_logs SET status = 'failed', finished_at = now(), error = 'its step died'
WHERE status = 'running';

-- One run of each scope at a time: a long backfill does not keep the hourly run
-- waiting, and whoever asks twice joins.
CREATE UNIQUE INDEX webhook_reconciliation_logs_running_key ON webhook_reconciliation_logs (scope) WHERE status = 'running';
-- Where the last successful run of a scope ended.
CREATE INDEX webhook_reconciliation_logs_window_idx ON webhook_reconciliation_logs (scope, window_end DESC) WHERE status = 'succeeded';

-- What a run found, with the event that it made of it. Kept, so that what is
-- found again after it was asked for can be told from what is new. queue_id has
-- no foreign key: events move to the archive.
CREATE TABLE webhook_reconciliation_findings (
    id              bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    run_id          bigint      NOT NULL REFERENCES webhook_reconciliation_logs (id),
    kind            text        NOT NULL,
    source          text,
    payment_id      text,
    order_reference text,
    queue_id        bigint,
    detail          jsonb       NOT NULL DEFAULT '{}',
    found_at        timestamptz NOT NULL DEFAULT now(),
    repaired_at     timestamptz,
    CONSTRAINT webhook_reconciliation_findings_kind_known CHECK (kind IN ('stuck', 'missing', 'drift', 'unsettled')),
    CONSTRAINT webhook_reconciliation_findings_about_something
        CHECK (payment_id IS NOT NULL OR order_reference IS NOT NULL OR queue_id IS NOT NULL),
    CONSTRAINT webhook_reconciliation_findings_payment_has_source CHECK (payment_id IS NULL OR source IS NOT NULL)
);
-- A payment, and an order, counts once in a run.
CREATE UNIQUE INDEX webhook_reconciliation_findings_payment_key ON webhook_reconciliation_findings (run_id, source, payment_id)
    WHERE payment_id IS NOT NULL;
CREATE UNIQUE INDEX webhook_reconciliation_findings_order_key ON webhook_reconciliation_findings (run_id, order_reference)
    WHERE payment_id IS NULL AND order_reference IS NOT NULL;
-- A run's findings, one after the other.
CREATE INDEX webhook_reconciliation_findings_run_idx ON webhook_reconciliation_findings (run_id, id);
-- What was found about a payment before.
CREATE INDEX webhook_reconciliation_findings_history_idx ON webhook_reconciliation_findings (payment_id, id) WHERE payment_id IS NOT NULL;
-- The run that made an event.
CREATE INDEX webhook_reconciliation_findings_queue_idx ON webhook_reconciliation_findings (queue_id) WHERE queue_id IS NOT NULL;

-- Unpaid orders that the provider was asked about in the last day. A table of
-- its own: to ask about an order does not change the order.
CREATE TABLE webhook_reconciliation_inquiries (
    order_reference text        PRIMARY KEY,
    asked_at        timestamptz NOT NULL DEFAULT now()
);

-- What changed in a run's window.
CREATE INDEX orders_updated_idx ON orders (updated_at, reference);
CREATE INDEX payments_updated_idx ON payments (updated_at, source, payment_id);

ALTER TABLE anomalies
    DROP CONSTRAINT anomalies_kind_known,
    ADD CONSTRAINT anomalies_kind_known CHECK (kind IN ('underpaid', 'overpaid', 'duplicate_payment', 'currency_mismatch',
        'foreign_collector', 'wrong_mode', 'unknown_order', 'no_reference', 'fraud_alert', 'unsettled_difference'));
