package api_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/conciliar/conciliar/api"
)

func TestRequestID_IsKeptOrMade(t *testing.T) {
	t.Parallel()
	b := setup(t, setupOptions{})
	id := func(target, given string) string {
		h := http.Header{}
		if given != "" {
			h["X-Request-Id"] = []string{given}
		}
		return b.do(t, call{method: http.MethodGet, target: target, header: h}).Header().Get("X-Request-Id")
	}
	require.Equal(t, "trace-1.2:3_A", id("/livez", "trace-1.2:3_A"))
	require.Equal(t, "trace", id("/nothing", "trace"))
	for _, odd := range []string{"", "a b", "a\"b", "a\nb", "ñ", "\xff", strings.Repeat("x", 65)} {
		made := id("/livez", odd)
		require.NotEqual(t, odd, made)
		require.Regexp(t, `^[A-Z2-7]{26}$`, made)
	}
	one, other := id("/livez", ""), id("/livez", "")
	require.NotEqual(t, one, other)
	require.NotEqual(t, "trace", id(api.WebhookPath+"?topic=payment&id=1", "trace"), "the provider's id stays apart from ours")
}

func TestRequest_TheQueryIsOneThatTheRouteKnows(t *testing.T) {
	t.Parallel()
	b := setup(t, setupOptions{})
	get := func(query string) call {
		return call{method: http.MethodGet, target: "/api/webhooks/status?" + query, header: bearer(statusToken)}
	}
	require.Equal(t, http.StatusOK, b.do(t, get("")).Code)
	require.Contains(t, requireProblem(t, b.do(t, get("wait=10s")), http.StatusBadRequest, "unknown_parameter").Detail, `"wait"`)
	require.Contains(t, requireProblem(t, b.do(t, get("%00%ff=")), http.StatusBadRequest, "unknown_parameter").Detail, `"\x00\xff"`)
	requireProblem(t, b.do(t, get("a%zz=1")), http.StatusBadRequest, "invalid_parameter")
	requireProblem(t, b.do(t, get("a=1;b=2")), http.StatusBadRequest, "invalid_parameter")
	long := requireProblem(t, b.do(t, get(strings.Repeat("x", 9000))), http.StatusBadRequest, "unknown_parameter")
	require.Less(t, len(long.Detail), 200)
	// A monitor's own parameters do no harm.
	require.Equal(t, http.StatusOK, b.do(t, call{method: http.MethodGet, target: "/livez?t=1"}).Code)
	// The query is not read before the token.
	w := b.do(t, call{method: http.MethodGet, target: "/api/webhooks/status?wait=1"})
	requireProblem(t, w, http.StatusUnauthorized, "unauthorized")
}

func TestRequest_AnUnknownAddressIsNotFound(t *testing.T) {
	t.Parallel()
	b := setup(t, setupOptions{})
	for _, target := range []string{
		"/", "/api", "/api/orders/", "/api/orders/a/b", "/api/webhooks/status/", "//livez", "/livez/", "/LIVEZ", "/%6Civez",
		"/api/checkout/webhook/x", "/../livez",
	} {
		requireProblem(t, b.do(t, call{method: http.MethodGet, target: target}), http.StatusNotFound, "not_found")
	}
	for target, allow := range map[string]string{
		"/livez": "GET, HEAD", "/api/webhooks/status": "GET", "/api/orders/x": "GET, PUT", api.WebhookPath: "GET, POST",
	} {
		for _, method := range []string{http.MethodDelete, http.MethodPatch, http.MethodOptions, http.MethodTrace, "PROPFIND"} {
			w := b.do(t, call{method: method, target: target})
			requireProblem(t, w, http.StatusMethodNotAllowed, "method_not_allowed")
			require.ElementsMatch(t, strings.Split(allow, ", "), strings.Split(w.Header().Get("Allow"), ", "))
		}
	}
	require.Equal(t, "unmatched", b.logs.Last(t)["path"])
	for _, odd := range []call{{method: http.MethodConnect, target: "example.com:443"}, {method: http.MethodOptions, target: "*"}} {
		requireProblem(t, b.do(t, odd), http.StatusNotFound, "not_found")
	}
}

func TestRequest_APanicIsAnInternalError(t *testing.T) {
	t.Parallel()
	b := setup(t, setupOptions{deps: func(d *api.Deps) {
		d.Extras = func() api.StatusExtras { panic("a detail of the inside") }
	}})
	w := b.do(t, call{method: http.MethodGet, target: "/api/webhooks/status", header: bearer(statusToken)})
	requireProblem(t, w, http.StatusInternalServerError, "internal")
	require.NotContains(t, w.Body.String(), "inside")
	line := b.logs.Last(t)
	require.Equal(t, "ERROR", line["level"])
	require.Contains(t, line["error"], "a detail of the inside")
	require.Contains(t, line["error"], "request_test.go", "with where it happened")
	require.Equal(t, http.StatusOK, b.do(t, call{method: http.MethodGet, target: "/livez"}).Code)
}

func TestRequest_ADatabaseErrorIsNotExplained(t *testing.T) {
	t.Parallel()
	b := setup(t, setupOptions{})
	b.pool.Close()
	for _, c := range []call{
		{method: http.MethodGet, target: "/api/webhooks/status", header: bearer(statusToken)},
		{method: http.MethodGet, target: "/api/orders/a", header: bearer(ordersToken)},
		putOrder("/api/orders/a", `{"amount":"1","currency":"ARS"}`),
	} {
		w := b.do(t, c)
		requireProblem(t, w, http.StatusServiceUnavailable, "storage_unavailable")
		require.NotContains(t, w.Body.String(), "pool")
		require.Equal(t, "5", w.Header().Get("Retry-After"))
		require.Contains(t, b.logs.Last(t)["error"], "closed pool")
	}
}

func TestNew_NamesEverythingThatIsMissing(t *testing.T) {
	t.Parallel()
	_, err := api.New(api.Deps{SourceIPMode: "sometimes"})
	require.Error(t, err)
	for _, what := range []string{
		"Storage", "Inbox", "Refused", "Sources", "Extras", "Logger", "APIRate", "UnverifiedRate", "Webhooks", "Ready", `SourceIPMode "sometimes"`,
		"Tokens.Status", "Tokens.ProcessQueue", "Tokens.Reconcile", "Tokens.Orders",
	} {
		require.ErrorContains(t, err, what)
	}
	b := setup(t, setupOptions{})
	for what, change := range map[string]func(*api.Deps){
		"SourceIPCIDRs is empty":   func(d *api.Deps) { d.SourceIPMode = api.SourceIPEnforce },
		"SourceIPCIDRs[1]":         func(d *api.Deps) { d.SourceIPCIDRs = prefixes(t, "10.0.0.0/8", "::ffff:10.0.0.0/104") },
		"TrustedProxies[0]":        func(d *api.Deps) { d.TrustedProxies = prefixes(t, "::ffff:10.0.0.0/104") },
		"Webhooks[1].Path":         func(d *api.Deps) { d.Webhooks = append(d.Webhooks, d.Webhooks[0]) },
		"Webhooks[0].Receiver":     func(d *api.Deps) { d.Webhooks = []api.Webhook{{Path: "/x", Source: "x"}} },
		"Tokens.Orders[0]":         func(d *api.Deps) { d.Tokens.Orders = []string{"with a space in it"} },
		"Ready[0] lacks":           func(d *api.Deps) { d.Ready = []api.Check{{Name: "database"}} },
		"APIRate must be positive": func(d *api.Deps) { d.APIRate = -1 },
	} {
		deps := b.deps
		change(&deps)
		_, err := api.New(deps)
		require.ErrorContains(t, err, what)
		require.NotContains(t, err.Error(), "with a space in it")
	}
}
