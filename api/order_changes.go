package api

import (
	"bytes"
	"context"
	"net/http"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/conciliar/conciliar/store"
)

const (
	// changesList stands in the feed's cursors.
	changesList = "changes"
	// changesLatest asks for the end of the feed.
	changesLatest = "latest"
	// feedKey is the feed, to those who wait for it.
	feedKey = "feed"
	// feedPoll is how often the feed is looked at while somebody waits for it, and
	// ordersPoll the orders that somebody waits for.
	feedPoll   = 200 * time.Millisecond
	ordersPoll = 500 * time.Millisecond
)

// inFeed are the places of the feed.
var inFeed = places[store.FeedCursor]{write: store.FeedCursor.String, read: store.ParseFeedCursor}

// listChanges answers what follows a cursor in the feed of order events. A caller may
// wait for it.
func (a *api) listChanges(c *gin.Context, _ *requestEvent) error {
	q := &filters{values: c.Request.URL.Query()}
	limit, wait := q.limit(), q.wait()
	var after store.FeedCursor
	text := q.values.Get("after")
	if text != "" && text != changesLatest {
		var ok bool
		if after, ok = decodeCursor(changesList, inFeed, text); !ok {
			q.fail("after is not a cursor of this feed; take next_cursor of an earlier answer, %q, or nothing.", changesLatest)
		}
	}
	if q.err != nil {
		return q.err
	}
	ctx, cancel := bounded(c)
	defer cancel()
	if text == changesLatest {
		end, err := a.deps.Storage.OrderFeedEnd(ctx)
		if err != nil {
			return err
		}
		answerChanges(c, store.FeedPage{Next: end})
		return nil
	}
	page, err := a.deps.Storage.OrderFeed(ctx, after, limit)
	if err != nil {
		return err
	}
	if len(page.Events) == 0 && wait > 0 {
		if _, err := a.feed.await(c, feedKey, wait, func() (answered bool, err error) {
			ctx, cancel := bounded(c)
			defer cancel()
			page, err = a.deps.Storage.OrderFeed(ctx, page.Next, limit)
			return len(page.Events) > 0, err
		}); err != nil {
			return err
		}
	}
	answerChanges(c, page)
	return nil
}

// answerChanges answers a page of the feed: each event as it is sent, with its id.
func answerChanges(c *gin.Context, page store.FeedPage) {
	var body bytes.Buffer
	body.WriteString(`{"items":[`)
	for i, event := range page.Events {
		if i > 0 {
			body.WriteByte(',')
		}
		body.Write(event.Item())
	}
	body.WriteString(`],"next_cursor":"` + encodeCursor(changesList, inFeed, page.Next) + "\"}\n")
	writeBody(c, http.StatusOK, "application/json", body.Bytes())
}

// feedVersion is the version of the feed, as waits asks for it.
func feedVersion(storage *store.Store) func(ctx context.Context, keys []string) (map[string]string, error) {
	return func(ctx context.Context, _ []string) (map[string]string, error) {
		end, err := storage.OrderFeedEnd(ctx)
		return map[string]string{feedKey: end.String()}, err
	}
}
