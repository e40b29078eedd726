package api_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/shopspring/decimal"
	"github.com/stretchr/testify/require"

	"github.com/conciliar/conciliar/api"
	"github.com/conciliar/conciliar/store/order"
	"github.com/conciliar/conciliar/store/storetest/fixture"
)

// A changesPage is a page of the feed.
type changesPage struct {
	Items []struct {
		ID   int64  `json:"id"`
		Type string `json:"type"`
		Data struct {
			Order struct {
				Reference string `json:"reference"`
				Amount    string `json:"amount"`
			} `json:"order"`
		} `json:"data"`
	} `json:"items"`
	NextCursor string `json:"next_cursor"`
}

func changesCall(query string) call {
	return call{method: http.MethodGet, target: "/api/orders/changes" + query, header: bearer(ordersToken)}
}

func (b *bundle) changes(t *testing.T, query string) changesPage {
	t.Helper()
	w := b.do(t, changesCall(query))
	require.Equal(t, http.StatusOK, w.Code, w.Body.String())
	var page changesPage
	require.NoError(t, json.Unmarshal(w.Body.Bytes(), &page))
	require.NotEmpty(t, page.NextCursor)
	return page
}

// sequence brings what was committed into the feed, as a worker does.
func (b *bundle) sequence(t *testing.T) {
	t.Helper()
	_, err := b.store.SequenceOrderEvents(t.Context())
	require.NoError(t, err)
}

func TestChanges_AreReadPageByPage(t *testing.T) {
	t.Parallel()
	b := setup(t, setupOptions{})
	require.Equal(t, changesPage{Items: b.changes(t, "").Items[:0], NextCursor: b.changes(t, "?after=latest").NextCursor}, b.changes(t, ""))
	for _, reference := range []string{"A", "B", "C"} {
		fixture.Register(t, b.store, reference, "80")
	}
	require.Empty(t, b.changes(t, "").Items, "they have no position yet")
	b.sequence(t)

	first := b.changes(t, "?limit=2")
	require.Len(t, first.Items, 2)
	require.Equal(t, []string{"order.registered", "A"}, []string{first.Items[0].Type, first.Items[0].Data.Order.Reference})
	rest := b.changes(t, "?after="+first.NextCursor)
	require.Len(t, rest.Items, 1)
	require.Equal(t, "C", rest.Items[0].Data.Order.Reference)
	require.Equal(t, rest, b.changes(t, "?after="+first.NextCursor), "the same cursor answers the same")
	end := b.changes(t, "?after="+rest.NextCursor)
	require.Empty(t, end.Items)
	require.Equal(t, rest.NextCursor, end.NextCursor)
	latest := b.changes(t, "?after=latest&wait=30s")
	require.Empty(t, latest.Items)
	require.Equal(t, rest.NextCursor, latest.NextCursor)

	var item, body map[string]any
	raw := b.do(t, changesCall("?limit=1")).Body.String()
	raw = strings.TrimSuffix(strings.TrimPrefix(raw, `{"items":[`), `],"next_cursor":"`+b.changes(t, "?limit=1").NextCursor+"\"}\n")
	require.NoError(t, json.Unmarshal([]byte(raw), &item))
	var stored string
	require.NoError(t, b.pool.QueryRow(t.Context(), `SELECT body::text FROM order_events WHERE position = 1`).Scan(&stored))
	require.NoError(t, json.Unmarshal([]byte(stored), &body))
	require.True(t, strings.HasSuffix(raw, stored[1:]), "byte for byte")
	delete(item, "id")
	require.Equal(t, body, item)
}

func TestChanges_RefuseACursorThatSaysNothing(t *testing.T) {
	t.Parallel()
	b := setup(t, setupOptions{})
	for _, reference := range []string{"A", "B", "C"} {
		fixture.Register(t, b.store, reference, "80")
	}
	b.sequence(t)
	second := b.changes(t, "?limit=2").NextCursor
	for _, query := range []string{"?after=nonsense", "?after=" + api.EncodeCursor("changes", 5), "?after=" + api.EncodeCursor("events", 5), "?limit=0", "?wait=31s", "?wait=", "?wait=soon"} {
		requireProblem(t, b.do(t, changesCall(query)), http.StatusBadRequest, "invalid_parameter")
	}

	_, err := b.pool.Exec(t.Context(), `UPDATE order_feed SET pruned = 2`)
	require.NoError(t, err)
	require.Len(t, b.changes(t, "?after="+second).Items, 1, "what follows is kept")
	require.Len(t, b.changes(t, "").Items, 1, "the feed begins with what is kept")
	_, err = b.pool.Exec(t.Context(), `UPDATE order_feed SET pruned = 3`)
	require.NoError(t, err)
	requireProblem(t, b.do(t, changesCall("?after="+second)), http.StatusGone, "cursor_expired")
	last := b.changes(t, "").NextCursor
	require.Equal(t, b.changes(t, "?after=latest").NextCursor, last)

	_, err = b.pool.Exec(t.Context(), `UPDATE order_feed SET pruned = 0, position = 2`)
	require.NoError(t, err)
	requireProblem(t, b.do(t, changesCall("?after="+last)), http.StatusGone, "cursor_expired")
	_, err = b.pool.Exec(t.Context(), `UPDATE order_feed SET epoch = 'another'`)
	require.NoError(t, err)
	requireProblem(t, b.do(t, changesCall("?after="+second)), http.StatusGone, "cursor_expired")
}

// Three readers follow the feed under 200 writers and two sequencers: none misses an
// event or reads one twice.
func TestChanges_ReadersMissNothing(t *testing.T) {
	t.Parallel()
	b := setup(t, setupOptions{deps: func(d *api.Deps) { d.APIRate = 100_000 }})
	const writers, readers = 200, 3
	// A reader waits for a connection behind those that write at the same moment.
	writing := make(chan struct{}, 20)
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	defer cancel()
	var working, sequencing sync.WaitGroup
	failures := make(chan error, writers+readers+2)
	for range 2 {
		sequencing.Go(func() {
			for tick := time.Tick(5 * time.Millisecond); ctx.Err() == nil; <-tick {
				if _, err := b.store.SequenceOrderEvents(ctx); err != nil && ctx.Err() == nil {
					failures <- err
					return
				}
			}
		})
	}
	for range readers {
		working.Go(func() { failures <- b.follow(ctx, writers) })
	}
	for w := range writers {
		working.Go(func() {
			writing <- struct{}{}
			defer func() { <-writing }()
			_, err := b.store.RegisterOrder(ctx, fmt.Sprintf("A-%d", w), order.Terms{Amount: decimal.NewFromInt(80), Currency: "ARS"})
			failures <- err
		})
	}
	working.Wait()
	cancel()
	sequencing.Wait()
	close(failures)
	for err := range failures {
		require.NoError(t, err)
	}
}

// follow reads the feed from its beginning until it has read so many events.
func (b *bundle) follow(ctx context.Context, want int) error {
	seen := map[int64]bool{}
	for cursor := ""; len(seen) < want; {
		w := b.serve(ctx, changesCall("?limit=7&wait=30s&after="+cursor))
		var page changesPage
		if err := json.Unmarshal(w.Body.Bytes(), &page); err != nil || len(page.Items) == 0 {
			return fmt.Errorf("after %d events: %d %s", len(seen), w.Code, w.Body)
		}
		for _, item := range page.Items {
			if seen[item.ID] {
				return fmt.Errorf("event %d came twice", item.ID)
			}
			seen[item.ID] = true
		}
		cursor = page.NextCursor
	}
	return nil
}

// A thousand callers that wait hold no connection of the database and little memory,
// and each is told. It is alone while it looks at the memory.
func TestChanges_AThousandCallersWait(t *testing.T) { //nolint:paralleltest // what other tests hold would count
	b := setup(t, setupOptions{deps: func(d *api.Deps) { d.APIRate = 100_000 }})
	const callers = 1000
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	server := api.NewServer("", b.Handler, b.deps.Logger)
	go func() { _ = server.Serve(listener) }()
	t.Cleanup(func() { _ = server.Close() })
	fixture.Register(t, b.store, "A", "80")
	b.sequence(t)
	request := "GET /api/orders/changes?wait=30s&after=" + b.changes(t, "?after=latest").NextCursor +
		" HTTP/1.1\r\nHost: shop\r\nAuthorization: Bearer " + ordersToken + "\r\n\r\n"

	before := memory()
	connections := make([]net.Conn, callers)
	for i := range connections {
		connections[i], err = (&net.Dialer{}).DialContext(t.Context(), "tcp", listener.Addr().String())
		require.NoError(t, err)
		t.Cleanup(func() { _ = connections[i].Close() })
		_, err = io.WriteString(connections[i], request)
		require.NoError(t, err)
	}
	fixture.Await(t, func() bool {
		return b.Handler.(*api.Handler).Waiting() == callers && b.pool.Stat().AcquiredConns() == 0
	})
	held := memory() - before
	t.Logf("%d callers hold %d KiB", callers, held>>10)
	require.Less(t, held, int64(64<<20))
	require.LessOrEqual(t, b.pool.Stat().TotalConns(), int32(10))

	fixture.Register(t, b.store, "B", "80")
	b.sequence(t)
	for _, c := range connections {
		require.NoError(t, c.SetReadDeadline(time.Now().Add(30*time.Second)))
		answer, err := http.ReadResponse(bufio.NewReader(c), nil)
		require.NoError(t, err)
		body, err := io.ReadAll(answer.Body)
		require.NoError(t, err)
		require.NoError(t, answer.Body.Close())
		require.Contains(t, string(body), `"type":"order.registered"`)
	}
}

// memory is what the process holds of heap and stacks, garbage aside.
func memory() int64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapInuse + m.StackInuse)
}
