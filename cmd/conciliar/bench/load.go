package bench

import (
	"bufio"
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strconv"
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
	// Delivered are all, Acknowledged those after the warm-up.
	Delivered, Acknowledged int
	PerSecond               float64
	Latency                 *Latency
	// Cost is what each delivery took, where it was measured.
	Cost *Cost
}

// A loadShape says how a load delivers.
type loadShape struct {
	connections int
	// length is how long it delivers, after warmUp, which does not count. atMost
	// bounds the deliveries instead; 0 means no bound.
	length, warmUp time.Duration
	atMost         int64
	// rate is how many deliveries are due each second, however long earlier ones
	// take, and their time counts from when they were due: a service that stalls
	// can't hide what it kept waiting (coordinated omission). What was due by the end
	// is delivered, too, however late. 0 is as fast as the connections go.
	rate float64
}

// lateness is how much longer than its length a load at a rate may take to deliver what
// was due.
const lateness = time.Minute

// deliveries are those of a load at a rate: how many are due, and within which time they
// must be made.
func (s loadShape) deliveries() (atMost int64, limit time.Duration) {
	atMost, limit = s.atMost, s.warmUp+s.length
	if s.rate > 0 {
		due := int64(s.rate * limit.Seconds())
		if atMost == 0 || due < atMost {
			atMost = due
		}
		limit += lateness
	}
	return atMost, limit
}

// A delivered is one delivery that was acknowledged.
type delivered struct {
	began, at time.Time
}

// run delivers.
func (l *load) run(ctx context.Context, shape loadShape) (loadResult, error) {
	parent := ctx
	atMost, limit := shape.deliveries()
	shape.atMost = atMost
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	var (
		wg       sync.WaitGroup
		mu       sync.Mutex
		all      []delivered
		failures []error
	)
	began, first := time.Now(), l.next.Load()
	for range shape.connections {
		wg.Go(func() {
			done, err := l.connection(ctx, shape, began, first)
			mu.Lock()
			defer mu.Unlock()
			all = append(all, done...)
			if err != nil {
				failures = append(failures, err)
			}
		})
	}
	wg.Wait()
	ended := time.Now()
	if len(failures) > 0 {
		return loadResult{}, fmt.Errorf("%d of %d connections failed, first: %w", len(failures), shape.connections, failures[0])
	}
	counts := began.Add(shape.warmUp)
	times := make([]time.Duration, 0, len(all))
	for _, d := range all {
		if d.began.After(counts) {
			times = append(times, d.at.Sub(d.began))
		}
	}
	switch {
	case len(times) == 0:
		return loadResult{}, errors.New("nothing was delivered")
	case shape.rate > 0 && int64(len(all)) < shape.atMost && parent.Err() == nil:
		return loadResult{}, fmt.Errorf("%d of %d deliveries, due at %.0f a second, were made within %s", len(all), shape.atMost, shape.rate, limit)
	}
	return loadResult{Delivered: len(all), Acknowledged: len(times), PerSecond: float64(len(times)) / ended.Sub(counts).Seconds(), Latency: latencyOf(times)}, nil
}

// connection delivers over one connection until the context ends. It speaks
// HTTP/1.1 by hand, and keeps what it writes in: net/http's client would take more of the
// two cores than the service that is measured.
func (l *load) connection(ctx context.Context, shape loadShape, start time.Time, first int64) (done []delivered, err error) {
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", l.addr)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, conn.Close()) }()
	in := bufio.NewReader(conn)
	var made request
	for ctx.Err() == nil {
		n := l.next.Add(1)
		if shape.atMost > 0 && n > first+shape.atMost {
			return done, nil
		}
		request := made.of(l, n)
		began := time.Now()
		if shape.rate > 0 {
			began = start.Add(time.Duration(float64(n-first) / shape.rate * float64(time.Second)))
			if !sleepUntil(ctx, began) {
				return done, nil
			}
		}
		if _, err := conn.Write(request); err != nil {
			return done, err
		}
		status, body, err := readAnswer(in)
		if err != nil {
			return done, err
		}
		if status != http.StatusOK || !bytes.Contains(body, []byte(`"duplicate":false`)) {
			return done, fmt.Errorf("answer %d: %.200s", status, body)
		}
		done = append(done, delivered{began: began, at: time.Now()})
	}
	return done, nil
}

// sleepUntil reports whether it is that time before the context ends.
func sleepUntil(ctx context.Context, at time.Time) bool {
	wait := time.Until(at)
	if wait <= 0 {
		return true
	}
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// A request is the buffers that a connection's requests are made in, one after the other.
type request struct{ body, all []byte }

// of is the nth request, until the next one is made.
func (r *request) of(l *load, n int64) []byte {
	id, requestID := l.paymentID(n), rand.Text()
	r.body = append(r.body[:0], `{"action":"payment.updated","api_version":"v1","data":{"id":"`...)
	r.body = append(r.body, id...)
	r.body = append(r.body, `"},"date_created":"2025-11-10T13:38:25Z","id":`...)
	r.body = strconv.AppendInt(r.body, n, 10)
	r.body = append(r.body, `,"live_mode":true,"type":"payment","user_id":"1538952955"}`...)
	r.all = r.all[:0]
	for _, part := range [...]string{
		"POST ", l.path, "?data.id=", id, "&type=payment HTTP/1.1\r\nHost: ", l.addr,
		"\r\nUser-Agent: MercadoPago WebHook v1.0 payment\r\nContent-Type: application/json\r\nX-Request-Id: ", requestID,
		"\r\nX-Signature: ", mercadopago.Sign(l.secret, id, requestID, strconv.FormatInt(time.Now().Unix(), 10)), "\r\nContent-Length: ",
	} {
		r.all = append(r.all, part...)
	}
	r.all = strconv.AppendInt(r.all, int64(len(r.body)), 10)
	r.all = append(r.all, "\r\n\r\n"...)
	r.all = append(r.all, r.body...)
	return r.all
}

// readAnswer reads one answer, which says how long it is. Its body is there until the next
// one is read.
func readAnswer(in *bufio.Reader) (status int, body []byte, err error) {
	line, err := in.ReadSlice('\n')
	if err != nil {
		return 0, nil, err
	}
	// Such as "HTTP/1.1 200 OK".
	_, rest, _ := bytes.Cut(line, []byte(" "))
	code, _, _ := bytes.Cut(rest, []byte(" "))
	if status, err = strconv.Atoi(string(code)); err != nil {
		return 0, nil, fmt.Errorf("no status of an answer: %.80q", line)
	}
	length := -1
	for {
		if line, err = in.ReadSlice('\n'); err != nil {
			return status, nil, err
		}
		name, value, isHeader := bytes.Cut(line, []byte(":"))
		if !isHeader {
			break
		}
		if bytes.EqualFold(name, []byte("Content-Length")) {
			if length, err = strconv.Atoi(string(bytes.TrimSpace(value))); err != nil {
				return status, nil, fmt.Errorf("length of an answer: %w", err)
			}
		}
	}
	if length < 0 {
		return status, nil, fmt.Errorf("answer %d without a length", status)
	}
	if body, err = in.Peek(length); err == nil {
		_, err = in.Discard(length)
	}
	return status, body, err
}
