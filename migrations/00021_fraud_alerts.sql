-- What an event asks of us may be a fraud alert. The releases before know nothing
-- of it: they leave the kind of its job alone, and never write the word.
-- +goose NO TRANSACTION
-- +goose Up

-- +goose StatementBegin
ALTER TABLE webhook_queue
    DROP CONSTRAINT IF EXISTS webhook_queue_work_known,
    ADD CONSTRAINT webhook_queue_work_known CHECK (work IN ('keep', 'test', 'unhandled', 'payment', 'follow', 'fraud_alert')) NOT VALID;
-- +goose StatementEnd
-- +goose StatementBegin
ALTER TABLE webhook_archive
    DROP CONSTRAINT IF EXISTS webhook_queue_work_known,
    ADD CONSTRAINT webhook_queue_work_known CHECK (work IN ('keep', 'test', 'unhandled', 'payment', 'follow', 'fraud_alert')) NOT VALID;
-- +goose StatementEnd

ALTER TABLE webhook_queue VALIDATE CONSTRAINT webhook_queue_work_known;
ALTER TABLE webhook_archive VALIDATE CONSTRAINT webhook_queue_work_known;

-- One fraud alert for one payment, open or resolved.
CREATE UNIQUE INDEX IF NOT EXISTS anomalies_fraud_alert_key ON anomalies (source, payment_id) WHERE kind = 'fraud_alert';

-- Events that an earlier release could not settle: few.
CREATE INDEX IF NOT EXISTS webhook_queue_unhandled_idx ON webhook_queue (id) WHERE outcome = 'unhandled';
CREATE INDEX IF NOT EXISTS webhook_archive_unhandled_idx ON webhook_archive (id) WHERE outcome = 'unhandled';
