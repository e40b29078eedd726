-- The books: orders, payments, what was applied, and money that does not fit.
-- +goose Up

-- An amount below 1e15 also shuts out NaN and Infinity, which numeric knows
-- and which compare as greater than every number.
CREATE TABLE orders (
    reference       text        PRIMARY KEY,
    status          text        NOT NULL DEFAULT 'pending',
    amount          numeric     NOT NULL,
    currency        text        NOT NULL,
    paid_amount     numeric     NOT NULL DEFAULT 0,
    refunded_amount numeric     NOT NULL DEFAULT 0,
    origin          text        NOT NULL DEFAULT 'merchant',
    settled_at      timestamptz,
    created_at      timestamptz NOT NULL DEFAULT now(),
    updated_at      timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT orders_reference_length CHECK (char_length(reference) BETWEEN 1 AND 64),
    CONSTRAINT orders_status_known CHECK (status IN ('pending', 'in_process', 'authorized', 'rejected', 'cancelled',
        'partially_paid', 'paid', 'partially_refunded', 'refunded', 'in_mediation', 'charged_back')),
    CONSTRAINT orders_amount_positive CHECK (amount > 0 AND amount < 1e15),
    CONSTRAINT orders_paid_not_negative CHECK (paid_amount >= 0 AND paid_amount < 1e15),
    CONSTRAINT orders_refunded_within_paid CHECK (refunded_amount >= 0 AND refunded_amount <= paid_amount),
    CONSTRAINT orders_currency_code CHECK (currency ~ '^[A-Z]{3}$'),
    CONSTRAINT orders_origin_known CHECK (origin IN ('merchant', 'payment'))
);
-- An order that was inserted by plain SQL has not been settled yet.
CREATE INDEX orders_unsettled_idx ON orders (reference) WHERE settled_at IS NULL;
-- Orders that stay unpaid.
CREATE INDEX orders_unpaid_idx ON orders (created_at) WHERE status IN ('pending', 'in_process', 'authorized', 'rejected', 'partially_paid');
CREATE TRIGGER orders_touch BEFORE UPDATE ON orders
    FOR EACH ROW EXECUTE FUNCTION conciliar_touch();

-- order_reference has no foreign key: a payment may come before its order.
CREATE TABLE payments (
    source            text        NOT NULL,
    payment_id        text        NOT NULL,
    order_reference   text,
    status            text        NOT NULL,
    status_detail     text        NOT NULL DEFAULT '',
    amount            numeric     NOT NULL,
    refunded_amount   numeric     NOT NULL DEFAULT 0,
    currency          text        NOT NULL,
    collector_id      text        NOT NULL DEFAULT '',
    live_mode         boolean     NOT NULL,
    validation        boolean     NOT NULL DEFAULT false,
    date_last_updated timestamptz NOT NULL,
    fetched_at        timestamptz NOT NULL,
    raw               bytea       NOT NULL,
    created_at        timestamptz NOT NULL DEFAULT now(),
    updated_at        timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (source, payment_id),
    CONSTRAINT payments_id_present CHECK (payment_id <> ''),
    CONSTRAINT payments_reference_present CHECK (order_reference <> ''),
    CONSTRAINT payments_status_known CHECK (status IN ('pending', 'in_process', 'authorized', 'rejected', 'cancelled',
        'approved', 'in_mediation', 'refunded', 'charged_back')),
    CONSTRAINT payments_amount_not_negative CHECK (amount >= 0 AND amount < 1e15),
    CONSTRAINT payments_refunded_within_amount CHECK (refunded_amount >= 0 AND refunded_amount <= amount),
    CONSTRAINT payments_currency_code CHECK (currency ~ '^[A-Z]{3}$')
);
CREATE INDEX payments_order_idx ON payments (order_reference) WHERE order_reference IS NOT NULL;
CREATE TRIGGER payments_touch BEFORE UPDATE ON payments
    FOR EACH ROW EXECUTE FUNCTION conciliar_touch();

-- One row for each state of a payment that was applied. Append-only.
CREATE TABLE payment_logs (
    id                bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    source            text        NOT NULL,
    payment_id        text        NOT NULL,
    order_reference   text,
    status            text        NOT NULL,
    status_detail     text        NOT NULL,
    amount            numeric     NOT NULL,
    refunded_amount   numeric     NOT NULL,
    currency          text        NOT NULL,
    date_last_updated timestamptz NOT NULL,
    queue_id          bigint      NOT NULL,
    applied_at        timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT payment_logs_state_key UNIQUE (source, payment_id, status, status_detail, amount, refunded_amount, date_last_updated),
    CONSTRAINT payment_logs_status_known CHECK (status IN ('pending', 'in_process', 'authorized', 'rejected', 'cancelled',
        'approved', 'in_mediation', 'refunded', 'charged_back')),
    CONSTRAINT payment_logs_amount_not_negative CHECK (amount >= 0 AND amount < 1e15),
    CONSTRAINT payment_logs_refunded_within_amount CHECK (refunded_amount >= 0 AND refunded_amount <= amount),
    CONSTRAINT payment_logs_currency_code CHECK (currency ~ '^[A-Z]{3}$'),
    CONSTRAINT payment_logs_payment_fkey FOREIGN KEY (source, payment_id) REFERENCES payments (source, payment_id)
);
CREATE INDEX payment_logs_queue_idx ON payment_logs (queue_id);
CREATE INDEX payment_logs_order_idx ON payment_logs (order_reference, id) WHERE order_reference IS NOT NULL;

-- What changed on an order, and through what: its timeline. Append-only.
CREATE TABLE order_logs (
    id              bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    order_reference text        NOT NULL REFERENCES orders (reference),
    cause           text        NOT NULL,
    queue_id        bigint,
    status          text        NOT NULL,
    paid_amount     numeric     NOT NULL,
    refunded_amount numeric     NOT NULL,
    changed_at      timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT order_logs_cause_known CHECK (cause IN ('registered', 'payment', 'repair')),
    CONSTRAINT order_logs_status_known CHECK (status IN ('pending', 'in_process', 'authorized', 'rejected', 'cancelled',
        'partially_paid', 'paid', 'partially_refunded', 'refunded', 'in_mediation', 'charged_back')),
    CONSTRAINT order_logs_paid_not_negative CHECK (paid_amount >= 0 AND paid_amount < 1e15),
    CONSTRAINT order_logs_refunded_within_paid CHECK (refunded_amount >= 0 AND refunded_amount <= paid_amount)
);
CREATE INDEX order_logs_order_idx ON order_logs (order_reference, id);
CREATE INDEX order_logs_queue_idx ON order_logs (queue_id) WHERE queue_id IS NOT NULL;

-- order_reference and payment_id have no foreign keys: an anomaly may be about
-- an order or a payment that is not there.
CREATE TABLE anomalies (
    id              bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    kind            text        NOT NULL,
    source          text,
    order_reference text,
    payment_id      text,
    detail          jsonb       NOT NULL DEFAULT '{}',
    opened_at       timestamptz NOT NULL DEFAULT now(),
    closed_at       timestamptz,
    closed_by       text,
    note            text,
    updated_at      timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT anomalies_kind_known CHECK (kind IN ('underpaid', 'overpaid', 'duplicate_payment', 'currency_mismatch',
        'foreign_collector', 'wrong_mode', 'unknown_order', 'no_reference', 'fraud_alert')),
    CONSTRAINT anomalies_about_something CHECK (order_reference IS NOT NULL OR payment_id IS NOT NULL),
    CONSTRAINT anomalies_closed_by_someone CHECK ((closed_at IS NULL) = (closed_by IS NULL))
);
CREATE UNIQUE INDEX anomalies_open_key ON anomalies (kind, coalesce(order_reference, ''), coalesce(payment_id, '')) WHERE closed_at IS NULL;
CREATE INDEX anomalies_order_idx ON anomalies (order_reference) WHERE order_reference IS NOT NULL;
CREATE INDEX anomalies_payment_idx ON anomalies (payment_id) WHERE payment_id IS NOT NULL;
CREATE TRIGGER anomalies_touch BEFORE UPDATE ON anomalies
    FOR EACH ROW EXECUTE FUNCTION conciliar_touch();
