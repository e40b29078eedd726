-- Bodies of order events are emptied when they are old.
-- +goose Up
CREATE INDEX order_events_body_idx ON order_events (position) WHERE body IS NOT NULL;
