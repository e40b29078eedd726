-- Orders have a life: their merchant amends and cancels them, by the service or
-- by plain SQL.
-- +goose Up

-- amount and currency are the terms as they stood after the change; entries of
-- before have none. actor is who did it, "sql" for a change by plain SQL, and
-- reason why; a change that no person made has neither.
ALTER TABLE order_logs
    ADD COLUMN amount   numeric,
    ADD COLUMN currency text,
    ADD COLUMN actor    text,
    ADD COLUMN reason   text,
    DROP CONSTRAINT order_logs_cause_known,
    ADD CONSTRAINT order_logs_cause_known CHECK (cause IN ('registered', 'amended', 'cancelled', 'payment', 'repair', 'upgrade')) NOT VALID;

-- Terms that changed are settled again as those of a new order are. The previous
-- release changes none.
-- +goose StatementBegin
CREATE FUNCTION conciliar_unsettle_order() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.settled_at := NULL;
    RETURN NEW;
END;
$$;
-- +goose StatementEnd
CREATE TRIGGER orders_terms_changed BEFORE UPDATE OF amount, currency, cancelled_at ON orders
    FOR EACH ROW
    WHEN (NEW.amount <> OLD.amount OR NEW.currency <> OLD.currency OR (NEW.cancelled_at IS NULL) <> (OLD.cancelled_at IS NULL))
    EXECUTE FUNCTION conciliar_unsettle_order();

-- order_reference is the order that was acted on.
ALTER TABLE operator_actions
    ADD COLUMN order_reference text,
    DROP CONSTRAINT operator_actions_action_known,
    ADD CONSTRAINT operator_actions_action_known CHECK (action IN ('replay', 'dismiss', 'resolve', 'process_queue', 'reconcile',
        'bulk_replay', 'bulk_replay_step', 'cancel_bulk_replay',
        'login', 'logout', 'retry_jobs', 'cancel_jobs', 'delete_jobs', 'pause_queue', 'resume_queue', 'change_queue',
        'amend_order', 'cancel_order')) NOT VALID,
    DROP CONSTRAINT operator_actions_target_known,
    ADD CONSTRAINT operator_actions_target_known CHECK (target_kind IN ('event', 'dead_letter', 'anomaly', 'queue', 'run', 'bulk_replay',
        'session', 'job', 'job_queue', 'order')) NOT VALID,
    ADD CONSTRAINT operator_actions_order_named CHECK ((target_kind = 'order') = (order_reference IS NOT NULL)) NOT VALID;
CREATE INDEX operator_actions_order_idx ON operator_actions (order_reference, id) WHERE order_reference IS NOT NULL;
