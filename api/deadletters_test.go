package api_test

import (
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/conciliar/conciliar/api"
	"github.com/conciliar/conciliar/store"
)

func TestDeadLetters_AreListedAndShown(t *testing.T) {
	t.Parallel()
	b := setup(t, setupOptions{})
	first, event := b.deadLetter(t, "77")
	second, _ := b.deadLetter(t, "78")
	answered[store.DeadLetterDetail](t, b, post(fmt.Sprintf("/api/webhooks/dead-letters/%d/dismiss", second), `{"note":"paid in cash"}`), http.StatusOK)
	for query, want := range map[string][]int64{
		"": {second, first}, "?state=open": {first}, "?state=dismissed": {second}, "?reason=retries_exhausted": {second, first},
		"?reason=deleted": nil, "?error_class=timeout&topic=payment": {second, first}, "?topic=claim": nil, "?until=2026-01-01": nil,
	} {
		var ids []int64
		for _, d := range walk[store.DeadLetter](t, b, "/api/webhooks/dead-letters"+query) {
			ids = append(ids, d.ID)
		}
		require.Equal(t, want, ids, query)
	}
	for _, query := range []string{"state=ajar", "reason=boredom"} {
		requireProblem(t, b.do(t, get("/api/webhooks/dead-letters?"+query)), http.StatusBadRequest, "invalid_parameter")
	}
	d := answered[store.DeadLetterDetail](t, b, getWhole(fmt.Sprintf("/api/webhooks/dead-letters/%d", first)), http.StatusOK)
	require.Equal(t, event, d.QueueID)
	require.Equal(t, "timeout", d.Errors[0].ErrorClass)
	require.Contains(t, d.Payload.Data, `"77"`)
}

func TestDeadLetters_AreReplayedOnceByTwoOperators(t *testing.T) {
	t.Parallel()
	b := setup(t, setupOptions{})
	letter, event := b.deadLetter(t, "77")
	target := fmt.Sprintf("/api/webhooks/dead-letters/%d/replay", letter)
	const presses = 6
	codes := make([]int, presses)
	var pressed sync.WaitGroup
	for i := range presses {
		pressed.Go(func() { codes[i] = b.do(t, post(target, "")).Code })
	}
	pressed.Wait()
	counts := map[int]int{}
	for _, code := range codes {
		counts[code]++
	}
	require.Equal(t, map[int]int{http.StatusAccepted: 1, http.StatusConflict: presses - 1}, counts)
	require.Equal(t, 1, b.count(t, `SELECT count(*) FROM webhook_queue WHERE replay_of = $1`, event))
	p := requireProblem(t, b.do(t, post(target, "")), http.StatusConflict, "state_conflict")
	require.Equal(t, fmt.Sprintf("Dead letter %d is already replayed.", letter), p.Detail)
}

func TestDeadLetters_ADismissalSaysWhy(t *testing.T) {
	t.Parallel()
	b := setup(t, setupOptions{})
	letter, _ := b.deadLetter(t, "77")
	target := fmt.Sprintf("/api/webhooks/dead-letters/%d/dismiss", letter)
	for body, code := range map[string]string{
		"": "invalid_json", "{}": "invalid_field", `{"note":""}`: "invalid_field", `{"note":1}`: "invalid_field",
		`{"note":"a","note":"b"}`: "invalid_field", `{"note":"a","by":"me"}`: "invalid_field", `{"note":"a"}x`: "invalid_json",
		`{"note":"` + strings.Repeat("x", 2001) + `"}`: "invalid_field", `["note"]`: "invalid_json",
	} {
		requireProblem(t, b.do(t, post(target, body)), http.StatusBadRequest, code)
	}
	d := answered[store.DeadLetterDetail](t, b, post(target, `{"note":"paid in cash"}`), http.StatusOK)
	require.Equal(t, store.DeadLetterDismissed, d.State)
	require.Equal(t, "paid in cash", d.Note)
	require.Equal(t, "paid in cash", d.Actions[0].Note)
	requireProblem(t, b.do(t, post(target, `{"note":"again"}`)), http.StatusConflict, "state_conflict")
	requireProblem(t, b.do(t, post(fmt.Sprintf("/api/webhooks/dead-letters/%d/replay", letter), "")), http.StatusConflict, "state_conflict")
}

const bulkPath = "/api/webhooks/dead-letters/replay"

func TestBulkReplay_IsCountedBeforeItIsDone(t *testing.T) {
	t.Parallel()
	b := setup(t, setupOptions{})
	for range 3 {
		b.deadLetter(t, "77")
	}
	count := answered[api.ReplayCount](t, b, post(bulkPath, `{"filter":{"reason":"retries_exhausted","topic":"payment"},"dry_run":true,"limit":2}`), http.StatusOK)
	require.Equal(t, api.ReplayCount{DryRun: true, Matching: 3, WouldReplay: 2}, count)
	count = answered[api.ReplayCount](t, b, post(bulkPath, `{"filter":{"until":"2026-01-01"},"dry_run":true}`), http.StatusOK)
	require.Equal(t, api.ReplayCount{DryRun: true}, count)
	require.Zero(t, b.count(t, `SELECT count(*) FROM operator_actions`))
	require.Equal(t, 3, b.count(t, `SELECT count(*) FROM webhook_queue`))

	w := b.do(t, post(bulkPath, `{"filter":{"error_class":"timeout","since":"2026-01-01T00:00:00Z"},"limit":2,"dry_run":false}`))
	require.Equal(t, http.StatusOK, w.Code, w.Body.String())
	bulk := answered[store.BulkReplay](t, b, get(w.Header().Get("Location")), http.StatusOK)
	require.Equal(t, store.BulkReplayDone, bulk.State)
	require.EqualValues(t, 2, bulk.Replayed)
	require.Equal(t, actor(processToken), bulk.RequestedBy)
	require.Equal(t, "timeout", bulk.Filter.ErrorClass)
	require.Equal(t, 5, b.count(t, `SELECT count(*) FROM webhook_queue`))
}

func TestBulkReplay_OfManyGoesOnAndIsCancelled(t *testing.T) {
	t.Parallel()
	b := setup(t, setupOptions{})
	_, err := b.pool.Exec(t.Context(), `
		WITH dead AS (INSERT INTO webhook_queue (source, topic, payload) SELECT 'mercadopago', 'payment', '' FROM generate_series(1, 101) RETURNING id)
		INSERT INTO webhook_dead_letter (queue_id, reason) SELECT id, 'deleted' FROM dead`)
	require.NoError(t, err)

	w := b.do(t, post(bulkPath, `{"filter":{}}`))
	require.Equal(t, http.StatusAccepted, w.Code, w.Body.String())
	location := w.Header().Get("Location")
	bulk := answered[store.BulkReplay](t, b, get(location), http.StatusOK)
	require.Equal(t, store.BulkReplayRunning, bulk.State)
	require.EqualValues(t, 101, bulk.Total)
	cancel := call{method: http.MethodDelete, target: location, header: bearer(processToken)}
	require.Equal(t, store.BulkReplayCancelled, answered[store.BulkReplay](t, b, cancel, http.StatusOK).State)
	requireProblem(t, b.do(t, cancel), http.StatusConflict, "state_conflict")
	require.Equal(t, 101, b.count(t, `SELECT count(*) FROM webhook_queue`), "no step was worked")
}

// A script that mistypes a filter must not replay everything.
func TestBulkReplay_RefusesWhatItDoesNotUnderstand(t *testing.T) {
	t.Parallel()
	b := setup(t, setupOptions{})
	b.deadLetter(t, "77")
	for body, code := range map[string]string{
		"":                                     "invalid_json",
		"{}":                                   "invalid_field",
		`{"filter":null}`:                      "invalid_field",
		`{"filter":[]}`:                        "invalid_field",
		`{"filter":{"raison":"deleted"}}`:      "invalid_field",
		`{"filter":{"state":"dismissed"}}`:     "invalid_field",
		`{"filter":{"reason":7}}`:              "invalid_field",
		`{"filter":{"reason":"boredom"}}`:      "invalid_parameter",
		`{"filter":{"reason":""}}`:             "invalid_parameter",
		`{"filter":{"since":"yesterday"}}`:     "invalid_parameter",
		`{"filter":{},"dry_run":"true"}`:       "invalid_field",
		`{"filter":{},"dry_run":null}`:         "invalid_field",
		`{"filter":{},"limit":0}`:              "invalid_field",
		`{"filter":{},"limit":1.5}`:            "invalid_field",
		`{"filter":{},"limit":"5"}`:            "invalid_field",
		`{"filter":{},"speed":1}`:              "invalid_field",
		`{"filter":{"topic":"a","topic":"b"}}`: "invalid_field",
	} {
		w := b.do(t, post(bulkPath, body))
		require.Equal(t, http.StatusBadRequest, w.Code, body)
		require.Contains(t, w.Body.String(), `"code":"`+code+`"`, body)
	}
	require.Equal(t, 1, b.count(t, `SELECT count(*) FROM webhook_queue`))
}
