//go:build chaos

package e2e

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"
	"github.com/stretchr/testify/require"

	"github.com/conciliar/conciliar/jobs/provider/mercadopago/simulator"
)

// The points at which a delivery is stopped.
var (
	// atTelling: order events of the feed are made deliveries, not committed.
	atTelling = func(f frame) bool { return f.commits() && f.did("INSERT INTO deliveries") }
	// afterTelling: they are, and the service doesn't know.
	afterTelling = func(f frame) bool { return f.committed() && f.did("INSERT INTO deliveries") }
	// atBooking: the shop has accepted the message, and that is not written yet.
	atBooking = func(f frame) bool {
		return f.fromService && strings.Contains(f.sql, "UPDATE deliveries SET state = $3")
	}
	// atTold: it is written, and not committed.
	atTold = func(f frame) bool { return f.commits() && f.did("INSERT INTO delivery_attempts") }
	// afterTold: it is committed and the service doesn't know.
	afterTold = func(f frame) bool { return f.committed() && f.did("INSERT INTO delivery_attempts") }
)

// tellings are what happens to what the shop is told.
func tellings() []scenario {
	return []scenario{
		{"kill-telling", "SIGKILL", "order events become deliveries, before the commit", killWhileTelling(atTelling)},
		{"kill-told-to", "SIGKILL", "order events have become deliveries, before the service knows", killWhileTelling(afterTelling)},
		{"kill-booking", "SIGKILL", "the shop has accepted a message, before that is written", killWhileTelling(atBooking)},
		{"kill-at-told", "SIGKILL", "the shop has accepted a message, before the commit", killWhileTelling(atTold)},
		{"kill-after-told", "SIGKILL", "the shop has accepted a message, after the commit", killWhileTelling(afterTold)},
		{"shop-down", "the shop's endpoint is down", "for an hour of the retries' time", shopDown},
		{"shop-slow", "the shop's endpoint is slow", "300 ms for each message", shopAnswers(func(w http.ResponseWriter, r *http.Request) {
			select {
			case <-time.After(300 * time.Millisecond):
			case <-r.Context().Done():
			}
			w.WriteHeader(http.StatusNoContent)
		})},
		{"shop-hangs", "the shop's endpoint answers 200 and hangs", "each message", shopAnswers(func(w http.ResponseWriter, r *http.Request) {
			w.WriteHeader(http.StatusOK)
			_ = http.NewResponseController(w).Flush()
			<-r.Context().Done()
		})},
	}
}

const tellingSecret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"

// An audience is the shop's endpoint.
type audience struct {
	*httptest.Server

	s    *stage
	hook *standardwebhooks.Webhook

	mu     sync.Mutex
	answer http.HandlerFunc
	// accepted are the ids that were accepted, of each order in the order of their
	// first time; bodies is what each said, and calls how many there were.
	accepted map[string][]int64
	bodies   map[int64]string
	calls    int
	wrong    []string
}

// listen sets the stage with an audience.
func (s *stage) listen(answer http.HandlerFunc, with setting) *audience {
	s.t.Helper()
	hook, err := standardwebhooks.NewWebhook(tellingSecret)
	require.NoError(s.t, err)
	a := &audience{s: s, hook: hook, answer: answer, accepted: map[string][]int64{}, bodies: map[int64]string{}}
	a.Server = httptest.NewServer(http.HandlerFunc(a.hear))
	s.t.Cleanup(a.Close)
	with.env = map[string]string{"ORDER_EVENTS_URL": a.URL, "ORDER_EVENTS_SECRETS": tellingSecret, "ORDER_EVENTS_ALLOW_PRIVATE": "true"}
	s.set(with)
	return a
}

// hear takes one call. What is accepted is noted before the answer, as a shop does.
func (a *audience) hear(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err == nil {
		err = a.hook.Verify(body, r.Header)
	}
	var id int64
	var event struct {
		Data struct{ Order struct{ Reference string } }
	}
	if err == nil {
		err = json.Unmarshal(body, &event)
	}
	if err == nil {
		_, err = fmt.Sscan(r.Header.Get("webhook-id"), &id)
	}
	a.mu.Lock()
	a.calls++
	answer := a.answer
	if err != nil {
		a.wrong = append(a.wrong, err.Error())
	} else if !a.s.down.Load() {
		a.note(event.Data.Order.Reference, id, string(body))
	}
	a.mu.Unlock()
	if answer != nil {
		answer(w, r)
	}
}

// note keeps a message that is accepted. The caller holds the lock.
func (a *audience) note(reference string, id int64, body string) {
	if before, again := a.bodies[id]; again {
		if before != body {
			a.wrong = append(a.wrong, fmt.Sprintf("event %d says something else when it is repeated", id))
		}
		return
	}
	if known := a.accepted[reference]; len(known) > 0 && known[len(known)-1] > id {
		a.wrong = append(a.wrong, fmt.Sprintf("order %s: event %d came after %d", reference, id, known[len(known)-1]))
	}
	a.accepted[reference], a.bodies[id] = append(a.accepted[reference], id), body
}

// heard waits until nothing more comes and the shop was told everything: nothing is lost, an order's events
// never overtake each other, and what is repeated has its id and its body.
func (a *audience) heard() {
	a.s.t.Helper()
	require.Eventually(a.s.t, func() bool {
		var left int
		err := a.s.pool.QueryRow(a.s.t.Context(), `
			SELECT (SELECT count(*) FROM order_events e WHERE NOT EXISTS (SELECT FROM deliveries d WHERE d.order_event_id = e.id))
			     + (SELECT count(*) FROM deliveries WHERE state <> 'delivered')
			     + (SELECT count(*) FROM webhook_queue WHERE completed_at IS NULL)`).Scan(&left)
		return err == nil && left == 0
	}, 2*chaosPatience(), 20*time.Millisecond, "the shop was not told everything")
	a.mu.Lock()
	defer a.mu.Unlock()
	require.Empty(a.s.t, a.wrong)
	require.Len(a.s.t, a.bodies, a.s.count(`SELECT count(*) FROM order_events`), "of these events the shop was told")
	require.NotEmpty(a.s.t, a.bodies)
}

// killWhileTelling kills the service at a point while orders are being paid, and
// starts it again.
func killWhileTelling(at func(frame) bool) func(*stage) {
	return func(s *stage) {
		a := s.listen(nil, setting{faults: simulator.Faults{Duplicates: 1, Disorder: true}})
		p := s.launch()
		stops := s.pg.hold(s.some(3), at)
		paid := s.begin(s.orders(40))
		stops.await(s.t)
		p.kill()
		stops.drop()
		s.launch()
		s.over()
		paid.wait()
		a.heard()
		s.settled()
	}
}

// shopDown has the shop answer nothing while its orders are paid: they are settled all
// the same. The waits of an hour are let pass.
func shopDown(s *stage) {
	s.down.Store(true)
	a := s.listen(func(w http.ResponseWriter, _ *http.Request) {
		if s.down.Load() {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
	}, setting{faults: simulator.Faults{Duplicates: 1}})
	s.launch()
	paid := s.begin(s.orders(20))
	paid.wait()
	s.over()
	s.settledButOpen()
	// 5 s, 30 s, 2, 10 and 30 minutes after the first attempt.
	s.letWaitsPass(6)
	s.down.Store(false)
	s.letWaitsPass(7)
	a.heard()
	s.settled()
}

// letWaitsPass lets the waits of deliveries pass until every order's first one had so
// many attempts, or was accepted.
func (s *stage) letWaitsPass(attempts int) {
	s.t.Helper()
	require.Eventually(s.t, func() bool {
		_, err := s.pool.Exec(s.t.Context(), `
			UPDATE river_job SET state = 'available', scheduled_at = now()
			WHERE state = 'scheduled' AND id IN (SELECT job_id FROM deliveries WHERE state = 'pending' AND attempts < $1)`, attempts)
		if err != nil {
			return false
		}
		var left int
		err = s.pool.QueryRow(s.t.Context(), `
			SELECT count(*) FROM (SELECT DISTINCT ON (stream) attempts FROM deliveries WHERE state = 'pending' ORDER BY stream, id) head
			WHERE attempts < $1`, attempts).Scan(&left)
		return err == nil && left == 0
	}, 2*chaosPatience(), 50*time.Millisecond, "deliveries are not tried again")
}

// settledButOpen waits until every event has its end.
func (s *stage) settledButOpen() {
	s.t.Helper()
	require.Eventually(s.t, func() bool {
		var open int
		err := s.pool.QueryRow(s.t.Context(), `SELECT count(*) FROM webhook_queue WHERE completed_at IS NULL`).Scan(&open)
		return err == nil && open == 0
	}, 2*chaosPatience(), 20*time.Millisecond, "orders are not settled while the shop is down")
}

// shopAnswers has orders paid while the shop answers so.
func shopAnswers(answer http.HandlerFunc) func(*stage) {
	return func(s *stage) {
		a := s.listen(answer, setting{faults: simulator.Faults{Duplicates: 1}})
		s.launch()
		s.begin(s.orders(20)).wait()
		s.over()
		a.heard()
		s.settled()
	}
}
