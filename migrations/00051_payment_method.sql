-- What a payment was made with, as the payment itself says: by these words an operator
-- asks for payments. The release before writes neither: what it fetched is read again from
-- its answer, as costs are. And payments are listed by when they were made.
-- +goose Up

-- Both are empty where the answer does not say, and null until that was looked at.
ALTER TABLE payments
    ADD COLUMN payment_method text,
    ADD COLUMN payment_type   text;

-- One index has all whose answer is to be read; what reads the costs alone finds them in it.
CREATE INDEX payments_unread_idx ON payments (source, payment_id)
    WHERE (cost_read_at IS DISTINCT FROM fetched_at OR payment_method IS NULL) AND raw <> '';
DROP INDEX payments_cost_unread_idx;

-- Payments of a day are listed whatever their status: the sums read this one, too.
CREATE INDEX payments_made_idx ON payments (coalesce(date_created, created_at));
DROP INDEX payments_day_idx;

-- Reading what is there already changes nothing that anybody follows.
DROP TRIGGER payments_touch ON payments;
CREATE TRIGGER payments_touch BEFORE UPDATE ON payments
    FOR EACH ROW WHEN ((NEW.raw <> '' OR OLD.raw = '' OR NEW.fetched_at <> OLD.fetched_at)
        AND (OLD.payer_email_hash IS NOT NULL OR NEW.payer_email_hash IS NULL OR NEW.fetched_at <> OLD.fetched_at)
        AND (OLD.payment_method IS NOT NULL OR NEW.payment_method IS NULL OR NEW.fetched_at <> OLD.fetched_at))
    EXECUTE FUNCTION conciliar_touch();
