//go:build chaos

package e2e

import (
	"bytes"
	"encoding/pem"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/stretchr/testify/require"
)

// providerFaults are what Mercado Pago and the network to it do.
func providerFaults() []scenario {
	return []scenario{
		{"slow-21s", "Mercado Pago answers after 21 s", "for half a minute, under load", slow(21 * time.Second)},
		{"slow-23s", "Mercado Pago answers after 23 s", "for half a minute, under load", slow(23 * time.Second)},
		{"storm", "500 to every call", "for 90 minutes (a minute takes half a second), under load", storm},
		{"limited-seconds", "429, Retry-After in seconds", "to the first call of each payment", limited(func() string { return "2" })},
		{"limited-date", "429, Retry-After as a date", "to the first call of each payment", limited(func() string {
			return time.Now().Add(3 * time.Second).UTC().Format(http.TimeFormat)
		})},
		{"truncated", "half a JSON body", "in answers under load", badAnswers((*apiProxy).truncated)},
		{"reset-body", "connection reset", "in the middle of answers, under load", badAnswers((*apiProxy).reset)},
		{"reset-tls", "connection reset", "in the TLS handshake with Mercado Pago, under load", resetTLS},
		{"cut-provider", "connections to Mercado Pago cut", "under load", cutProvider},
		{"account-404", "404 to the account question", "always, and 500 to every call for a while", accountNeverAnswered(http.StatusNotFound)},
		{"account-403", "403 to the account question", "always, and 500 to every call for a while", accountNeverAnswered(http.StatusForbidden)},
		{"odd-stream", "payments that can't be booked", "among others, under load; then put right and replayed", oddStream},
	}
}

// providerURL is where the service finds Mercado Pago.
func (s *stage) providerURL() string {
	for _, entry := range s.environ {
		if address, is := strings.CutPrefix(entry, "MERCADOPAGO_BASE_URL="); is {
			return address
		}
	}
	panic(fmt.Sprintf("no MERCADOPAGO_BASE_URL in %d entries", len(s.environ)))
}

// slow lets answers take longer than the service waits for them.
func slow(latency time.Duration) func(*stage) {
	return func(s *stage) {
		s.set(setting{env: map[string]string{"JOB_TIMEOUT": "30s", "RESCUE_AFTER": "2m"}})
		network := newFaultProxy(s.t, hostOf(s.t, s.providerURL()))
		cure := network.poison("slow", fmt.Sprintf(`{"name":"slow","type":"latency","stream":"downstream","attributes":{"latency":%d}}`, latency.Milliseconds()))
		s.launch("MERCADOPAGO_BASE_URL=" + network.through(s.providerURL()))
		paid := s.begin(s.orders(10))
		paid.wait()
		pause(latency + 5*time.Second)
		cure()
		s.over()
		s.settled()
	}
}

// storm lasts longer than the whole backoff. Nothing may die of it:
// what waits is held until it is over.
func storm(s *stage) {
	s.set(setting{env: map[string]string{"RETRY_MAX_ATTEMPTS": "7", "RETRY_BASE_DELAY": "500ms"}})
	s.launch()
	s.api.set(failing)
	paid := s.begin(s.orders(30))
	pause(45 * time.Second)
	s.api.open()
	s.over()
	paid.wait()
	s.settled()
}

// limited answers the first call about each payment 429, and fails when the
// second one comes before it may.
func limited(retryAfter func() string) func(*stage) {
	return func(s *stage) {
		s.set(setting{})
		var mu sync.Mutex
		earliest := map[string]time.Time{}
		s.api.set(func(w http.ResponseWriter, r *http.Request) {
			if !isPayment(r) {
				s.api.to.ServeHTTP(w, r)
				return
			}
			now := time.Now()
			mu.Lock()
			floor, known := earliest[r.URL.Path]
			if !known {
				after := retryAfter()
				w.Header().Set("Retry-After", after)
				earliest[r.URL.Path] = floorOf(after, now)
			}
			mu.Unlock()
			if !known {
				w.WriteHeader(http.StatusTooManyRequests)
				_, _ = w.Write([]byte(`{"message":"too_many_requests","error":"too_many_requests","status":429,"cause":[]}`))
				return
			}
			if now.Before(floor) {
				s.t.Errorf("%s is asked for %s before it may be", r.URL.Path, floor.Sub(now))
			}
			s.api.to.ServeHTTP(w, r)
		})
		s.launch()
		// One event for each payment: another one's attempt is not bound by it.
		for n := range s.some(8) {
			s.notify(s.pay(fmt.Sprintf("limited-%d", n)))
		}
		s.over()
		s.settled()
	}
}

// floorOf is when a Retry-After that was sent at now allows the next call.
func floorOf(retryAfter string, now time.Time) time.Time {
	if date, err := http.ParseTime(retryAfter); err == nil {
		return date
	}
	seconds, err := time.ParseDuration(retryAfter + "s")
	if err != nil {
		panic(err)
	}
	return now.Add(seconds)
}

// badAnswers spoils every other answer about a payment.
func badAnswers(spoil func(*apiProxy, http.ResponseWriter, *http.Request)) func(*stage) {
	return func(s *stage) {
		s.set(setting{})
		var mu sync.Mutex
		asked := map[string]int{}
		s.api.set(func(w http.ResponseWriter, r *http.Request) {
			mu.Lock()
			// Each payment's own calls are counted: a failure makes the service ask for
			// others, and then the same payment might be spoilt for ever.
			bad := false
			if isPayment(r) {
				asked[r.URL.Path]++
				bad = asked[r.URL.Path]%2 == 1
			}
			mu.Unlock()
			if bad {
				spoil(s.api, w, r)
				return
			}
			s.api.to.ServeHTTP(w, r)
		})
		s.launch()
		s.begin(s.orders(40)).wait()
		s.over()
		s.settled()
		require.Positive(s.t, s.count(`SELECT count(*) FROM webhook_queue WHERE attempts > 1`), "no answer was spoilt")
	}
}

// resetTLS breaks the connection before it is secure.
func resetTLS(s *stage) {
	s.set(setting{})
	secure := httptest.NewTLSServer(s.api)
	s.t.Cleanup(secure.Close)
	authority := filepath.Join(s.t.TempDir(), "authority.pem")
	require.NoError(s.t, os.WriteFile(authority, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: secure.Certificate().Raw}), 0o600))
	network := newFaultProxy(s.t, hostOf(s.t, secure.URL))
	cure := network.poison("reset", `{"name":"reset","type":"reset_peer","stream":"downstream","attributes":{"timeout":0}}`)
	s.launch("MERCADOPAGO_BASE_URL="+network.through(secure.URL), "SSL_CERT_FILE="+authority)
	paid := s.begin(s.orders(20))
	paid.wait()
	require.Eventually(s.t, func() bool {
		return s.count(`SELECT count(*) FROM webhook_queue_status WHERE status = 'held' OR last_error IS NOT NULL`) > 0
	}, chaosPatience(), 20*time.Millisecond, "no handshake failed")
	cure()
	s.over()
	s.settled()
}

func cutProvider(s *stage) {
	s.set(setting{})
	network := newFaultProxy(s.t, hostOf(s.t, s.providerURL()))
	s.launch("MERCADOPAGO_BASE_URL=" + network.through(s.providerURL()))
	paid := s.begin(s.orders(60))
	for range s.some(3) {
		network.cut()
		pause(300 * time.Millisecond)
		network.mend()
	}
	s.over()
	paid.wait()
	s.settled()
}

// accountNeverAnswered never says who we are, whatever the state of the payments:
// before, during and after an outage. One payment is somebody else's at first.
func accountNeverAnswered(status int) func(*stage) {
	return func(s *stage) {
		s.set(setting{env: map[string]string{"RETRY_MAX_ATTEMPTS": "7", "RETRY_BASE_DELAY": "500ms"}})
		say := func(w http.ResponseWriter, status int) {
			w.Header().Set("Content-Type", "application/json")
			w.WriteHeader(status)
			_, _ = fmt.Fprintf(w, `{"message":"not for this token","error":"not_for_this_token","status":%d,"cause":[]}`, status)
		}
		var foreign atomic.Value
		var down atomic.Bool
		s.api.set(func(w http.ResponseWriter, r *http.Request) {
			switch {
			case r.URL.Path == "/users/me":
				say(w, status)
			case down.Load():
				failing(w, r)
			case r.URL.Path == foreign.Load():
				say(w, http.StatusForbidden)
			default:
				s.api.to.ServeHTTP(w, r)
			}
		})
		s.launch()
		s.notify(s.pay("known"))
		s.awaitCount(1, `SELECT count(*) FROM payments`)
		id := s.pay("foreign")
		foreign.Store("/v1/payments/" + id)
		s.notify(id)
		s.awaitCount(1, `SELECT count(*) FROM webhook_dead_letter WHERE error_class = 'forbidden'`)
		require.Zero(s.t, s.count(`SELECT count(*) FROM provider_outages`), "the foreign payment is that payment's matter")
		down.Store(true)
		paid := s.begin(s.orders(20))
		s.awaitCount(1, `SELECT count(*) FROM provider_outages`)
		down.Store(false)
		foreign.Store("")
		s.replayDeadLetters(1)
		s.over()
		paid.wait()
		s.settled()
		require.Zero(s.t, s.count(`SELECT count(*) FROM provider_outages WHERE closed_at IS NULL OR reason <> 'unavailable'`))
	}
}

// oddStream takes the amount out of the answers about some payments, while others
// are paid, until a person has seen to them.
func oddStream(s *stage) {
	s.set(setting{})
	var odd sync.Map
	s.api.set(func(w http.ResponseWriter, r *http.Request) {
		if _, is := odd.Load(r.URL.Path); !is {
			s.api.to.ServeHTTP(w, r)
			return
		}
		said := s.api.answer(r)
		write(w, said, bytes.Replace(said.Body.Bytes(), []byte(`"transaction_amount":`), []byte(`"transaction_amount_masked":`), 1))
	})
	s.launch()
	paid := s.begin(s.orders(30))
	odds := s.some(12)
	for n := range odds {
		id := s.pay(fmt.Sprintf("odd-%d", n))
		odd.Store("/v1/payments/"+id, true)
		s.notify(id)
	}
	paid.wait()
	s.awaitCount(odds, `SELECT count(*) FROM webhook_dead_letter WHERE error_class = 'odd_payment'`)
	require.Zero(s.t, s.count(`SELECT count(*) FROM provider_outages`))
	s.api.open()
	s.replayDeadLetters(odds)
	s.over()
	s.settled()
}

// replayDeadLetters replays all dead letters, as an operator does who has seen to
// their cause, and waits until that is done.
func (s *stage) replayDeadLetters(all int) {
	s.t.Helper()
	s.mayDie += all
	execute(s.t, s.environ, "dead-letters", "replay", "--all")
	s.awaitCount(all, `SELECT count(*) FROM webhook_dead_letter WHERE state = 'replayed'`)
}
