package api

import (
	"context"
	"errors"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/conciliar/conciliar/api/dashboard"
	"github.com/conciliar/conciliar/store"
)

const (
	dashboardPath = dashboard.Base
	loginPath     = dashboardPath + "/login"
	logoutPath    = dashboardPath + "/logout"
	assetsPath    = dashboardPath + "/assets/"
	riverUIPath   = "/riverui"
)

// operatorName is who is logged in, in the log and in the audit trail.
const operatorName = "operator"

// Attempts to log in: of one address, and of all together, so that many
// addresses are no way around the limit.
const (
	loginsOfOne = 10
	loginsOfAll = 100
	loginWindow = 5 * time.Minute
)

// An operatorLogin is what stands before the operator's pages.
type operatorLogin struct {
	password  password
	origin    *http.CrossOriginProtection
	byAddress *limiter[addressKey]
	all       *limiter[struct{}]
	assets    http.Handler
}

func newOperatorLogin(text string) *operatorLogin {
	return &operatorLogin{
		password: newPassword(text), origin: http.NewCrossOriginProtection(), assets: dashboard.Assets(),
		byAddress: newSlowLimiter[addressKey]("login", loginsOfOne, loginWindow),
		all:       newSlowLimiter[struct{}]("logins", loginsOfAll, loginWindow),
	}
}

// operatorRoutes are the pages. Gin's trees can't hold the login beside a path
// that takes everything, so what needs no login is told apart in enter.
func (a *api) operatorRoutes() []route {
	var table []route
	for _, method := range []string{http.MethodGet, http.MethodHead, http.MethodPost} {
		table = append(table,
			route{method: method, path: dashboardPath, access: accessOperator, anyQuery: true, handle: a.pages(a.deps.Dashboard)},
			route{method: method, path: dashboardPath + "/*page", access: accessOperator, anyQuery: true, handle: a.pages(a.deps.Dashboard)},
		)
	}
	for _, method := range []string{http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch} {
		table = append(table,
			route{method: method, path: riverUIPath, access: accessOperator, anyQuery: true, handle: a.riverUI},
			route{method: method, path: riverUIPath + "/*page", access: accessOperator, anyQuery: true, handle: a.riverUI},
		)
	}
	return table
}

// pages serves a handler to an operator. It reads no more of a body than any
// other call may have.
func (a *api) pages(h http.Handler) handler {
	return func(c *gin.Context, ev *requestEvent) error {
		r := c.Request.WithContext(dashboard.WithActor(c.Request.Context(), operatorOf(ev)))
		if r.Body != nil {
			r.Body = http.MaxBytesReader(c.Writer, r.Body, maxBody)
		}
		h.ServeHTTP(c.Writer, r)
		return nil
	}
}

func operatorOf(ev *requestEvent) store.Actor {
	return store.Actor{Name: operatorName, RemoteIP: ev.remote, RequestID: ev.id}
}

// requireOperator lets an operator pass, serves what needs no login, and sends everybody
// else to it. Whatever it answers has the pages' headers.
func (a *api) requireOperator(c *gin.Context, ev *requestEvent, r route) error {
	path := c.Request.URL.Path
	guardPages(c.Writer.Header(), path)
	if err := a.operator.origin.Check(c.Request); err != nil {
		return newProblem(problemCrossOrigin, "The call comes from another site's page.").because(err)
	}
	switch {
	case path == loginPath && c.Request.Method == http.MethodPost:
		return a.login(c, ev)
	case path == loginPath, path == logoutPath, strings.HasPrefix(path, assetsPath):
		if err := a.byAddress.charge(c, a.now(), keyOf(ev.remote)); err != nil {
			return err
		}
		return a.open(c, ev, path)
	}
	err := a.session(c)
	if errors.Is(err, store.ErrNoSession) {
		return a.rejectUnauthenticated(c, ev)
	}
	if err != nil {
		return err
	}
	ev.token = operatorName
	if err := a.byToken.charge(c, a.now(), ev.token); err != nil {
		return err
	}
	return r.handle(c, ev)
}

// open serves what needs no login.
func (a *api) open(c *gin.Context, ev *requestEvent, path string) error {
	post := c.Request.Method == http.MethodPost
	switch {
	case path == logoutPath && post:
		return a.logout(c, ev)
	case path == logoutPath, path != loginPath && post:
		return newProblem(problemMethodNotAllowed, "This path does not support this method.")
	case path != loginPath:
		a.operator.assets.ServeHTTP(c.Writer, c.Request)
		return nil
	}
	return a.showLogin(c)
}

// session says whether the call carries a valid login; store.ErrNoSession
// when it does not.
func (a *api) session(c *gin.Context) error {
	token := tokenOf(c.Request, a.sources.secure(c.Request))
	if token == "" {
		return store.ErrNoSession
	}
	ctx, cancel := context.WithTimeout(c.Request.Context(), storageTimeout)
	defer cancel()
	return a.deps.Storage.UseSession(ctx, a.operator.password.session(token))
}

// rejectUnauthenticated sends a page's reader to the login and tells programs, which can't
// fill in a form, that there is none.
func (a *api) rejectUnauthenticated(c *gin.Context, ev *requestEvent) error {
	if err := a.byAddress.charge(c, a.now(), keyOf(ev.remote)); err != nil {
		return err
	}
	r := c.Request
	ev.outcome = "not_logged_in"
	if strings.HasPrefix(r.URL.Path, riverUIPath+"/api/") || r.Header.Get("Sec-Fetch-Dest") == "empty" {
		return newProblem(problemNotLoggedIn, "This needs the operator's login.")
	}
	next := dashboardPath
	if r.Method == http.MethodGet || r.Method == http.MethodHead {
		next = localNext(r.URL.RequestURI())
	}
	redirect(c, loginPath+"?next="+url.QueryEscape(next))
	return nil
}

// showLogin answers the form. Who is logged in has no use for it.
func (a *api) showLogin(c *gin.Context) error {
	next := localNext(c.Query("next"))
	err := a.session(c)
	if err == nil {
		redirect(c, next)
		return nil
	}
	if !errors.Is(err, store.ErrNoSession) {
		return err
	}
	view := dashboard.LoginView{Status: http.StatusOK, Next: next}
	secure := a.sources.secure(c.Request)
	if tokenOf(c.Request, secure) != "" {
		view.Problem = dashboard.LoginExpired
		http.SetCookie(c.Writer, cookieFor("", secure))
	}
	return dashboard.LoginPage(c.Writer, c.Request, view)
}

// login begins a session for whoever knows the password. Attempts count whether
// they are right or not: otherwise a limit would limit nothing but the noise.
func (a *api) login(c *gin.Context, ev *requestEvent) error {
	body, release, err := a.bodies.read(c.Request)
	defer release()
	if err != nil {
		return err
	}
	// What cannot be read as a form has no password, and is answered so.
	form, err := url.ParseQuery(string(body))
	if err != nil {
		form = url.Values{}
	}
	view := dashboard.LoginView{Next: localNext(form.Get("next"))}
	if wait, ok := a.mayLogIn(ev.remote); !ok {
		ev.outcome, ev.code = dashboard.LoginTooMany, problemRateLimited.Code
		view.Status, view.Problem, view.RetryAfter = http.StatusTooManyRequests, dashboard.LoginTooMany, wait
		setRetryAfter(c.Writer.Header(), wait)
		return dashboard.LoginPage(c.Writer, c.Request, view)
	}
	if !a.operator.password.is(form.Get("password")) {
		ev.outcome = dashboard.LoginWrongPassword
		view.Status, view.Problem = http.StatusUnauthorized, dashboard.LoginWrongPassword
		return dashboard.LoginPage(c.Writer, c.Request, view)
	}
	token := newToken()
	ctx, cancel := context.WithTimeout(c.Request.Context(), storageTimeout)
	defer cancel()
	if err := a.deps.Storage.OpenSession(ctx, a.operator.password.session(token), operatorOf(ev)); err != nil {
		return err
	}
	ev.outcome, ev.token = "logged_in", operatorName
	http.SetCookie(c.Writer, cookieFor(token, a.sources.secure(c.Request)))
	redirect(c, view.Next)
	return nil
}

func (a *api) mayLogIn(remote netip.Addr) (wait time.Duration, ok bool) {
	now := a.now()
	if wait, ok = a.operator.byAddress.take(now, keyOf(remote)); !ok {
		return wait, false
	}
	return a.operator.all.take(now, struct{}{})
}

// logout ends the session, for every process at once.
func (a *api) logout(c *gin.Context, ev *requestEvent) error {
	secure := a.sources.secure(c.Request)
	if token := tokenOf(c.Request, secure); token != "" {
		ctx, cancel := context.WithTimeout(c.Request.Context(), storageTimeout)
		defer cancel()
		if err := a.deps.Storage.CloseSession(ctx, a.operator.password.session(token), operatorOf(ev)); err != nil {
			return err
		}
	}
	ev.outcome = "logged_out"
	http.SetCookie(c.Writer, cookieFor("", secure))
	redirect(c, loginPath)
	return nil
}

// redirect sends a browser to another page by GET.
func redirect(c *gin.Context, to string) {
	h := c.Writer.Header()
	h["Location"] = []string{to}
	h["Content-Length"] = []string{"0"}
	c.Writer.WriteHeader(http.StatusSeeOther)
}
