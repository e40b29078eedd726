-- What the archive's block ranges hold is kept up as they fill: until VACUUM came, after a
-- fifth of the table, every reading of the newest events read all that was archived since.
-- +goose Up
ALTER INDEX webhook_archive_received_idx SET (autosummarize = on);
SELECT brin_summarize_new_values('webhook_archive_received_idx');
