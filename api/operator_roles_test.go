package api_test

import (
	"maps"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/alexedwards/argon2id"
	"github.com/stretchr/testify/require"

	"github.com/conciliar/conciliar/api"
	"github.com/conciliar/conciliar/api/dashboard"
)

// named are operators of every role, whose password is their name's.
func named(t *testing.T) []api.Operator {
	t.Helper()
	var operators []api.Operator
	for _, role := range dashboard.Roles() {
		name := "the-" + string(role)
		hash, err := argon2id.CreateHash(name+"'s password", &argon2id.Params{Memory: 8 << 10, Iterations: 1, Parallelism: 1, SaltLength: 16, KeyLength: 32})
		require.NoError(t, err)
		operators = append(operators, api.Operator{Name: name, Role: role, Hash: hash})
	}
	return operators
}

// logInAs logs a named operator in.
func (v *visitor) logInAs(t *testing.T, name string) {
	t.Helper()
	w := v.visit(t, http.MethodPost, "/dashboard/login", "username="+name+"&password="+name+"%27s+password")
	requireRedirect(t, w, "/dashboard")
}

var parameter = regexp.MustCompile(`[:*{][a-z_]+}?`)

// Every row of the route table, and every page of the dashboard, with every token
// and every role.
func TestRoutes_AdmitWhomTheTableSays(t *testing.T) {
	t.Parallel()
	b := setup(t, setupOptions{deps: func(d *api.Deps) { d.Operators = named(t); d.APIRate = 100_000; d.UnverifiedRate = 100_000 }})
	tokens := map[string]string{"none": "", "status": statusToken, "process_queue": processToken, "reconcile": reconcileToken, "orders": ordersToken}
	roles := map[string]*visitor{"none": b.visitor()}
	for _, role := range dashboard.Roles() {
		roles[string(role)] = b.visitor()
		roles[string(role)].logInAs(t, "the-"+string(role))
	}
	seen := map[string]int{}
	for _, r := range api.Routes(b.deps) {
		target := parameter.ReplaceAllString(r.Path, "999")
		if slices.Contains(r.Query, "wait") {
			target += "?wait=1ms"
		}
		seen[r.Access]++
		switch r.Access {
		case "signature":
			continue // the deliveries' own tests
		case "operator", "admin":
			for name, token := range tokens {
				w := b.visitor().visit(t, r.Method, target, "", "Authorization", "Bearer "+token)
				require.Contains(t, []int{http.StatusSeeOther, http.StatusUnauthorized}, w.Code, "%s %s with the token %s", r.Method, target, name)
			}
			if r.Access == "admin" {
				requireRoles(t, roles, r.Method, target, dashboard.RoleAdmin)
			}
		default:
			for name, token := range tokens {
				w := b.visitor().visit(t, r.Method, target, "", "Authorization", "Bearer "+token)
				records := r.Access == "records" && (name == "status" || name == "process_queue")
				if r.Access == "open" || r.Access == name || records {
					require.NotContains(t, []int{http.StatusUnauthorized, http.StatusForbidden}, w.Code, "%s %s with the token %s", r.Method, target, name)
					continue
				}
				requireProblem(t, w, http.StatusUnauthorized, "unauthorized")
			}
			for name, v := range roles {
				if w := v.visit(t, r.Method, target, ""); r.Access != "open" {
					requireProblem(t, w, http.StatusUnauthorized, "unauthorized")
				} else {
					require.NotEqual(t, http.StatusUnauthorized, w.Code, "%s %s as %s", r.Method, target, name)
				}
			}
		}
	}
	require.ElementsMatch(t, []string{"open", "signature", "status", "process_queue", "reconcile", "orders", "records", "operator", "admin"}, slices.Collect(maps.Keys(seen)))

	pages := dashboard.RouteNeeds()
	require.NotEmpty(t, pages)
	for _, page := range pages {
		target := strings.ReplaceAll(parameter.ReplaceAllString(page.Path, "999"), "{$}", "")
		requireRoles(t, roles, page.Method, target, page.Role)
	}
}

// requireRoles checks that a page is for the role, for those above it, and for
// nobody else.
func requireRoles(t *testing.T, roles map[string]*visitor, method, target string, needed dashboard.Role) {
	t.Helper()
	for name, v := range roles {
		w := v.visit(t, method, target, "")
		switch {
		case name == "none":
			require.Contains(t, []int{http.StatusSeeOther, http.StatusUnauthorized}, w.Code, "%s %s", method, target)
			if w.Code == http.StatusSeeOther {
				require.Contains(t, w.Header().Get("Location"), "/dashboard/login", "%s %s", method, target)
			}
		case dashboard.Role(name).Allows(needed):
			require.NotContains(t, []int{http.StatusUnauthorized, http.StatusForbidden}, w.Code, "%s %s as %s", method, target, name)
			require.NotContains(t, w.Header().Get("Location"), "/login?next", "%s %s as %s", method, target, name)
		default:
			require.Equal(t, http.StatusForbidden, w.Code, "%s %s as %s", method, target, name)
		}
	}
}

func TestOperatorLogin_EndsWhenTheLineChanges(t *testing.T) {
	t.Parallel()
	operators := named(t)
	b := setup(t, setupOptions{deps: func(d *api.Deps) { d.Operators = operators }})
	handler, ok := b.Handler.(*api.Handler)
	require.True(t, ok)
	passes := func(v *visitor) bool { return v.get(t, "/dashboard").Code == http.StatusOK }
	viewer, admin := b.visitor(), b.visitor()
	viewer.logInAs(t, "the-viewer")
	admin.logInAs(t, "the-admin")
	require.True(t, passes(viewer))

	changed := slices.Clone(operators)
	changed[0].Role = dashboard.RoleOperator
	require.NoError(t, handler.Admit(b.deps.Tokens, changed))
	require.False(t, passes(viewer), "at the next request")
	require.True(t, passes(admin), "the others go on")
	viewer.logInAs(t, "the-viewer")
	require.NoError(t, handler.Admit(b.deps.Tokens, changed[1:]))
	require.False(t, passes(viewer), "the line is gone")
	require.Equal(t, http.StatusUnauthorized, viewer.visit(t, http.MethodPost, "/dashboard/login", "username=the-viewer&password=the-viewer%27s+password").Code)

	require.Error(t, handler.Admit(b.deps.Tokens, nil))
	require.Error(t, handler.Admit(api.Tokens{}, operators))
	require.True(t, passes(admin), "what can't be used changes nothing")
}

func TestOperatorLogin_NamesThePersonInTheAudit(t *testing.T) {
	t.Parallel()
	b := setup(t, setupOptions{deps: func(d *api.Deps) { d.Operators = named(t) }})
	v := b.visitor()
	require.Contains(t, v.get(t, "/dashboard/login").Body.String(), `name="username" type="text"`)
	for _, form := range []string{"username=the-operator&password=wrong", "username=no+such+person&password=wrong", "password=wrong", "username=the-admin"} {
		require.Equal(t, http.StatusUnauthorized, v.visit(t, http.MethodPost, "/dashboard/login", form).Code)
	}
	v.logInAs(t, "the-operator")
	queueID := b.accept(t, "77")
	require.Equal(t, http.StatusSeeOther, v.visit(t, http.MethodPost, "/dashboard/events/"+strconv.FormatInt(queueID, 10)+"/replay", "").Code)
	require.Equal(t, "the-operator", b.logs.Last(t)["token"])

	admin := b.visitor()
	admin.logInAs(t, "the-admin")
	page := admin.get(t, "/dashboard/logins").Body.String()
	require.Contains(t, page, "the-operator")
	require.Contains(t, page, "Wrong password")
	require.NotContains(t, page, "no such person", "people type passwords into the wrong field")
	require.Equal(t, http.StatusSeeOther, admin.visit(t, http.MethodPost, "/dashboard/logins/1/end", "").Code)
	requireRedirect(t, v.get(t, "/dashboard"), "/dashboard/login?next=%2Fdashboard")

	var actors []string
	for _, line := range b.audit(t) {
		actors = append(actors, strings.Join(strings.Fields(line)[:2], " "))
	}
	require.Equal(t, []string{
		"the-operator login_failed", "unknown login_failed", "unknown login_failed", "the-admin login_failed", "the-operator login",
		"the-operator replay", "the-admin login", "the-admin end_login",
	}, actors)
}

func TestPages_ShowAViewerNothingOfPayers(t *testing.T) {
	t.Parallel()
	b := setup(t, setupOptions{deps: func(d *api.Deps) { d.Operators = named(t) }})
	queueID := b.accept(t, "77")
	_, err := b.pool.Exec(t.Context(), `UPDATE webhook_queue SET payload = 'of the payer', remote_ip = '192.0.2.99'`)
	require.NoError(t, err)
	for role, shown := range map[string]bool{"viewer": false, "operator": true} {
		v := b.visitor()
		v.logInAs(t, "the-"+role)
		page := v.get(t, "/dashboard/events/"+strconv.FormatInt(queueID, 10)).Body.String()
		require.Equal(t, shown, strings.Contains(page, "of the payer"), role)
		require.Equal(t, shown, strings.Contains(page, "192.0.2.99"), role)
		require.Equal(t, shown, strings.Contains(page, `method="post"`) && strings.Contains(page, "/replay"), role)
	}
}
