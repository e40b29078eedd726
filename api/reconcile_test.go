package api_test

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/conciliar/conciliar/store"
)

// Nobody works the run here: what the endpoint starts stays running.
func TestReconcile_StartsARunAndJoinsIt(t *testing.T) {
	t.Parallel()
	b := setup(t, setupOptions{})
	post := func(target, body string) (int, map[string]any) {
		w := b.do(t, call{method: http.MethodPost, target: target, header: bearer(reconcileToken), body: strings.NewReader(body)})
		var doc map[string]any
		require.NoError(t, json.Unmarshal(w.Body.Bytes(), &doc))
		return w.Code, doc
	}
	code, first := post("/api/webhooks/reconcile?wait=0s&trigger=cron", "")
	require.Equal(t, http.StatusAccepted, code, first)
	require.Equal(t, "running", first["status"])
	code, second := post("/api/webhooks/reconcile", `{"wait":"0s"}`)
	require.Equal(t, http.StatusAccepted, code)
	require.Equal(t, first["id"], second["id"], "one that runs is joined")

	var trigger, by string
	require.NoError(t, b.pool.QueryRow(t.Context(), `SELECT trigger, requested_by FROM webhook_reconciliation_logs`).Scan(&trigger, &by))
	require.Equal(t, store.TriggerCron, trigger)
	require.Regexp(t, `^token:[0-9a-f]{8}$`, by, "who asked, and not the token")

	w := b.do(t, call{method: http.MethodGet, target: "/api/webhooks/runs/1", header: bearer(statusToken)})
	require.Equal(t, http.StatusOK, w.Code)
	var run store.Run
	require.NoError(t, json.Unmarshal(w.Body.Bytes(), &run))
	require.Equal(t, store.RunRunning, run.Status)
	require.Equal(t, int64(1), run.ID)

	// Its end is answered with the row.
	_, err := b.pool.Exec(t.Context(), `UPDATE webhook_reconciliation_logs SET status = 'succeeded', finished_at = now(), missing_found = 3`)
	require.NoError(t, err)
	w = b.do(t, call{method: http.MethodGet, target: "/api/webhooks/runs/1", header: bearer(statusToken)})
	require.NoError(t, json.Unmarshal(w.Body.Bytes(), &run))
	require.Equal(t, int64(3), run.MissingFound)
	require.True(t, strings.HasSuffix(run.StartedAt.String(), "UTC"))
}

func TestReconcile_RefusesWhatItDoesNotUnderstand(t *testing.T) {
	t.Parallel()
	b := setup(t, setupOptions{})
	for name, c := range map[string]struct{ target, body, code string }{
		"a wait that is not a duration": {"?wait=soon", "", "invalid_parameter"},
		"a wait that is too long":       {"?wait=31s", "", "invalid_parameter"},
		"a negative wait":               {"?wait=-1s", "", "invalid_parameter"},
		"an unknown trigger":            {"?trigger=moon", "", "invalid_parameter"},
		"a trigger of our own":          {"?trigger=schedule", "", "invalid_parameter"},
		"an unknown parameter":          {"?speed=1", "", "unknown_parameter"},
		"an unknown field":              {"", `{"speed":"1"}`, "invalid_field"},
		"a number for a duration":       {"", `{"wait":10}`, "invalid_field"},
		"one option twice":              {"?wait=1s", `{"wait":"2s"}`, "invalid_field"},
		"no JSON":                       {"", `wait=1s`, "invalid_json"},
	} {
		w := b.do(t, call{method: http.MethodPost, target: "/api/webhooks/reconcile" + c.target, header: bearer(reconcileToken), body: strings.NewReader(c.body)})
		require.Equal(t, http.StatusBadRequest, w.Code, name)
		require.Contains(t, w.Body.String(), `"code":"`+c.code+`"`, name)
	}
	var runs int
	require.NoError(t, b.pool.QueryRow(t.Context(), `SELECT count(*) FROM webhook_reconciliation_logs`).Scan(&runs))
	require.Zero(t, runs)
}

func TestReconcile_AnUnknownRunIsNotFound(t *testing.T) {
	t.Parallel()
	b := setup(t, setupOptions{})
	for _, id := range []string{"1", "x", "99999999999999999999"} {
		w := b.do(t, call{method: http.MethodGet, target: "/api/webhooks/runs/" + id, header: bearer(statusToken)})
		require.Equal(t, http.StatusNotFound, w.Code)
		require.Contains(t, w.Body.String(), `"code":"run_not_found"`)
	}
}

func TestFindings_AreAnsweredWithWhatBecameOfThem(t *testing.T) {
	t.Parallel()
	b := setup(t, setupOptions{})
	requireProblem(t, b.do(t, get("/api/webhooks/runs/1/findings")), http.StatusNotFound, "run_not_found")
	_, err := b.pool.Exec(t.Context(), `
		WITH run AS (INSERT INTO webhook_reconciliation_logs (trigger, status, phase, finished_at) VALUES ('schedule', 'succeeded', 'done', now()) RETURNING id),
		     unseen AS (INSERT INTO webhook_reconciliation_unseen (run_id, source, begin_at, end_at, reason, payments)
		                SELECT id, 'mercadopago', '2026-03-01', '2026-03-02', 'counted', 2 FROM run)
		INSERT INTO webhook_reconciliation_findings (run_id, kind, source, payment_id, order_reference, queue_id, detail)
		SELECT run.id, kind, source, payment_id, reference, queue_id, '{"against":"search","found_status":"approved"}' FROM run,
			(VALUES ('missing', 'mercadopago', '77', NULL, $1::bigint), ('unsettled', NULL, NULL, 'b-2', NULL)) AS f (kind, source, payment_id, reference, queue_id)`,
		b.accept(t, "77"))
	require.NoError(t, err)
	found := walk[store.Finding](t, b, "/api/webhooks/runs/1/findings")
	require.Len(t, found, 2)
	require.Equal(t, []string{"unsettled", "left"}, []string{found[0].Kind, found[0].State})
	require.Equal(t, []string{"missing", "waiting", "pending"}, []string{found[1].Kind, found[1].State, *found[1].EventStatus})
	require.Len(t, walk[store.Finding](t, b, "/api/webhooks/runs/1/findings?kind=missing&state=waiting"), 1)
	require.Empty(t, walk[store.Finding](t, b, "/api/webhooks/runs/1/findings?state=repaired"))
	requireProblem(t, b.do(t, get("/api/webhooks/runs/1/findings?state=open")), http.StatusBadRequest, "invalid_parameter")
	unseen := walk[store.RunUnseen](t, b, "/api/webhooks/runs/1/unseen")
	require.Len(t, unseen, 1)
	require.Equal(t, 2, unseen[0].Payments)
}

func TestRefused_AreAnsweredInGroups(t *testing.T) {
	t.Parallel()
	b := setup(t, setupOptions{})
	for range 2 {
		require.NoError(t, b.store.InsertRefused(t.Context(), store.Refused{
			Source: "mercadopago", Reason: "signature_mismatch", Method: http.MethodPost, Query: "data.id=1",
			XSignature: "ts=1742505638,v1=" + strings.Repeat("deadbeef", 8), XRequestID: "4bf92f3577b34da6a3ce929d0e0e4736",
		}))
	}
	groups := answered[page[store.RefusedGroup]](t, b, get("/api/webhooks/refused/groups?source=mercadopago&since=2020-01-01"), http.StatusOK).Items
	require.Len(t, groups, 1)
	require.EqualValues(t, 2, groups[0].ForeignRequestIDs)
	require.Equal(t, []store.RefusedVerdict{{Verdict: "no_match", Count: 2, NewestID: 2}}, groups[0].Verdicts)
	require.Empty(t, answered[page[store.RefusedGroup]](t, b, get("/api/webhooks/refused/groups?reason=body_too_large"), http.StatusOK).Items)
	requireProblem(t, b.do(t, get("/api/webhooks/refused/groups?since=soon")), http.StatusBadRequest, "invalid_parameter")
}
