-- What goes out: who is told, each message on its way, and what came of its attempts.
-- +goose Up

-- position is up to which of the feed's the receiver's deliveries were made, counted
-- from first_position. Nothing from before since is delivered. parked is true while deliveries may wait without a job.
CREATE TABLE delivery_receivers (
    name        text        PRIMARY KEY,
    since       timestamptz NOT NULL DEFAULT now(),
    first_position bigint   NOT NULL DEFAULT 0,
    position    bigint      NOT NULL DEFAULT 0,
    stopped_at  timestamptz,
    stop_reason text        NOT NULL DEFAULT '',
    stopped_by  text        NOT NULL DEFAULT '',
    parked      boolean     NOT NULL DEFAULT false,
    updated_at  timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT delivery_receivers_name_present CHECK (name <> ''),
    CONSTRAINT delivery_receivers_stop_reason_known CHECK (stop_reason IN ('', 'gone', 'operator')),
    CONSTRAINT delivery_receivers_stop_has_reason CHECK ((stopped_at IS NULL) = (stop_reason = ''))
);
CREATE TRIGGER delivery_receivers_touch BEFORE UPDATE ON delivery_receivers
    FOR EACH ROW EXECUTE FUNCTION conciliar_touch();

-- One message to one receiver. Those of a stream arrive in the order of their ids: the
-- first that is pending has a job, and the others none. What an order event says is in
-- its own row; headers and body are those of any other message.
CREATE TABLE deliveries (
    id              bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    receiver        text        NOT NULL REFERENCES delivery_receivers (name),
    stream          text        NOT NULL,
    message_id      text        NOT NULL,
    order_event_id  bigint REFERENCES order_events (id) ON DELETE CASCADE,
    queue_id        bigint,
    headers         jsonb,
    body            bytea,
    replay_of       bigint,
    state           text        NOT NULL DEFAULT 'pending',
    attempts        integer     NOT NULL DEFAULT 0,
    next_attempt_at timestamptz NOT NULL DEFAULT now(),
    job_id          bigint,
    error_class     text        NOT NULL DEFAULT '',
    created_at      timestamptz NOT NULL DEFAULT now(),
    ended_at        timestamptz,
    updated_at      timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT deliveries_state_known CHECK (state IN ('pending', 'delivered', 'dead', 'replayed', 'dismissed')),
    CONSTRAINT deliveries_end_has_time CHECK ((state = 'pending') = (ended_at IS NULL)),
    CONSTRAINT deliveries_message_present CHECK (stream <> '' AND message_id <> ''),
    CONSTRAINT deliveries_attempts_not_negative CHECK (attempts >= 0)
);
CREATE UNIQUE INDEX deliveries_order_event_key ON deliveries (receiver, order_event_id) WHERE replay_of IS NULL;
CREATE INDEX deliveries_pending_idx ON deliveries (receiver, stream, id) INCLUDE (job_id) WHERE state = 'pending';
CREATE INDEX deliveries_dead_idx ON deliveries (id) WHERE state = 'dead';
CREATE INDEX deliveries_event_idx ON deliveries (order_event_id, id);
CREATE INDEX deliveries_queue_idx ON deliveries (queue_id, id) WHERE queue_id IS NOT NULL;
CREATE INDEX deliveries_created_idx ON deliveries (created_at);
CREATE INDEX deliveries_body_idx ON deliveries (ended_at) WHERE body IS NOT NULL;
CREATE TRIGGER deliveries_touch BEFORE UPDATE ON deliveries
    FOR EACH ROW EXECUTE FUNCTION conciliar_touch();

-- status is the answer's, null where none came. answer is the beginning of what the
-- receiver said.
CREATE TABLE delivery_attempts (
    id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    delivery_id bigint      NOT NULL REFERENCES deliveries (id) ON DELETE CASCADE,
    number      integer     NOT NULL,
    ended_at    timestamptz NOT NULL DEFAULT clock_timestamp(),
    duration_ms bigint      NOT NULL,
    status      integer,
    error_class text        NOT NULL DEFAULT '',
    error       text        NOT NULL DEFAULT '',
    answer      text        NOT NULL DEFAULT '',
    CONSTRAINT delivery_attempts_number_positive CHECK (number > 0)
);
CREATE INDEX delivery_attempts_delivery_idx ON delivery_attempts (delivery_id, id);
CREATE INDEX delivery_attempts_ended_idx ON delivery_attempts (ended_at);

ALTER TABLE operator_actions
    DROP CONSTRAINT operator_actions_action_known,
    ADD CONSTRAINT operator_actions_action_known CHECK (action IN ('replay', 'dismiss', 'resolve', 'process_queue', 'reconcile',
        'bulk_replay', 'bulk_replay_step', 'cancel_bulk_replay', 'login', 'logout', 'login_failed', 'retry_jobs', 'cancel_jobs',
        'delete_jobs', 'pause_queue', 'resume_queue', 'change_queue', 'amend_order', 'cancel_order', 'end_login', 'forget',
        'stop_receiver', 'start_receiver')) NOT VALID,
    DROP CONSTRAINT operator_actions_target_known,
    ADD CONSTRAINT operator_actions_target_known CHECK (target_kind IN ('event', 'dead_letter', 'anomaly', 'queue', 'run', 'bulk_replay',
        'session', 'job', 'job_queue', 'order', 'payer', 'delivery', 'receiver')) NOT VALID;
