-- Sellers: accounts beside the main one, for a marketplace.
-- +goose Up

-- Whose order it is: a seller's account; '' is the main account, whose the orders of
-- the previous release are.
ALTER TABLE orders ADD COLUMN collector_id text NOT NULL DEFAULT '';

-- Which account an event is asked for with: as its notification says, or as was found
-- out since. It is a hint, and '' where nothing is said.
ALTER TABLE webhook_queue ADD COLUMN collector_id text NOT NULL DEFAULT '';
ALTER TABLE webhook_archive ADD COLUMN collector_id text NOT NULL DEFAULT '';

-- An order that gets another account is settled again as one that gets other terms.
DROP TRIGGER orders_terms_changed ON orders;
CREATE TRIGGER orders_terms_changed BEFORE UPDATE OF amount, currency, cancelled_at, collector_id ON orders
    FOR EACH ROW
    WHEN (NEW.amount <> OLD.amount OR NEW.currency <> OLD.currency OR (NEW.cancelled_at IS NULL) <> (OLD.cancelled_at IS NULL)
          OR NEW.collector_id <> OLD.collector_id)
    EXECUTE FUNCTION conciliar_unsettle_order();

-- The sellers as the file names them. removed_at is when one was no longer in it.
-- searched_until is up to when runs have seen all payments of the account, as the end of
-- a run's window is for the main one. deauthorized_at is when the seller withdrew its
-- consent, as Mercado Pago told, and authorized_at when it gave it or when the service
-- got another token, which token_sha256 tells: the later one counts.
CREATE TABLE sellers (
    source          text        NOT NULL,
    collector_id    text        NOT NULL,
    name            text        NOT NULL,
    token_sha256    bytea       NOT NULL,
    searched_until  timestamptz,
    deauthorized_at timestamptz,
    authorized_at   timestamptz,
    removed_at      timestamptz,
    created_at      timestamptz NOT NULL DEFAULT now(),
    updated_at      timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (source, collector_id),
    CONSTRAINT sellers_have_an_account CHECK (collector_id <> '')
);
CREATE TRIGGER sellers_touch BEFORE UPDATE ON sellers
    FOR EACH ROW EXECUTE FUNCTION conciliar_touch();

-- The configuration files that each process has in use, so that it shows when they
-- differ. digest is of what is in use; problem says why a newer file is not.
CREATE TABLE process_files (
    process_id text NOT NULL REFERENCES processes (id) ON DELETE CASCADE,
    name       text NOT NULL,
    digest     text NOT NULL,
    problem    text NOT NULL DEFAULT '',
    PRIMARY KEY (process_id, name)
);

-- The circuit of a seller stands in provider_state, and its outages in provider_outages,
-- under the source's name with the account behind a slash: the previous release, which
-- has one circuit for each source, neither counts for it nor changes it.
COMMENT ON COLUMN provider_state.source IS 'the source, for a seller source/collector_id';
COMMENT ON COLUMN provider_outages.source IS 'the source, for a seller source/collector_id';
