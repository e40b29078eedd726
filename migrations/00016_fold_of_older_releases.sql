-- The release before, which may run on beside this one, settles by its own rules
-- and knows nothing of fold_version: what it settles again would keep the version
-- that this release gave the row. The version is negative from then on, until a
-- release that names the column settles the row.
-- +goose Up

-- +goose StatementBegin
CREATE FUNCTION conciliar_fold_forget() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.fold_version := -abs(NEW.fold_version);
    RETURN NEW;
END;
$$;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE FUNCTION conciliar_fold_keep() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.fold_version := abs(NEW.fold_version);
    RETURN NEW;
END;
$$;
-- +goose StatementEnd

-- Every release that settles names settled_at of an order and collector_id of a
-- payment, and this one names fold_version as well. Triggers of one moment run
-- in the order of their names.
CREATE TRIGGER orders_fold_1_forget BEFORE UPDATE OF settled_at ON orders
    FOR EACH ROW EXECUTE FUNCTION conciliar_fold_forget();
CREATE TRIGGER orders_fold_2_keep BEFORE UPDATE OF fold_version ON orders
    FOR EACH ROW EXECUTE FUNCTION conciliar_fold_keep();
CREATE TRIGGER payments_fold_1_forget BEFORE UPDATE OF collector_id ON payments
    FOR EACH ROW EXECUTE FUNCTION conciliar_fold_forget();
CREATE TRIGGER payments_fold_2_keep BEFORE UPDATE OF fold_version ON payments
    FOR EACH ROW EXECUTE FUNCTION conciliar_fold_keep();
