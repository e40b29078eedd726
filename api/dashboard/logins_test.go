package dashboard_test

import (
	"crypto/sha256"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/conciliar/conciliar/api/dashboard"
	"github.com/conciliar/conciliar/store"
)

func TestLogins_AreListedAndEnded(t *testing.T) {
	t.Parallel()
	b := setup(t)
	for lang, none := range map[string]string{"en": "No logins yet.", "es": "Todavía no hay inicios de sesión.", "pt-BR": "Ainda não há acessos."} {
		require.Contains(t, b.page(t, lang, "/dashboard/logins"), none)
	}
	ana := store.Actor{Name: "ana", RemoteIP: operator.RemoteIP}
	session := store.NewSession{Operator: "ana", Key: store.SessionKey{TokenHash: sha256.Sum256([]byte("ana"))}, DeviceHash: sha256.Sum256([]byte("device"))}
	require.NoError(t, b.store.FailLogin(t.Context(), ana))
	require.NoError(t, b.store.OpenSession(t.Context(), session, ana))
	for lang, wrong := range map[string]string{"en": "Wrong password", "es": "Contraseña equivocada", "pt-BR": "Senha errada"} {
		page := b.page(t, lang, "/dashboard/logins")
		require.Contains(t, page, wrong)
		require.Contains(t, page, "ana")
		require.Contains(t, page, "203.0.113.7")
	}
	require.Equal(t, "/dashboard/logins", b.post(t, "/dashboard/logins/1/end", nil))
	require.Contains(t, b.page(t, "en", "/dashboard/logins"), "Login ended ana")
	require.Equal(t, http.StatusNotFound, b.send(t, "/dashboard/logins/1/end", nil).Code)
	require.Zero(t, b.count(t, `SELECT count(*) FROM operator_sessions`))
}

// A page shows a reader no way to what their role does not allow.
func TestPages_OfferWhatTheRoleAllows(t *testing.T) {
	t.Parallel()
	b := setup(t)
	letter, queueID := b.deadLetter(t, "77", "timeout: late")
	b.register(t, "A-1", "150.00")
	pages := []string{
		"/dashboard", "/dashboard/events", "/dashboard/events/" + itoa(queueID), "/dashboard/orders?reference=A-1", "/dashboard/dead-letters",
		"/dashboard/dead-letters/" + itoa(letter), "/dashboard/anomalies", "/dashboard/runs", "/dashboard/refused",
	}
	for _, role := range dashboard.Roles() {
		b.role = role
		acts := 0
		for _, target := range pages {
			body := b.get(t, "en", target).Body.String()
			acts += strings.Count(body, `method="post"`)
			for _, everybodys := range []string{"logout", "search"} {
				acts -= strings.Count(body, `action="/dashboard/`+everybodys+`" method="post"`)
			}
			require.Equal(t, role == dashboard.RoleAdmin, strings.Contains(body, `href="/riverui/"`), "%s as %s", target, role)
			require.Equal(t, role == dashboard.RoleAdmin, strings.Contains(body, `href="/dashboard/logins"`), "%s as %s", target, role)
			require.Contains(t, body, "operator ("+string(role)+")", "who is logged in")
		}
		require.Equal(t, role != dashboard.RoleViewer, acts > 0, "%d buttons for a %s", acts, role)
	}
	b.role = dashboard.RoleViewer
	w := b.get(t, "es", "/dashboard/logins")
	require.Equal(t, http.StatusForbidden, w.Code)
	require.Contains(t, requirePage(t, w, "es"), "Tu rol no permite esto.")
}
