-- Webhooks that a process could not make durable, for the condition that tells of it.
-- +goose Up

-- Since the process's word before.
ALTER TABLE processes ADD COLUMN not_accepted bigint NOT NULL DEFAULT 0;
