-- What a payer is known by is kept for a while and can be forgotten: bodies,
-- addresses and fetched answers are emptied, ledger rows stay. What was forgotten
-- does not come back: every later write of a raw body looks here. The releases
-- before write no row of what is new, and their writes go on.
-- +goose Up

-- emptied_at: when payload, resource and remote_ip were emptied. forgotten: they are
-- to be, as soon as the event ends.
ALTER TABLE webhook_queue
    ADD COLUMN emptied_at timestamptz,
    ADD COLUMN forgotten  boolean NOT NULL DEFAULT false;
ALTER TABLE webhook_archive
    ADD COLUMN emptied_at timestamptz,
    ADD COLUMN forgotten  boolean NOT NULL DEFAULT false;
-- What is still to be emptied.
CREATE INDEX webhook_archive_kept_idx ON webhook_archive (completed_at) WHERE emptied_at IS NULL;
CREATE INDEX webhook_queue_forgotten_idx ON webhook_queue (id) WHERE forgotten AND emptied_at IS NULL;
CREATE INDEX payments_kept_idx ON payments (fetched_at) WHERE raw <> '';

-- Emptying a payment's answer changes nothing that anybody follows: updated_at is
-- when its state was last written.
DROP TRIGGER payments_touch ON payments;
CREATE TRIGGER payments_touch BEFORE UPDATE ON payments
    FOR EACH ROW WHEN (NEW.raw <> '' OR OLD.raw = '' OR NEW.fetched_at <> OLD.fetched_at)
    EXECUTE FUNCTION conciliar_touch();

-- The key of the hashes below. It is made here and stands beside them, so that a
-- restart, another process or a restored backup hashes alike.
CREATE TABLE forgotten_key (
    singleton boolean PRIMARY KEY DEFAULT true,
    key       bytea   NOT NULL,
    CONSTRAINT forgotten_key_one_row CHECK (singleton),
    CONSTRAINT forgotten_key_whole CHECK (octet_length(key) = 32)
);
INSERT INTO forgotten_key (key)
SELECT sha256(convert_to(string_agg(gen_random_uuid()::text, ''), 'UTF8')) FROM generate_series(1, 4);

-- Payers that are forgotten, by a keyed hash of their id or e-mail address.
CREATE TABLE forgotten_payers (
    hash         bytea       PRIMARY KEY,
    forgotten_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT forgotten_payers_hash_whole CHECK (octet_length(hash) = 32)
);

-- The payments that they made.
CREATE TABLE forgotten_payments (
    source       text        NOT NULL,
    payment_id   text        NOT NULL,
    forgotten_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (source, payment_id)
);

ALTER TABLE operator_actions
    DROP CONSTRAINT operator_actions_action_known,
    ADD CONSTRAINT operator_actions_action_known CHECK (action IN ('replay', 'dismiss', 'resolve', 'process_queue', 'reconcile',
        'bulk_replay', 'bulk_replay_step', 'cancel_bulk_replay',
        'login', 'logout', 'login_failed', 'end_login',
        'retry_jobs', 'cancel_jobs', 'delete_jobs', 'pause_queue', 'resume_queue', 'change_queue',
        'amend_order', 'cancel_order', 'forget')) NOT VALID,
    DROP CONSTRAINT operator_actions_target_known,
    ADD CONSTRAINT operator_actions_target_known CHECK (target_kind IN ('event', 'dead_letter', 'anomaly', 'queue', 'run', 'bulk_replay',
        'session', 'job', 'job_queue', 'order', 'payer')) NOT VALID;
