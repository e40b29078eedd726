-- A dead letter whose job only a newer release knew is reopened by the first
-- process that knows it, once: the second time a person has to look.
-- +goose Up
ALTER TABLE webhook_dead_letter ADD COLUMN kind_reopened_at timestamptz;
