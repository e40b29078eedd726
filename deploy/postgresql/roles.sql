-- Roles of least privilege for an installation in the schema "conciliar".
--
--   conciliar_migrate  owns the schema; `conciliar migrate` and nothing else logs in as it
--   conciliar_serve    reads and writes rows; `conciliar serve` and the other commands
--   conciliar_read     reads the orders: a shop's own program, reports
--   conciliar_backup   reads every row: deploy/backup/backup.sh
--
-- Run it in the installation's database, as a role that may create roles and schemas,
-- before the first `conciliar migrate` and once after it:
--
--   psql "$ADMIN_DATABASE_URL" -v ON_ERROR_STOP=1 -f deploy/postgresql/roles.sql
--
-- Running it again changes nothing. The roles log in once they have a password:
-- \password conciliar_serve in psql; conciliar_backup needs none on PostgreSQL's own
-- machine, where a user of its name is known by the socket.

DO $$
DECLARE
    wanted text;
BEGIN
    FOREACH wanted IN ARRAY ARRAY['conciliar_migrate', 'conciliar_serve', 'conciliar_read', 'conciliar_backup'] LOOP
        IF to_regrole(wanted) IS NULL THEN
            EXECUTE format('CREATE ROLE %I LOGIN', wanted);
        END IF;
        EXECUTE format('GRANT CONNECT ON DATABASE %I TO %I', current_database(), wanted);
    END LOOP;
    -- What follows is done in the name of the owner.
    EXECUTE format('GRANT conciliar_migrate TO %I', current_user);
    -- For PgBouncer in transaction mode, which keeps the service from setting it.
    EXECUTE format('ALTER ROLE conciliar_serve IN DATABASE %I SET search_path = conciliar', current_database());
END;
$$;

CREATE SCHEMA IF NOT EXISTS conciliar AUTHORIZATION conciliar_migrate;
GRANT USAGE ON SCHEMA conciliar TO conciliar_serve, conciliar_read, conciliar_backup;

-- What later releases add, too.
ALTER DEFAULT PRIVILEGES FOR ROLE conciliar_migrate IN SCHEMA conciliar
    GRANT SELECT, INSERT, UPDATE, DELETE ON TABLES TO conciliar_serve;
ALTER DEFAULT PRIVILEGES FOR ROLE conciliar_migrate IN SCHEMA conciliar
    GRANT USAGE, SELECT, UPDATE ON SEQUENCES TO conciliar_serve;
GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA conciliar TO conciliar_serve;
GRANT USAGE, SELECT, UPDATE ON ALL SEQUENCES IN SCHEMA conciliar TO conciliar_serve;
ALTER DEFAULT PRIVILEGES FOR ROLE conciliar_migrate IN SCHEMA conciliar GRANT SELECT ON TABLES TO conciliar_backup;
ALTER DEFAULT PRIVILEGES FOR ROLE conciliar_migrate IN SCHEMA conciliar GRANT SELECT ON SEQUENCES TO conciliar_backup;
GRANT SELECT ON ALL TABLES IN SCHEMA conciliar TO conciliar_backup;
GRANT SELECT ON ALL SEQUENCES IN SCHEMA conciliar TO conciliar_backup;

DO $$
DECLARE
    named text;
BEGIN
    -- The history of the schema is for its owner to write.
    FOREACH named IN ARRAY ARRAY['conciliar_migrations', 'river_migration'] LOOP
        IF to_regclass('conciliar.' || named) IS NOT NULL THEN
            EXECUTE format('REVOKE INSERT, UPDATE, DELETE ON conciliar.%I FROM conciliar_serve', named);
        END IF;
    END LOOP;
    -- None of these has a payer's data. Everybody may LISTEN.
    FOREACH named IN ARRAY ARRAY['orders', 'order_logs', 'order_events'] LOOP
        IF to_regclass('conciliar.' || named) IS NOT NULL THEN
            EXECUTE format('GRANT SELECT ON conciliar.%I TO conciliar_read', named);
        END IF;
    END LOOP;
    -- River rebuilds its indexes once a day where the service may: PostgreSQL 17 has a
    -- right for that, older ones leave it to the owner.
    IF current_setting('server_version_num')::int >= 170000 AND to_regclass('conciliar.river_job') IS NOT NULL THEN
        EXECUTE 'GRANT MAINTAIN ON conciliar.river_job TO conciliar_serve';
    END IF;
END;
$$;
