package api_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/conciliar/conciliar/api"
	"github.com/conciliar/conciliar/api/dashboard"
)

func TestOperatorLogin_NobodyPassesWithoutALogin(t *testing.T) {
	t.Parallel()
	b := setup(t, setupOptions{})
	v := b.visitor()
	for target, next := range map[string]string{
		"/dashboard":                 "%2Fdashboard",
		"/dashboard/":                "%2Fdashboard%2F",
		"/dashboard/events?state=x":  "%2Fdashboard%2Fevents%3Fstate%3Dx",
		"/dashboard/orders?before=1": "%2Fdashboard%2Forders%3Fbefore%3D1",
		"/riverui":                   "%2Fdashboard",
		"/riverui/jobs":              "%2Friverui%2Fjobs",
		"/riverui/assets/main.js":    "%2Friverui%2Fassets%2Fmain.js",
		"/dashboard/%6Cogout/":       "%2Fdashboard%2F%256Cogout%2F",
		"/dashboard/assets":          "%2Fdashboard%2Fassets",
		"/dashboard/login/../events": "%2Fdashboard%2Fevents",
		"/dashboard//assets/x":       "%2Fdashboard",
	} {
		requireRedirect(t, v.get(t, target), "/dashboard/login?next="+next)
	}
	requireRedirect(t, v.visit(t, http.MethodPost, "/dashboard/dead-letters/1/replay", "x=1"), "/dashboard/login?next=%2Fdashboard")
	requireProblem(t, v.get(t, "/riverui/api/jobs"), http.StatusUnauthorized, "not_logged_in")
	requireProblem(t, v.visit(t, http.MethodPost, "/riverui/api/jobs/retry", `{"ids":["1"]}`), http.StatusUnauthorized, "not_logged_in")
	requireProblem(t, v.visit(t, http.MethodGet, "/dashboard/overview", "", "Sec-Fetch-Dest", "empty"), http.StatusUnauthorized, "not_logged_in")
	for _, cookie := range []string{"x", strings.Repeat("A", 43), strings.Repeat("A", 5000), "\x00"} {
		for _, name := range []string{"conciliar_session", "__Host-conciliar_session"} {
			w := v.visit(t, http.MethodGet, "/riverui/api/jobs", "", "Cookie", name+"="+cookie)
			requireProblem(t, w, http.StatusUnauthorized, "not_logged_in")
		}
	}
	for _, token := range []string{statusToken, processToken, operatorPassword} {
		w := v.visit(t, http.MethodGet, "/riverui/api/jobs", "", "Authorization", "Bearer "+token)
		requireProblem(t, w, http.StatusUnauthorized, "not_logged_in")
	}
	require.Equal(t, http.StatusOK, v.get(t, v.style(t)).Code)
	require.Equal(t, http.StatusNotFound, v.get(t, "/dashboard/assets/").Code)
	require.Zero(t, b.count(t, `SELECT count(*) FROM operator_actions`))
}

func TestOperatorLogin_IsSharedUntilTheLogout(t *testing.T) {
	t.Parallel()
	b := setup(t, setupOptions{})
	other, err := api.New(b.deps) // another process on the same database
	require.NoError(t, err)

	v := b.visitor()
	w := v.submit(t, "not the password", "/riverui/jobs?state=retryable")
	require.Equal(t, http.StatusUnauthorized, w.Code)
	require.Contains(t, w.Body.String(), `value="/riverui/jobs?state=retryable"`, "the way on is kept")
	require.Empty(t, v.cookies)
	require.Equal(t, "wrong_password", b.logs.Last(t)["outcome"])
	require.Equal(t, "WARN", b.logs.Last(t)["level"])

	requireRedirect(t, v.submit(t, operatorPassword, "/riverui/jobs?state=retryable"), "/riverui/jobs?state=retryable")
	require.Len(t, v.cookies, 2, "the login, and the device that is known from now on")
	require.Equal(t, http.StatusOK, v.get(t, "/dashboard").Code)
	require.Equal(t, "operator", b.logs.Last(t)["token"])
	require.Equal(t, http.StatusOK, v.get(t, "/riverui/").Code)
	requireRedirect(t, v.get(t, "/dashboard/login?next=/riverui/queues"), "/riverui/queues")
	elsewhere := &visitor{bundle: &bundle{Handler: other}, peer: v.peer, cookies: v.cookies}
	require.Equal(t, http.StatusOK, elsewhere.get(t, "/dashboard").Code)

	kept := v.cookies["conciliar_session"]
	requireRedirect(t, v.visit(t, http.MethodPost, "/dashboard/logout", ""), "/dashboard/login")
	require.NotContains(t, v.cookies, "conciliar_session", "the browser is told to forget")
	require.Contains(t, v.cookies, "conciliar_device")
	elsewhere.cookies = map[string]*http.Cookie{kept.Name: kept}
	requireRedirect(t, elsewhere.get(t, "/dashboard"), "/dashboard/login?next=%2Fdashboard")
	require.Contains(t, elsewhere.get(t, "/dashboard/login").Body.String(), "Your session has expired.")
	require.Empty(t, elsewhere.cookies)
	require.Equal(t, []string{"operator login_failed session {} {} 1 203.0.113.7", "operator login session {} {} 1 203.0.113.7", "operator logout session {} {} 1 203.0.113.7"}, trimmed(b.audit(t)))

	require.Zero(t, b.count(t, `SELECT count(*) FROM operator_sessions`))
	logged := b.logs.String()
	require.NotContains(t, logged, operatorPassword)
	require.NotContains(t, logged, kept.Value)
}

func trimmed(lines []string) []string {
	for i := range lines {
		lines[i] = strings.TrimSpace(lines[i])
	}
	return lines
}

func TestOperatorLogin_Expires(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		change string
		want   int
	}{
		"as good as new":        {`created_at = now() - interval '6 days 23 hours', last_seen_at = now() - interval '11 hours'`, http.StatusOK},
		"idle for twelve hours": {`expires_at = now()`, http.StatusSeeOther},
		"another token's":       {`token_hash = sha256('x')`, http.StatusSeeOther},
		"another password's":    {`password_mac = sha256('x')`, http.StatusSeeOther},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t, setupOptions{})
			v := b.visitor()
			v.logIn(t)
			_, err := b.pool.Exec(t.Context(), `UPDATE operator_sessions SET `+c.change)
			require.NoError(t, err)
			require.Equal(t, c.want, v.get(t, "/dashboard").Code)
		})
	}
}

func TestOperatorLogin_AChangedPasswordEndsEveryLogin(t *testing.T) {
	t.Parallel()
	b := setup(t, setupOptions{})
	v := b.visitor()
	v.logIn(t)
	deps := b.deps
	deps.Operators = []api.Operator{{Name: "operator", Role: dashboard.RoleAdmin, Password: "another password"}}
	restarted, err := api.New(deps)
	require.NoError(t, err)
	v.Handler = restarted
	requireRedirect(t, v.get(t, "/dashboard"), "/dashboard/login?next=%2Fdashboard")
	require.Equal(t, http.StatusUnauthorized, v.submit(t, operatorPassword, "").Code)
	requireRedirect(t, v.submit(t, "another password", ""), "/dashboard")
}

func TestOperatorLogin_TheCookieIsAsStrictAsTheConnectionAllows(t *testing.T) {
	t.Parallel()
	const attributes = "; Path=/; Max-Age=604800; HttpOnly"
	b := setup(t, setupOptions{deps: func(d *api.Deps) { d.TrustedProxies = prefixes(t, "10.0.0.0/8") }})
	for name, c := range map[string]struct {
		peer    string
		tls     bool
		proto   string
		secured bool
	}{
		"plain":               {peer: "203.0.113.7:1"},
		"TLS":                 {peer: "203.0.113.7:1", tls: true, secured: true},
		"TLS up to a proxy":   {peer: "10.0.0.1:1", proto: "https", secured: true},
		"a proxy without TLS": {peer: "10.0.0.1:1", proto: "http"},
		"a stranger's word":   {peer: "203.0.113.7:1", proto: "https"},
	} {
		v := b.visitor()
		v.peer, v.tls = c.peer, c.tls
		w := v.visit(t, http.MethodPost, "/dashboard/login", "password=a+password+%26+more%3D50%25%2B%C3%B1", "X-Forwarded-Proto", c.proto)
		requireRedirect(t, w, "/dashboard")
		cookie := w.Header().Get("Set-Cookie")
		require.Regexp(t, `^(__Host-)?conciliar_session=[A-Za-z0-9_-]{43}`+attributes, cookie, name)
		require.Equal(t, c.secured, strings.HasPrefix(cookie, "__Host-"), name)
		require.Equal(t, c.secured, w.Header().Get("Strict-Transport-Security") == "max-age=31536000", name)
		require.Equal(t, c.secured, strings.HasSuffix(cookie, attributes+"; Secure; SameSite=Lax"), name)
		require.True(t, strings.HasSuffix(cookie, "; SameSite=Lax"), name)
		require.Equal(t, http.StatusOK, v.visit(t, http.MethodGet, "/dashboard", "", "X-Forwarded-Proto", c.proto).Code, name)
		if c.secured {
			v.tls = true
			planted := v.cookies["__Host-conciliar_session"].Value
			w = v.visit(t, http.MethodGet, "/riverui/api/jobs", "", "Cookie", "conciliar_session="+planted)
			v.cookies = nil
			require.Equal(t, http.StatusOK, w.Code, "the visitor still sends its own cookie")
			w = v.visit(t, http.MethodGet, "/riverui/api/jobs", "", "Cookie", "conciliar_session="+planted)
			requireProblem(t, w, http.StatusUnauthorized, "not_logged_in")
		}
	}
}

func TestOperatorLogin_LeadsToOurOwnPagesOnly(t *testing.T) {
	t.Parallel()
	b := setup(t, setupOptions{})
	for next, to := range map[string]string{
		"":                               "/dashboard",
		"/dashboard/events?q=a%20b":      "/dashboard/events?q=a%20b",
		"/riverui/jobs/7":                "/riverui/jobs/7",
		"https://evil.example/dashboard": "/dashboard",
		"//evil.example/riverui/a":       "/riverui/a",
		"//evil.example/dashboard":       "/dashboard",
		"/\\evil.example":                "/dashboard",
		"/dashboard/\\@evil.example":     "/dashboard/%5C@evil.example",
		"/dashboard/?\\\t":               "/dashboard",
		"/dashboard\\@evil.example":      "/dashboard",
		"/dashboard\r\nX: y":             "/dashboard",
		"\t//evil.example":               "/dashboard",
		"javascript:alert(1)":            "/dashboard",
		"/dashboardevil":                 "/dashboard",
		"/dashboard/../../evil":          "/dashboard",
		"/dashboard/..//evil.example":    "/dashboard",
		"/dashboard/%2e%2e/livez":        "/dashboard",
		"/dashboard/x%2F..%2F../livez":   "/dashboard",
		"/dashboard/../livez":            "/dashboard",
		"/dashboard/./events/../runs":    "/dashboard/runs",
		"/riverui/../dashboard/events/":  "/dashboard/events/",
		"/dashboard/a/%2e%2e/b":          "/dashboard/b",
		"/dashboard/login":               "/dashboard",
		"/dashboard/logout":              "/dashboard",
		"/api/webhooks/status":           "/dashboard",
	} {
		v := b.visitor()
		b.clock.Add(time.Minute)
		requireRedirect(t, v.submit(t, operatorPassword, next), to)
	}
}

func TestOperatorLogin_AnotherSiteCannotAct(t *testing.T) {
	t.Parallel()
	b := setup(t, setupOptions{})
	v := b.visitor()
	v.logIn(t)
	queueID := b.accept(t, "77")
	jobID := b.count(t, `SELECT job_id FROM webhook_queue WHERE id = $1`, queueID)
	cancel := func(headers ...string) int {
		return v.visit(t, http.MethodPost, "/riverui/api/jobs/cancel", `{"ids":["`+itoa(jobID)+`"]}`, headers...).Code
	}
	for _, headers := range [][]string{
		{"Sec-Fetch-Site", "cross-site"}, {"Sec-Fetch-Site", "same-site"},
		{"Sec-Fetch-Site", "", "Origin", "https://evil.example"}, {"Sec-Fetch-Site", "", "Origin", "null"},
	} {
		require.Equal(t, http.StatusForbidden, cancel(headers...), headers)
		require.Equal(t, "cross_origin", b.logs.Last(t)["code"])
		require.Equal(t, http.StatusForbidden, v.visit(t, http.MethodPost, "/dashboard/logout", "", headers...).Code)
		require.Equal(t, http.StatusForbidden, v.visit(t, http.MethodPost, "/dashboard/login", "password=x", headers...).Code)
	}
	require.Equal(t, 1, b.count(t, `SELECT count(*) FROM river_job WHERE state = 'available'`))
	require.Equal(t, http.StatusOK, v.visit(t, http.MethodGet, "/dashboard", "", "Sec-Fetch-Site", "cross-site").Code, "a link in a mail works")
	// A browser that names no origin: a referrer of ours cannot be forged there.
	for _, referer := range []string{"", "https://evil.example/dashboard", "/dashboard", "http://shop.example.evil/"} {
		require.Equal(t, http.StatusForbidden, cancel("Sec-Fetch-Site", "", "Referer", referer), referer)
	}
	require.Equal(t, http.StatusOK, cancel("Sec-Fetch-Site", "", "Referer", "http://shop.example/riverui/jobs"))
	require.Equal(t, http.StatusOK, cancel("Sec-Fetch-Site", "", "Origin", "http://shop.example"))
	stranger := b.visitor()
	require.Equal(t, http.StatusUnauthorized, stranger.visit(t, http.MethodPost, "/dashboard/login", "password=x", "Sec-Fetch-Site", "").Code,
		"without a login there is nothing to act with")
}

func TestOperatorLogin_PagesHaveTheirHeaders(t *testing.T) {
	t.Parallel()
	b := setup(t, setupOptions{})
	v := b.visitor()
	v.logIn(t)
	for _, target := range []string{"/dashboard", "/dashboard/login", "/dashboard/none", v.style(t), "/riverui/", "/riverui/api/jobs"} {
		h := v.get(t, target).Header()
		require.Contains(t, h.Get("Content-Security-Policy"), "default-src 'none'; script-src 'self'; ", target)
		require.Contains(t, h.Get("Content-Security-Policy"), "frame-ancestors 'none'", target)
		require.Equal(t, !strings.HasPrefix(target, "/riverui"), !strings.Contains(h.Get("Content-Security-Policy"), "unsafe"), target)
		require.Equal(t, "DENY", h.Get("X-Frame-Options"), target)
		require.Equal(t, "nosniff", h.Get("X-Content-Type-Options"), target)
		require.Equal(t, "same-origin", h.Get("Referrer-Policy"), target)
		require.NotEmpty(t, h.Get("Permissions-Policy"), target)
		require.Empty(t, h.Get("Strict-Transport-Security"), "over plain HTTP it means nothing")
		if !strings.Contains(target, "assets") {
			require.Equal(t, "no-store", h.Get("Cache-Control"), target)
		}
	}
}
