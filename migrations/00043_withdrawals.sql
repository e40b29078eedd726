-- A withdrawal is money that payouts are explained with, like a fee, and no payout. No
-- release has booked one: what was booked between two releases is made right, and its
-- account's payouts are explained again by the next run. What runs beside this step reads
-- the new class as any movement.
-- +goose Up

ALTER TABLE account_movements
    DROP CONSTRAINT account_movements_class_known,
    ADD CONSTRAINT account_movements_class_known
        CHECK (class IN ('payment', 'refund', 'dispute', 'reserve', 'withdrawal', 'payout', 'other')) NOT VALID;

INSERT INTO account_chains AS known (source, collector_id, currency, stale_from, stale_until)
    SELECT source, collector_id, currency, min(happened_at), max(happened_at) FROM account_movements
    WHERE class = 'payout' AND lower(description) = 'withdrawal' GROUP BY source, collector_id, currency
    ON CONFLICT (source, collector_id, currency) DO UPDATE SET
        stale_from = least(known.stale_from, excluded.stale_from), stale_until = greatest(known.stale_until, excluded.stale_until);
UPDATE account_movements SET payout_id = NULL
    WHERE payout_id IN (SELECT p.id FROM payouts p JOIN account_movements m ON m.id = p.movement_id WHERE lower(m.description) = 'withdrawal');
DELETE FROM payouts p USING account_movements m WHERE m.id = p.movement_id AND lower(m.description) = 'withdrawal';
UPDATE account_movements SET class = 'withdrawal' WHERE class = 'payout' AND lower(description) = 'withdrawal';
