-- Events that are removed together leave the lists together. One by one, a thousand that
-- moved to the archive spent a third of their time on it.
-- +goose Up

-- +goose StatementBegin
CREATE FUNCTION conciliar_list_removed() RETURNS trigger LANGUAGE plpgsql
    SET search_path FROM CURRENT SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off AS $$
BEGIN
    DELETE FROM webhook_open WHERE queue_id = ANY (ARRAY(SELECT id FROM removed WHERE completed_at IS NULL));
    DELETE FROM webhook_completed c USING removed r WHERE c.completed_at = r.completed_at AND c.queue_id = r.id;
    RETURN NULL;
END;
$$;
-- +goose StatementEnd

DROP TRIGGER webhook_queue_removed ON webhook_queue;
CREATE TRIGGER webhook_queue_removed AFTER DELETE ON webhook_queue
    REFERENCING OLD TABLE AS removed FOR EACH STATEMENT EXECUTE FUNCTION conciliar_list_removed();
