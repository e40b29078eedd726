-- Payments whose answer can't be booked, and how old an answer may be. What is
-- added has no value where it says nothing, so the release before goes on.
-- +goose Up

-- What can't be read of the payment that an event is about: one row for the
-- event, as its latest attempt found it. The event's resource has the answer.
CREATE TABLE odd_payments (
    queue_id        bigint      PRIMARY KEY REFERENCES webhook_queue (id) ON DELETE CASCADE,
    source          text        NOT NULL,
    payment_id      text        NOT NULL,
    order_reference text,
    fields          text[]      NOT NULL,
    problem         text        NOT NULL,
    fetched_at      timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT odd_payments_reference_present CHECK (order_reference <> ''),
    CONSTRAINT odd_payments_fields_named CHECK (cardinality(fields) > 0)
);
CREATE INDEX odd_payments_order_idx ON odd_payments (order_reference) WHERE order_reference IS NOT NULL;

-- notified_at is what the notification says of its own date: a hint.
-- asked_again_at is when the event was put off because the answer was older.
ALTER TABLE webhook_queue ADD COLUMN notified_at timestamptz, ADD COLUMN asked_again_at timestamptz;
ALTER TABLE webhook_archive ADD COLUMN notified_at timestamptz, ADD COLUMN asked_again_at timestamptz;

-- How many payments a run was shown that can't be booked.
ALTER TABLE webhook_reconciliation_logs ADD COLUMN odd_found bigint NOT NULL DEFAULT 0;
ALTER TABLE webhook_reconciliation_findings
    DROP CONSTRAINT webhook_reconciliation_findings_kind_known,
    ADD CONSTRAINT webhook_reconciliation_findings_kind_known CHECK (kind IN ('stuck', 'missing', 'drift', 'unsettled', 'odd')) NOT VALID;
ALTER TABLE webhook_reconciliation_findings VALIDATE CONSTRAINT webhook_reconciliation_findings_kind_known;
