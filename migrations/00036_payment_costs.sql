-- What a payment costs its collector, and when its money is released, as the payment
-- itself says. The release before writes none of it: what it fetched is read again
-- from its answer.
-- +goose Up

-- Costs are positive; null is what was not said, or nothing while no money has come.
-- cost_read_at is the fetch that they were read from.
ALTER TABLE payments
    ADD COLUMN fee_amount             numeric,
    ADD COLUMN application_fee_amount numeric,
    ADD COLUMN financing_fee_amount   numeric,
    ADD COLUMN shipping_fee_amount    numeric,
    ADD COLUMN taxes_amount           numeric,
    ADD COLUMN net_amount             numeric,
    ADD COLUMN release_date           timestamptz,
    ADD COLUMN release_status         text,
    ADD COLUMN cost_read_at           timestamptz;
CREATE INDEX payments_cost_unread_idx ON payments (source, payment_id)
    WHERE cost_read_at IS DISTINCT FROM fetched_at AND raw <> '';
-- The sums by day.
CREATE INDEX payments_day_idx ON payments (coalesce(date_created, created_at))
    WHERE status IN ('approved', 'in_mediation', 'refunded', 'charged_back');
