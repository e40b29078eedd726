package dashboard_test

import (
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/conciliar/conciliar/api/dashboard"
)

func TestLoginPage_SaysWhyALoginFailed(t *testing.T) {
	t.Parallel()
	w := httptest.NewRecorder()
	require.NoError(t, dashboard.LoginPage(w, newGet(t, "/dashboard/login", "es"), dashboard.LoginView{
		Status: http.StatusTooManyRequests, Problem: "too_many", Next: `/dashboard/orders?q="><script>`, RetryAfter: 90 * time.Second,
	}))
	require.Equal(t, http.StatusTooManyRequests, w.Code)
	require.Equal(t, "90", w.Header().Get("Retry-After"))
	main := requirePage(t, w, "es")
	require.Contains(t, main, "Demasiados intentos. Vuelve a intentarlo en 1 min 30 s.")
	require.NotContains(t, w.Body.String(), `"><script>`)

	w = httptest.NewRecorder()
	require.NoError(t, dashboard.LoginPage(w, newGet(t, "/dashboard/login", "pt-BR"), dashboard.LoginView{}))
	require.Equal(t, http.StatusOK, w.Code)
	requirePage(t, w, "pt-BR")
	require.Contains(t, w.Body.String(), `action="/dashboard/login"`)
	require.NotContains(t, w.Body.String(), `role="alert"`)
}
