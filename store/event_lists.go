package store

import "context"

// listEvents lists anew which events have no end and which ended when, as the triggers of
// webhook_queue do with each that changes (migrations/00055_event_lists.sql). What is
// listed rightly is not written again.
var listEvents = []string{
	`DELETE FROM webhook_open o WHERE NOT EXISTS (SELECT FROM webhook_queue q WHERE q.id = o.queue_id AND q.completed_at IS NULL)`,
	`INSERT INTO webhook_open SELECT id FROM webhook_queue WHERE completed_at IS NULL ON CONFLICT DO NOTHING`,
	`DELETE FROM webhook_completed c WHERE NOT EXISTS (
		SELECT FROM webhook_queue q WHERE q.id = c.queue_id AND q.completed_at = c.completed_at AND q.outcome = c.outcome)`,
	`INSERT INTO webhook_completed
	 SELECT completed_at, id, outcome FROM webhook_queue WHERE completed_at IS NOT NULL ORDER BY completed_at, id ON CONFLICT DO NOTHING`,
}

// ListEvents lists all events anew that have no end, and all that have one. It is for
// what went past the triggers: a restore of some tables, or rows that were made without
// them. Nobody may write events meanwhile.
func ListEvents(ctx context.Context, q querier) error {
	for _, statement := range listEvents {
		if err := execute(ctx, q, statement); err != nil {
			return wrap(err, "list the events")
		}
	}
	return nil
}
