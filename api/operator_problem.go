package api

import (
	"net/http"
	"strings"
	"sync/atomic"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/conciliar/conciliar/api/dashboard"
)

// An outage remembers since when the database has not answered operators.
type outage struct{ since atomic.Pointer[time.Time] }

// began notes that it does not, and returns since when.
func (o *outage) began(now time.Time) time.Time {
	o.since.CompareAndSwap(nil, &now)
	if since := o.since.Load(); since != nil {
		return *since
	}
	return now
}

// ended notes that it does.
func (o *outage) ended() {
	if o.since.Load() != nil {
		o.since.Store(nil)
	}
}

// wantsPage reports whether a person asks for one of the operator's pages: programs,
// and the scripts of pages, get a problem as everywhere else.
func wantsPage(r *http.Request) bool {
	path := r.URL.Path
	below := func(base string) bool { return path == base || strings.HasPrefix(path, base+"/") }
	if !below(dashboardPath) && !below(riverUIPath) || strings.HasPrefix(path, assetsPath) || below(riverUIPath+"/api") {
		return false
	}
	return strings.Contains(r.Header.Get("Accept"), "text/html")
}

// showProblem answers a problem as a page, which needs no database.
func (a *api) showProblem(c *gin.Context, ev *requestEvent, p *problem) error {
	h := c.Writer.Header()
	guardPages(h, c.Request.URL.Path)
	view := dashboard.ProblemView{Status: p.kind.Status, Code: p.kind.Code, RequestID: ev.id, Provider: a.deps.Provider}
	if p.kind == problemStorage {
		view.Since = a.outage.began(a.now())
	}
	if p.retryAfter > 0 {
		setRetryAfter(h, p.retryAfter)
	}
	if p.closes {
		h["Connection"] = []string{"close"}
	}
	return dashboard.ProblemPage(c.Writer, c.Request, view)
}
