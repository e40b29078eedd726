package api_test

import (
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/conciliar/conciliar/api"
)

func TestTokenAuth_EveryRouteAsksForItsOwnToken(t *testing.T) {
	t.Parallel()
	b := setup(t, setupOptions{})
	all := []string{statusToken, statusToken2, processToken, reconcileToken, ordersToken}
	order := `{"amount":"1.00","currency":"ARS"}`
	for _, c := range []struct {
		method, target, body string
		opens                []string
		want                 int
	}{
		{http.MethodGet, "/api/webhooks/status", "", []string{statusToken, statusToken2}, http.StatusOK},
		{http.MethodGet, "/api/webhooks/runs/1", "", []string{statusToken, statusToken2}, http.StatusNotFound},
		{http.MethodPost, "/api/webhooks/reconcile?wait=0s", "", []string{reconcileToken}, http.StatusAccepted},
		{http.MethodPut, "/api/orders/auth", order, []string{ordersToken}, http.StatusOK},
		{http.MethodGet, "/api/orders/auth", "", []string{ordersToken}, http.StatusOK},
		{http.MethodGet, "/livez", "", nil, http.StatusOK},
		{http.MethodHead, "/livez", "", nil, http.StatusOK},
		{http.MethodGet, "/readyz", "", nil, http.StatusOK},
		{http.MethodHead, "/readyz", "", nil, http.StatusOK},
		{http.MethodPost, api.WebhookPath, "", nil, http.StatusUnauthorized},
		{http.MethodGet, api.WebhookPath, "", nil, http.StatusBadRequest},
	} {
		name := c.method + " " + c.target
		do := func(h http.Header) int {
			if h == nil {
				h = http.Header{}
			}
			h["Content-Type"] = []string{"application/json"}
			return b.do(t, call{method: c.method, target: c.target, header: h, body: strings.NewReader(c.body)}).Code
		}
		if c.opens == nil { // tokens make no difference
			require.Equal(t, c.want, do(nil), name)
			for _, token := range append(all, "wrong-token-0123456789") {
				require.Equal(t, c.want, do(bearer(token)), name)
			}
			continue
		}
		for _, token := range c.opens {
			require.Contains(t, []int{c.want, http.StatusCreated}, do(bearer(token)), name)
		}
		require.Equal(t, http.StatusUnauthorized, do(nil), name)
		require.Equal(t, http.StatusUnauthorized, do(bearer("wrong-token-0123456789")), name)
		require.Equal(t, http.StatusUnauthorized, do(bearer(c.opens[0][:len(c.opens[0])-1])), name)
		for _, token := range all {
			if !strings.Contains(strings.Join(c.opens, " "), token) {
				require.Equal(t, http.StatusUnauthorized, do(bearer(token)), name)
			}
		}
	}
}

func TestTokenAuth_TakesABearerToken(t *testing.T) {
	t.Parallel()
	b := setup(t, setupOptions{})
	get := func(values ...string) (int, string) {
		w := b.do(t, call{method: http.MethodGet, target: "/api/webhooks/status", header: http.Header{"Authorization": values}})
		if w.Code == http.StatusUnauthorized {
			requireProblem(t, w, http.StatusUnauthorized, "unauthorized")
		}
		return w.Code, w.Header().Get("WWW-Authenticate")
	}
	for _, good := range []string{"Bearer " + statusToken, "bearer " + statusToken, "BEARER  " + statusToken + " "} {
		code, _ := get(good)
		require.Equal(t, http.StatusOK, code, good)
	}
	const none, wrong = `Bearer realm="conciliar"`, `Bearer realm="conciliar", error="invalid_token"`
	for _, c := range []struct {
		challenge string
		values    []string
	}{
		{none, nil}, {none, []string{""}}, {none, []string{"Bearer"}}, {none, []string{"Bearer "}}, {none, []string{statusToken}},
		{none, []string{"Basic " + statusToken}}, {none, []string{"Bearer " + statusToken, "Bearer " + statusToken}},
		{wrong, []string{"Bearer x"}}, {wrong, []string{"Bearer " + statusToken + "x"}}, {wrong, []string{"Bearer \xff\x00"}},
		{wrong, []string{"Bearer " + strings.Repeat("x", 10_000)}}, {wrong, []string{"Bearer " + statusToken + "," + statusToken}},
	} {
		code, challenge := get(c.values...)
		require.Equal(t, http.StatusUnauthorized, code, c.values)
		require.Equal(t, c.challenge, challenge, c.values)
	}
	logged := b.logs.String()
	require.NotContains(t, logged, statusToken, "tokens are logged by name")
	require.Contains(t, logged, `"token":"`+api.TokenName(statusToken)+`"`)
	require.Len(t, api.TokenName(statusToken), 8)
}

func TestTokenAuth_CallsOfOneTokenAreLimited(t *testing.T) {
	t.Parallel()
	b := setup(t, setupOptions{deps: func(d *api.Deps) { d.APIRate = 4 }})
	get := call{method: http.MethodGet, target: "/api/orders/none", header: bearer(ordersToken)}
	for i := range 20 {
		w := b.do(t, get)
		requireProblem(t, w, http.StatusNotFound, "order_not_found")
		require.Equal(t, `"token";q=20;w=5`, w.Header().Get("RateLimit-Policy"))
		require.Equal(t, `"token";r=`+strconv.Itoa(19-i)+`;t=`+strconv.Itoa((i+1+3)/4), w.Header().Get("RateLimit"))
	}
	w := b.do(t, get)
	requireProblem(t, w, http.StatusTooManyRequests, "rate_limited")
	require.Equal(t, "1", w.Header().Get("Retry-After"))
	require.Equal(t, `"token";r=0;t=5`, w.Header().Get("RateLimit"))
	require.Equal(t, "INFO", b.logs.Last(t)["level"])

	other := b.do(t, call{method: http.MethodGet, target: "/api/webhooks/status", header: bearer(statusToken)})
	require.Equal(t, http.StatusOK, other.Code, "another token has a limit of its own")
	b.clock.Add(250 * time.Millisecond)
	requireProblem(t, b.do(t, get), http.StatusNotFound, "order_not_found")
	requireProblem(t, b.do(t, get), http.StatusTooManyRequests, "rate_limited")
}

func TestTokenAuth_StrangersAreLimitedByAddress(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		call     call
		allowed  int
		status   int
		unharmed call
	}{
		"wrong tokens": {
			call{method: http.MethodGet, target: "/api/webhooks/status", header: bearer("wrong")}, 20, http.StatusUnauthorized,
			call{method: http.MethodGet, target: "/api/webhooks/status", header: bearer(statusToken)},
		},
		"paths that lead nowhere": {
			call{method: http.MethodGet, target: "/.env"}, 20, http.StatusNotFound,
			call{method: http.MethodGet, target: "/livez"},
		},
		"health": {
			call{method: http.MethodGet, target: "/livez"}, 15, http.StatusOK,
			call{method: http.MethodGet, target: "/livez", peer: "203.0.113.8:1"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t, setupOptions{deps: func(d *api.Deps) { d.UnverifiedRate, d.APIRate = 2, 3 }})
			for range c.allowed {
				require.Equal(t, c.status, b.do(t, c.call).Code)
			}
			w := b.do(t, c.call)
			requireProblem(t, w, http.StatusTooManyRequests, "rate_limited")
			require.Equal(t, "1", w.Header().Get("Retry-After"))
			require.Equal(t, "DEBUG", b.logs.Last(t)["level"])
			require.Equal(t, http.StatusOK, b.do(t, c.unharmed).Code)
		})
	}
}
