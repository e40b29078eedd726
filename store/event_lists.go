package store

import "context"

// openAbout selects, as q, the events of a source without an end that are about the
// resource of this id. PostgreSQL is to begin with the resource (OFFSET 0): it guesses how
// many events are open by when it last counted, and which of them have a dead letter.
func openAbout(source, id string) string {
	return `(SELECT q.id, q.work FROM webhook_queue q
		WHERE q.resource_id = ` + id + ` AND q.resource_id <> '' AND q.source = ` + source + ` AND q.completed_at IS NULL OFFSET 0) q`
}

// openStatus selects all open events as o, and the status of each as v: row by row, so
// that as many are read as are asked for.
const openStatus = `webhook_open o CROSS JOIN LATERAL (SELECT * FROM webhook_queue_status v WHERE v.id = o.queue_id OFFSET 0) v`

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
