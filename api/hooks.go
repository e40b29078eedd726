package api

import (
	"net/http"
	"regexp"
	"sync/atomic"

	"github.com/gin-gonic/gin"
)

// hooksPath is where declared senders deliver, each under its name.
const hooksPath = "/hooks"

// reasonSourceUnknown: nobody of that name is declared.
const reasonSourceUnknown = "source_unknown"

// unknownSource is the source of a refused delivery whose path names nobody.
const unknownSource = "unknown"

// Hooks are the senders that are declared in a file: they may be exchanged while the
// service runs. It is safe for concurrent use.
type Hooks struct {
	byPath atomic.Pointer[map[string]*Webhook]
}

// Use makes these the senders. Their addresses are not looked at, and they deliver by
// POST alone.
func (h *Hooks) Use(webhooks []Webhook) {
	byPath := make(map[string]*Webhook, len(webhooks))
	for _, w := range webhooks {
		w.declared = true
		byPath[w.Path] = &w
	}
	h.byPath.Store(&byPath)
}

// at is the sender that delivers to a path; nil for nobody.
func (h *Hooks) at(path string) *Webhook {
	if h == nil || h.byPath.Load() == nil {
		return nil
	}
	return (*h.byPath.Load())[path]
}

// named is the sender of a source; nil for nobody.
func (h *Hooks) named(source string) *Webhook {
	if h == nil || h.byPath.Load() == nil {
		return nil
	}
	for _, w := range *h.byPath.Load() {
		if w.Source == source {
			return w
		}
	}
	return nil
}

// webhookAt is the webhook whose path it is; nil where there is none.
func (a *api) webhookAt(path string) *Webhook {
	for i := range a.deps.Webhooks {
		if a.deps.Webhooks[i].Path == path {
			return &a.deps.Webhooks[i]
		}
	}
	return a.deps.Hooks.at(path)
}

// webhookOf is the webhook of a source; nil where there is none.
func (a *api) webhookOf(source string) *Webhook {
	for i := range a.deps.Webhooks {
		if a.deps.Webhooks[i].Source == source {
			return &a.deps.Webhooks[i]
		}
	}
	return a.deps.Hooks.named(source)
}

// takes reports whether a method is one that the webhook is delivered by.
func (w *Webhook) takes(method string) bool {
	return method == http.MethodPost || method == http.MethodGet && !w.declared
}

// sourceName is what a name in a path must look like to be recorded.
var sourceName = regexp.MustCompile(`^[a-z0-9-]{1,32}$`)

// hook receives the deliveries of declared senders under the common path.
func (a *api) hook(c *gin.Context, ev *requestEvent) error {
	if w := a.deps.Hooks.at(c.Request.URL.Path); w != nil {
		return a.webhook(*w)(c, ev)
	}
	body, release, err := a.bodies.read(c.Request)
	defer release()
	if err != nil {
		return err
	}
	source := unknownSource
	if name := c.Param("name"); sourceName.MatchString(name) {
		source = name
	}
	return a.refuse(c, delivery{webhook: Webhook{Source: source, declared: true}, request: c.Request, body: body, ev: ev},
		reasonSourceUnknown, newProblem(problemNotFound, "No source of this name is declared."))
}
