-- What an event asks of us may be to send it on to where its source says. The releases
-- before know nothing of it: they leave the kind of its job alone, and never write the
-- word.
-- +goose NO TRANSACTION
-- +goose Up

-- +goose StatementBegin
ALTER TABLE webhook_queue
    DROP CONSTRAINT IF EXISTS webhook_queue_work_known,
    ADD CONSTRAINT webhook_queue_work_known CHECK (work IN ('keep', 'test', 'unhandled', 'payment', 'follow', 'fraud_alert', 'authorization', 'forward')) NOT VALID;
-- +goose StatementEnd
-- +goose StatementBegin
ALTER TABLE webhook_archive
    DROP CONSTRAINT IF EXISTS webhook_queue_work_known,
    ADD CONSTRAINT webhook_queue_work_known CHECK (work IN ('keep', 'test', 'unhandled', 'payment', 'follow', 'fraud_alert', 'authorization', 'forward')) NOT VALID;
-- +goose StatementEnd

ALTER TABLE webhook_queue VALIDATE CONSTRAINT webhook_queue_work_known;
ALTER TABLE webhook_archive VALIDATE CONSTRAINT webhook_queue_work_known;
