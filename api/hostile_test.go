package api_test

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/conciliar/conciliar/api"
	"github.com/conciliar/conciliar/jobs/provider/mercadopago"
)

// impatient serves the bundle with the server's own limits, but for times,
// which are those of a test.
func (b *bundle) impatient(t *testing.T, slowest time.Duration) string {
	t.Helper()
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	server := api.NewServer(listener.Addr().String(), b, slog.New(slog.DiscardHandler))
	server.ReadHeaderTimeout, server.ReadTimeout = slowest, slowest
	done := make(chan error, 1)
	go func() { done <- server.Serve(listener) }()
	t.Cleanup(func() {
		require.NoError(t, server.Close())
		require.ErrorIs(t, <-done, http.ErrServerClosed)
	})
	return listener.Addr().String()
}

func dial(t *testing.T, addr, text string) net.Conn {
	t.Helper()
	conn, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", addr)
	require.NoError(t, err)
	t.Cleanup(func() { _ = conn.Close() })
	_, err = io.WriteString(conn, text)
	require.NoError(t, err)
	return conn
}

// honest delivers signed webhooks while others attack; each must be accepted.
func honest(t *testing.T, addr string, first, n int) {
	t.Helper()
	for i := range n {
		ts := strconv.Itoa(first + i)
		r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+addr+api.WebhookPath+"?data.id=7&type=payment", strings.NewReader(`{"type":"payment"}`))
		require.NoError(t, err)
		r.Header.Set("x-signature", mercadopago.Sign(secret, "7", requestID, ts))
		r.Header.Set("x-request-id", requestID)
		resp, err := http.DefaultClient.Do(r)
		require.NoError(t, err)
		_, _ = io.Copy(io.Discard, resp.Body)
		require.NoError(t, resp.Body.Close())
		require.Equal(t, http.StatusOK, resp.StatusCode)
	}
}

// Connections that trickle are cut by the server, and honest callers are served
// while they are open.
func TestServer_CutsOffASlowCaller(t *testing.T) {
	t.Parallel()
	b := setup(t, setupOptions{})
	addr := b.impatient(t, 3*time.Second)
	var slow []net.Conn
	for range 100 {
		slow = append(slow,
			dial(t, addr, "POST "+api.WebhookPath+" HTTP/1.1\r\nHost: x\r\nX-Slow: "),
			dial(t, addr, "POST "+api.WebhookPath+" HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\nx"),
			dial(t, addr, "POST "+api.WebhookPath+" HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nx"))
	}
	honest(t, addr, 1742505638, 20)
	var all sync.WaitGroup
	for _, conn := range slow {
		all.Go(func() { _, _ = io.Copy(io.Discard, conn) }) // until the server hangs up
	}
	all.Wait()
	honest(t, addr, 1742505700, 1)
	require.Equal(t, 21, b.count(t, `SELECT count(*) FROM webhook_queue`))
}

// liveHeap is what is in use after what nobody needs is gone.
func liveHeap() uint64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// Not parallel: it measures the memory of the whole process.
func TestServer_AHostileBodyTakesBoundedMemory(t *testing.T) { //nolint:paralleltest // see above
	b := setup(t, setupOptions{})
	addr := b.impatient(t, time.Minute)
	var bomb bytes.Buffer
	z := gzip.NewWriter(&bomb)
	_, err := z.Write(make([]byte, 64<<20))
	require.NoError(t, err)
	require.NoError(t, z.Close())
	post := "POST " + api.WebhookPath + " HTTP/1.1\r\nHost: x\r\n"
	put := "PUT /api/orders/a HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer " + ordersToken + "\r\nContent-Type: application/json\r\n"
	length := func(head, body string) string {
		return fmt.Sprintf("%sConnection: close\r\nContent-Length: %d\r\n\r\n%s", head, len(body), body)
	}
	nested := strings.Repeat(`{"a":`, 10_000) + "1" + strings.Repeat("}", 10_000)
	var headers strings.Builder
	for i := range 1000 {
		fmt.Fprintf(&headers, "X-%d: v\r\n", i)
	}
	megabyte := strings.Repeat("x", 1<<20)
	attacks := map[string]string{
		"10 MB":                  post + "Content-Length: 10485760\r\n\r\n" + megabyte,
		"10 MB without length":   post + "Transfer-Encoding: chunked\r\n\r\n" + strings.Repeat("100000\r\n"+megabyte+"\r\n", 10),
		"a gzip bomb":            length(post+"Content-Encoding: gzip\r\n", bomb.String()),
		"a gzip bomb as order":   length(put+"Content-Encoding: gzip\r\n", bomb.String()),
		"nested":                 length(post, nested),
		"nested as order":        length(put, `{"amount":`+nested+`}`),
		"a thousand headers":     length(post+headers.String(), "{}"),
		"a huge header":          post + "X-Huge: " + megabyte + "\r\n\r\n",
		"garbage":                "\x16\x03\x01\x02\x00\x01\xff\r\n\r\n",
		"garbage after a call":   "GET /livez HTTP/1.1\r\nHost: x\r\n\r\n\x00\xff garbage\r\n\r\n",
		"two lengths":            post + "Content-Length: 1\r\nContent-Length: 2\r\n\r\nxx",
		"a length and in chunks": post + "Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET /livez HTTP/1.1\r\nHost: x\r\n\r\n",
	}
	attack := func() {
		var all sync.WaitGroup
		for _, text := range attacks {
			for range 4 {
				all.Go(func() {
					conn, err := net.Dial("tcp", addr) //nolint:noctx // ends with the server
					if err != nil {
						t.Error(err)
						return
					}
					defer func() { _ = conn.Close() }()
					// The server may hang up before it has read everything.
					go func() { _, _ = io.WriteString(conn, text); _ = conn.(*net.TCPConn).CloseWrite() }()
					_, _ = io.Copy(io.Discard, conn)
				})
			}
		}
		honest(t, addr, 1742505638+b.count(t, `SELECT count(*) FROM webhook_queue`), 10)
		all.Wait()
	}
	attack() // what is made once is made
	before := liveHeap()
	for range 5 {
		attack()
	}
	http.DefaultClient.CloseIdleConnections()
	// Kept bodies would be 100 MB and more.
	require.Less(t, int64(liveHeap())-int64(before), int64(32<<20))
	require.Equal(t, 60, b.count(t, `SELECT count(*) FROM webhook_queue WHERE resource_id = '7'`))
}
