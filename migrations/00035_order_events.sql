-- What a shop is told: each change of an order, in the transaction that made it, and
-- the feed that has them in an order which no reader can miss anything of.
-- +goose Up

-- position is the feed's, given after the commit; null until then. body is the event
-- as it is sent, byte for byte; null once it is not kept any more.
CREATE TABLE order_events (
    id              bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    position        bigint,
    type            text        NOT NULL,
    order_reference text        NOT NULL REFERENCES orders (reference),
    previous_status text,
    cause           text        NOT NULL,
    queue_id        bigint,
    order_log_id    bigint,
    anomaly_id      bigint,
    body            json,
    created_at      timestamptz NOT NULL,
    CONSTRAINT order_events_position_key UNIQUE (position),
    CONSTRAINT order_events_type_known CHECK (type IN ('order.registered', 'order.amended', 'order.cancelled', 'order.pending',
        'order.authorized', 'order.in_process', 'order.rejected', 'order.partially_paid', 'order.paid', 'order.partially_refunded',
        'order.refunded', 'order.in_mediation', 'order.charged_back', 'order.flagged', 'order.cleared')),
    CONSTRAINT order_events_cause_known CHECK (cause IN ('merchant', 'payment', 'reconciliation', 'repair', 'operator', 'sql')),
    CONSTRAINT order_events_about_an_anomaly CHECK ((type IN ('order.flagged', 'order.cleared')) = (anomaly_id IS NOT NULL))
);
CREATE INDEX order_events_waiting_idx ON order_events (id) WHERE position IS NULL;
CREATE INDEX order_events_order_idx ON order_events (order_reference, id);

-- The feed: its last position, and up to which the bodies are not kept any more. A
-- cursor of another epoch is of before a restore.
CREATE TABLE order_feed (
    singleton boolean PRIMARY KEY DEFAULT true,
    epoch     text    NOT NULL DEFAULT replace(gen_random_uuid()::text, '-', ''),
    position  bigint  NOT NULL DEFAULT 0,
    pruned    bigint  NOT NULL DEFAULT 0,
    CONSTRAINT order_feed_one_row CHECK (singleton),
    CONSTRAINT order_feed_pruned_within CHECK (pruned BETWEEN 0 AND position)
);
INSERT INTO order_feed DEFAULT VALUES;

-- told is true of a change that has its event. The previous release, which makes none,
-- leaves the default, and so does the fold of an upgrade. collector_id is a part of the
-- terms; entries of before have none.
ALTER TABLE order_logs
    ADD COLUMN told         boolean NOT NULL DEFAULT false,
    ADD COLUMN collector_id text;

-- flagged_order is the order that the shop was told has the anomaly, until it is told
-- that it has it no more. What was open before counts as told.
ALTER TABLE anomalies ADD COLUMN flagged_order text;
ALTER TABLE anomalies DISABLE TRIGGER anomalies_touch;
UPDATE anomalies SET flagged_order = order_reference WHERE closed_at IS NULL AND order_reference IS NOT NULL;
ALTER TABLE anomalies ENABLE TRIGGER anomalies_touch;
CREATE INDEX anomalies_flagged_idx ON anomalies (flagged_order) WHERE flagged_order IS NOT NULL;
