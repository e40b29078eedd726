package api_test

import (
	"context"
	"crypto/tls"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"
	"riverqueue.com/riverui"
	"riverqueue.com/riverui/uiendpoints"

	"github.com/conciliar/conciliar/api"
	"github.com/conciliar/conciliar/jobs"
	"github.com/conciliar/conciliar/store"
)

func newRiverUI(tb testing.TB, storage *store.Store, operator *jobs.Operator) *api.RiverUI {
	tb.Helper()
	client := operator.Client()
	u, err := api.NewRiverUI(api.RiverUIOptions{
		Endpoints: riverui.NewEndpoints(client, nil),
		Act: func(ctx context.Context, action store.JobAction, do func(uiendpoints.Bundle) error) error {
			return storage.ActOnJobs(ctx, action, func(tx pgx.Tx) error {
				return do(riverui.NewEndpoints(client, &riverui.EndpointsOpts[pgx.Tx]{Tx: &tx}))
			})
		},
		Logger: slog.New(slog.DiscardHandler),
	})
	require.NoError(tb, err)
	return u
}

// A visitor is a browser with its cookies. What it does comes from the page
// that it is on.
type visitor struct {
	*bundle
	peer    string
	tls     bool
	cookies map[string]*http.Cookie
}

func (b *bundle) visitor() *visitor {
	return &visitor{bundle: b, peer: "203.0.113.7:41000", cookies: map[string]*http.Cookie{}}
}

// visit makes one call; a header's value may be empty to leave it out.
func (v *visitor) visit(t *testing.T, method, target, body string, headers ...string) *httptest.ResponseRecorder {
	t.Helper()
	var content io.Reader
	if body != "" {
		content = strings.NewReader(body)
	}
	r := httptest.NewRequestWithContext(t.Context(), method, "http://shop.example"+target, content)
	r.RemoteAddr = v.peer
	if v.tls {
		r.TLS = &tls.ConnectionState{}
	}
	if method != http.MethodGet {
		r.Header.Set("Sec-Fetch-Site", "same-origin")
	}
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
		if headers[i+1] == "" {
			r.Header.Del(headers[i])
		}
	}
	for _, c := range v.cookies {
		r.AddCookie(c)
	}
	w := httptest.NewRecorder()
	v.ServeHTTP(w, r)
	for _, c := range w.Result().Cookies() {
		if c.MaxAge < 0 {
			delete(v.cookies, c.Name)
			continue
		}
		v.cookies[c.Name] = c
	}
	return w
}

func (v *visitor) get(t *testing.T, target string) *httptest.ResponseRecorder {
	t.Helper()
	return v.visit(t, http.MethodGet, target, "")
}

func (v *visitor) submit(t *testing.T, password, next string) *httptest.ResponseRecorder {
	t.Helper()
	return v.visit(t, http.MethodPost, "/dashboard/login", url.Values{"password": {password}, "next": {next}}.Encode(),
		"Content-Type", "application/x-www-form-urlencoded")
}

// logIn is submit with the right password.
func (v *visitor) logIn(t *testing.T) {
	t.Helper()
	requireRedirect(t, v.submit(t, operatorPassword, ""), "/dashboard")
}

func requireRedirect(t *testing.T, w *httptest.ResponseRecorder, to string) {
	t.Helper()
	require.Equal(t, http.StatusSeeOther, w.Code, w.Body.String())
	require.Equal(t, to, w.Header().Get("Location"))
}

// audit is the trail's actions, oldest first.
func (b *bundle) audit(t *testing.T) []string {
	t.Helper()
	rows, err := b.pool.Query(t.Context(), `
		SELECT concat_ws(' ', actor, action, target_kind, job_ids::text, queue_ids::text, count, host(remote_ip), note) FROM operator_actions ORDER BY id`)
	require.NoError(t, err)
	found, err := pgx.CollectRows(rows, pgx.RowTo[string])
	require.NoError(t, err)
	return found
}

// style is where a page's style is: its name holds a hash.
func (v *visitor) style(t *testing.T) string {
	t.Helper()
	path := regexp.MustCompile(`/dashboard/assets/style\.[0-9a-f]+\.css`).FindString(v.get(t, "/dashboard/none").Body.String() + v.get(t, "/dashboard/login").Body.String())
	require.NotEmpty(t, path)
	return path
}
