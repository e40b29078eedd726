-- Who takes back a dismissal or a resolution is in the audit trail.
-- +goose Up
ALTER TABLE operator_actions
    DROP CONSTRAINT operator_actions_action_known,
    ADD CONSTRAINT operator_actions_action_known CHECK (action IN ('replay', 'dismiss', 'resolve', 'reopen', 'process_queue', 'reconcile',
        'bulk_replay', 'bulk_replay_step', 'cancel_bulk_replay', 'login', 'logout', 'login_failed', 'retry_jobs', 'cancel_jobs',
        'delete_jobs', 'pause_queue', 'resume_queue', 'change_queue', 'amend_order', 'cancel_order', 'end_login', 'forget',
        'stop_receiver', 'start_receiver', 'restored')) NOT VALID;
