-- One row for each reconciliation.
-- +goose Up
CREATE TABLE webhook_reconciliation_logs (
    id               bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    trigger          text        NOT NULL,
    status           text        NOT NULL DEFAULT 'running',
    window_start     timestamptz,
    window_end       timestamptz,
    payments_checked bigint      NOT NULL DEFAULT 0,
    orders_checked   bigint      NOT NULL DEFAULT 0,
    stuck_requeued   bigint      NOT NULL DEFAULT 0,
    retries_due      bigint      NOT NULL DEFAULT 0,
    missing_found    bigint      NOT NULL DEFAULT 0,
    drift_found      bigint      NOT NULL DEFAULT 0,
    archived         bigint      NOT NULL DEFAULT 0,
    started_at       timestamptz NOT NULL DEFAULT now(),
    finished_at      timestamptz,
    updated_at       timestamptz NOT NULL DEFAULT now(),
    error            text,
    CONSTRAINT webhook_reconciliation_logs_trigger_known CHECK (trigger IN ('schedule', 'start', 'manual', 'cron', 'cli')),
    CONSTRAINT webhook_reconciliation_logs_status_known CHECK (status IN ('running', 'succeeded', 'failed', 'stopped_by_cap')),
    CONSTRAINT webhook_reconciliation_logs_ends CHECK ((finished_at IS NULL) = (status = 'running')),
    CONSTRAINT webhook_reconciliation_logs_window_forward CHECK (window_end >= window_start)
);
CREATE INDEX webhook_reconciliation_logs_success_idx ON webhook_reconciliation_logs (finished_at DESC) WHERE status = 'succeeded';
CREATE TRIGGER webhook_reconciliation_logs_touch BEFORE UPDATE ON webhook_reconciliation_logs
    FOR EACH ROW EXECUTE FUNCTION conciliar_touch();
