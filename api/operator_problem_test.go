package api_test

import (
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// openedIn is a call for a page as a browser's address bar makes it.
func openedIn(language string) []string {
	return []string{"Accept", "text/html,application/xhtml+xml,*/*;q=0.8", "Accept-Language", language}
}

// With the database gone, whatever a person opens is a page that says so.
func TestOperatorProblem_IsAPageWithoutTheDatabase(t *testing.T) {
	t.Parallel()
	b := setup(t, setupOptions{})
	v := b.visitor()
	v.logIn(t)
	b.pool.Close()
	for _, path := range []string{"/dashboard", "/dashboard/orders?reference=a", "/dashboard/login", "/riverui/", "/riverui/jobs"} {
		for language, texts := range map[string][]string{
			"en":    {"The database does not answer", "Mercado Pago delivers them again", "This page tries again every few seconds", "First noticed:", "12:00:00"},
			"es-MX": {"La base de datos no responde", "Mercado Pago los vuelve a enviar", "vuelve a intentarlo sola"},
			"pt-BR": {"O banco de dados não responde", "Mercado Pago os envia de novo", "tenta de novo a cada poucos segundos"},
		} {
			w := v.visit(t, http.MethodGet, path, "", openedIn(language)...)
			require.Equal(t, http.StatusServiceUnavailable, w.Code, path)
			require.Equal(t, "text/html; charset=utf-8", w.Header().Get("Content-Type"), path)
			require.Equal(t, "5", w.Header().Get("Retry-After"))
			require.Equal(t, "no-store", w.Header().Get("Cache-Control"))
			require.NotEmpty(t, w.Header().Get("Content-Security-Policy"))
			for _, text := range append(texts, `data-refresh="5" data-reload`, `<noscript><meta http-equiv="refresh" content="5"></noscript>`) {
				require.Contains(t, w.Body.String(), text, path)
			}
			require.NotContains(t, w.Body.String(), "pool")
		}
		b.clock.Add(time.Minute)
	}

	// Who has no login yet sees the form, and then the same page, which sends nothing again.
	fresh := b.visitor()
	require.Contains(t, fresh.visit(t, http.MethodGet, "/dashboard/login", "", openedIn("en")...).Body.String(), `name="password"`)
	w := fresh.visit(t, http.MethodPost, "/dashboard/login", "password=x", append(openedIn("en"), "Content-Type", "application/x-www-form-urlencoded")...)
	require.Equal(t, http.StatusServiceUnavailable, w.Code)
	require.Contains(t, w.Body.String(), "What you sent may or may not have been done.")
	require.NotContains(t, w.Body.String(), "data-refresh")

	for _, path := range []string{"/dashboard", "/riverui/api/jobs"} {
		requireProblem(t, v.visit(t, http.MethodGet, path, "", "Accept", "application/json"), http.StatusServiceUnavailable, "storage_unavailable")
	}
	requireProblem(t, v.visit(t, http.MethodGet, "/riverui/api/jobs", "", openedIn("en")...), http.StatusServiceUnavailable, "storage_unavailable")
}

func TestOperatorProblem_OtherRefusalsArePagesToo(t *testing.T) {
	t.Parallel()
	b := setup(t, setupOptions{})
	v := b.visitor()
	v.logIn(t)
	w := v.visit(t, http.MethodPost, "/dashboard/dead-letters/1/replay", "", append(openedIn("en"), "Sec-Fetch-Site", "cross-site")...)
	require.Equal(t, http.StatusForbidden, w.Code)
	require.Equal(t, "text/html; charset=utf-8", w.Header().Get("Content-Type"))
	require.NotContains(t, w.Body.String(), "data-refresh")
}
