-- Payments inside Mercado Pago's orders have ids of their own: which payment each
-- is, and what the order says of it until its payment is known.
-- +goose Up

-- alias is the order's id of a payment, payment_id the payment's own: null until it
-- is known, and said by the order itself where numbered is true. status is empty
-- where the order's words settle nothing; said are those words. provisional is true
-- when the payments' side did not show the payment: what the order says counts until
-- the payment is known. awaited tells whether there must be one. looks counts how
-- often it was looked for again, next_look_at is when it is next, and looked_at when
-- a reconciliation last did. The order's last change is kept in nanoseconds since
-- 1970 as well, as finely as it is said.
CREATE TABLE payment_aliases (
    source              text        NOT NULL,
    alias               text        NOT NULL,
    payment_id          text,
    numbered            boolean     NOT NULL DEFAULT false,
    provider_order_id   text        NOT NULL,
    provider_order_topic text       NOT NULL,
    order_reference     text        NOT NULL,
    collector_id        text        NOT NULL DEFAULT '',
    currency            text        NOT NULL DEFAULT '',
    amount              numeric,
    refunded_amount     numeric     NOT NULL DEFAULT 0,
    status              text        NOT NULL DEFAULT '',
    said                text        NOT NULL DEFAULT '',
    live_mode           boolean     NOT NULL,
    provisional         boolean     NOT NULL,
    awaited             boolean     NOT NULL,
    order_created_at    timestamptz,
    order_updated_at    timestamptz,
    order_updated_nanos bigint      NOT NULL DEFAULT 0,
    fetched_at          timestamptz NOT NULL,
    fetch_mark          bigint      NOT NULL DEFAULT 0,
    looks               integer     NOT NULL DEFAULT 0,
    next_look_at        timestamptz,
    looked_at           timestamptz,
    created_at          timestamptz NOT NULL DEFAULT now(),
    updated_at          timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (source, alias),
    -- Deferrable, so that two aliases may change places in one statement.
    CONSTRAINT payment_aliases_payment_key UNIQUE (source, payment_id) DEFERRABLE,
    CONSTRAINT payment_aliases_named CHECK (alias <> '' AND provider_order_id <> '' AND order_reference <> '' AND payment_id <> ''),
    CONSTRAINT payment_aliases_status_known CHECK (status IN ('', 'pending', 'in_process', 'authorized', 'rejected', 'cancelled',
        'approved', 'refunded', 'charged_back')),
    CONSTRAINT payment_aliases_amount_not_negative CHECK (amount >= 0 AND amount < 1e15),
    CONSTRAINT payment_aliases_refunded_not_negative CHECK (refunded_amount >= 0 AND refunded_amount < 1e15),
    CONSTRAINT payment_aliases_money_has_amount CHECK (status NOT IN ('approved', 'refunded', 'charged_back')
        OR amount IS NOT NULL AND currency <> ''),
    CONSTRAINT payment_aliases_looks_not_negative CHECK (looks >= 0)
);
CREATE TRIGGER payment_aliases_touch BEFORE UPDATE ON payment_aliases
    FOR EACH ROW EXECUTE FUNCTION conciliar_touch();
CREATE INDEX payment_aliases_reference_idx ON payment_aliases (order_reference);
CREATE INDEX payment_aliases_order_idx ON payment_aliases (source, provider_order_id);
CREATE INDEX payment_aliases_changed_idx ON payment_aliases (updated_at);
CREATE INDEX payment_aliases_look_idx ON payment_aliases (next_look_at) WHERE payment_id IS NULL AND next_look_at IS NOT NULL;
CREATE INDEX payment_aliases_awaited_idx ON payment_aliases (created_at) WHERE payment_id IS NULL AND awaited;

-- When the payment was made, by the provider's clock: it tells whether it can be the
-- one that an order has. The releases before leave it null.
ALTER TABLE payments ADD COLUMN date_created timestamptz;

-- The rules of this release look at it: what was settled before is folded again.
CREATE INDEX payments_before_fold_3_idx ON payments (source, payment_id) WHERE fold_version < 3;
CREATE INDEX orders_before_fold_3_idx ON orders (reference) WHERE fold_version < 3;
DROP INDEX payments_before_fold_2_idx;
DROP INDEX orders_before_fold_2_idx;

ALTER TABLE anomalies
    DROP CONSTRAINT anomalies_kind_known,
    ADD CONSTRAINT anomalies_kind_known CHECK (kind IN ('underpaid', 'overpaid', 'duplicate_payment', 'disputed_payment',
        'paid_after_cancel', 'payment_moved', 'ambiguous_payment', 'currency_mismatch', 'foreign_collector', 'wrong_mode',
        'unknown_order', 'no_reference', 'fraud_alert', 'unsettled_difference')) NOT VALID;
