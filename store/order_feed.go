package store

import (
	"bytes"
	"context"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5"
)

// A FeedCursor is a place in the feed of order events: everything up to it was read.
type FeedCursor struct {
	// Epoch is the feed's: another one after a restore.
	Epoch    string
	Position int64
}

// String is the cursor as one word.
func (c FeedCursor) String() string { return c.Epoch + "." + strconv.FormatInt(c.Position, 10) }

// ParseFeedCursor reads what String makes, and nothing else.
func ParseFeedCursor(text string) (FeedCursor, bool) {
	epoch, position, _ := strings.Cut(text, ".")
	n, err := strconv.ParseInt(position, 10, 64)
	c := FeedCursor{Epoch: epoch, Position: n}
	return c, err == nil && n >= 0 && epoch != "" && c.String() == text
}

// A CursorExpiredError means that what follows a cursor is not known: it is from before
// a restore, or the events after it are not kept any more.
type CursorExpiredError struct{}

func (CursorExpiredError) Error() string {
	return "the cursor is from before a restore, or what follows it is no longer kept"
}

// Problem classifies the error for the caller.
func (e CursorExpiredError) Problem() Problem {
	return Problem{Class: Conflict, Code: "cursor_expired", Text: capitalised(e.Error()) + "."}
}

// A FeedEvent is an order event in the feed.
type FeedEvent struct {
	ID int64
	// Body is the event as it is sent, a JSON object.
	Body []byte
}

// Item is the event as the feed shows it: its body with its id.
func (e FeedEvent) Item() []byte {
	return append(strconv.AppendInt([]byte(`{"id":`), e.ID, 10), append([]byte(","), bytes.TrimPrefix(e.Body, []byte("{"))...)...)
}

// A FeedPage are events that follow each other in the feed.
type FeedPage struct {
	Events []FeedEvent
	// Next is where what follows begins, also when there is nothing yet.
	Next FeedCursor
}

// OrderFeedEnd returns the end of the feed as it is now.
func (s *Store) OrderFeedEnd(ctx context.Context) (FeedCursor, error) {
	end, err := readOne[FeedCursor](ctx, s.pool, `SELECT epoch, position FROM order_feed`)
	return end, wrap(err, "the end of the feed")
}

func readFeedLag(ctx context.Context, tx pgx.Tx, st *Status) (err error) {
	st.FeedLagSeconds, err = readValue[float64](ctx, tx, `
		SELECT coalesce((SELECT greatest(0, extract(epoch FROM clock_timestamp() - created_at))::float8
		                 FROM order_events WHERE position IS NULL ORDER BY id LIMIT 1), 0)`)
	return err
}

// OrderFeed returns up to limit events after the cursor, the oldest first; from the
// feed's beginning after the zero one. Nothing comes later before a cursor that it
// returned. The error is a CursorExpiredError where what follows is not known.
func (s *Store) OrderFeed(ctx context.Context, after FeedCursor, limit int) (FeedPage, error) {
	rows, _ := s.pool.Query(ctx, `
		SELECT f.epoch, f.position, f.pruned, e.position, e.id, e.body::text
		FROM order_feed f LEFT JOIN LATERAL (
			SELECT id, position, body FROM order_events WHERE position > greatest($1, f.pruned) ORDER BY position LIMIT $2
		) e ON true
		ORDER BY e.position`, after.Position, limit)
	var page FeedPage
	var end FeedCursor
	var pruned int64
	var position, id *int64
	var body []byte
	_, err := pgx.ForEachRow(rows, []any{&end.Epoch, &end.Position, &pruned, &position, &id, &body}, func() error {
		if position != nil {
			page.Events = append(page.Events, FeedEvent{ID: *id, Body: bytes.Clone(body)})
			page.Next.Position = *position
		}
		return nil
	})
	if err != nil {
		return FeedPage{}, wrap(err, "the feed of orders")
	}
	switch begins := after == (FeedCursor{}); {
	case !begins && (after.Epoch != end.Epoch || after.Position < pruned || after.Position > end.Position):
		return FeedPage{}, CursorExpiredError{}
	case len(page.Events) == 0:
		page.Next.Position = max(after.Position, pruned)
	}
	page.Next.Epoch = end.Epoch
	return page, nil
}
