-- The operator's logins, and what operators do in River UI.
-- +goose Up

-- One row for each login that has not ended. The cookie's token is not here,
-- only its SHA-256, and password_mac is made of the token and the password: a
-- changed password ends every login, and neither can be guessed from the row.
-- expires_at moves on while the login is used.
CREATE TABLE operator_sessions (
    id           bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    token_hash   bytea       NOT NULL,
    password_mac bytea       NOT NULL,
    created_at   timestamptz NOT NULL DEFAULT now(),
    last_seen_at timestamptz NOT NULL DEFAULT now(),
    expires_at   timestamptz NOT NULL,
    remote_ip    inet,
    CONSTRAINT operator_sessions_token_key UNIQUE (token_hash),
    CONSTRAINT operator_sessions_hashes_whole CHECK (octet_length(token_hash) = 32 AND octet_length(password_mac) = 32)
);
CREATE INDEX operator_sessions_expires_idx ON operator_sessions (expires_at);

-- The River jobs that an action touched, which River deletes one day.
ALTER TABLE operator_actions ADD COLUMN job_ids bigint[] NOT NULL DEFAULT '{}';
ALTER TABLE operator_actions
    DROP CONSTRAINT operator_actions_action_known,
    ADD CONSTRAINT operator_actions_action_known CHECK (action IN ('replay', 'dismiss', 'resolve', 'process_queue', 'reconcile',
        'bulk_replay', 'bulk_replay_step', 'cancel_bulk_replay',
        'login', 'logout', 'retry_jobs', 'cancel_jobs', 'delete_jobs', 'pause_queue', 'resume_queue', 'change_queue')),
    DROP CONSTRAINT operator_actions_target_known,
    ADD CONSTRAINT operator_actions_target_known CHECK (target_kind IN ('event', 'dead_letter', 'anomaly', 'queue', 'run', 'bulk_replay',
        'session', 'job', 'job_queue'));
