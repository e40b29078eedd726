-- Orders of any state are found by what references that a person takes for one have in
-- common, and by how it begins. The index that had open orders alone goes: what read it
-- reads this one.
-- +goose Up
CREATE INDEX orders_key_idx ON orders (reference_key text_pattern_ops) WHERE reference_key IS NOT NULL;
DROP INDEX orders_reference_key_idx;
