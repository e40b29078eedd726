package dashboard_test

import (
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/stretchr/testify/require"
)

func newGet(t testing.TB, target, lang string) *http.Request {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, target, nil)
	r.Header.Set("Accept-Language", languages[lang])
	return r
}

func TestLanguage_FollowsTheBrowserAndTheSwitch(t *testing.T) {
	t.Parallel()
	b := setup(t)
	for _, c := range []struct{ accepts, cookie, want string }{
		{"", "", "en"},
		{"pt-PT,pt;q=0.9,en;q=0.5", "", "pt-BR"},
		{"es-419,es;q=0.9", "", "es"},
		{"de-DE,de;q=0.9,es;q=0.8", "", "es"},
		{"fr", "", "en"},
		{";;;,q=what", "", "en"},
		{"es-AR", "pt-BR", "pt-BR"},
		{"es-AR", "xx", "es"},
	} {
		r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/dashboard", nil)
		if c.accepts != "" {
			r.Header.Set("Accept-Language", c.accepts)
		}
		if c.cookie != "" {
			r.AddCookie(&http.Cookie{Name: "conciliar_language", Value: c.cookie})
		}
		requirePage(t, b.do(t, r), c.want)
	}
}

func TestLanguage_TheSwitchIsKept(t *testing.T) {
	t.Parallel()
	b := setup(t)
	w := b.get(t, "en", "/dashboard?lang=es&zone=America/Sao_Paulo&other=1")
	require.Equal(t, http.StatusSeeOther, w.Code)
	require.Equal(t, "/dashboard?other=1", w.Header().Get("Location"))
	r := newGet(t, "/dashboard", "en")
	for _, c := range w.Result().Cookies() {
		require.Equal(t, http.SameSiteLaxMode, c.SameSite)
		r.AddCookie(c)
	}
	w = b.do(t, r)
	requirePage(t, w, "es")
	require.Contains(t, w.Body.String(), `value="America/Sao_Paulo"`)

	w = b.get(t, "en", "/dashboard?lang=klingon&zone=Nowhere")
	require.Equal(t, "/dashboard", w.Header().Get("Location"), "no choice, and no loop")
	require.Empty(t, w.Result().Cookies())
}

func TestLanguage_TheSwitchNeverLeadsAway(t *testing.T) {
	t.Parallel()
	b := setup(t)
	for _, path := range []string{"//evil.example/dashboard", `/\evil.example`} {
		r := newGet(t, "/dashboard?lang=es", "en")
		r.URL.Path = path
		w := httptest.NewRecorder()
		b.ServeHTTP(w, r)
		require.NotRegexp(t, `^(//|/\\|https?:)`, w.Header().Get("Location"))
	}
}
