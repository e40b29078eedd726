-- A trigger's function finds our tables whatever the session that fires it looks in:
-- a shop's session inserts into our orders without our schema in its search_path.
-- +goose Up

-- +goose StatementBegin
DO $$
DECLARE
    ours regprocedure;
BEGIN
    FOR ours IN
        SELECT oid FROM pg_proc WHERE pronamespace = current_schema()::regnamespace AND proname LIKE 'conciliar\_%'
    LOOP
        EXECUTE format('ALTER FUNCTION %s SET search_path FROM CURRENT', ours);
    END LOOP;
END;
$$;
-- +goose StatementEnd
