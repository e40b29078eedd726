-- Named operators: whose a login is, the devices that they know, and how many
-- tries a login gets, counted for all processes.
-- +goose Up

-- operator is the person's name; the previous release has one operator.
-- device_id is the device that the login was made on, which goes with it when
-- somebody ends it.
ALTER TABLE operator_sessions
    ADD COLUMN operator  text NOT NULL DEFAULT 'operator',
    ADD COLUMN device_id bigint;

-- One row for each browser in which an operator logged in. As with a login, its
-- cookie's token is not here, only its SHA-256. It opens nothing: it says that a
-- try to log in does not come from a stranger.
CREATE TABLE operator_devices (
    id           bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    token_hash   bytea       NOT NULL,
    operator     text        NOT NULL,
    created_at   timestamptz NOT NULL DEFAULT now(),
    last_used_at timestamptz NOT NULL DEFAULT now(),
    expires_at   timestamptz NOT NULL,
    CONSTRAINT operator_devices_token_key UNIQUE (token_hash),
    CONSTRAINT operator_devices_operator_named CHECK (operator <> ''),
    CONSTRAINT operator_devices_hash_whole CHECK (octet_length(token_hash) = 32)
);
CREATE INDEX operator_devices_expires_idx ON operator_devices (expires_at);

-- One row for each lane in which tries were made lately: a device's, a network's,
-- the common one of all strangers. spent_until is when all its tries are there
-- again; each try moves it on. member tells lanes of one kind apart: a device's
-- id, or a number made of the network, of which there are few enough to bound the
-- table.
CREATE TABLE operator_login_lanes (
    lane        text        NOT NULL,
    member      bigint      NOT NULL,
    spent_until timestamptz NOT NULL,
    PRIMARY KEY (lane, member),
    CONSTRAINT operator_login_lanes_lane_known CHECK (lane IN ('device', 'network', 'common'))
);
CREATE INDEX operator_login_lanes_spent_idx ON operator_login_lanes (spent_until);

ALTER TABLE operator_actions
    DROP CONSTRAINT operator_actions_action_known,
    ADD CONSTRAINT operator_actions_action_known CHECK (action IN ('replay', 'dismiss', 'resolve', 'process_queue', 'reconcile',
        'bulk_replay', 'bulk_replay_step', 'cancel_bulk_replay',
        'login', 'logout', 'login_failed', 'end_login',
        'retry_jobs', 'cancel_jobs', 'delete_jobs', 'pause_queue', 'resume_queue', 'change_queue',
        'amend_order', 'cancel_order')) NOT VALID;
-- What failed lately.
CREATE INDEX operator_actions_login_failed_idx ON operator_actions (acted_at) WHERE action = 'login_failed';
-- Actions with logins, the latest first.
CREATE INDEX operator_actions_sessions_idx ON operator_actions (id) WHERE target_kind = 'session';
