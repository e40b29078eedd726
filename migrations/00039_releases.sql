-- Releases that are not what their payments say. The release before knows neither the
-- kinds of anomaly nor the origin, and writes neither.
-- +goose Up

-- Up to when the releases have been held against the payments.
CREATE TABLE release_checks (
    singleton     boolean     PRIMARY KEY DEFAULT true,
    checked_until timestamptz NOT NULL DEFAULT '2000-01-01T00:00:00Z',
    CONSTRAINT release_checks_one_row CHECK (singleton)
);
INSERT INTO release_checks DEFAULT VALUES;

CREATE INDEX payments_release_idx ON payments (release_date) WHERE release_date IS NOT NULL;

ALTER TABLE webhook_queue
    DROP CONSTRAINT webhook_queue_origin_known,
    ADD CONSTRAINT webhook_queue_origin_known CHECK (origin IN ('webhook', 'reconciliation', 'replay', 'follow', 'report')) NOT VALID;
ALTER TABLE webhook_archive
    DROP CONSTRAINT webhook_queue_origin_known,
    ADD CONSTRAINT webhook_queue_origin_known CHECK (origin IN ('webhook', 'reconciliation', 'replay', 'follow', 'report')) NOT VALID;
ALTER TABLE anomalies
    DROP CONSTRAINT anomalies_kind_known,
    ADD CONSTRAINT anomalies_kind_known CHECK (kind IN ('underpaid', 'overpaid', 'duplicate_payment', 'disputed_payment',
        'paid_after_cancel', 'payment_moved', 'ambiguous_payment', 'released_differs', 'not_released', 'released_unknown',
        'currency_mismatch', 'foreign_collector', 'wrong_mode', 'unknown_order', 'no_reference', 'fraud_alert',
        'unsettled_difference')) NOT VALID;
