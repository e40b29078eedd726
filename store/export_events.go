package store

import (
	"context"
	"encoding/csv"
	"strconv"
	"time"
)

// exportPage is how many events are read at a time.
const exportPage = 1000

// exportEvents writes events, the newest first. They are read page by page, as they and
// their jobs, dead letters and archive are too many tables for one long snapshot; what
// comes meanwhile is not among them.
func (s *Store) exportEvents(ctx context.Context, e Export, out *csv.Writer) (rows int64, err error) {
	filter := e.Events
	if filter.Since.Before(e.Since) {
		filter.Since = e.Since
	}
	if filter.Until.IsZero() || !e.Until.IsZero() && e.Until.Before(filter.Until) {
		filter.Until = e.Until
	}
	if err := out.Write(ExportColumns(ExportEvents)); err != nil {
		return 0, err
	}
	cells := newExportCells(exports[ExportEvents])
	for page := (Page{Limit: exportPage}); ; {
		found, err := s.Events(ctx, filter, page)
		if err != nil {
			return rows, err
		}
		for _, ev := range found.Items {
			cells.event(ev)
			if err := out.Write(cells.write(e)); err != nil {
				return rows, err
			}
			rows++
		}
		if page.Before = found.Next; page.Before == 0 {
			break
		}
	}
	out.Flush()
	return rows, out.Error()
}

// event takes over an event, column by column.
func (c *exportCells) event(ev Event) {
	id := func(n *int64) string {
		if n == nil {
			return ""
		}
		return strconv.FormatInt(*n, 10)
	}
	live := ""
	if ev.LiveMode != nil {
		live = strconv.FormatBool(*ev.LiveMode)
	}
	texts := map[string]string{
		"queue_id": id(&ev.QueueID), "status": ev.Status, "outcome": orEmpty(ev.Outcome), "source": ev.Source, "topic": ev.Topic, "action": ev.Action,
		"resource_id": ev.ResourceID, "origin": ev.Origin, "replay_of": id(ev.ReplayOf), "attempts": strconv.Itoa(ev.Attempts), "last_error": orEmpty(ev.LastError),
		"request_id": ev.RequestID, "live_mode": live, "signed": strconv.FormatBool(ev.Signed), "dead_letter_id": id(ev.DeadLetterID),
		"dead_letter_state": orEmpty(ev.DeadLetterState),
	}
	times := map[string]*time.Time{"received_at": &ev.ReceivedAt, "completed_at": ev.CompletedAt}
	for i, column := range c.table.columns {
		c.texts[i], c.times[i] = texts[column.name], times[column.name]
	}
}
