-- What a run's search could not show: named, counted, and read again.
-- +goose Up

-- The previous release inserts runs without it.
ALTER TABLE webhook_reconciliation_logs ADD COLUMN unseen bigint NOT NULL DEFAULT 0;

-- One range of a source's search that was not seen whole. It is read again by
-- later runs for seven days: seen_at is when one of them saw it, and read_at when
-- it was read last. payments is how many are missing at least.
CREATE TABLE webhook_reconciliation_unseen (
    id       bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    run_id   bigint      NOT NULL REFERENCES webhook_reconciliation_logs (id),
    source   text        NOT NULL,
    begin_at timestamptz NOT NULL,
    end_at   timestamptz NOT NULL,
    reason   text        NOT NULL,
    payments bigint      NOT NULL,
    found_at timestamptz NOT NULL DEFAULT now(),
    read_at  timestamptz NOT NULL DEFAULT now(),
    seen_at  timestamptz,
    CONSTRAINT webhook_reconciliation_unseen_reason_known CHECK (reason IN ('counted', 'beyond_cap', 'unstable', 'refused', 'call_limit')),
    CONSTRAINT webhook_reconciliation_unseen_forward CHECK (begin_at <= end_at),
    CONSTRAINT webhook_reconciliation_unseen_some CHECK (payments > 0)
);
-- The ranges to read again, those that wait longest first.
CREATE INDEX webhook_reconciliation_unseen_open_idx ON webhook_reconciliation_unseen (source, read_at) WHERE seen_at IS NULL;
-- What a run did not see.
CREATE INDEX webhook_reconciliation_unseen_run_idx ON webhook_reconciliation_unseen (run_id);
