-- Jobs that were taken leave entries in the index by which the next are found, until VACUUM
-- comes: by default after a fifth of the table, which keeps a week of completed jobs. Each
-- look for jobs goes past them. So VACUUM comes by their number, at most once a minute as
-- always (autovacuum_naptime).
-- +goose NO TRANSACTION
-- +goose Up
ALTER TABLE river_job SET (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 20000);
