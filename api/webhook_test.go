package api_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/conciliar/conciliar/api"
	"github.com/conciliar/conciliar/jobs/provider/mercadopago"
	"github.com/conciliar/conciliar/store"
)

func TestWebhook_ASignedWebhookIsDurableWhenItIsAnswered(t *testing.T) {
	t.Parallel()
	b := setup(t, setupOptions{})
	w := b.do(t, signed("139221234567890123", "1742505638"))
	r := requireReceipt(t, w)
	require.Equal(t, `{"status":"queued","queue_id":`+strconv.FormatInt(r.QueueID, 10)+`,"duplicate":false}`+"\n", w.Body.String())

	var source, topic, action, resource, origin, query, xRequestID, remote string
	var payload, signature []byte
	var isSigned, live bool
	require.NoError(t, b.pool.QueryRow(t.Context(), `
		SELECT source, topic, action, resource_id, origin, query, request_id, host(remote_ip), payload, signature, signed, live_mode
		FROM webhook_queue WHERE id = $1`, r.QueueID).
		Scan(&source, &topic, &action, &resource, &origin, &query, &xRequestID, &remote, &payload, &signature, &isSigned, &live))
	require.Equal(t, []string{"mercadopago", "payment", "payment.updated", "139221234567890123", "webhook"},
		[]string{source, topic, action, resource, origin})
	require.Equal(t, "data.id=139221234567890123&type=payment", query)
	require.Equal(t, requestID, xRequestID)
	require.Equal(t, "203.0.113.7", remote)
	require.JSONEq(t, `{"action":"payment.updated","data":{"id":"139221234567890123"},"live_mode":true,"type":"payment"}`, string(payload))
	require.Len(t, signature, 32)
	require.True(t, isSigned)
	require.True(t, live)
	require.Equal(t, 1, b.count(t, `SELECT count(*) FROM river_job WHERE (args->>'queue_id')::bigint = $1`, r.QueueID))

	// Our own id is answered; the sender's is not ours to use.
	require.NotEqual(t, requestID, w.Header().Get("X-Request-Id"))
	line := b.logs.Last(t)
	require.Equal(t, requestID, line["x_request_id"])
	require.Equal(t, w.Header().Get("X-Request-Id"), line["request_id"])
	require.InDelta(t, float64(r.QueueID), line["queue_id"], 0)
	require.Equal(t, []any{"INFO", "queued", "payment", api.WebhookPath, "POST", float64(200)},
		[]any{line["level"], line["outcome"], line["topic"], line["path"], line["method"], line["status"]})
	require.NotContains(t, b.logs.String(), "139221234567890123", "the query stays out of the log")
}

func TestWebhook_TheSameDeliveryIsOneEvent(t *testing.T) {
	t.Parallel()
	b := setup(t, setupOptions{})
	first := requireReceipt(t, b.do(t, signed("1", "1742505638")))
	again := requireReceipt(t, b.do(t, signed("1", "1742505638")))
	require.False(t, first.Duplicate)
	require.Equal(t, receipt{Status: "queued", QueueID: first.QueueID, Duplicate: true}, again)
	require.Equal(t, "duplicate", b.logs.Last(t)["outcome"])
	later := requireReceipt(t, b.do(t, signed("1", "1742505639")))
	require.NotEqual(t, first.QueueID, later.QueueID)
	require.False(t, later.Duplicate)
}

func TestWebhook_EventsWithoutWorkEndAtOnce(t *testing.T) {
	t.Parallel()
	b := setup(t, setupOptions{})
	unhandled := signed("ABC", "1742505638")
	unhandled.target = api.WebhookPath + "?data.id=ABC&type=topic_claims_integration_wh"
	dashboard := signed("123456", "1742505638")
	dashboard.body = strings.NewReader(`{"action":"payment.updated","data":{"id":"123456"},"id":"123456","live_mode":false,"type":"payment"}`)
	for outcome, c := range map[string]call{"unhandled": unhandled, "test": dashboard} {
		r := requireReceipt(t, b.do(t, c))
		require.Equal(t, 1, b.count(t, `SELECT count(*) FROM webhook_queue WHERE id = $1 AND outcome = $2`, r.QueueID, outcome))
		require.Equal(t, outcome, b.logs.Last(t)["outcome"])
	}
	require.Zero(t, b.count(t, `SELECT count(*) FROM river_job`))
}

func TestWebhook_AnyBodyIsKeptAsReceived(t *testing.T) {
	t.Parallel()
	b := setup(t, setupOptions{})
	bodies := map[string]string{
		"empty":            "",
		"nul":              "{\"a\":\"\x00\\u0000\"}",
		"invalid utf-8":    "{\"a\":\"\xff\xfe\"}",
		"lone surrogate":   `{"a":"\ud800"}`,
		"duplicate keys":   `{"type":"payment","type":"order"}`,
		"no json":          "topic=payment&id=1",
		"nested":           strings.Repeat("[", 100_000),
		"compressed":       "\x1f\x8b\x08\x00not really",
		"exactly 64 KiB":   strings.Repeat("x", 64<<10),
		"exactly 1 MiB":    strings.Repeat("x", 1<<20),
		"one less than it": strings.Repeat("x", 1<<20-1),
	}
	n := 1742505638
	for name, body := range bodies {
		for _, chunked := range []bool{false, true} {
			n++
			c := signed("77", strconv.Itoa(n))
			c.header["Content-Encoding"] = []string{"gzip"}
			c.body = strings.NewReader(body)
			if chunked {
				c.body = io.MultiReader(c.body) // hides the length
			}
			r := requireReceipt(t, b.do(t, c))
			var payload []byte
			require.NoError(t, b.pool.QueryRow(t.Context(), `SELECT payload FROM webhook_queue WHERE id = $1`, r.QueueID).Scan(&payload))
			require.Equal(t, sha256.Sum256([]byte(body)), sha256.Sum256(payload), name)
		}
	}
}

func TestWebhook_ABodyBeyondTheLimitComesFirst(t *testing.T) {
	t.Parallel()
	b := setup(t, setupOptions{})
	large := func() io.Reader { return bytes.NewReader(make([]byte, 10<<20)) }
	declared, chunked, unsigned := signed("1", "1742505638"), signed("1", "1742505638"), forged()
	declared.body, chunked.body = large(), io.MultiReader(large())
	unsigned.body = io.MultiReader(bytes.NewReader(make([]byte, 1<<20+1)))
	for _, c := range []call{declared, chunked, unsigned} {
		w := b.do(t, c)
		requireProblem(t, w, http.StatusRequestEntityTooLarge, "body_too_large")
		require.Equal(t, "close", w.Header().Get("Connection"))
	}
	// Before the token too.
	w := b.do(t, call{method: http.MethodPut, target: "/api/orders/a", body: large()})
	requireProblem(t, w, http.StatusRequestEntityTooLarge, "body_too_large")
	c := putOrder("/api/orders/a", "")
	c.body = io.MultiReader(large())
	requireProblem(t, b.do(t, c), http.StatusRequestEntityTooLarge, "body_too_large")

	b.requireRefused(t, 3)
	require.Equal(t, 3, b.count(t, `SELECT count(*) FROM webhook_refused WHERE reason = 'body_too_large' AND octet_length(body) <= 65536`))
	require.Equal(t, 1, b.count(t, `SELECT count(*) FROM webhook_refused WHERE body_bytes = 0`))
	require.Equal(t, 2, b.count(t, `SELECT count(*) FROM webhook_refused WHERE body_bytes = 1048576 AND octet_length(body) = 65536`))
	require.Zero(t, b.count(t, `SELECT count(*) FROM webhook_queue`))
}

func TestWebhook_ABodyThatBreaksOffIsNoEvent(t *testing.T) {
	t.Parallel()
	b := setup(t, setupOptions{})
	c := signed("1", "1742505638")
	c.body = io.MultiReader(strings.NewReader("{"), brokenReader{})
	requireProblem(t, b.do(t, c), http.StatusBadRequest, "unreadable_body")
	require.Zero(t, b.count(t, `SELECT count(*) FROM webhook_queue`))
}

type brokenReader struct{}

func (brokenReader) Read([]byte) (int, error) { return 0, io.ErrUnexpectedEOF }

func TestWebhook_ARefusedDeliveryIsAVisibleFact(t *testing.T) {
	t.Parallel()
	b := setup(t, setupOptions{})
	ambiguous, noSignature := signed("1", "1742505638"), signed("2", "1742505638")
	ambiguous.target += "&data.id=2"
	delete(noSignature.header, "X-Signature")
	for _, c := range []struct {
		call
		status       int
		code, reason string
	}{
		{forged(), http.StatusUnauthorized, "webhook_unauthenticated", mercadopago.ReasonSignatureMismatch},
		{noSignature, http.StatusUnauthorized, "webhook_unauthenticated", mercadopago.ReasonMissingSignatureHeader},
		{ambiguous, http.StatusBadRequest, "webhook_malformed", mercadopago.ReasonAmbiguousDataID},
		{call{method: http.MethodGet, target: api.WebhookPath + "?topic=payment&id=5"}, http.StatusUnauthorized, "webhook_unauthenticated", mercadopago.ReasonMissingSignatureHeader},
		{call{method: http.MethodGet, target: api.WebhookPath + "?data.id=5"}, http.StatusBadRequest, "webhook_malformed", mercadopago.ReasonUnexpectedMethod},
	} {
		w := b.do(t, c.call)
		requireProblem(t, w, c.status, c.code)
		require.NotContains(t, w.Body.String(), c.reason, "a forger is not told what was wrong")
		line := b.logs.Last(t)
		require.Equal(t, []any{"WARN", "refused", c.reason, c.code}, []any{line["level"], line["outcome"], line["reason"], line["code"]})
	}
	b.requireRefused(t, 5)
	require.Equal(t, 5, b.count(t, `SELECT count(*) FROM webhook_refused WHERE source = 'mercadopago'`))
	var method, query, signature, xRequestID, remote, body string
	require.NoError(t, b.pool.QueryRow(t.Context(), `
		SELECT method, query, x_signature, x_request_id, host(remote_ip), convert_from(body, 'UTF8') FROM webhook_refused
		WHERE reason = 'signature_mismatch'`).Scan(&method, &query, &signature, &xRequestID, &remote, &body))
	require.Equal(t, []string{"POST", "data.id=1&type=payment", forged().header.Get("X-Signature"), requestID, "203.0.113.7"},
		[]string{method, query, signature, xRequestID, remote})
	require.Contains(t, body, "payment.updated")
	require.Zero(t, b.count(t, `SELECT count(*) FROM webhook_queue`))
}

func TestWebhook_ItsSourceAddressIsChecked(t *testing.T) {
	t.Parallel()
	const inside, outside = "198.51.100.20:5000", "203.0.113.9:5000"
	for _, mode := range []api.SourceIPMode{api.SourceIPOff, api.SourceIPObserve, api.SourceIPEnforce} {
		t.Run(string(mode), func(t *testing.T) {
			t.Parallel()
			b := setup(t, setupOptions{deps: func(d *api.Deps) {
				d.SourceIPMode, d.SourceIPCIDRs = mode, prefixes(t, "198.51.100.0/24", "10.9.0.0/16")
				d.TrustedProxies = prefixes(t, "10.0.0.1/32")
			}})
			from := func(peer, forwarded, ts string) *httptest.ResponseRecorder {
				c := signed("1", ts)
				c.peer = peer
				if forwarded != "" {
					c.header["X-Forwarded-For"] = []string{forwarded}
				}
				return b.do(t, c)
			}
			said := map[api.SourceIPMode][2]any{
				api.SourceIPOff: {nil, nil}, api.SourceIPObserve: {"listed", "unlisted"}, api.SourceIPEnforce: {"listed", "unlisted"},
			}[mode]
			requireReceipt(t, from(inside, "", "1"))
			require.Equal(t, said[0], b.logs.Last(t)["source_ip"])
			requireReceipt(t, from("10.0.0.1:80", "1.2.3.4, 198.51.100.20", "2"))
			refusals := 0
			for i, w := range []*httptest.ResponseRecorder{
				from(outside, "", "3"),
				from("10.0.0.1:80", "198.51.100.20, 203.0.113.9", "4"),
				from(outside, "198.51.100.20", "5"),
			} {
				require.Equal(t, said[1], b.logs.Last(t)["source_ip"])
				if mode != api.SourceIPEnforce {
					requireReceipt(t, w)
					continue
				}
				refusals++
				requireProblem(t, w, http.StatusForbidden, "source_not_allowed")
				require.Equal(t, "source_not_allowed", b.logs.Last(t)["reason"], i)
			}
			if mode == api.SourceIPEnforce {
				f := forged()
				f.peer = outside
				requireProblem(t, b.do(t, f), http.StatusForbidden, "source_not_allowed")
				refusals++
			}
			b.requireRefused(t, refusals)
			require.Equal(t, refusals, b.count(t, `SELECT count(*) FROM webhook_refused WHERE reason = 'source_not_allowed'`))
		})
	}
}

func TestWebhook_FailingDeliveriesAreLimitedAndValidOnesNever(t *testing.T) {
	t.Parallel()
	b := setup(t, setupOptions{})
	for range 200 {
		requireProblem(t, b.do(t, forged()), http.StatusUnauthorized, "webhook_unauthenticated")
	}
	w := b.do(t, forged())
	requireProblem(t, w, http.StatusTooManyRequests, "rate_limited")
	require.Equal(t, "1", w.Header().Get("Retry-After"))
	require.Equal(t, "DEBUG", b.logs.Last(t)["level"], "a flood of calls is not a flood of lines")

	// The same address, validly signed, more often than any limit.
	for i := range 250 {
		requireReceipt(t, b.do(t, signed("1", strconv.Itoa(1742505638+i))))
	}
	// Another address has its own limit; one IPv6 network is one sender.
	other := forged()
	other.peer = "203.0.113.8:1"
	requireProblem(t, b.do(t, other), http.StatusUnauthorized, "webhook_unauthenticated")
	for i := range 200 {
		c := forged()
		c.peer = "[2001:db8::" + strconv.Itoa(i+1) + "]:9"
		requireProblem(t, b.do(t, c), http.StatusUnauthorized, "webhook_unauthenticated")
	}
	c := forged()
	c.peer = "[2001:db8::ffff]:9"
	requireProblem(t, b.do(t, c), http.StatusTooManyRequests, "rate_limited")

	b.clock.Add(time.Second)
	for range 20 {
		requireProblem(t, b.do(t, forged()), http.StatusUnauthorized, "webhook_unauthenticated")
	}
	requireProblem(t, b.do(t, forged()), http.StatusTooManyRequests, "rate_limited")
}

func TestWebhook_TheLimitChangesNoOtherAnswer(t *testing.T) {
	t.Parallel()
	b := setup(t, setupOptions{deps: func(d *api.Deps) {
		d.UnverifiedRate = 1
		d.SourceIPMode, d.SourceIPCIDRs = api.SourceIPEnforce, prefixes(t, "198.51.100.0/24")
	}})
	for range 10 {
		requireProblem(t, b.do(t, forged()), http.StatusForbidden, "source_not_allowed")
	}
	requireProblem(t, b.do(t, forged()), http.StatusTooManyRequests, "rate_limited")
	// Authentic, but from elsewhere: always told so, and recorded.
	requireProblem(t, b.do(t, signed("1", "1742505638")), http.StatusForbidden, "source_not_allowed")
	b.requireRefused(t, 11)
	// The body's limit comes first, and beyond the other limit leaves no record.
	c := forged()
	c.body = bytes.NewReader(make([]byte, 1<<20+1))
	requireProblem(t, b.do(t, c), http.StatusRequestEntityTooLarge, "body_too_large")
	require.Equal(t, "limited", b.logs.Last(t)["outcome"])
	b.clock.Add(time.Second)
	requireProblem(t, b.do(t, forged()), http.StatusForbidden, "source_not_allowed")
	b.requireRefused(t, 12)
	require.Zero(t, b.count(t, `SELECT count(*) FROM webhook_refused WHERE reason = 'body_too_large'`))
}

func TestWebhook_UnsignedDeliveriesHaveALimitOfTheirOwn(t *testing.T) {
	t.Parallel()
	b := setup(t, setupOptions{allowUnsigned: true})
	ipn := call{method: http.MethodGet, target: api.WebhookPath + "?topic=payment&id=42"}
	post := call{method: http.MethodPost, target: api.WebhookPath + "?topic=payment&id=42"}
	for range 100 {
		requireReceipt(t, b.do(t, ipn))
		post.body = strings.NewReader(`{"resource":"42","topic":"payment"}`)
		requireReceipt(t, b.do(t, post))
	}
	requireProblem(t, b.do(t, ipn), http.StatusTooManyRequests, "rate_limited")
	requireProblem(t, b.do(t, forged()), http.StatusUnauthorized, "webhook_unauthenticated")
	requireReceipt(t, b.do(t, signed("1", "1742505638")))
	require.Equal(t, 200, b.count(t, `SELECT count(*) FROM webhook_queue WHERE NOT signed AND resource_id = '42'`))
}

func TestWebhook_ASenderWhoHangsUpLosesNothing(t *testing.T) {
	t.Parallel()
	b := setup(t, setupOptions{})
	gone, hangUp := context.WithCancel(t.Context())
	hangUp()
	c := signed("1", "1742505638")
	c.ctx = gone
	r := requireReceipt(t, b.do(t, c))
	require.Equal(t, 1, b.count(t, `SELECT count(*) FROM webhook_queue WHERE id = $1`, r.QueueID))
}

func TestWebhook_WhatCannotBeMadeDurableIsNotAcknowledged(t *testing.T) {
	t.Parallel()
	t.Run("the inbox is closed", func(t *testing.T) {
		t.Parallel()
		b := setup(t, setupOptions{})
		b.inbox.Close()
		w := b.do(t, signed("1", "1742505638"))
		requireProblem(t, w, http.StatusServiceUnavailable, "shutting_down")
		require.Equal(t, "5", w.Header().Get("Retry-After"))
	})
	t.Run("the database is gone", func(t *testing.T) {
		t.Parallel()
		b := setup(t, setupOptions{})
		b.pool.Close()
		w := b.do(t, signed("1", "1742505638"))
		p := requireProblem(t, w, http.StatusServiceUnavailable, "storage_unavailable")
		require.Equal(t, "10", w.Header().Get("Retry-After"))
		require.NotContains(t, p.Detail, "pool")
		line := b.logs.Last(t)
		require.Equal(t, "ERROR", line["level"])
		require.Contains(t, line["error"], "closed pool")
	})
	t.Run("the inbox is full", func(t *testing.T) {
		t.Parallel()
		b := setup(t, setupOptions{inbox: store.InboxOptions{MaxBatch: 1, MaxWaiting: 1, Writers: 1}})
		lock, err := b.pool.Begin(t.Context())
		require.NoError(t, err)
		_, err = lock.Exec(t.Context(), `LOCK TABLE webhook_queue IN ACCESS EXCLUSIVE MODE`)
		require.NoError(t, err)
		const calls = 8
		answers := make(chan *httptest.ResponseRecorder, calls)
		for i := range calls {
			go func() { answers <- b.serve(t.Context(), signed("1", strconv.Itoa(1742505638+i))) }()
		}
		// One is being written and one may wait; there is no room for the rest.
		for range calls - 2 {
			w := <-answers
			requireProblem(t, w, http.StatusServiceUnavailable, "overloaded")
			require.Equal(t, "5", w.Header().Get("Retry-After"))
		}
		require.NoError(t, lock.Rollback(t.Context()))
		accepted := 0
		for range 2 {
			if w := <-answers; w.Code == http.StatusOK {
				accepted++
			}
		}
		require.Positive(t, accepted)
		require.Equal(t, accepted, b.count(t, `SELECT count(*) FROM webhook_queue`))
	})
}

// BenchmarkWebhook compares a whole call with the commit alone.
func BenchmarkWebhook(b *testing.B) {
	s := setup(b, setupOptions{})
	calls, ts := 0, 1742505638
	b.ReportAllocs()
	for b.Loop() {
		calls++
		requireReceipt(b, s.do(b, signed("1", strconv.Itoa(ts+calls))))
	}
	whole := b.Elapsed()
	start := time.Now()
	for i := range calls {
		_, err := s.inbox.Accept(b.Context(), store.NewEvent{
			Source: "bench", Topic: "payment", Work: store.WorkPayment, Origin: store.OriginWebhook, Signed: true,
			Signature: []byte(strconv.Itoa(i)), Payload: []byte(`{"action":"payment.updated"}`),
		})
		require.NoError(b, err)
	}
	b.ReportMetric(float64(whole)/float64(time.Since(start)), "x-bare-accept")
}
