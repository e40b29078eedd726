-- Which events have no end and which ended when is told by two narrow tables beside the
-- queue, instead of by indexes of it. An index that is about the end has every end write to
-- all indexes of the queue once more; without one an end is written in place (HOT). And
-- PostgreSQL takes the rows without an end for as few as it last counted, which in a quiet
-- moment is none: a statement that named it then read a whole backlog to end one event.
-- Triggers keep the lists, so that they are right whoever writes: the release before too.
-- +goose Up

-- An event without an end. A dead letter is not one: a person may reopen it.
CREATE TABLE webhook_open (
    queue_id bigint PRIMARY KEY
);

-- An event that has ended and is not archived.
CREATE TABLE webhook_completed (
    completed_at timestamptz NOT NULL,
    queue_id     bigint      NOT NULL,
    outcome      text        NOT NULL,
    PRIMARY KEY (completed_at, queue_id)
);
CREATE INDEX webhook_completed_unhandled_idx ON webhook_completed (queue_id) WHERE outcome = 'unhandled';

-- +goose StatementBegin
CREATE FUNCTION conciliar_list_added() RETURNS trigger LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
BEGIN
    WITH unended AS (
        INSERT INTO webhook_open SELECT id FROM added WHERE completed_at IS NULL
    )
    INSERT INTO webhook_completed SELECT completed_at, id, outcome FROM added WHERE completed_at IS NOT NULL;
    RETURN NULL;
END;
$$;
-- +goose StatementEnd

-- What ends is found by its id, however few open events there were when the plan was made.
-- +goose StatementBegin
CREATE FUNCTION conciliar_list_ended() RETURNS trigger LANGUAGE plpgsql
    SET search_path FROM CURRENT SET enable_seqscan = off SET enable_hashjoin = on AS $$
BEGIN
    WITH ended AS (
        DELETE FROM webhook_open WHERE queue_id = ANY (ARRAY(SELECT id FROM changed WHERE completed_at IS NOT NULL))
        RETURNING queue_id
    )
    INSERT INTO webhook_completed SELECT completed_at, id, outcome FROM changed JOIN ended ON queue_id = id;
    RETURN NULL;
END;
$$;
-- +goose StatementEnd

-- For what happens to few rows, and for what only a person's SQL does.
-- +goose StatementBegin
CREATE FUNCTION conciliar_list_anew() RETURNS trigger LANGUAGE plpgsql
    SET search_path FROM CURRENT SET enable_seqscan = off AS $$
BEGIN
    IF TG_OP = 'TRUNCATE' THEN
        TRUNCATE webhook_open, webhook_completed;
        RETURN NULL;
    END IF;
    IF OLD.completed_at IS NULL THEN
        DELETE FROM webhook_open WHERE queue_id = OLD.id;
    ELSE
        DELETE FROM webhook_completed WHERE completed_at = OLD.completed_at AND queue_id = OLD.id;
    END IF;
    IF TG_OP = 'UPDATE' THEN
        IF NEW.completed_at IS NULL THEN
            INSERT INTO webhook_open VALUES (NEW.id);
        ELSE
            INSERT INTO webhook_completed VALUES (NEW.completed_at, NEW.id, NEW.outcome);
        END IF;
    END IF;
    RETURN NULL;
END;
$$;
-- +goose StatementEnd

CREATE TRIGGER webhook_queue_added AFTER INSERT ON webhook_queue
    REFERENCING NEW TABLE AS added FOR EACH STATEMENT EXECUTE FUNCTION conciliar_list_added();
CREATE TRIGGER webhook_queue_ended AFTER UPDATE ON webhook_queue
    REFERENCING NEW TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION conciliar_list_ended();
CREATE TRIGGER webhook_queue_end_changed AFTER UPDATE ON webhook_queue
    FOR EACH ROW WHEN (OLD.id <> NEW.id OR OLD.completed_at IS NOT NULL
        AND (OLD.completed_at IS DISTINCT FROM NEW.completed_at OR OLD.outcome IS DISTINCT FROM NEW.outcome))
    EXECUTE FUNCTION conciliar_list_anew();
CREATE TRIGGER webhook_queue_removed AFTER DELETE ON webhook_queue
    FOR EACH ROW EXECUTE FUNCTION conciliar_list_anew();
CREATE TRIGGER webhook_queue_emptied AFTER TRUNCATE ON webhook_queue
    FOR EACH STATEMENT EXECUTE FUNCTION conciliar_list_anew();
