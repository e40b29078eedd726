package dashboard

import (
	"encoding/base64"
	"encoding/json"
	"net/http"
	"time"
)

// noticeCookie carries what an action did over the redirect after it. It is read once,
// and an address cannot make it: whoever follows a link is told nothing that did not
// happen.
const noticeCookie = "conciliar_done"

// noticeAge is how long it waits for the page.
const noticeAge = time.Minute

// A notice is what an action did: a key below notice, and its numbers.
type notice struct {
	Key  string           `json:"k"`
	Args map[string]int64 `json:"a,omitempty"`
}

// done sends the browser to a page of ours, which says what was done: a key below
// notice, and pairs of a name and a number.
func (c *call) done(path, key string, pairs ...any) error {
	n := notice{Key: key, Args: map[string]int64{}}
	for i := 0; i+1 < len(pairs); i += 2 {
		n.Args[plain(pairs[i])], _ = integer(pairs[i+1])
	}
	text, err := json.Marshal(n)
	if err != nil {
		return err
	}
	http.SetCookie(c.ResponseWriter, noticeCookieOf(c.Request, base64.RawURLEncoding.EncodeToString(text), int(noticeAge.Seconds())))
	return c.redirect("%s", path)
}

func noticeCookieOf(r *http.Request, value string, age int) *http.Cookie {
	return &http.Cookie{ //nolint:gosec // it holds no secret, and without TLS it must work as well
		Name: noticeCookie, Value: value, Path: Base, MaxAge: age, HttpOnly: true, SameSite: http.SameSiteStrictMode, Secure: r.TLS != nil,
	}
}

// takeNotice is what the action before this page did, for the page to say once. What is
// no notice of ours says nothing.
func (c *call) takeNotice(p *page) {
	cookie, err := c.Cookie(noticeCookie)
	if err != nil || c.Method != http.MethodGet {
		return
	}
	http.SetCookie(c.ResponseWriter, noticeCookieOf(c.Request, "", -1))
	text, err := base64.RawURLEncoding.DecodeString(cookie.Value)
	var n notice
	if err != nil || json.Unmarshal(text, &n) != nil || !p.Has("notice", n.Key) && !p.Has("notice", n.Key+".other") {
		return
	}
	p.Notice = "notice." + n.Key
	for _, name := range []string{"n", "skipped", "id"} {
		p.NoticeArgs = append(p.NoticeArgs, name, n.Args[name])
	}
}
