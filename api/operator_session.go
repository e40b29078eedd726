package api

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"net/http"
	"net/url"
	"path"
	"strings"
	"time"

	"github.com/conciliar/conciliar/store"
)

// A cookie is one that an operator's browser keeps: its name, and for how long.
type cookie struct {
	name string
	life time.Duration
}

var (
	// sessionCookie is the login.
	sessionCookie = cookie{"conciliar_session", store.SessionLife}
	// deviceCookie says that an operator logged in on this device before.
	deviceCookie = cookie{"conciliar_device", store.DeviceLife}
)

// hostPrefix begins the names that a browser takes only from a TLS answer for the
// whole of this very host, so that nothing beside it can plant one.
const hostPrefix = "__Host-"

// tokenBytes is what a cookie's token has of randomness.
const tokenBytes = 32

func newToken() string {
	var random [tokenBytes]byte
	_, _ = rand.Read(random[:]) // never fails, see crypto/rand
	return base64.RawURLEncoding.EncodeToString(random[:])
}

func hashOf(token string) [sha256.Size]byte { return sha256.Sum256([]byte(token)) }

// hashOfToken is hashOf, nil for no token.
func hashOfToken(token string) []byte {
	if token == "" {
		return nil
	}
	sum := hashOf(token)
	return sum[:]
}

// cookieFor is a cookie as a call may have it, an empty token to forget it.
// SameSite is Lax and not Strict, which would ask for the password after each link
// in a mail or a chat; unsafe methods are held to their origin besides.
func cookieFor(of cookie, token string, secure bool) *http.Cookie {
	c := &http.Cookie{
		Name: of.name, Value: token, Path: "/", HttpOnly: true, SameSite: http.SameSiteLaxMode,
		MaxAge: int(of.life.Seconds()),
	}
	if secure {
		c.Name, c.Secure = hostPrefix+of.name, true
	}
	if token == "" {
		c.MaxAge = -1
	}
	return c
}

// tokenOf is the token that a call carries. Over TLS the plain name counts for
// nothing: another service on this host could have set it.
func tokenOf(r *http.Request, of cookie, secure bool) string {
	c, err := r.Cookie(cookieFor(of, "", secure).Name)
	if err != nil || base64.RawURLEncoding.DecodedLen(len(c.Value)) != tokenBytes {
		return ""
	}
	return c.Value
}

// secure says whether the caller came by TLS, to us or to a proxy of ours.
func (s *sources) secure(r *http.Request) bool {
	if r.TLS != nil {
		return true
	}
	return contains(s.proxies, parseHop(r.RemoteAddr)) && strings.EqualFold(r.Header.Get("X-Forwarded-Proto"), "https")
}

// localNext is where a login leads: the page that was asked for when it is one
// of the operator's, the dashboard otherwise. Path and query alone are taken, and
// rewritten, so that no browser can find another host in them; a path is what
// the browser will make of it, dots resolved.
func localNext(next string) string {
	u, err := url.Parse(next)
	if err != nil {
		return dashboardPath
	}
	to := withoutDots(u.Path)
	switch {
	case to == loginPath, to == logoutPath, strings.HasPrefix(to, assetsPath):
	case to == dashboardPath, strings.HasPrefix(to, dashboardPath+"/"), strings.HasPrefix(to, riverUIPath+"/"):
		clean := &url.URL{Path: to, RawQuery: u.RawQuery}
		if withoutDots(u.RawPath) == u.RawPath { // what was encoded stays so
			clean.RawPath = u.RawPath
		}
		return clean.RequestURI()
	}
	return dashboardPath
}

// withoutDots resolves a path's dots and doubled slashes.
func withoutDots(p string) string {
	clean := path.Clean("/" + p)
	if strings.HasSuffix(p, "/") && clean != "/" {
		clean += "/"
	}
	return clean
}
