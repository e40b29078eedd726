-- +goose Up
-- Whether a process knows which account is ours. One of a release that does not
-- say so counts as one that does.
ALTER TABLE processes ADD COLUMN account_known boolean NOT NULL DEFAULT true;
