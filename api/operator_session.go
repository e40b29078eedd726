package api

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"net/http"
	"net/url"
	"strings"

	"github.com/conciliar/conciliar/store"
)

// The cookie's names. A browser takes the first only from a TLS answer for the
// whole of this very host, so that nothing beside it can plant one.
const (
	secureCookie = "__Host-conciliar_session"
	plainCookie  = "conciliar_session"
)

// tokenBytes is what a login's token has of randomness.
const tokenBytes = 32

// A password is the operator's. It compares hashes: that takes the same time
// whatever two passwords have in common, their lengths included.
type password struct {
	hash [sha256.Size]byte
	key  []byte
}

func newPassword(text string) password {
	return password{hash: sha256.Sum256([]byte(text)), key: []byte(text)}
}

func (p password) is(text string) bool {
	sum := sha256.Sum256([]byte(text))
	return subtle.ConstantTimeCompare(sum[:], p.hash[:]) == 1
}

// session is what the database knows of a token. The second half is keyed with the
// password and made of the token, which the database lacks: whoever reads them
// cannot try passwords against it.
func (p password) session(token string) store.SessionKey {
	mac := hmac.New(sha256.New, p.key)
	mac.Write([]byte(token))
	return store.SessionKey{TokenHash: sha256.Sum256([]byte(token)), PasswordMAC: [sha256.Size]byte(mac.Sum(nil))}
}

func newToken() string {
	var random [tokenBytes]byte
	_, _ = rand.Read(random[:]) // never fails, see crypto/rand
	return base64.RawURLEncoding.EncodeToString(random[:])
}

// cookieFor is the cookie of a call. SameSite is Lax and not Strict, which would
// ask for the password after each link in a mail or a chat; unsafe methods are
// held to their origin besides.
func cookieFor(token string, secure bool) *http.Cookie {
	c := &http.Cookie{
		Name: plainCookie, Value: token, Path: "/", HttpOnly: true, SameSite: http.SameSiteLaxMode,
		MaxAge: int(store.SessionLife.Seconds()),
	}
	if secure {
		c.Name, c.Secure = secureCookie, true
	}
	if token == "" {
		c.MaxAge = -1
	}
	return c
}

// tokenOf is the token that a call carries. Over TLS the plain name counts for
// nothing: another service on this host could have set it.
func tokenOf(r *http.Request, secure bool) string {
	c, err := r.Cookie(cookieFor("", secure).Name)
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
// written anew, so that no browser can find another host in them.
func localNext(next string) string {
	u, err := url.Parse(next)
	switch {
	case err != nil:
	case u.Path == loginPath, u.Path == logoutPath, strings.HasPrefix(u.Path, assetsPath):
	case u.Path == dashboardPath, strings.HasPrefix(u.Path, dashboardPath+"/"), strings.HasPrefix(u.Path, riverUIPath+"/"):
		return (&url.URL{Path: u.Path, RawPath: u.RawPath, RawQuery: u.RawQuery}).RequestURI()
	}
	return dashboardPath
}
