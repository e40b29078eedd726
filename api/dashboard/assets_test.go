package dashboard_test

import (
	"net/http"
	"net/http/httptest"
	"regexp"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/conciliar/conciliar/api/dashboard"
)

func TestAssets_AreCachedForGood(t *testing.T) {
	t.Parallel()
	b := setup(t)
	body := b.get(t, "en", "/dashboard").Body.String()
	found := regexp.MustCompile(`(?:href|src)="(/dashboard/assets/[^"]+)"`).FindAllStringSubmatch(body, -1)
	require.GreaterOrEqual(t, len(found), 3)
	for _, m := range found {
		w := httptest.NewRecorder()
		dashboard.Assets().ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodGet, m[1], nil))
		require.Equal(t, http.StatusOK, w.Code, m[1])
		require.Contains(t, w.Header().Get("Cache-Control"), "immutable")
		require.NotEmpty(t, w.Body.String())
		require.NotContains(t, w.Body.String(), "http://www.example", "nothing is loaded from elsewhere")
	}
	for _, path := range []string{"/dashboard/assets/", "/dashboard/assets/style.css", "/dashboard/assets/../dashboard.go"} {
		w := httptest.NewRecorder()
		r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/", nil)
		r.URL.Path = path
		dashboard.Assets().ServeHTTP(w, r)
		require.Equal(t, http.StatusNotFound, w.Code, path)
	}
}
