//go:build chaos

package e2e

import (
	"encoding/pem"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
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

// storm lasts longer than the whole ladder of retries. Nothing may die of it:
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
		n := 0
		s.api.set(func(w http.ResponseWriter, r *http.Request) {
			mu.Lock()
			// Payments alone are counted: a failure makes the service ask who it is,
			// and then the same payment would be spoilt for ever.
			bad := false
			if isPayment(r) {
				n++
				bad = n%2 == 1
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
