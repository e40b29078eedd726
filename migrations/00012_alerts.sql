-- Who is told when something is wrong: what is watched, what was said, and by
-- which processes the service is alive.
-- +goose Up

-- Every condition as the last evaluation found it: how it is, since when, and
-- for how many evaluations in a row.
CREATE TABLE alert_watches (
    code        text        PRIMARY KEY,
    holds       boolean     NOT NULL,
    since       timestamptz NOT NULL,
    evaluations integer     NOT NULL DEFAULT 1,
    CONSTRAINT alert_watches_code_present CHECK (code <> ''),
    CONSTRAINT alert_watches_evaluations_positive CHECK (evaluations > 0)
);

-- When the conditions were evaluated last. Its row is also the lock under which
-- evaluations take turns.
CREATE TABLE alert_evaluation (
    singleton    boolean     PRIMARY KEY DEFAULT true,
    evaluated_at timestamptz,
    CONSTRAINT alert_evaluation_one_row CHECK (singleton)
);
INSERT INTO alert_evaluation DEFAULT VALUES;

-- An alert is one time that a condition held, from its begin to its end.
-- last_sent_at is empty until a message spoke of it.
CREATE TABLE alerts (
    id           bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    code         text        NOT NULL,
    opened_at    timestamptz NOT NULL,
    closed_at    timestamptz,
    last_sent_at timestamptz,
    reminders    integer     NOT NULL DEFAULT 0,
    detail       jsonb       NOT NULL DEFAULT '{}',
    CONSTRAINT alerts_code_present CHECK (code <> ''),
    CONSTRAINT alerts_forward CHECK (closed_at >= opened_at),
    CONSTRAINT alerts_reminders_not_negative CHECK (reminders >= 0)
);
CREATE UNIQUE INDEX alerts_open_key ON alerts (code) WHERE closed_at IS NULL;

-- One row for each message, inserted together with its job in the transaction
-- that changed the alerts which it speaks of.
CREATE TABLE alert_messages (
    id           bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    created_at   timestamptz NOT NULL DEFAULT now(),
    body         jsonb       NOT NULL,
    job_id       bigint,
    attempts     integer     NOT NULL DEFAULT 0,
    delivered_at timestamptz,
    failed_at    timestamptz,
    error        text        NOT NULL DEFAULT '',
    CONSTRAINT alert_messages_one_end CHECK (delivered_at IS NULL OR failed_at IS NULL),
    CONSTRAINT alert_messages_attempts_not_negative CHECK (attempts >= 0)
);
CREATE INDEX alert_messages_delivered_idx ON alert_messages (id) WHERE delivered_at IS NOT NULL;
CREATE INDEX alert_messages_undelivered_idx ON alert_messages (id) WHERE delivered_at IS NULL;

-- The processes of the service, each by its own word every few seconds.
-- pool_wait_ms is how long a caller waited for a database connection on average
-- since the word before, pool_gave_up how many callers got none.
CREATE TABLE processes (
    id           text        PRIMARY KEY,
    host         text        NOT NULL,
    role         text        NOT NULL,
    version      text        NOT NULL,
    started_at   timestamptz NOT NULL DEFAULT now(),
    seen_at      timestamptz NOT NULL DEFAULT now(),
    pool_max     integer     NOT NULL,
    pool_in_use  integer     NOT NULL,
    pool_wait_ms bigint      NOT NULL DEFAULT 0,
    pool_gave_up bigint      NOT NULL DEFAULT 0,
    CONSTRAINT processes_role_known CHECK (role IN ('all', 'api', 'worker'))
);
