-- What an event's settlement writes more than once stays on its page: room for the later
-- versions of a row keeps the second page, and what of the row is the same, out of the WAL.
-- None of these updates can do without writing to the indexes: each changes the state, or
-- the time, by which the rows that are still to be worked are found.
-- Which log entries an event wrote is found by the moment of its end, which is theirs:
-- block ranges instead of an entry for each row in two indexes.
-- +goose NO TRANSACTION
-- +goose Up
ALTER TABLE webhook_queue SET (fillfactor = 50);
ALTER TABLE orders SET (fillfactor = 50);
ALTER TABLE order_events SET (fillfactor = 50);
ALTER TABLE river_job SET (fillfactor = 40);

-- Not concurrently: that would wait for the other processes, which wait for this one. Block
-- ranges are made in one reading of the table, during which settlements wait.
CREATE INDEX IF NOT EXISTS payment_logs_applied_idx ON payment_logs USING brin (applied_at) WITH (pages_per_range = 32, autosummarize = on);
DROP INDEX IF EXISTS payment_logs_queue_idx;
DROP INDEX IF EXISTS order_logs_queue_idx;
