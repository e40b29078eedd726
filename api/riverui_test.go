package api_test

import (
	"net/http"
	"strconv"
	"testing"

	"github.com/stretchr/testify/require"
)

func itoa(n int) string { return strconv.Itoa(n) }

func TestRiverUI_ActionsAreRecordedWithTheirEvents(t *testing.T) {
	t.Parallel()
	b := setup(t, setupOptions{})
	v := b.visitor()
	v.logIn(t)
	e1, e2 := b.accept(t, "1"), b.accept(t, "2")
	job := func(event int64) string {
		return itoa(b.count(t, `SELECT job_id FROM webhook_queue WHERE id = $1`, event))
	}
	j1, j2 := job(e1), job(e2)
	foreign := itoa(b.count(t, `INSERT INTO river_job (kind, args, max_attempts) VALUES ('other', '{"queue_id": "x"}', 1) RETURNING id`))
	do := func(method, target, body string) int {
		return v.visit(t, method, "/riverui/api/"+target, body, "Content-Type", "application/json").Code
	}
	require.Equal(t, http.StatusOK, do(http.MethodPost, "jobs/cancel", `{"ids":["`+j2+`","`+j1+`"]}`))
	require.Equal(t, 2, b.count(t, `SELECT count(*) FROM webhook_dead_letter WHERE reason = 'cancelled' AND state = 'open'`))
	require.Equal(t, http.StatusOK, do(http.MethodPost, "jobs/retry", `{"ids":["`+j1+`"]}`))
	require.Equal(t, 1, b.count(t, `SELECT count(*) FROM webhook_dead_letter WHERE state = 'reopened'`))
	require.Equal(t, http.StatusOK, do(http.MethodPost, "jobs/delete", `{"ids":["`+j1+`"]}`))
	require.Equal(t, 1, b.count(t, `SELECT count(*) FROM webhook_dead_letter WHERE reason = 'deleted' AND state = 'open' AND queue_id = $1`, e1))
	require.Equal(t, http.StatusOK, do(http.MethodPost, "jobs/delete", `{"ids":["`+foreign+`"]}`))
	_, err := b.pool.Exec(t.Context(), `INSERT INTO river_queue (name, updated_at) VALUES ('default', now())`)
	require.NoError(t, err)
	require.Equal(t, http.StatusOK, do(http.MethodPut, "queues/default/pause", ``))
	require.Equal(t, http.StatusOK, do(http.MethodPut, "queues/default/resume", ``))

	want := []string{
		"operator login session {} {} 1 203.0.113.7",
		"operator cancel_jobs job {" + j2 + "," + j1 + "} {" + itoa(int(e1)) + "," + itoa(int(e2)) + "} 2 203.0.113.7",
		"operator retry_jobs job {" + j1 + "} {" + itoa(int(e1)) + "} 1 203.0.113.7",
		"operator delete_jobs job {" + j1 + "} {" + itoa(int(e1)) + "} 1 203.0.113.7",
		"operator delete_jobs job {" + foreign + "} {} 1 203.0.113.7",
		"operator pause_queue job_queue {} {} 1 203.0.113.7 default",
		"operator resume_queue job_queue {} {} 1 203.0.113.7 default",
	}
	require.Equal(t, want, trimmed(b.audit(t)))
	require.Equal(t, "resume_queue", b.logs.Last(t)["outcome"])

	// What is not done is not recorded, and what is not known is not done.
	require.Equal(t, http.StatusNotFound, do(http.MethodPost, "jobs/cancel", `{"ids":["`+j2+`","999999"]}`))
	require.Equal(t, http.StatusNotFound, do(http.MethodPut, "queues/nobody/pause", ``))
	require.Equal(t, http.StatusBadRequest, do(http.MethodPost, "jobs/cancel", `{"ids":[]}`))
	require.Equal(t, http.StatusBadRequest, do(http.MethodPost, "jobs/cancel", `{"ids":["x"]}`))
	require.Equal(t, http.StatusBadRequest, do(http.MethodPost, "jobs/cancel", `x`))
	require.Equal(t, http.StatusNotFound, do(http.MethodPost, "jobs/purge", `{"ids":["1"]}`))
	_, err = b.pool.Exec(t.Context(), `UPDATE river_job SET state = 'running', attempt = 1, attempted_at = now(), finalized_at = NULL WHERE id = $1`, j2)
	require.NoError(t, err)
	require.Equal(t, http.StatusBadRequest, do(http.MethodPost, "jobs/delete", `{"ids":["`+j2+`"]}`), "running jobs are not deleted")
	require.Equal(t, want, trimmed(b.audit(t)))
}

// Arguments and payloads are shown for one job that was asked for, not in lists.
func TestRiverUI_ListsHideArguments(t *testing.T) {
	t.Parallel()
	b := setup(t, setupOptions{})
	b.deps.RiverUI.Start(t.Context())
	v := b.visitor()
	v.logIn(t)
	require.Contains(t, v.get(t, "/riverui/api/features").Body.String(), `"job_list_hide_args_by_default":true`)
	b.accept(t, "1")
	require.Contains(t, v.get(t, "/riverui/api/jobs?state=available").Body.String(), `"kind":"webhook_payment"`)
	require.Contains(t, v.visit(t, http.MethodGet, "/riverui/", "", "Accept", "text/html").Body.String(), `<div id="root"`)
}

// River's pages know no way back, and have words of their own.
func TestRiverUI_ItsPagesLeadBack(t *testing.T) {
	t.Parallel()
	b := setup(t, setupOptions{})
	v := b.visitor()
	v.logIn(t)
	for language, text := range map[string]string{"en-US": "Back to Conciliar", "es-AR": "Volver a Conciliar", "pt-BR": "Voltar ao Conciliar"} {
		for _, page := range []string{"/riverui/", "/riverui/jobs", "/riverui/queues"} {
			w := v.visit(t, http.MethodGet, page, "", "Accept-Language", language)
			require.Equal(t, http.StatusOK, w.Code, page)
			require.Contains(t, w.Header().Get("Content-Type"), "text/html", page)
			require.Regexp(t, `(?s)<a href="/dashboard"[^>]*>`+text+`</a>.*</body>`, w.Body.String(), page)
		}
	}
}
