-- What operators did, and what they need to find things.
-- +goose Up

-- One row for each action of a person, or of a script that acts for one. It is
-- written in the transaction of the action and never changed. queue_ids are the
-- events that the action touched or made; they have no foreign key, because
-- events move to the archive. target_id is empty for an action on no single
-- thing, such as waking the queue.
CREATE TABLE operator_actions (
    id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    acted_at    timestamptz NOT NULL DEFAULT now(),
    actor       text        NOT NULL,
    action      text        NOT NULL,
    target_kind text        NOT NULL,
    target_id   bigint,
    queue_ids   bigint[]    NOT NULL DEFAULT '{}',
    count       bigint      NOT NULL DEFAULT 1,
    remote_ip   inet,
    request_id  text        NOT NULL DEFAULT '',
    note        text        NOT NULL DEFAULT '',
    CONSTRAINT operator_actions_actor_named CHECK (actor <> ''),
    CONSTRAINT operator_actions_action_known CHECK (action IN ('replay', 'dismiss', 'resolve', 'process_queue', 'reconcile',
        'bulk_replay', 'bulk_replay_step', 'cancel_bulk_replay')),
    CONSTRAINT operator_actions_target_known CHECK (target_kind IN ('event', 'dead_letter', 'anomaly', 'queue', 'run', 'bulk_replay')),
    CONSTRAINT operator_actions_count_not_negative CHECK (count >= 0)
);
-- What was done to an event, and to anything else.
CREATE INDEX operator_actions_events_idx ON operator_actions USING gin (queue_ids) WITH (fastupdate = off);
CREATE INDEX operator_actions_target_idx ON operator_actions (target_kind, target_id, id);

-- +goose StatementBegin
CREATE FUNCTION conciliar_refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'rows of % are never changed or deleted', TG_TABLE_NAME USING ERRCODE = 'restrict_violation';
END;
$$;
-- +goose StatementEnd
CREATE TRIGGER operator_actions_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON operator_actions
    FOR EACH STATEMENT EXECUTE FUNCTION conciliar_refuse_change();

-- A replay of many dead letters, done in steps. upper_id is the newest dead
-- letter when it was asked for: one that dies later is not swept in. A dead
-- letter belongs to it by its id and by still being open when its turn comes.
CREATE TABLE webhook_bulk_replays (
    id           bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    state        text        NOT NULL DEFAULT 'running',
    filter       jsonb       NOT NULL,
    total        bigint      NOT NULL,
    replayed     bigint      NOT NULL DEFAULT 0,
    upper_id     bigint      NOT NULL,
    cursor_id    bigint      NOT NULL DEFAULT 0,
    job_id       bigint,
    requested_by text        NOT NULL,
    remote_ip    inet,
    request_id   text        NOT NULL DEFAULT '',
    started_at   timestamptz NOT NULL DEFAULT now(),
    finished_at  timestamptz,
    updated_at   timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT webhook_bulk_replays_state_known CHECK (state IN ('running', 'done', 'cancelled')),
    CONSTRAINT webhook_bulk_replays_ends CHECK ((finished_at IS NULL) = (state = 'running')),
    CONSTRAINT webhook_bulk_replays_within_total CHECK (replayed >= 0 AND replayed <= total)
);
CREATE TRIGGER webhook_bulk_replays_touch BEFORE UPDATE ON webhook_bulk_replays
    FOR EACH ROW EXECUTE FUNCTION conciliar_touch();

-- The replays of an event. Only replays are in these indexes, so what arrives
-- pays nothing for them.
CREATE INDEX webhook_queue_replay_idx ON webhook_queue (replay_of, id) WHERE replay_of IS NOT NULL;
CREATE INDEX webhook_archive_replay_idx ON webhook_archive (replay_of, id) WHERE replay_of IS NOT NULL;

-- Events by what a delivery was called, and by what is rare. A Bloom filter for
-- a range of blocks costs the inbox next to nothing, a B-tree would cost it an
-- entry for every event.
CREATE INDEX webhook_queue_labels_idx ON webhook_queue
    USING brin (request_id text_bloom_ops, topic text_bloom_ops (n_distinct_per_range = 32), origin text_bloom_ops (n_distinct_per_range = 16))
    WITH (pages_per_range = 32, autosummarize = on);
CREATE INDEX webhook_archive_labels_idx ON webhook_archive
    USING brin (request_id text_bloom_ops, topic text_bloom_ops (n_distinct_per_range = 32), origin text_bloom_ops (n_distinct_per_range = 16))
    WITH (pages_per_range = 32, autosummarize = on);

-- Open anomalies, one after the other.
CREATE INDEX anomalies_open_idx ON anomalies (id) WHERE closed_at IS NULL;
