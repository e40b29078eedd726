-- What the money table needs to know: amounts that are not said, shipping kept
-- apart, charges of subscriptions, fetches in an order that no clock makes, orders
-- that the merchant cancelled, and under which rules a row was made.
-- +goose Up

-- The rules that the books follow. A process that knows only lower ones takes no
-- event and no order. Books of before this step follow the first.
CREATE TABLE books (
    singleton    boolean PRIMARY KEY DEFAULT true,
    fold_version integer NOT NULL,
    CONSTRAINT books_one_row CHECK (singleton),
    CONSTRAINT books_fold_version_positive CHECK (fold_version > 0)
);
INSERT INTO books (fold_version) VALUES (1);

-- changed_at is when a state counts as changed where date_last_updated cannot be
-- believed or is not there; null where it can. fetch_mark is the newest event id
-- that was drawn before the fetch began. fold_version tells whether the columns
-- below were read from raw: the previous release, which knows none of them, leaves
-- the default.
ALTER TABLE payments
    ALTER COLUMN amount DROP NOT NULL,
    ALTER COLUMN currency DROP NOT NULL,
    ALTER COLUMN date_last_updated DROP NOT NULL,
    DROP CONSTRAINT payments_refunded_within_amount,
    ADD COLUMN shipping            numeric NOT NULL DEFAULT 0,
    ADD COLUMN subscription_id     text,
    ADD COLUMN subscription_number bigint  NOT NULL DEFAULT 0,
    ADD COLUMN changed_at          timestamptz,
    ADD COLUMN fetch_mark          bigint  NOT NULL DEFAULT 0,
    ADD COLUMN fold_version        integer NOT NULL DEFAULT 1;
-- Not valid: what is there fulfils them, and reading it all would hold the table.
ALTER TABLE payments
    ADD CONSTRAINT payments_refunded_not_negative CHECK (refunded_amount >= 0 AND refunded_amount < 1e15) NOT VALID,
    ADD CONSTRAINT payments_shipping_not_negative CHECK (shipping >= 0 AND shipping < 1e15) NOT VALID,
    ADD CONSTRAINT payments_money_has_amount CHECK (status NOT IN ('approved', 'in_mediation', 'refunded', 'charged_back')
        OR amount IS NOT NULL AND currency IS NOT NULL) NOT VALID,
    ADD CONSTRAINT payments_dated CHECK (date_last_updated IS NOT NULL OR changed_at IS NOT NULL) NOT VALID;
CREATE INDEX payments_before_fold_2_idx ON payments (source, payment_id) WHERE fold_version < 2;

ALTER TABLE payment_logs
    ALTER COLUMN amount DROP NOT NULL,
    ALTER COLUMN currency DROP NOT NULL,
    ALTER COLUMN date_last_updated DROP NOT NULL,
    DROP CONSTRAINT payment_logs_refunded_within_amount,
    ADD COLUMN shipping   numeric,
    ADD COLUMN changed_at timestamptz;
ALTER TABLE payment_logs
    ADD CONSTRAINT payment_logs_refunded_not_negative CHECK (refunded_amount >= 0 AND refunded_amount < 1e15) NOT VALID,
    ADD CONSTRAINT payment_logs_dated CHECK (date_last_updated IS NOT NULL OR changed_at IS NOT NULL) NOT VALID;
-- payment_logs_state_key takes every null for another one.
CREATE UNIQUE INDEX payment_logs_state_unsaid_key ON payment_logs
    (source, payment_id, status, status_detail, coalesce(amount, -1), refunded_amount, coalesce(date_last_updated, changed_at))
    WHERE amount IS NULL OR date_last_updated IS NULL;

-- reference_key is what references that a person takes for one have in common;
-- the service computes it when it settles an order.
ALTER TABLE orders
    ADD COLUMN cancelled_at  timestamptz,
    ADD COLUMN reference_key text,
    ADD COLUMN fold_version  integer NOT NULL DEFAULT 1;
CREATE INDEX orders_before_fold_2_idx ON orders (reference) WHERE fold_version < 2;
CREATE INDEX orders_reference_key_idx ON orders (reference_key)
    WHERE status IN ('pending', 'in_process', 'authorized', 'rejected', 'partially_paid');

ALTER TABLE order_logs
    DROP CONSTRAINT order_logs_cause_known,
    ADD CONSTRAINT order_logs_cause_known CHECK (cause IN ('registered', 'payment', 'repair', 'upgrade')) NOT VALID;

-- reference_key is that of the order that an unknown_order names.
ALTER TABLE anomalies
    ADD COLUMN reference_key text,
    DROP CONSTRAINT anomalies_kind_known,
    ADD CONSTRAINT anomalies_kind_known CHECK (kind IN ('underpaid', 'overpaid', 'duplicate_payment', 'disputed_payment',
        'paid_after_cancel', 'payment_moved', 'currency_mismatch', 'foreign_collector', 'wrong_mode', 'unknown_order',
        'no_reference', 'fraud_alert', 'unsettled_difference')) NOT VALID;
CREATE INDEX anomalies_reference_key_idx ON anomalies (reference_key) WHERE closed_at IS NULL AND reference_key IS NOT NULL;
