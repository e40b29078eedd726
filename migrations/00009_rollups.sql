-- What happened when, counted: so that the status and the dashboard read a few
-- hundred rows, however many events there were. One job writes these tables
-- (store/rollup.go); the receiver and the workers never touch them.
-- +goose Up

-- How far the counting has come: what began in [covered_from, covered_until) is
-- counted for good. Its row is also the lock under which counting and archiving
-- take turns. The times are null until the first roll-up.
CREATE TABLE webhook_rollup (
    singleton     boolean PRIMARY KEY DEFAULT true,
    covered_from  timestamptz,
    covered_until timestamptz,
    complete      boolean NOT NULL DEFAULT false,
    rolled_at     timestamptz,
    CONSTRAINT webhook_rollup_one_row CHECK (singleton),
    CONSTRAINT webhook_rollup_forward CHECK (covered_from <= covered_until),
    CONSTRAINT webhook_rollup_both_or_none CHECK ((covered_from IS NULL) = (covered_until IS NULL))
);
INSERT INTO webhook_rollup DEFAULT VALUES;

-- Events by the time of their receipt (outcome is then empty) and by the time of
-- their end. Minutes are kept for days, hours for years.
CREATE TABLE webhook_activity_minutes (
    began_at timestamptz NOT NULL,
    topic    text        NOT NULL,
    origin   text        NOT NULL,
    outcome  text        NOT NULL,
    events   bigint      NOT NULL,
    PRIMARY KEY (began_at, topic, origin, outcome),
    CONSTRAINT webhook_activity_minutes_positive CHECK (events > 0)
);
CREATE TABLE webhook_activity_hours (LIKE webhook_activity_minutes INCLUDING CONSTRAINTS, PRIMARY KEY (began_at, topic, origin, outcome));

-- How long settled webhooks took, in steps that grow by a quarter of a power of
-- two: step s holds what took at most 2^(s/4) ms and more than the step below.
CREATE TABLE webhook_latency_minutes (
    began_at timestamptz NOT NULL,
    step     smallint    NOT NULL,
    events   bigint      NOT NULL,
    PRIMARY KEY (began_at, step),
    CONSTRAINT webhook_latency_minutes_positive CHECK (events > 0)
);
CREATE TABLE webhook_latency_hours (LIKE webhook_latency_minutes INCLUDING CONSTRAINTS, PRIMARY KEY (began_at, step));

-- Completed events that are still in webhook_queue, by the ten minutes in which
-- they ended. Archiving takes off what it moves, in its own transaction.
CREATE TABLE webhook_completed_slots (
    began_at   timestamptz NOT NULL PRIMARY KEY,
    events     bigint      NOT NULL,
    counted_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE INDEX webhook_completed_slots_counted_idx ON webhook_completed_slots (counted_at);

-- How the orders' money moved, by quarters of an hour: every zone's days are
-- made of whole ones. withdrawn is what paid amounts fell by.
CREATE TABLE order_money_quarters (
    began_at  timestamptz NOT NULL,
    currency  text        NOT NULL,
    paid      numeric     NOT NULL,
    withdrawn numeric     NOT NULL,
    refunded  numeric     NOT NULL,
    PRIMARY KEY (began_at, currency),
    CONSTRAINT order_money_quarters_not_negative CHECK (paid >= 0 AND withdrawn >= 0)
);

-- What ended, and what changed on orders, in a time: rows are appended in time's
-- order, so block ranges will do.
CREATE INDEX webhook_archive_completed_idx ON webhook_archive USING brin (completed_at) WITH (pages_per_range = 32, autosummarize = on);
CREATE INDEX order_logs_changed_idx ON order_logs USING brin (changed_at) WITH (pages_per_range = 32, autosummarize = on);
-- Runs of a time.
CREATE INDEX webhook_reconciliation_logs_started_idx ON webhook_reconciliation_logs (started_at);
