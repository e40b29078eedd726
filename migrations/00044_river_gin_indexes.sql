-- River's indexes of its jobs' arguments and metadata: nothing looks for jobs by what is
-- in them, and each job was written into both. River makes them in its second step and
-- never again, and does not need them.
-- +goose Up
DROP INDEX IF EXISTS river_job_args_index;
DROP INDEX IF EXISTS river_job_metadata_index;
