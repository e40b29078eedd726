package bench

import (
	"bufio"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/conciliar/conciliar/jobs/provider/mercadopago"
)

// A load is many connections that deliver signed webhooks one after the other.
type load struct {
	// addr is the service's host:port.
	addr   string
	path   string
	secret string
	// paymentID names the payment of the nth delivery.
	paymentID func(n int64) string
	next      atomic.Int64
}

// A loadResult is what a load achieved. Only deliveries that were answered 200
// and were new are counted; anything else is an error.
type loadResult struct {
	Acknowledged int64
	PerSecond    float64
	P50, P99     time.Duration
}

// run delivers over the given number of connections, for length or until
// atMost deliveries have been started (0: no bound).
func (l *load) run(ctx context.Context, connections int, length time.Duration, atMost int64) (loadResult, error) {
	ctx, cancel := context.WithTimeout(ctx, length)
	defer cancel()
	var (
		wg        sync.WaitGroup
		mu        sync.Mutex
		latencies []time.Duration
		failures  []error
		first     = l.next.Load()
	)
	began := time.Now()
	for range connections {
		wg.Go(func() {
			took, err := l.connection(ctx, first, atMost)
			mu.Lock()
			defer mu.Unlock()
			latencies = append(latencies, took...)
			if err != nil {
				failures = append(failures, err)
			}
		})
	}
	wg.Wait()
	elapsed := time.Since(began)
	if len(failures) > 0 {
		return loadResult{}, fmt.Errorf("%d of %d connections failed, first: %w", len(failures), connections, failures[0])
	}
	if len(latencies) == 0 {
		return loadResult{}, errors.New("nothing was delivered")
	}
	slices.Sort(latencies)
	at := func(p float64) time.Duration { return latencies[min(len(latencies)-1, int(p*float64(len(latencies))))] }
	return loadResult{
		Acknowledged: int64(len(latencies)),
		PerSecond:    float64(len(latencies)) / elapsed.Seconds(),
		P50:          at(0.50), P99: at(0.99),
	}, nil
}

// connection delivers over one connection until the context ends. It speaks
// HTTP/1.1 by hand: net/http's client would take more of the two cores than
// the service that is measured.
func (l *load) connection(ctx context.Context, first, atMost int64) (took []time.Duration, err error) {
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", l.addr)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, conn.Close()) }()
	in := bufio.NewReader(conn)
	for ctx.Err() == nil {
		n := l.next.Add(1)
		if atMost > 0 && n > first+atMost {
			return took, nil
		}
		request := l.request(n)
		began := time.Now()
		if _, err := conn.Write(request); err != nil {
			return took, err
		}
		status, body, err := readAnswer(in)
		if err != nil {
			return took, err
		}
		if status != http.StatusOK || !strings.Contains(body, `"duplicate":false`) {
			return took, fmt.Errorf("answer %d: %.200s", status, body)
		}
		took = append(took, time.Since(began))
	}
	return took, nil
}

func (l *load) request(n int64) []byte {
	id := l.paymentID(n)
	requestID := rand.Text()
	body := `{"action":"payment.updated","api_version":"v1","data":{"id":"` + id +
		`"},"date_created":"2025-11-10T13:38:25Z","id":` + strconv.FormatInt(n, 10) +
		`,"live_mode":true,"type":"payment","user_id":"1538952955"}`
	ts := strconv.FormatInt(time.Now().Unix(), 10)
	return []byte("POST " + l.path + "?data.id=" + id + "&type=payment HTTP/1.1\r\nHost: " + l.addr +
		"\r\nUser-Agent: MercadoPago WebHook v1.0 payment\r\nContent-Type: application/json\r\nX-Request-Id: " + requestID +
		"\r\nX-Signature: " + mercadopago.Sign(l.secret, id, requestID, ts) +
		"\r\nContent-Length: " + strconv.Itoa(len(body)) + "\r\n\r\n" + body)
}

// readAnswer reads one answer.
func readAnswer(in *bufio.Reader) (status int, body string, err error) {
	resp, err := http.ReadResponse(in, nil)
	if err != nil {
		return 0, "", err
	}
	read, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	return resp.StatusCode, string(read), errors.Join(err, resp.Body.Close())
}
