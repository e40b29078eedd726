package api_test

import (
	"context"
	"errors"
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/conciliar/conciliar/api"
)

func TestHealth_LivesAndIsReady(t *testing.T) {
	t.Parallel()
	b := setup(t, setupOptions{deps: func(d *api.Deps) {
		d.Ready = append(d.Ready, api.Check{Name: "schema", Check: func(context.Context, func(any)) error { return nil }})
	}})
	get := func(target string) (int, string) {
		w := b.do(t, call{method: http.MethodGet, target: target})
		return w.Code, w.Body.String()
	}
	for target, body := range map[string]string{"/livez": "{\"status\":\"alive\"}\n", "/readyz": `{"database":{"fsync":"off","full_page_writes":"off","synchronous_commit":"off"},"status":"ready"}` + "\n"} {
		code, got := get(target)
		require.Equal(t, http.StatusOK, code)
		require.Equal(t, body, got)
		w := b.do(t, call{method: http.MethodHead, target: target})
		require.Equal(t, http.StatusOK, w.Code)
		require.Empty(t, w.Body.String())
		require.NotEmpty(t, w.Header().Get("Content-Length"))
		require.Equal(t, "DEBUG", b.logs.Last(t)["level"])
	}

	b.pool.Close()
	code, _ := get("/livez")
	require.Equal(t, http.StatusOK, code, "the process serves")
	w := b.do(t, call{method: http.MethodGet, target: "/readyz"})
	p := requireProblem(t, w, http.StatusServiceUnavailable, "not_ready")
	require.Equal(t, "Failing checks: database.", p.Detail)
	require.NotEmpty(t, w.Header().Get("Retry-After"))
	require.Contains(t, b.logs.String(), "closed pool", "the log says why")
}

func TestReadiness_NamesEveryCheckThatFails(t *testing.T) {
	t.Parallel()
	failing := func(context.Context, func(any)) error { return errors.New("a secret detail") }
	b := setup(t, setupOptions{deps: func(d *api.Deps) {
		d.Ready = append(d.Ready, api.Check{Name: "schema", Check: failing}, api.Check{Name: "river", Check: failing})
	}})
	p := requireProblem(t, b.do(t, call{method: http.MethodGet, target: "/readyz"}), http.StatusServiceUnavailable, "not_ready")
	require.Equal(t, "Failing checks: schema, river.", p.Detail)
}
