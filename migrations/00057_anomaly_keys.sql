-- Anomalies are found by what references have in common with any that a person takes for
-- the same, the closed ones included: of two indexes of open ones PostgreSQL takes either
-- when it believes that none is open, and one of them is read whole for a key.
-- +goose Up
CREATE INDEX IF NOT EXISTS anomalies_key_idx ON anomalies (reference_key) WHERE reference_key IS NOT NULL;
DROP INDEX IF EXISTS anomalies_reference_key_idx;
