package api_test

import (
	"encoding/json"
	"net/http"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/conciliar/conciliar/api"
	"github.com/conciliar/conciliar/jobs/provider/mercadopago"
	"github.com/conciliar/conciliar/store"
	"github.com/conciliar/conciliar/store/storetest/fixture"
)

// event delivers a signed notification and returns its event.
func (b *bundle) accept(t testing.TB, paymentID string) int64 {
	t.Helper()
	return requireReceipt(t, b.do(t, signed(paymentID, strconv.Itoa(1742505638+b.count(t, `SELECT count(*) FROM webhook_queue`))))).QueueID
}

// dead is a dead letter and its event.
func (b *bundle) deadLetter(t testing.TB, paymentID string) (letter, queueID int64) {
	t.Helper()
	queueID = b.accept(t, paymentID)
	fixture.Die(t, b.pool, queueID, 7, "timeout: late")
	return int64(b.count(t, `SELECT id FROM webhook_dead_letter WHERE queue_id = $1`, queueID)), queueID
}

// anomaly is a new open anomaly.
func (b *bundle) anomaly(t testing.TB, reference string) int64 {
	t.Helper()
	return int64(b.count(t, `INSERT INTO anomalies (kind, order_reference, detail) VALUES ('underpaid', $1, '{"missing": "1.00"}') RETURNING id`, reference))
}

// refuse is a new refused delivery.
func (b *bundle) refuse(t testing.TB, r store.Refused) int64 {
	t.Helper()
	r.Source, r.Method = mercadopago.Source, http.MethodPost
	require.NoError(t, b.store.InsertRefused(t.Context(), r))
	return int64(b.count(t, `SELECT max(id) FROM webhook_refused`))
}

func get(target string) call {
	return call{method: http.MethodGet, target: target, header: bearer(statusToken)}
}

// getWhole is get with the token that sees content.
func getWhole(target string) call {
	return call{method: http.MethodGet, target: target, header: bearer(processToken)}
}

func post(target, body string) call {
	return call{method: http.MethodPost, target: target, header: bearer(processToken), body: strings.NewReader(body)}
}

// answered does the call and decodes its answer strictly.
func answered[T any](t testing.TB, b *bundle, c call, status int) T {
	t.Helper()
	w := b.do(t, c)
	require.Equal(t, status, w.Code, w.Body.String())
	require.Equal(t, "application/json", w.Header().Get("Content-Type"))
	dec := json.NewDecoder(w.Body)
	dec.DisallowUnknownFields()
	var v T
	require.NoError(t, dec.Decode(&v))
	return v
}

// A page is a list as callers see it.
type page[T any] struct {
	Items      []T     `json:"items"`
	NextCursor *string `json:"next_cursor"`
}

// walk reads a whole list in pages of one.
func walk[T any](t testing.TB, b *bundle, target string) []T {
	t.Helper()
	separator := "?"
	if strings.Contains(target, "?") {
		separator = "&"
	}
	var all []T
	cursor := ""
	for {
		p := answered[page[T]](t, b, get(target+separator+"limit=1"+cursor), http.StatusOK)
		require.NotNil(t, p.Items, "a list is never null")
		all = append(all, p.Items...)
		if p.NextCursor == nil {
			return all
		}
		require.Len(t, p.Items, 1)
		cursor = "&cursor=" + *p.NextCursor
	}
}

// actor is how the audit trail names the token's owner.
func actor(token string) string { return "token:" + api.TokenName(token) }
