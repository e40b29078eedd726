-- A shop whose tables are in the database of Conciliar's: it learns what became of its
-- orders by SQL, in one transaction with its own work, so that nothing is missed and
-- nothing is done twice.
--
-- Once, after deploy/postgresql/roles.sql, as a role that may create roles and schemas:
--
--     CREATE ROLE shop LOGIN IN ROLE conciliar_read;   -- then \password shop
--     CREATE SCHEMA shop AUTHORIZATION shop;
--
-- and as the shop:
--
--     psql "$SHOP_DATABASE_URL" -v ON_ERROR_STOP=1 -f docs/shops/shop.sql
--
-- The shop's program then keeps one connection that listens. After each notification,
-- at its start and once a minute, since a notification may be lost, it calls:
--
--     LISTEN conciliar_orders;
--     SELECT * FROM shop.catch_up();
--
-- Orders are kept here first, and registered by PUT /api/orders/{reference}.

CREATE TABLE shop.orders (
    reference       text    PRIMARY KEY,
    amount          numeric NOT NULL,
    currency        text    NOT NULL,
    status          text    NOT NULL DEFAULT 'new',
    paid_amount     numeric NOT NULL DEFAULT 0,
    refunded_amount numeric NOT NULL DEFAULT 0
);

-- How far the events were read: one row.
CREATE TABLE shop.feed (position bigint NOT NULL);
INSERT INTO shop.feed VALUES (0);

-- catch_up makes the shop's orders what Conciliar says, and returns those that changed:
-- act on them in the same transaction.
CREATE FUNCTION shop.catch_up() RETURNS SETOF shop.orders LANGUAGE plpgsql AS $$
DECLARE
    seen   bigint;
    newest bigint;
BEGIN
    SELECT position INTO STRICT seen FROM shop.feed FOR UPDATE; -- one call at a time
    -- Positions are given after the commit and without a gap. By id, what is committed
    -- late would be missed.
    SELECT coalesce(max(position), seen) INTO newest FROM conciliar.order_events;
    RETURN QUERY
        UPDATE shop.orders ours
        SET status = now.status, paid_amount = now.paid_amount, refunded_amount = now.refunded_amount
        FROM (
            SELECT o.reference, o.paid_amount, o.refunded_amount,
                   -- Other terms than the shop asked for are for a person to look at.
                   CASE WHEN (o.amount, o.currency) = (own.amount, own.currency) THEN o.status ELSE 'other_terms' END AS status
            FROM conciliar.orders o
            JOIN shop.orders own USING (reference)
            WHERE o.reference IN (SELECT order_reference FROM conciliar.order_events WHERE position > seen AND position <= newest)
        ) now
        WHERE now.reference = ours.reference
          AND (now.status, now.paid_amount, now.refunded_amount) IS DISTINCT FROM (ours.status, ours.paid_amount, ours.refunded_amount)
        RETURNING ours.*;
    UPDATE shop.feed SET position = newest;
END;
$$;
