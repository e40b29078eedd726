package api

import (
	"net/http"
	"path"
	"strings"

	"github.com/gin-gonic/gin"
)

const (
	reasonPathUnknown      = "path_unknown"
	reasonMethodNotAllowed = "method_not_allowed"
)

// unrouted answers what no route answers. A webhook's path with a slash more is
// the webhook's path: a merchant who mistyped it in the provider's panel would lose
// every delivery. What was meant for a webhook, by its signature or by a path near its
// own, is kept among the refused deliveries, so that somebody can find it.
func (a *api) unrouted(kind *ProblemKind, reason, detail string) handler {
	refuse := a.unmatched(kind, detail)
	return func(c *gin.Context, ev *requestEvent) error {
		w, exact := a.webhookMeant(c.Request)
		switch {
		case w == nil:
			return refuse(c, ev)
		case exact && w.takes(c.Request.Method):
			ev.remote = a.sources.client(c.Request)
			return a.webhook(*w)(c, ev)
		}
		ev.remote = a.sources.client(c.Request)
		body, release, err := a.bodies.read(c.Request)
		defer release()
		if err != nil {
			return err
		}
		return a.refuse(c, delivery{webhook: *w, request: c.Request, body: body, ev: ev}, reason, newProblem(kind, detail))
	}
}

// webhookMeant is the webhook that a call without a route was meant for, nil for
// none; exact when its path is the webhook's but for slashes.
func (a *api) webhookMeant(r *http.Request) (w *Webhook, exact bool) {
	clean := path.Clean("/" + strings.TrimRight(r.URL.Path, "/"))
	if w := a.webhookAt(clean); w != nil && !strings.Contains(r.URL.EscapedPath(), "%") && !strings.Contains(r.URL.Path, "/.") {
		return w, true
	}
	for i := range a.deps.Webhooks {
		w := &a.deps.Webhooks[i]
		mistyped := strings.Contains(strings.ToLower(clean), path.Base(w.Path)) && !strings.HasPrefix(clean, "/api/webhooks")
		if mistyped || r.Header.Get("X-Signature") != "" {
			return w, false
		}
	}
	return nil, false
}
