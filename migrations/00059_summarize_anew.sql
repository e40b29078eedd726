-- A block range of a BRIN index is summarized anew. Only the tables' owner may do that, and
-- the service need not be it. Who holds the table is not waited for: autovacuum gives way to
-- whoever waits for a second, and would leave another range half done.
-- +goose Up

-- +goose StatementBegin
CREATE FUNCTION conciliar_summarize_anew(index regclass, block bigint) RETURNS integer LANGUAGE sql
    SECURITY DEFINER SET search_path FROM CURRENT SET lock_timeout = '500ms' AS $$
SELECT pg_catalog.brin_desummarize_range($1, $2);
SELECT pg_catalog.brin_summarize_range($1, $2);
$$;
-- +goose StatementEnd
