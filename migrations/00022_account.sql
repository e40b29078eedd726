-- The account that the books belong to, so that a payment to another one pays no
-- order although nobody named the account.
-- +goose Up

-- Asked of the provider once; '' until then. collector_known_at is when, and
-- collector_folded tells whether orders that other accounts' payments had moved
-- were folded again since.
ALTER TABLE books
    ADD COLUMN collector_id       text NOT NULL DEFAULT '',
    ADD COLUMN collector_known_at timestamptz,
    ADD COLUMN collector_folded   boolean NOT NULL DEFAULT false,
    ADD CONSTRAINT books_collector_known_since CHECK ((collector_id = '') = (collector_known_at IS NULL));
