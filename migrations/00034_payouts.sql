-- From the order to the bank: money reports that were read, what they say of an
-- account's money, and what each payout is made of. The releases before write none
-- of it.
-- +goose Up

-- A report as it was read. rows_booked is how far its rows are booked, so that an
-- import that was killed goes on from there.
CREATE TABLE report_files (
    id            bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    source        text        NOT NULL,
    collector_id  text        NOT NULL,
    name          text        NOT NULL,
    sha256        bytea       NOT NULL,
    bytes         bigint      NOT NULL,
    imported_by   text        NOT NULL,
    -- What it covers: from the initial balance or the first row to the last one, or as
    -- its maker says.
    begin_at      timestamptz,
    end_at        timestamptz,
    rows          bigint      NOT NULL,
    rows_booked   bigint      NOT NULL DEFAULT 0,
    -- Of the rows booked, those that no file before had.
    new_movements bigint      NOT NULL DEFAULT 0,
    created_at    timestamptz NOT NULL DEFAULT now(),
    finished_at   timestamptz,
    emptied_at    timestamptz,
    CONSTRAINT report_files_account_present CHECK (collector_id <> ''),
    CONSTRAINT report_files_hash_whole CHECK (octet_length(sha256) = 32),
    CONSTRAINT report_files_within_rows CHECK (rows_booked BETWEEN 0 AND rows AND new_movements BETWEEN 0 AND rows_booked),
    CONSTRAINT report_files_period_forward CHECK (begin_at <= end_at),
    CONSTRAINT report_files_content_key UNIQUE (source, collector_id, sha256)
);
-- What is still kept as it was read.
CREATE INDEX report_files_kept_idx ON report_files (created_at) WHERE emptied_at IS NULL;

-- The file itself, in parts of whole lines.
CREATE TABLE report_file_parts (
    id      bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    file_id bigint NOT NULL REFERENCES report_files (id),
    content bytea  NOT NULL
);
CREATE INDEX report_file_parts_file_idx ON report_file_parts (file_id, id);

-- What came to and went from an account's available balance. The same row of two
-- files is one movement: it is known by what every file has, and its ordinal among
-- rows of one file that are equal in that.
CREATE TABLE account_movements (
    id              bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    source          text        NOT NULL,
    collector_id    text        NOT NULL,
    currency        text        NOT NULL,
    happened_at     timestamptz NOT NULL,
    source_id       text        NOT NULL,
    record_type     text        NOT NULL,
    description     text        NOT NULL,
    credit          numeric     NOT NULL,
    debit           numeric     NOT NULL,
    ordinal         integer     NOT NULL,
    -- What it is in our words.
    class           text        NOT NULL,
    -- Its place among the rows of its instant, the last that a file has shown.
    place           integer     NOT NULL,
    payment_id      text,
    order_reference text,
    gross           numeric,
    fee             numeric,
    financing_fee   numeric,
    shipping_fee    numeric,
    taxes           numeric,
    coupon          numeric,
    -- The payout that it is a part of, or that it is.
    payout_id       text,
    created_at      timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT account_movements_row_key UNIQUE (source, collector_id, currency, happened_at, source_id, record_type, description, credit, debit, ordinal),
    CONSTRAINT account_movements_class_known CHECK (class IN ('payment', 'refund', 'dispute', 'reserve', 'payout', 'other')),
    CONSTRAINT account_movements_credit_not_negative CHECK (credit >= 0 AND credit < 1e15),
    CONSTRAINT account_movements_debit_not_negative CHECK (debit >= 0 AND debit < 1e15),
    CONSTRAINT account_movements_payout_pays CHECK (class <> 'payout' OR debit > credit),
    CONSTRAINT account_movements_currency_code CHECK (currency ~ '^[A-Z]{3}$'),
    CONSTRAINT account_movements_ordinal_positive CHECK (ordinal > 0 AND place > 0),
    CONSTRAINT account_movements_payment_present CHECK (payment_id <> ''),
    CONSTRAINT account_movements_reference_present CHECK (order_reference <> '')
) WITH (fillfactor = 85); -- payout_id is written once more, and is in no index
CREATE INDEX account_movements_payment_idx ON account_movements (source, payment_id) WHERE payment_id IS NOT NULL;
CREATE INDEX account_movements_payouts_idx ON account_movements (source, collector_id, currency, happened_at) WHERE class = 'payout';

-- Which row of which file says so. Kept as long as the file.
CREATE TABLE report_rows (
    file_id     bigint NOT NULL REFERENCES report_files (id),
    movement_id bigint NOT NULL REFERENCES account_movements (id),
    row         bigint NOT NULL,
    PRIMARY KEY (file_id, movement_id)
);

-- What reports say an account's balance was before what happened from then on.
CREATE TABLE account_balances (
    source       text        NOT NULL,
    collector_id text        NOT NULL,
    currency     text        NOT NULL,
    known_at     timestamptz NOT NULL,
    balance      numeric     NOT NULL,
    PRIMARY KEY (source, collector_id, currency, known_at, balance),
    CONSTRAINT account_balances_bounded CHECK (balance > -1e15 AND balance < 1e15)
);

-- An account's movements in one currency. Its payouts are to be explained anew from
-- stale_from on, as far as what comes from there on changes them: at least until
-- stale_until.
CREATE TABLE account_chains (
    source       text        NOT NULL,
    collector_id text        NOT NULL,
    currency     text        NOT NULL,
    stale_from   timestamptz,
    stale_until  timestamptz,
    PRIMARY KEY (source, collector_id, currency),
    CONSTRAINT account_chains_stale_whole CHECK ((stale_from IS NULL) = (stale_until IS NULL))
);

CREATE TABLE payouts (
    id                 text        PRIMARY KEY,
    movement_id        bigint      NOT NULL UNIQUE REFERENCES account_movements (id),
    source             text        NOT NULL,
    collector_id       text        NOT NULL,
    currency           text        NOT NULL,
    paid_at            timestamptz NOT NULL,
    amount             numeric     NOT NULL,
    state              text        NOT NULL,
    -- Amount and balance_kept are opening_balance, the movements and unexplained_amount.
    opening_balance    numeric,
    unexplained_amount numeric     NOT NULL,
    balance_kept       numeric,
    created_at         timestamptz NOT NULL DEFAULT now(),
    updated_at         timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT payouts_id_present CHECK (id <> ''),
    CONSTRAINT payouts_amount_positive CHECK (amount > 0 AND amount < 1e15),
    CONSTRAINT payouts_state_known CHECK (state IN ('explained', 'open')),
    CONSTRAINT payouts_explained_whole CHECK ((state = 'open') <> (unexplained_amount = 0 AND balance_kept IS NOT NULL)),
    CONSTRAINT payouts_balances_together CHECK ((opening_balance IS NULL) = (balance_kept IS NULL))
);
CREATE INDEX payouts_account_idx ON payouts (source, collector_id, currency, paid_at);
CREATE INDEX payouts_paid_idx ON payouts (paid_at, id);
CREATE INDEX payouts_open_idx ON payouts (id) WHERE state = 'open';
CREATE TRIGGER payouts_touch BEFORE UPDATE ON payouts
    FOR EACH ROW EXECUTE FUNCTION conciliar_touch();
