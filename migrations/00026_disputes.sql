-- Chargebacks and claims as they were fetched last. They inform: what became of
-- the money is for their payments to say. The release before writes none of them.
-- +goose Up

-- The names are Mercado Pago's: an order's payments are found among payment_ids,
-- and documents are wanted until date_documentation_deadline. What was not said is
-- null, and a status that was not said is empty.
CREATE TABLE chargebacks (
    source                      text        NOT NULL,
    chargeback_id               text        NOT NULL,
    payment_ids                 text[]      NOT NULL,
    amount                      numeric,
    currency                    text,
    coverage_applied            boolean,
    documentation_required      boolean,
    documentation_status        text        NOT NULL DEFAULT '',
    date_documentation_deadline timestamptz,
    documents_wanted            boolean     NOT NULL DEFAULT false,
    date_last_updated           timestamptz,
    fetched_at                  timestamptz NOT NULL,
    fetch_mark                  bigint      NOT NULL,
    created_at                  timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (source, chargeback_id),
    CONSTRAINT chargebacks_amount_not_negative CHECK (amount >= 0 AND amount < 1e15)
);
CREATE INDEX chargebacks_payments_idx ON chargebacks USING gin (payment_ids);
-- Those that a person has to send documents for.
CREATE INDEX chargebacks_deadline_idx ON chargebacks (date_documentation_deadline) WHERE documents_wanted;

-- A claim is about a payment, or about an order of Mercado Pago's, which names the
-- merchant's reference.
CREATE TABLE claims (
    source            text        NOT NULL,
    claim_id          text        NOT NULL,
    payment_id        text,
    provider_order_id text,
    order_reference   text,
    status            text        NOT NULL DEFAULT '',
    type              text        NOT NULL DEFAULT '',
    stage             text        NOT NULL DEFAULT '',
    closed            boolean     NOT NULL DEFAULT false,
    date_last_updated timestamptz,
    fetched_at        timestamptz NOT NULL,
    fetch_mark        bigint      NOT NULL,
    created_at        timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (source, claim_id),
    CONSTRAINT claims_about_one CHECK (num_nonnulls(payment_id, provider_order_id) = 1),
    CONSTRAINT claims_reference_present CHECK (order_reference <> '')
);
CREATE INDEX claims_payment_idx ON claims (payment_id) WHERE payment_id IS NOT NULL;
CREATE INDEX claims_order_idx ON claims (order_reference) WHERE order_reference IS NOT NULL;

-- What a refused delivery said that it is about, and in which form it came
-- (webhooks or ipn). Deliveries that the release before refuses say neither.
ALTER TABLE webhook_refused ADD COLUMN topic text NOT NULL DEFAULT '', ADD COLUMN channel text NOT NULL DEFAULT '';

-- How many deliveries were accepted by the hour, and of which topics those that a
-- signature proved. What nothing proves could name any topic, so it is counted as
-- a whole (topic is then empty). The roll-up writes it.
CREATE TABLE webhook_accepted_hours (
    began_at timestamptz NOT NULL,
    source   text        NOT NULL,
    signed   boolean     NOT NULL,
    topic    text        NOT NULL,
    events   bigint      NOT NULL,
    PRIMARY KEY (began_at, source, signed, topic),
    CONSTRAINT webhook_accepted_hours_positive CHECK (events > 0)
);
