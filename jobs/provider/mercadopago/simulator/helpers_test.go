package simulator

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/shopspring/decimal"
	"github.com/stretchr/testify/require"

	"github.com/conciliar/conciliar/store/storetest/fixture"
)

const (
	testToken  = "TEST-token"
	testSecret = "test-secret"
)

// setup makes a simulator with the test's credentials.
func setup(t *testing.T, cfg Config) *Simulator {
	t.Helper()
	cfg.AccessToken, cfg.Secret = testToken, testSecret
	s, err := New(cfg)
	require.NoError(t, err)
	return s
}

// get calls the API with the right token and returns the answer.
func get(t *testing.T, s *Simulator, path string) *httptest.ResponseRecorder {
	t.Helper()
	req := httptest.NewRequestWithContext(t.Context(), http.MethodGet, path, nil)
	req.Header.Set("Authorization", "Bearer "+testToken)
	rec := httptest.NewRecorder()
	s.Handler().ServeHTTP(rec, req)
	return rec
}

// decode reads a JSON object with its numbers as they were written.
func decode(t *testing.T, body io.Reader) map[string]any {
	t.Helper()
	decoder := json.NewDecoder(body)
	decoder.UseNumber()
	var fields map[string]any
	require.NoError(t, decoder.Decode(&fields))
	return fields
}

// money reads a decimal.
func money(text string) decimal.Decimal { return decimal.RequireFromString(text) }

func newClock() *fixture.Clock {
	return fixture.ClockAt(time.Date(2026, 3, 1, 15, 0, 0, 123_456_789, time.UTC))
}

// A received is one notification as the receiver saw it.
type received struct {
	id, signature, requestID, retry string
	body                            string
}

// A receiver takes notifications as a merchant would: it checks the signature,
// tells duplicates by it and acknowledges.
type receiver struct {
	mu      sync.Mutex
	all     []received
	queueID map[string]int64 // by signature
	forged  int

	// answer, when set, decides what a notification is answered; nil answers
	// acknowledge. It is called with the number of the call, from 1.
	answer func(call int, r received) int
}

// ServeHTTP implements http.Handler.
func (rc *receiver) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		http.Error(w, "body", http.StatusBadRequest)
		return
	}
	got := received{
		id:        r.URL.Query().Get("data.id"),
		signature: r.Header.Get("X-Signature"),
		requestID: r.Header.Get("X-Request-Id"),
		retry:     r.Header.Get("X-Retry"),
		body:      string(body),
	}
	ts, v1, _ := strings.Cut(strings.TrimPrefix(got.signature, "ts="), ",v1=")
	genuine := slices.ContainsFunc([]string{got.id, strings.ToLower(got.id)}, func(id string) bool {
		mac := hmac.New(sha256.New, []byte(testSecret))
		_, _ = io.WriteString(mac, "id:"+id+";request-id:"+got.requestID+";ts:"+ts+";")
		return v1 == hex.EncodeToString(mac.Sum(nil))
	})

	rc.mu.Lock()
	defer rc.mu.Unlock()
	rc.all = append(rc.all, got)
	status := http.StatusOK
	if rc.answer != nil {
		status = rc.answer(len(rc.all), got)
	}
	if !genuine {
		rc.forged++
		status = http.StatusUnauthorized
	}
	if status != http.StatusOK {
		w.WriteHeader(status)
		return
	}
	if rc.queueID == nil {
		rc.queueID = make(map[string]int64)
	}
	id, duplicate := rc.queueID[v1]
	if !duplicate {
		id = int64(len(rc.queueID) + 1)
		rc.queueID[v1] = id
	}
	_ = json.NewEncoder(w).Encode(map[string]any{"status": "queued", "queue_id": id, "duplicate": duplicate})
}

// seen returns what was received so far.
func (rc *receiver) seen() []received {
	rc.mu.Lock()
	defer rc.mu.Unlock()
	return append([]received(nil), rc.all...)
}

// serve starts a receiver and returns its URL.
func serve(t *testing.T, rc *receiver) string {
	t.Helper()
	server := httptest.NewServer(rc)
	t.Cleanup(server.Close)
	return server.URL + "/api/checkout/webhook"
}
