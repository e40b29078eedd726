-- What is done after a backup was restored is in the audit trail.
-- +goose Up
ALTER TABLE operator_actions
    DROP CONSTRAINT operator_actions_action_known,
    ADD CONSTRAINT operator_actions_action_known CHECK (action IN ('replay', 'dismiss', 'resolve', 'process_queue', 'reconcile',
        'bulk_replay', 'bulk_replay_step', 'cancel_bulk_replay', 'login', 'logout', 'login_failed', 'retry_jobs', 'cancel_jobs',
        'delete_jobs', 'pause_queue', 'resume_queue', 'change_queue', 'amend_order', 'cancel_order', 'end_login', 'forget',
        'stop_receiver', 'start_receiver', 'restored')) NOT VALID,
    DROP CONSTRAINT operator_actions_target_known,
    ADD CONSTRAINT operator_actions_target_known CHECK (target_kind IN ('event', 'dead_letter', 'anomaly', 'queue', 'run', 'bulk_replay',
        'session', 'job', 'job_queue', 'order', 'payer', 'delivery', 'receiver', 'database')) NOT VALID;
