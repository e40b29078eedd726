package api

import (
	"fmt"
	"net/http"
	"sync"
	"time"

	"github.com/gin-gonic/gin"
)

// api holds what the handlers share.
type api struct {
	deps     Deps
	now      func() time.Time
	tokens   *tokenAuth
	operator *operatorLogin
	// sources tells the sender's address from the proxies'.
	sources *sources
	bodies  *bodyReader
	ready   *readiness
	// waits are those for an order, feed those for the feed of order events.
	waits   *waits
	feed    *waits
	metrics *metrics
	// outage is the database's, as operators meet it.
	outage outage

	byToken   *limiter[tokenName]
	byAddress *limiter[addressKey]
	// lost limits calls to what is not there.
	lost *limiter[addressKey]
	// unbound are the signatures without an id and what they asked for.
	unbound *seenAsks
	// Webhooks that fail verification, and accepted ones that have none.
	failing  *limiter[addressKey]
	unsigned *limiter[addressKey]
}

// releaseMode quiets Gin, which otherwise prints every route when it starts.
var releaseMode = sync.OnceFunc(func() { gin.SetMode(gin.ReleaseMode) })

// A Handler is the whole surface.
type Handler struct {
	http.Handler
	api *api
}

// Admit replaces who is let in: tokens, and operators unless there are no pages. A
// login ends when what it was given for has changed. The error names what is wrong;
// nothing is replaced then.
func (h *Handler) Admit(tokens Tokens, operators []Operator) error {
	if err := tokens.validate(); err != nil {
		return err
	}
	if !h.api.deps.HealthOnly {
		known, err := newAccounts(operators)
		if err != nil {
			return err
		}
		h.api.operator.accounts.Store(known)
	}
	h.api.tokens.use(tokens)
	return nil
}

// New returns the surface. Its error names everything that deps lack.
func New(deps Deps) (*Handler, error) {
	if err := deps.validate(); err != nil {
		return nil, err
	}
	releaseMode()
	a := &api{deps: deps, now: deps.Now, bodies: newBodyReader(), unbound: &seenAsks{}}
	if a.now == nil {
		a.now = time.Now
	}
	a.tokens = newTokenAuth(deps.Tokens, newLimiter[addressKey]("failed-auth", deps.UnverifiedRate, unverifiedBurst))
	a.operator = newOperatorLogin()
	a.sources = newSources(deps.SourceIPMode, deps.TrustedProxies, deps.SourceIPCIDRs)
	a.ready = newReadiness(deps.Ready, deps.Logger)
	a.metrics = newMetrics(deps.Registry, deps.Webhooks)
	if !deps.HealthOnly {
		a.waits = newWaits(ordersPoll, deps.Storage.OrderVersions, deps.Stopping, deps.Logger)
		a.feed = newWaits(feedPoll, feedVersion(deps.Storage), deps.Stopping, deps.Logger)
	}
	if deps.Registry != nil && !deps.HealthOnly {
		if err := deps.Registry.Register(newStoreCollector(deps.Storage, deps.Logger)); err != nil {
			return nil, fmt.Errorf("metrics: %w", err)
		}
	}
	a.byToken = newLimiter[tokenName]("token", deps.APIRate, apiBurst)
	a.byAddress = newLimiter[addressKey]("address", deps.APIRate, apiBurst)
	a.lost = newLimiter[addressKey]("lost", deps.UnverifiedRate, unverifiedBurst)
	a.failing = newLimiter[addressKey]("failed", deps.UnverifiedRate, unverifiedBurst)
	a.unsigned = newLimiter[addressKey]("unsigned", deps.UnverifiedRate, unverifiedBurst)

	engine := gin.New()
	// A reference may hold an encoded slash, so routes match the path as it was
	// sent, and handlers decode their part of it. A path is never corrected: a
	// redirect would turn a PUT into something else.
	engine.UseEscapedPath = true
	engine.UnescapePathValues = false
	engine.RedirectTrailingSlash = false
	engine.HandleMethodNotAllowed = true
	engine.Use(a.observe)
	engine.NoRoute(a.adapt(a.unrouted(problemNotFound, reasonPathUnknown, "There is nothing at this path.")))
	engine.NoMethod(a.adapt(a.unrouted(problemMethodNotAllowed, reasonMethodNotAllowed,
		"This path does not support this method; the Allow header lists those it does.")))
	for _, r := range a.routes() {
		engine.Handle(r.method, r.path, a.adapt(a.guard(r)))
	}
	h := &Handler{Handler: traced(engine, deps.TracerProvider), api: a}
	if err := h.Admit(deps.Tokens, deps.Operators); err != nil {
		return nil, err
	}
	return h, nil
}
