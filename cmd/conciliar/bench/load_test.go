package bench

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// receiverOf answers webhooks as the service does, after what it is told to do first.
func receiverOf(t *testing.T, first func(n int64)) *load {
	t.Helper()
	var n atomic.Int64
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		first(n.Add(1))
		_, _ = io.WriteString(w, `{"duplicate":false}`)
	}))
	t.Cleanup(server.Close)
	return &load{addr: server.Listener.Addr().String(), path: "/", secret: "s", paymentID: func(int64) string { return "1" }}
}

// A stall must not hide what it kept waiting: everything that was due is delivered, and
// its time counts from when it was due.
func TestLoad_AtARateEverythingDueIsDelivered(t *testing.T) {
	t.Parallel()
	const stall = 300 * time.Millisecond
	l := receiverOf(t, func(n int64) {
		if n == 1 {
			<-time.After(stall)
		}
	})
	result, err := l.run(t.Context(), loadShape{connections: 1, rate: 100, length: 500 * time.Millisecond})
	require.NoError(t, err)
	require.Equal(t, 50, result.Acknowledged)
	require.GreaterOrEqual(t, result.Latency.Max, float64(stall.Milliseconds()))
	// A third of them became due during the stall, and waited for its end.
	require.GreaterOrEqual(t, result.Latency.P99, 200.0)
	require.Greater(t, result.Latency.P50, result.Latency.Max/10)
}

func TestLoad_WarmUpDoesNotCount(t *testing.T) {
	t.Parallel()
	l := receiverOf(t, func(int64) {})
	result, err := l.run(t.Context(), loadShape{connections: 4, rate: 200, warmUp: 250 * time.Millisecond, length: 250 * time.Millisecond})
	require.NoError(t, err)
	require.Equal(t, 100, result.Delivered)
	require.Equal(t, 50, result.Acknowledged)
}

func TestLoad_AnAnswerThatIsNotNewEndsIt(t *testing.T) {
	t.Parallel()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, `{"duplicate":true}`)
	}))
	t.Cleanup(server.Close)
	addr, ok := server.Listener.Addr().(*net.TCPAddr)
	require.True(t, ok)
	l := &load{addr: addr.String(), path: "/", secret: "s", paymentID: func(int64) string { return "1" }}
	_, err := l.run(t.Context(), loadShape{connections: 2, length: time.Second, atMost: 10})
	require.ErrorContains(t, err, "duplicate")
}

func TestReadAnswer_ReadsOneAfterTheOther(t *testing.T) {
	t.Parallel()
	in := bufio.NewReader(strings.NewReader("HTTP/1.1 200 OK\r\nDate: Mon\r\ncontent-length: 3\r\n\r\n{}\nHTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n" +
		"HTTP/1.1 200 OK\r\n\r\nHTTP/1.1\r\n"))
	status, body, err := readAnswer(in)
	require.NoError(t, err)
	require.Equal(t, 200, status)
	require.Equal(t, "{}\n", string(body))
	status, body, err = readAnswer(in)
	require.NoError(t, err)
	require.Equal(t, 503, status)
	require.Empty(t, body)
	_, _, err = readAnswer(in)
	require.ErrorContains(t, err, "answer 200 without a length")
	_, _, err = readAnswer(in)
	require.ErrorContains(t, err, "no status of an answer")
	_, _, err = readAnswer(in)
	require.ErrorIs(t, err, io.EOF)
}
