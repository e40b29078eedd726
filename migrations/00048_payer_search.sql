-- Payments are found by their payer's e-mail address without keeping it once more: by a
-- keyed hash of it, which stands as long as the answer that has the address, in the same
-- row. The release before leaves it null; what it fetched is read again from its answer.
-- +goose Up

-- payer_email_hash is empty where the answer names no address, and null until that was
-- looked at.
ALTER TABLE payments
    ADD COLUMN payer_email_hash bytea,
    ADD CONSTRAINT payments_payer_email_hash_whole CHECK (octet_length(payer_email_hash) IN (0, 16)) NOT VALID;
CREATE INDEX payments_payer_idx ON payments (payer_email_hash, updated_at, source, payment_id)
    WHERE payer_email_hash <> '';
CREATE INDEX payments_payer_unread_idx ON payments (source, payment_id)
    WHERE payer_email_hash IS NULL AND raw <> '';

-- Whoever empties the answer, the release before too, empties the hash with it.
-- +goose StatementBegin
CREATE FUNCTION conciliar_payer_emptied() RETURNS trigger LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
BEGIN
    NEW.payer_email_hash := NULL;
    RETURN NEW;
END
$$;
-- +goose StatementEnd
CREATE TRIGGER payments_payer_emptied BEFORE INSERT OR UPDATE ON payments
    FOR EACH ROW WHEN (NEW.raw = '' AND NEW.payer_email_hash IS NOT NULL)
    EXECUTE FUNCTION conciliar_payer_emptied();

-- Reading the address of what is there changes nothing that anybody follows.
DROP TRIGGER payments_touch ON payments;
CREATE TRIGGER payments_touch BEFORE UPDATE ON payments
    FOR EACH ROW WHEN ((NEW.raw <> '' OR OLD.raw = '' OR NEW.fetched_at <> OLD.fetched_at)
        AND (OLD.payer_email_hash IS NOT NULL OR NEW.payer_email_hash IS NULL OR NEW.fetched_at <> OLD.fetched_at))
    EXECUTE FUNCTION conciliar_touch();
