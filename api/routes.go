package api

import (
	"net/http"
	"strings"

	"github.com/gin-gonic/gin"

	"github.com/conciliar/conciliar/store"
)

// An access says who may call a route.
type access uint8

const (
	// accessOpen: anyone; limited by address.
	accessOpen access = iota + 1
	// accessSignature: anyone; the handler judges the delivery and limits it.
	accessSignature
	// The rest need a token of that list; limited by token.
	accessStatus
	accessProcessQueue
	accessReconcile
	accessOrders
	// accessRecords: STATUS, which sees everything but what senders and the
	// provider wrote, or PROCESS_QUEUE, which sees that too.
	accessRecords
	// accessOperator needs an operator's login, limited as one token; which role a
	// page needs is the dashboard's to say.
	accessOperator
	// accessAdmin needs an admin's login.
	accessAdmin
)

// A handler answers one call. A returned *problem is answered as it is; any
// other error is logged and answered as an internal one.
type handler func(c *gin.Context, ev *requestEvent) error

// A route is one row of the surface.
type route struct {
	method string
	path   string
	access access
	// query are the parameters that the route knows; another one is refused.
	query []string
	// anyQuery lets every query pass: it belongs to the caller, not to us.
	anyQuery bool
	handle   handler
}

// routes is the whole surface, or what a monitor asks of it.
func (a *api) routes() []route {
	table := []route{
		{method: http.MethodGet, path: "/livez", access: accessOpen, anyQuery: true, handle: a.livez},
		{method: http.MethodHead, path: "/livez", access: accessOpen, anyQuery: true, handle: a.livez},
		{method: http.MethodGet, path: "/readyz", access: accessOpen, anyQuery: true, handle: a.readyz},
		{method: http.MethodHead, path: "/readyz", access: accessOpen, anyQuery: true, handle: a.readyz},
		{method: http.MethodGet, path: "/metrics", access: accessStatus, handle: a.showMetrics},
	}
	if a.deps.HealthOnly {
		return table
	}
	table = append(table, []route{
		{method: http.MethodGet, path: "/openapi.yaml", access: accessOpen, handle: a.showOpenAPI},

		{method: http.MethodGet, path: "/api/webhooks/status", access: accessStatus, handle: a.status},
		{method: http.MethodGet, path: "/api/webhooks/runs/:id", access: accessStatus, handle: show(aRun, a.deps.Storage.Run, func(_ *requestEvent, r store.Run) store.Run { return inUTC(r) })},
		{method: http.MethodGet, path: "/api/webhooks/runs/:id/findings", access: accessStatus, query: findingQuery, handle: a.listFindings()},
		{method: http.MethodGet, path: "/api/webhooks/runs/:id/unseen", access: accessStatus, query: pageQuery, handle: a.listUnseen()},
		{method: http.MethodPost, path: "/api/webhooks/reconcile", access: accessReconcile, query: []string{"wait", "trigger"}, handle: a.reconcile},
		{method: http.MethodPost, path: "/api/webhooks/process-queue", access: accessProcessQueue, query: []string{"wait", "limit"}, handle: a.processQueue},

		{method: http.MethodGet, path: eventsPath, access: accessStatus, query: eventQuery, handle: a.listEvents()},
		{method: http.MethodGet, path: eventsPath + "/:queue_id", access: accessRecords, handle: show(anEvent, a.deps.Storage.Event, permitted[store.EventDetail])},
		{method: http.MethodPost, path: eventsPath + "/:queue_id/replay", access: accessProcessQueue, handle: replay(anEvent, a.deps.Storage.ReplayEvent)},

		{method: http.MethodGet, path: deadLettersPath, access: accessStatus, query: deadLetterQuery, handle: a.listDeadLetters()},
		{method: http.MethodGet, path: deadLettersPath + "/:id", access: accessRecords, handle: a.showDeadLetter()},
		{method: http.MethodPost, path: deadLettersPath + "/:id/replay", access: accessProcessQueue, handle: replay(aDeadLetter, a.deps.Storage.ReplayDeadLetter)},
		{method: http.MethodPost, path: deadLettersPath + "/:id/dismiss", access: accessProcessQueue, handle: a.dismissDeadLetter},
		{method: http.MethodPost, path: deadLettersPath + "/replay", access: accessProcessQueue, handle: a.replayDeadLetters},
		{method: http.MethodPost, path: deadLettersPath + "/dismiss", access: accessProcessQueue, handle: a.dismissDeadLetters()},
		{method: http.MethodGet, path: replaysPath + "/:id", access: accessStatus, handle: show(aBulkReplay, a.deps.Storage.BulkReplay, whole[store.BulkReplay])},
		{method: http.MethodDelete, path: replaysPath + "/:id", access: accessProcessQueue, handle: a.cancelReplay()},

		{method: http.MethodGet, path: "/api/webhooks/alerts", access: accessStatus, query: alertQuery, handle: a.listAlerts()},

		{method: http.MethodGet, path: "/api/webhooks/anomalies", access: accessStatus, query: anomalyQuery, handle: a.listAnomalies()},
		{method: http.MethodPost, path: "/api/webhooks/anomalies/resolve", access: accessProcessQueue, handle: a.resolveAnomalies()},
		{method: http.MethodPost, path: "/api/webhooks/anomalies/:id/resolve", access: accessProcessQueue, handle: a.resolveAnomaly},

		{method: http.MethodGet, path: "/api/webhooks/actions", access: accessRecords, query: actionQuery, handle: a.listActions()},

		{method: http.MethodGet, path: "/api/webhooks/refused", access: accessRecords, query: refusedQuery, handle: a.listRefused()},
		{method: http.MethodGet, path: "/api/webhooks/refused/groups", access: accessStatus, query: []string{"reason", "source", "since", "until"}, handle: a.groupRefused},
		{method: http.MethodGet, path: "/api/webhooks/refused/:id", access: accessRecords, handle: show(aRefusal, a.deps.Storage.RefusedDelivery, permitted[store.RefusedDetail])},
		{method: http.MethodGet, path: "/api/webhooks/refused/:id/diagnosis", access: accessStatus, handle: a.diagnoseRefused()},
		{method: http.MethodGet, path: deliveriesPath, access: accessStatus, query: deliveryQuery, handle: a.listDeliveries()},
		{method: http.MethodGet, path: deliveriesPath + "/:id", access: accessRecords, handle: show(aDelivery, a.deps.Storage.Delivery, permitted[store.DeliveryDetail])},
		{method: http.MethodGet, path: "/api/webhooks/sources", access: accessStatus, handle: a.listSources},

		{method: http.MethodGet, path: "/api/payments", access: accessStatus, query: paymentQuery, handle: a.listPayments},
		{method: http.MethodPost, path: "/api/payments/search", access: accessProcessQueue, handle: a.searchPayments},
		{method: http.MethodGet, path: "/api/payments/days", access: accessStatus, query: []string{"since", "until", "time_zone"}, handle: a.sumPayments},

		{method: http.MethodGet, path: ordersPath, access: accessOrders, query: orderQuery, handle: a.listOrders()},
		{method: http.MethodGet, path: ordersPath + "/changes", access: accessOrders, query: []string{"after", "limit", "wait"}, handle: a.listChanges},
		{method: http.MethodGet, path: ordersPath + "/:reference", access: accessOrders, query: []string{"wait"}, handle: a.showOrder},
		{method: http.MethodGet, path: ordersPath + "/:reference/case", access: accessOrders, handle: a.showCase},
		{method: http.MethodPut, path: ordersPath + "/:reference", access: accessOrders, handle: a.putOrder},
		{method: http.MethodPost, path: ordersPath + "/:reference/amend", access: accessOrders, handle: a.amendOrder},
		{method: http.MethodPost, path: ordersPath + "/:reference/cancel", access: accessOrders, handle: a.cancelOrder},

		{method: http.MethodGet, path: payoutsPath, access: accessStatus, query: payoutQuery, handle: a.listPayouts()},
		{method: http.MethodGet, path: payoutsPath + "/:id", access: accessStatus, query: movementQuery, handle: a.showPayout},
	}...)
	table = append(table, a.refundRoutes()...)
	table = append(table, a.operatorRoutes()...)
	table = append(table, route{method: http.MethodPost, path: hooksPath + "/:name", access: accessSignature, anyQuery: true, handle: a.hook})
	for _, w := range a.deps.Webhooks {
		handle := a.webhook(w)
		table = append(table,
			route{method: http.MethodPost, path: w.Path, access: accessSignature, anyQuery: true, handle: handle},
			route{method: http.MethodGet, path: w.Path, access: accessSignature, anyQuery: true, handle: handle},
		)
	}
	return table
}

// adapt turns a handler into Gin's, with the one place where an error becomes
// an answer.
func (a *api) adapt(h handler) gin.HandlerFunc {
	return func(c *gin.Context) {
		ev := eventOf(c)
		if err := h(c, ev); err != nil {
			a.answerError(c, ev, err)
		}
	}
}

// unmatched answers what no route answers. It has a limit of its own: a caller
// that guesses paths must not use up the limit of the health checks.
func (a *api) unmatched(kind *ProblemKind, detail string) handler {
	return func(c *gin.Context, ev *requestEvent) error {
		ev.remote = a.sources.client(c.Request)
		if err := a.lost.chargeFor(c, a.now(), keyOf(ev.remote), "Too many calls from this address to paths that do not exist."); err != nil {
			return err
		}
		if kind == problemNotFound {
			return newProblem(kind, detail+slashHint(c.Request.URL.EscapedPath()))
		}
		return newProblem(kind, detail)
	}
}

// slashHint says what is wrong with a path that has a reference's slash as it is.
func slashHint(path string) string {
	if reference, found := strings.CutPrefix(path, ordersPath+"/"); found && strings.Contains(reference, "/") {
		return " A slash in an order's reference is written %2F."
	}
	return ""
}

// guard puts a route's checks before its handler: the body's limit, who calls,
// how often, and the query.
func (a *api) guard(r route) handler {
	return func(c *gin.Context, ev *requestEvent) error {
		ev.remote = a.sources.client(c.Request)
		if r.access == accessSignature {
			return r.handle(c, ev)
		}
		if c.Request.ContentLength > maxBody {
			return bodyTooLarge()
		}
		if r.access == accessOperator || r.access == accessAdmin {
			return a.requireOperator(c, ev, r)
		}
		if r.access == accessOpen {
			if err := a.byAddress.charge(c, a.now(), keyOf(ev.remote)); err != nil {
				return err
			}
		} else {
			token, list, err := a.tokens.admit(c, r.access, a.now(), ev.remote)
			if err != nil {
				return err
			}
			ev.token, ev.list = token, list
			if err := a.byToken.charge(c, a.now(), token); err != nil {
				return err
			}
		}
		if !r.anyQuery {
			if err := checkQuery(c.Request.URL.RawQuery, r.query); err != nil {
				return err
			}
		}
		return r.handle(c, ev)
	}
}
