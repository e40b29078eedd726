package api_test

import (
	"fmt"
	"net/http"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/conciliar/conciliar/api"
	"github.com/conciliar/conciliar/store"
)

// An endpoint of operators.
type endpoint struct {
	method, path string
	// body is one that is accepted.
	body  string
	token string
	want  int
	// missing is the problem of an id that is not there; empty without an id.
	missing string
	lists   bool
}

func endpoints(t *testing.T, b *bundle) []endpoint {
	t.Helper()
	const note = `{"note":"seen"}`
	event := b.accept(t, "1")
	replayed, _ := b.deadLetter(t, "2")
	dismissed, _ := b.deadLetter(t, "3")
	refused := b.refuse(t, store.Refused{Reason: "malformed"})
	_, err := b.pool.Exec(t.Context(), `INSERT INTO webhook_bulk_replays (filter, total, upper_id, requested_by) VALUES ('{}', 1, 1, 'somebody')`)
	require.NoError(t, err)
	path := func(format string, id int64) string { return fmt.Sprintf("/api/webhooks/"+format, id) }
	return []endpoint{
		{http.MethodPost, "/api/webhooks/process-queue?wait=0s", "", processToken, http.StatusOK, "", false},
		{http.MethodGet, "/api/webhooks/events", "", statusToken, http.StatusOK, "", true},
		{http.MethodGet, path("events/%d", event), "", statusToken, http.StatusOK, "event_not_found", false},
		{http.MethodPost, path("events/%d/replay", event), "", processToken, http.StatusAccepted, "event_not_found", false},
		{http.MethodGet, "/api/webhooks/dead-letters", "", statusToken, http.StatusOK, "", true},
		{http.MethodGet, path("dead-letters/%d", replayed), "", statusToken, http.StatusOK, "dead_letter_not_found", false},
		{http.MethodPost, path("dead-letters/%d/replay", replayed), "", processToken, http.StatusAccepted, "dead_letter_not_found", false},
		{http.MethodPost, path("dead-letters/%d/dismiss", dismissed), note, processToken, http.StatusOK, "dead_letter_not_found", false},
		{http.MethodPost, "/api/webhooks/dead-letters/replay", `{"filter":{},"dry_run":true}`, processToken, http.StatusOK, "", false},
		{http.MethodGet, path("replays/%d", 1), "", statusToken, http.StatusOK, "bulk_replay_not_found", false},
		{http.MethodDelete, path("replays/%d", 1), "", processToken, http.StatusOK, "bulk_replay_not_found", false},
		{http.MethodGet, "/api/webhooks/anomalies", "", statusToken, http.StatusOK, "", true},
		{http.MethodPost, path("anomalies/%d/resolve", b.anomaly(t, "A-1")), note, processToken, http.StatusOK, "anomaly_not_found", false},
		{http.MethodGet, "/api/webhooks/refused", "", statusToken, http.StatusOK, "", true},
		{http.MethodGet, path("refused/%d", refused), "", statusToken, http.StatusOK, "refused_not_found", false},
		{http.MethodGet, path("refused/%d/diagnosis", refused), "", statusToken, http.StatusOK, "refused_not_found", false},
		{http.MethodGet, "/api/webhooks/sources", "", statusToken, http.StatusOK, "", false},
	}
}

// showsContent are the paths of what has a second token, which sees more.
var showsContent = regexp.MustCompile(`^/api/webhooks/((events|dead-letters)/\d+|refused(/\d+)?)$`)

func (e endpoint) call(path, token string) call {
	c := call{method: e.method, target: path, header: http.Header{}, body: strings.NewReader(e.body)}
	if token != "" {
		c.header = bearer(token)
	}
	return c
}

func TestOperations_AskForTheirOwnToken(t *testing.T) {
	t.Parallel()
	b := setup(t, setupOptions{deps: func(d *api.Deps) { d.UnverifiedRate = 1000 }})
	for _, e := range endpoints(t, b) {
		for _, token := range []string{"", "wrong-token-0123456789", statusToken, processToken, reconcileToken, ordersToken} {
			if token != e.token && (token != processToken || !showsContent.MatchString(e.path)) {
				requireProblem(t, b.do(t, e.call(e.path, token)), http.StatusUnauthorized, "unauthorized")
			}
		}
		require.Zero(t, b.count(t, `SELECT count(*) FROM operator_actions WHERE request_id = 'nobody'`))
		require.Equal(t, e.want, b.do(t, e.call(e.path, e.token)).Code, e.method+" "+e.path)
	}
}

func TestOperations_RefuseWhatTheyDoNotKnow(t *testing.T) {
	t.Parallel()
	b := setup(t, setupOptions{})
	for _, e := range endpoints(t, b) {
		separator := "?"
		if strings.Contains(e.path, "?") {
			separator = "&"
		}
		name := e.method + " " + e.path
		w := b.do(t, e.call(e.path+separator+"colour=red", e.token))
		require.Contains(t, requireProblem(t, w, http.StatusBadRequest, "unknown_parameter").Detail, `"colour"`, name)
		if e.missing != "" {
			i := strings.IndexAny(e.path, "0123456789")
			after := strings.TrimLeft(e.path[i:], "0123456789")
			for _, id := range []string{"404", "0", "-1", "+1", "01", "x", "9223372036854775808", "1%2F2"} {
				requireProblem(t, b.do(t, e.call(e.path[:i]+id+after, e.token)), http.StatusNotFound, e.missing)
			}
		}
		if e.lists {
			for query, detail := range map[string]string{
				"cursor=":                             "cursor",
				"cursor=x":                            "cursor",
				"cursor=1":                            "cursor",
				"cursor=" + api.EncodeCursor("no", 1): "cursor",
				"limit=0":                             "limit",
				"limit=201":                           "limit",
				"limit=-1":                            "limit",
				"limit=1.5":                           "limit",
				"limit=":                              "limit",
				"limit=%2B5":                          "limit",
				"since=yesterday":                     "since",
				"until=2026-02-30":                    "until",
				"since=":                              "since",
			} {
				p := requireProblem(t, b.do(t, get(e.path+"?"+query)), http.StatusBadRequest, "invalid_parameter")
				require.True(t, strings.HasPrefix(p.Detail, detail), "%s: %s", query, p.Detail)
			}
			for _, query := range []string{"limit=1&limit=2", "cursor=a&cursor=b"} {
				requireProblem(t, b.do(t, get(e.path+"?"+query)), http.StatusBadRequest, "invalid_parameter")
			}
		}
	}
	require.Zero(t, b.count(t, `SELECT count(*) FROM operator_actions`), "nothing of it was done")
}

// What the database answers is never told, and never taken for an empty list.
func TestOperations_SayWhenTheDatabaseIsUnavailable(t *testing.T) {
	t.Parallel()
	b := setup(t, setupOptions{})
	all := endpoints(t, b)
	b.inbox.Close()
	b.refused.Close()
	b.pool.Close()
	for _, e := range all {
		w := b.do(t, e.call(e.path, e.token))
		requireProblem(t, w, http.StatusServiceUnavailable, "storage_unavailable")
		require.NotContains(t, w.Body.String(), "closed pool")
		require.Contains(t, fmt.Sprint(b.logs.Last(t)["error"]), "closed pool")
	}
}
