package api_test

import (
	"bufio"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/conciliar/conciliar/api"
)

// listen serves the bundle on a real connection and returns its address.
func (b *bundle) listen(t *testing.T) string {
	t.Helper()
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	server := api.NewServer(listener.Addr().String(), b, slog.New(slog.DiscardHandler))
	done := make(chan error, 1)
	go func() { done <- server.Serve(listener) }()
	t.Cleanup(func() {
		require.NoError(t, server.Close())
		require.ErrorIs(t, <-done, http.ErrServerClosed)
	})
	return listener.Addr().String()
}

// An answer is one read from a connection to its end.
type answer struct {
	status int
	header http.Header
	close  bool
	body   string
}

// send writes raw bytes on a connection of its own and reads one answer.
func send(t *testing.T, addr string, raw ...string) answer {
	t.Helper()
	conn, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", addr)
	require.NoError(t, err)
	defer func() { _ = conn.Close() }()
	for _, part := range raw {
		_, err = conn.Write([]byte(part))
		require.NoError(t, err)
	}
	r, err := http.ReadResponse(bufio.NewReader(conn), nil)
	require.NoError(t, err)
	defer func() { require.NoError(t, r.Body.Close()) }()
	body, err := io.ReadAll(r.Body)
	require.NoError(t, err)
	return answer{status: r.StatusCode, header: r.Header, close: r.Close, body: string(body)}
}

func TestServer_SurvivesHostileCalls(t *testing.T) {
	t.Parallel()
	b := setup(t, setupOptions{})
	addr := b.listen(t)

	// The length alone is enough: nothing of 10 MiB needs to be sent.
	got := send(t, addr, "POST "+api.WebhookPath+" HTTP/1.1\r\nHost: x\r\nContent-Length: 10485760\r\n\r\n")
	require.Equal(t, http.StatusRequestEntityTooLarge, got.status)
	require.True(t, got.close)

	// One byte too many in chunks, without their end.
	chunk := "100000\r\n" + strings.Repeat("x", 1<<20) + "\r\n1\r\nx\r\n"
	got = send(t, addr, "POST "+api.WebhookPath+" HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n", chunk)
	require.Equal(t, http.StatusRequestEntityTooLarge, got.status)

	got = send(t, addr, "POST "+api.WebhookPath+" HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nnot a length\r\n")
	require.Equal(t, http.StatusBadRequest, got.status)

	var headers strings.Builder
	for i := range 1000 {
		fmt.Fprintf(&headers, "X-Header-%d: %s\r\n", i, strings.Repeat("v", 10))
	}
	got = send(t, addr, "GET /livez HTTP/1.1\r\nHost: x\r\n"+headers.String()+"\r\n")
	require.Equal(t, http.StatusOK, got.status, "a thousand small headers are not too much")
	got = send(t, addr, "GET /livez HTTP/1.1\r\nHost: x\r\nX-Large: "+strings.Repeat("v", 40<<10)+"\r\n\r\n")
	require.Equal(t, http.StatusRequestHeaderFieldsTooLarge, got.status)

	got = send(t, addr, "GET /api/orders/a%2Fb HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer "+ordersToken+"\r\n\r\n")
	require.Equal(t, http.StatusNotFound, got.status)
	require.Equal(t, "application/problem+json", got.header.Get("Content-Type"))
	require.Contains(t, got.body, "order_not_found")

	require.Zero(t, b.count(t, `SELECT count(*) FROM webhook_queue`))
}

func TestServer_HasLimits(t *testing.T) {
	t.Parallel()
	s := api.NewServer("127.0.0.1:0", http.NotFoundHandler(), slog.New(slog.DiscardHandler))
	require.Positive(t, s.ReadHeaderTimeout)
	require.Greater(t, s.ReadTimeout, s.ReadHeaderTimeout)
	require.Greater(t, s.WriteTimeout.Seconds(), 30.0, "operations wait up to 30 s")
	require.Greater(t, s.IdleTimeout.Seconds(), 60.0, "longer than the usual proxies keep connections")
	require.LessOrEqual(t, s.MaxHeaderBytes, 64<<10)
	require.NotNil(t, s.ErrorLog)
}

// A proxy in front may have believed the Content-Length that net/http drops.
func TestServer_ClosesAConnectionAfterAChunkedBody(t *testing.T) {
	t.Parallel()
	addr := setup(t, setupOptions{}).listen(t)
	const smuggled = "GET /readyz HTTP/1.1\r\nHost: smuggled\r\n\r\n"
	head := "POST " + api.WebhookPath + " HTTP/1.1\r\nHost: x\r\n"
	for name, c := range map[string]struct {
		raw     string
		answers int
	}{
		"both":                {head + "Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + smuggled, 1},
		"chunks alone":        {head + "Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n" + smuggled, 1},
		"where nothing is":    {"POST /none HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + smuggled, 1},
		"a length":            {head + "Content-Length: 2\r\n\r\n{}" + smuggled, 2},
		"no body":             {smuggled + smuggled, 2},
		"a length of another": {head + "Content-Length: 2\r\nContent-Length: 3\r\n\r\n{}" + smuggled, 1},
	} {
		conn := dial(t, addr, c.raw)
		in := bufio.NewReader(conn)
		for i := range c.answers {
			r, err := http.ReadResponse(in, nil)
			require.NoError(t, err, name)
			_, err = io.Copy(io.Discard, r.Body)
			require.NoError(t, err, name)
			require.NoError(t, r.Body.Close())
			require.Equal(t, c.answers == 1, r.Close, "%s, answer %d", name, i)
		}
		if c.answers == 1 {
			_, err := in.ReadByte()
			require.ErrorIs(t, err, io.EOF, name)
		}
	}
}
