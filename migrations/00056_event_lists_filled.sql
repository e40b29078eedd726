-- The lists of what has no end and of what ended get the events that were there before
-- their triggers, and the indexes that they stand in for go. Statement by statement, so
-- that webhooks and settlements go on; each can be run again after one that broke off.
-- +goose NO TRANSACTION
-- +goose Up

-- First what is open, under its lock: what ends from here on moves to the other list by the
-- trigger, and what ended before is seen by the next statement.
WITH unended AS (
    SELECT id FROM webhook_queue WHERE completed_at IS NULL ORDER BY id FOR UPDATE
)
INSERT INTO webhook_open SELECT id FROM unended ON CONFLICT DO NOTHING;

INSERT INTO webhook_completed
SELECT completed_at, id, outcome FROM webhook_queue WHERE completed_at IS NOT NULL ORDER BY completed_at, id
ON CONFLICT DO NOTHING;

-- What was archived while the statement before was under way.
DELETE FROM webhook_completed c WHERE NOT EXISTS (SELECT FROM webhook_queue q WHERE q.id = c.queue_id);

ANALYZE webhook_open, webhook_completed;

DROP INDEX IF EXISTS webhook_queue_open_idx;
DROP INDEX IF EXISTS webhook_queue_completed_idx;
DROP INDEX IF EXISTS webhook_queue_unhandled_idx;
