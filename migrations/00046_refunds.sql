-- Refunds that operators ask for. The releases before write none of it.
-- +goose Up

-- A refund of one payment. Its id is the key that makes it one at the provider, however
-- often it is sent. It is requested until a process sets about sending it, which is
-- committed first, sent until the provider has answered, and unknown when nobody can say
-- whether it was made. It ends as done or failed.
CREATE TABLE refunds (
    number           bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    id               uuid        NOT NULL,
    source           text        NOT NULL,
    payment_id       text        NOT NULL,
    collector_id     text        NOT NULL,
    order_reference  text        NOT NULL,
    amount           numeric     NOT NULL,
    currency         text        NOT NULL,
    -- True when all that there is goes back, and no amount is named to the provider.
    whole            boolean     NOT NULL,
    state            text        NOT NULL DEFAULT 'requested',
    requested_by     text        NOT NULL,
    note             text        NOT NULL,
    requested_at     timestamptz NOT NULL DEFAULT now(),
    tries            integer     NOT NULL DEFAULT 0,
    sent_at          timestamptz,
    ended_at         timestamptz,
    -- The provider's id of it, and what it says went back.
    provider_id      text,
    confirmed_amount numeric,
    -- Why it failed, or is not known, in a word, and what the provider said.
    reason           text        NOT NULL DEFAULT '',
    error            text        NOT NULL DEFAULT '',
    job_id           bigint,
    -- The event that reads back what came of it.
    queue_id         bigint,
    CONSTRAINT refunds_key UNIQUE (id),
    CONSTRAINT refunds_payment_named CHECK (source <> '' AND payment_id <> '' AND order_reference <> ''),
    CONSTRAINT refunds_amount_positive CHECK (amount > 0 AND amount < 'Infinity'),
    CONSTRAINT refunds_confirmed_not_negative CHECK (confirmed_amount >= 0 AND confirmed_amount < 'Infinity'),
    CONSTRAINT refunds_state_known CHECK (state IN ('requested', 'sent', 'unknown', 'done', 'failed')),
    CONSTRAINT refunds_end_whole CHECK ((state IN ('requested', 'sent', 'unknown')) = (ended_at IS NULL)),
    CONSTRAINT refunds_sent_whole CHECK (state NOT IN ('sent', 'unknown', 'done') OR sent_at IS NOT NULL),
    CONSTRAINT refunds_done_named CHECK (state <> 'done' OR provider_id IS NOT NULL),
    CONSTRAINT refunds_failed_reasoned CHECK (state <> 'failed' OR reason <> ''),
    CONSTRAINT refunds_asked_for CHECK (requested_by <> '' AND note <> ''),
    CONSTRAINT refunds_tries_not_negative CHECK (tries >= 0)
);
CREATE INDEX refunds_payment_idx ON refunds (source, payment_id);
CREATE INDEX refunds_order_idx ON refunds (order_reference);
CREATE INDEX refunds_open_idx ON refunds (requested_at) WHERE ended_at IS NULL;
-- No refund of the provider's is two of ours.
CREATE UNIQUE INDEX refunds_provider_key ON refunds (source, payment_id, provider_id) WHERE provider_id IS NOT NULL;

-- Who asked for a refund is in the audit trail.
ALTER TABLE operator_actions
    DROP CONSTRAINT operator_actions_action_known,
    ADD CONSTRAINT operator_actions_action_known CHECK (action IN ('replay', 'dismiss', 'resolve', 'reopen', 'process_queue', 'reconcile',
        'bulk_replay', 'bulk_replay_step', 'cancel_bulk_replay', 'login', 'logout', 'login_failed', 'retry_jobs', 'cancel_jobs',
        'delete_jobs', 'pause_queue', 'resume_queue', 'change_queue', 'amend_order', 'cancel_order', 'refund', 'end_login', 'forget',
        'stop_receiver', 'start_receiver', 'restored')) NOT VALID;
