package dashboard

import (
	"cmp"
	"net/http"
	"time"

	"github.com/conciliar/conciliar/store"
)

// retryEvery is how often a page that cannot be shown now asks again, in seconds.
const retryEvery = 5

// A ProblemView is what a page says that cannot be shown, before anybody knows who
// asks: it needs no database.
type ProblemView struct {
	Status int
	// Code is the problem's word; a text of its own is below error in the catalogues.
	Code string
	// RequestID finds the call in the log.
	RequestID string
	// Provider is the display name of who delivers webhooks.
	Provider string
	// Since is when the database was first seen not to answer; the zero time where it is
	// not that.
	Since time.Time
}

// ProblemPage writes what is wrong in the browser's language, what works all the same,
// and since when. While the database does not answer it asks again by itself.
func ProblemPage(w http.ResponseWriter, r *http.Request, view ProblemView) error {
	s, err := loadedSite()
	if err != nil {
		return err
	}
	s = s.naming(view.Provider)
	p := &page{reader: s.readerOf(r), Title: "error.title", Bare: true}
	p.now = time.Now()
	key := view.Code
	if !p.Has("error", key) {
		key = cmp.Or(problemKeys[view.Status], string(store.Internal))
	}
	text, err := p.T("error." + key)
	if err != nil {
		return err
	}
	body := errorView{Text: text, RequestID: view.RequestID, Internal: view.Status == http.StatusInternalServerError}
	if view.Status == http.StatusServiceUnavailable {
		p.wait(&body, r)
		body.Since = view.Since
	}
	p.Body = body
	return s.render(w, r, view.Status, "error", p)
}

// problemKeys are the texts by HTTP status.
var problemKeys = map[int]string{
	http.StatusServiceUnavailable: string(store.Unavailable), http.StatusNotFound: "not_found", http.StatusForbidden: "role",
	http.StatusTooManyRequests: "rate_limited", http.StatusBadRequest: string(store.Invalid),
}

// wait makes the page one about a database that does not answer. What was asked for is
// asked for again; what was sent is not.
func (p *page) wait(body *errorView, r *http.Request) {
	p.Title, body.Waits = "error.unavailable_title", true
	if r.Method == http.MethodGet || r.Method == http.MethodHead {
		p.RefreshEvery, p.Reload = retryEvery, true
		return
	}
	body.Sent = true
}
