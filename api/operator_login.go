package api

import (
	"context"
	"crypto/subtle"
	"errors"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"

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

// An operatorLogin is what stands before the operator's pages.
type operatorLogin struct {
	accounts  atomic.Pointer[accounts]
	passwords *passwordCheck
	origin    *http.CrossOriginProtection
	assets    http.Handler
}

func newOperatorLogin() *operatorLogin {
	return &operatorLogin{passwords: newPasswordCheck(), origin: http.NewCrossOriginProtection(), assets: compress(dashboard.Assets())}
}

// operatorRoutes are the pages. Gin's trees can't hold the login beside a path
// that takes everything, so requireOperator lets through what needs no login.
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
			route{method: method, path: riverUIPath, access: accessAdmin, anyQuery: true, handle: a.riverUI},
			route{method: method, path: riverUIPath + "/*page", access: accessAdmin, anyQuery: true, handle: a.riverUI},
		)
	}
	return table
}

// pages serves a handler to an operator. It reads no more of a body than any
// other call may have.
func (a *api) pages(h http.Handler) handler {
	h = a.compressed(h)
	return func(c *gin.Context, ev *requestEvent) error {
		r := c.Request.WithContext(dashboard.WithActor(c.Request.Context(), actorOf(ev), ev.role))
		if r.Body != nil {
			r.Body = http.MaxBytesReader(c.Writer, r.Body, maxBody)
		}
		h.ServeHTTP(c.Writer, r)
		return nil
	}
}

// requireOperator lets an operator pass whose role will do, serves what needs no
// login, and sends everybody else to it. Whatever it answers has the pages' headers.
func (a *api) requireOperator(c *gin.Context, ev *requestEvent, r route) error {
	path := c.Request.URL.Path
	guardPages(c.Writer.Header(), path)
	if err := a.checkOrigin(c.Request); err != nil {
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
	who, err := a.session(c)
	if errors.Is(err, store.ErrNoSession) {
		return a.rejectUnauthenticated(c, ev)
	}
	if err != nil {
		return err
	}
	a.outage.ended()
	ev.token, ev.role = tokenName(who.Name), who.Role
	if err := a.byToken.charge(c, a.now(), ev.token); err != nil {
		return err
	}
	if r.access == accessAdmin && !who.Role.Allows(dashboard.RoleAdmin) {
		return newProblem(problemRoleForbidden, "This is for admins only.")
	}
	return r.handle(c, ev)
}

// errNoOrigin means that a browser's call that acts does not say where it comes
// from.
var errNoOrigin = errors.New("no Sec-Fetch-Site, Origin or Referer of this host")

// checkOrigin refuses what another site's page sends. net/http's check lets pass
// what names no origin, since no browser of today leaves out both headers; where
// one does, a call that carries a login must have the referrer of a page of ours,
// which no other site's page can send.
func (a *api) checkOrigin(r *http.Request) error {
	if err := a.operator.origin.Check(r); err != nil {
		return err
	}
	if r.Method == http.MethodGet || r.Method == http.MethodHead || r.Header.Get("Sec-Fetch-Site") != "" || r.Header.Get("Origin") != "" {
		return nil
	}
	if tokenOf(r, sessionCookie, a.sources.secure(r)) == "" {
		return nil
	}
	if from, err := url.Parse(r.Referer()); err != nil || from.Host == "" || from.Host != r.Host {
		return errNoOrigin
	}
	return nil
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

// session is whose valid login the call carries; store.ErrNoSession when it
// carries none. What the login was given for is compared with what stands now.
func (a *api) session(c *gin.Context) (Operator, error) {
	token := tokenOf(c.Request, sessionCookie, a.sources.secure(c.Request))
	if token == "" {
		return Operator{}, store.ErrNoSession
	}
	ctx, cancel := context.WithTimeout(c.Request.Context(), storageTimeout)
	defer cancel()
	var who Operator
	_, err := a.deps.Storage.UseSession(ctx, hashOf(token), func(s store.Session) bool {
		var known bool
		who, known = a.operator.accounts.Load().find(s.Operator)
		key := who.session(token)
		return known && subtle.ConstantTimeCompare(key.PasswordMAC[:], s.PasswordMAC[:]) == 1
	})
	return who, err
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
	_, err := a.session(c)
	if err == nil {
		redirect(c, next)
		return nil
	}
	if !errors.Is(err, store.ErrNoSession) {
		return err
	}
	view := dashboard.LoginView{Status: http.StatusOK, Next: next, Named: a.operator.accounts.Load().only == ""}
	secure := a.sources.secure(c.Request)
	if tokenOf(c.Request, sessionCookie, secure) != "" {
		view.Problem = dashboard.LoginExpired
		http.SetCookie(c.Writer, cookieFor(sessionCookie, "", secure))
	}
	return dashboard.LoginPage(c.Writer, c.Request, view)
}

// login begins a session for an operator with the right password. A try counts
// before the password is looked at, and only a right one is given back.
func (a *api) login(c *gin.Context, ev *requestEvent) error {
	if err := a.byAddress.charge(c, a.now(), keyOf(ev.remote)); err != nil {
		return err
	}
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
	ctx, cancel := context.WithTimeout(c.Request.Context(), storageTimeout)
	defer cancel()
	accounts := a.operator.accounts.Load()
	name := form.Get("username")
	view := dashboard.LoginView{Next: localNext(form.Get("next")), Named: accounts.only == "", Name: name}
	who, known := accounts.find(name)
	if !known {
		who.Name = unknownOperator
	}
	secure := a.sources.secure(c.Request)
	device := tokenOf(c.Request, deviceCookie, secure)
	try, wait, err := a.deps.Storage.TryLogin(ctx, hashOfToken(device), who.Name, ev.remote)
	if err != nil {
		return err
	}
	if wait > 0 {
		ev.outcome, ev.code = dashboard.LoginTooMany, problemRateLimited.Code
		view.Status, view.Problem, view.RetryAfter = http.StatusTooManyRequests, dashboard.LoginTooMany, wait
		setRetryAfter(c.Writer.Header(), wait)
		return dashboard.LoginPage(c.Writer, c.Request, view)
	}
	actor := store.Actor{Name: who.Name, RemoteIP: ev.remote, RequestID: ev.id}
	right, err := a.operator.passwords.right(ctx, accounts, name, form.Get("password"), try.DeviceID != 0)
	if err != nil {
		return err
	}
	if !right {
		ev.outcome = dashboard.LoginWrongPassword
		view.Status, view.Problem = http.StatusUnauthorized, dashboard.LoginWrongPassword
		if err := a.deps.Storage.FailLogin(ctx, actor); err != nil {
			return err
		}
		return dashboard.LoginPage(c.Writer, c.Request, view)
	}
	token := newToken()
	if try.DeviceID == 0 {
		device = newToken()
	}
	session := store.NewSession{Key: who.session(token), Operator: who.Name, Try: try, DeviceHash: hashOf(device)}
	if err := a.deps.Storage.OpenSession(ctx, session, actor); err != nil {
		return err
	}
	ev.outcome, ev.token = "logged_in", tokenName(who.Name)
	http.SetCookie(c.Writer, cookieFor(sessionCookie, token, secure))
	http.SetCookie(c.Writer, cookieFor(deviceCookie, device, secure))
	redirect(c, view.Next)
	return nil
}

// logout ends the session, for every process at once. The device stays known.
func (a *api) logout(c *gin.Context, ev *requestEvent) error {
	who, err := a.session(c)
	if err != nil && !errors.Is(err, store.ErrNoSession) {
		return err
	}
	secure := a.sources.secure(c.Request)
	if err == nil {
		ev.token, ev.role = tokenName(who.Name), who.Role
		ctx, cancel := context.WithTimeout(c.Request.Context(), storageTimeout)
		defer cancel()
		if err := a.deps.Storage.CloseSession(ctx, hashOf(tokenOf(c.Request, sessionCookie, secure)), actorOf(ev)); err != nil {
			return err
		}
	}
	ev.outcome = "logged_out"
	http.SetCookie(c.Writer, cookieFor(sessionCookie, "", secure))
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
