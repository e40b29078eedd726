-- Whether a fetch's mark is above the sequence of the events' ids is asked at each start:
-- by the ranges of blocks, instead of reading all payments. Marks grow with the table, so
-- no range holds one that is above it.
-- +goose NO TRANSACTION
-- +goose Up

-- Not concurrently: that would wait for the other processes, which wait for this one. Block
-- ranges are made in one reading of the table, during which settlements wait.
CREATE INDEX IF NOT EXISTS payments_fetch_mark_idx ON payments USING brin (fetch_mark) WITH (autosummarize = on);
