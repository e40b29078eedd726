//go:build chaos

package e2e

import (
	"net"
	"net/http"
	"net/http/httptest"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// An apiProxy stands before Mercado Pago's API and does with its answers what a
// scenario says.
type apiProxy struct {
	to http.Handler

	mu   sync.Mutex
	rule http.HandlerFunc
}

// ServeHTTP answers by the rule, or else as Mercado Pago does.
func (p *apiProxy) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	p.mu.Lock()
	rule := p.rule
	p.mu.Unlock()
	if rule == nil {
		rule = p.to.ServeHTTP
	}
	rule(w, r)
}

// set makes a rule for every call from now on.
func (p *apiProxy) set(rule http.HandlerFunc) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.rule = rule
}

// hold lets every question for a payment wait until release is called, and counts them.
func (p *apiProxy) hold() (asked *atomic.Int64, release func()) {
	gate := make(chan struct{})
	asked = &atomic.Int64{}
	p.set(func(w http.ResponseWriter, r *http.Request) {
		if isPayment(r) {
			asked.Add(1)
			select {
			case <-gate:
			case <-r.Context().Done():
			}
		}
		p.to.ServeHTTP(w, r)
	})
	return asked, func() { close(gate) }
}

// open takes the rule away.
func (p *apiProxy) open() { p.set(nil) }

// answer is what Mercado Pago says to a call.
func (p *apiProxy) answer(r *http.Request) *httptest.ResponseRecorder {
	said := httptest.NewRecorder()
	p.to.ServeHTTP(said, r)
	return said
}

// write sends an answer on.
func write(w http.ResponseWriter, said *httptest.ResponseRecorder, body []byte) {
	for name, values := range said.Header() {
		if name != "Content-Length" {
			w.Header()[name] = values
		}
	}
	w.WriteHeader(said.Code)
	_, _ = w.Write(body)
}

// A held answer was given and has not arrived.
type heldAnswer struct {
	reached chan struct{}
	resume  chan struct{}
	once    sync.Once
}

// holdAnswer holds the next answer about something; all others pass.
func (p *apiProxy) holdAnswer(t *testing.T, about func(*http.Request) bool) *heldAnswer {
	t.Helper()
	h := &heldAnswer{reached: make(chan struct{}), resume: make(chan struct{})}
	t.Cleanup(h.release)
	var first sync.Once
	p.set(func(w http.ResponseWriter, r *http.Request) {
		if about(r) {
			said, mine := p.answer(r), false
			first.Do(func() { mine = true })
			if mine {
				close(h.reached)
				<-h.resume
			}
			write(w, said, said.Body.Bytes())
			return
		}
		p.to.ServeHTTP(w, r)
	})
	return h
}

func (h *heldAnswer) await(t *testing.T) {
	t.Helper()
	select {
	case <-h.reached:
	case <-time.After(chaosPatience()):
		t.Fatal("the service never asked for it")
	}
}

func (h *heldAnswer) release() { h.once.Do(func() { close(h.resume) }) }

// The ways in which an answer about a payment goes wrong.

// truncated is half of the answer, complete as far as HTTP can tell.
func (p *apiProxy) truncated(w http.ResponseWriter, r *http.Request) {
	said := p.answer(r)
	write(w, said, said.Body.Bytes()[:said.Body.Len()/2])
}

// reset breaks the connection in the middle of the answer.
func (p *apiProxy) reset(w http.ResponseWriter, r *http.Request) {
	said := p.answer(r)
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Content-Length", said.Result().Header.Get("Content-Length"))
	w.WriteHeader(said.Code)
	_, _ = w.Write(said.Body.Bytes()[:said.Body.Len()/2])
	conn, buffered, err := http.NewResponseController(w).Hijack()
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	_ = buffered.Flush()
	if tcp, is := conn.(*net.TCPConn); is {
		_ = tcp.SetLinger(0)
	}
	_ = conn.Close()
}

// failing answers 500.
func failing(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(http.StatusInternalServerError)
	_, _ = w.Write([]byte(`{"message":"internal_error","error":"internal_server_error","status":500,"cause":[]}`))
}
