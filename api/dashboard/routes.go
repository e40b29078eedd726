package dashboard

import (
	"net/http"
	"strings"
)

// A route is one row of the surface. Its pattern is one of net/http's.
type route struct {
	pattern string
	handle  handler
	// needs is the least role that may call it.
	needs Role
}

// A RouteNeed is a page or an action, and the least role that may have it.
type RouteNeed struct {
	Method, Path string
	Role         Role
}

// RouteNeeds lists all pages and actions, those of refunds included.
func RouteNeeds() []RouteNeed {
	var needs []RouteNeed
	for _, r := range (&dashboard{deps: Deps{Refunds: true}}).routes() {
		method, path, _ := strings.Cut(r.pattern, " ")
		needs = append(needs, RouteNeed{method, path, r.needs})
	}
	return needs
}

// byID is a handler about what the path's id names.
func byID(h func(c *call, id int64) error) handler {
	return func(c *call) error {
		id, err := c.id()
		if err != nil {
			return err
		}
		return h(c, id)
	}
}

// routes are all pages and actions. An action ends in a redirect, so that a
// page which is loaded again does nothing again.
func (d *dashboard) routes() []route {
	get := func(path string, h handler) route { return route{http.MethodGet + " " + path, h, RoleViewer} }
	post := func(path string, h handler) route { return route{http.MethodPost + " " + path, h, RoleOperator} }
	needs := func(role Role, r route) route { r.needs = role; return r }
	all := []route{
		get("/dashboard", d.overview),
		get("/dashboard/{$}", d.overview),
		needs(RoleAdmin, post("/dashboard/queues/resume", d.resumeQueue)),
		get("/dashboard/events", d.events),
		get("/dashboard/events/{id}", byID(d.event)),
		post("/dashboard/events/{id}/replay", byID(d.replayEvent)),
		get("/dashboard/search", d.search),
		needs(RoleViewer, post("/dashboard/search", d.searchByForm)),
		get("/dashboard/orders", d.orders),
		get("/dashboard/orders/case", d.orderCase),
		post("/dashboard/orders/amend", d.amendOrder),
		post("/dashboard/orders/cancel", d.cancelOrder),
		get("/dashboard/payments", d.payments),
		get("/dashboard/payments/days", d.paymentDays),
		get("/dashboard/payouts", d.payouts),
		get("/dashboard/export", d.export),
		get("/dashboard/dead-letters", d.deadLetters),
		post("/dashboard/dead-letters/replay-chosen", d.replayChosen),
		needs(RoleOperator, get("/dashboard/dead-letters/replay", d.confirmReplay)),
		post("/dashboard/dead-letters/replay", d.replayAll),
		needs(RoleOperator, get("/dashboard/dead-letters/dismiss", d.confirmDismiss)),
		post("/dashboard/dead-letters/dismiss", d.dismissAll),
		get("/dashboard/dead-letters/{id}", byID(d.deadLetter)),
		post("/dashboard/dead-letters/{id}/reopen", byID(d.reopenDeadLetter)),
		post("/dashboard/dead-letters/{id}/replay", byID(d.replayDeadLetter)),
		post("/dashboard/dead-letters/{id}/dismiss", byID(d.dismissDeadLetter)),
		get("/dashboard/replays", d.bulkReplays),
		get("/dashboard/replays/{id}", byID(d.bulkReplay)),
		post("/dashboard/replays/{id}/cancel", byID(d.cancelBulkReplay)),
		get("/dashboard/anomalies", d.anomalies),
		needs(RoleOperator, get("/dashboard/anomalies/resolve", d.confirmResolve)),
		post("/dashboard/anomalies/resolve", d.resolveAll),
		get("/dashboard/anomalies/{id}", byID(d.anomaly)),
		post("/dashboard/anomalies/{id}/reopen", byID(d.reopenAnomaly)),
		post("/dashboard/anomalies/{id}/resolve", byID(d.resolveAnomaly)),
		get("/dashboard/runs", d.runs),
		post("/dashboard/runs", d.startRun),
		get("/dashboard/runs/{id}", byID(d.run)),
		get("/dashboard/runs/{id}/findings", byID(d.findings)),
		get("/dashboard/deliveries", d.deliveries),
		get("/dashboard/deliveries/{id}", byID(d.delivery)),
		post("/dashboard/deliveries/{id}/replay", byID(d.replayDelivery)),
		post("/dashboard/deliveries/{id}/dismiss", byID(d.dismissDelivery)),
		post("/dashboard/receivers/stop", d.stopReceiver),
		post("/dashboard/receivers/start", d.startReceiver),
		get("/dashboard/refused", d.refused),
		get("/dashboard/refused/{id}", byID(d.refusal)),
		needs(RoleOperator, get("/dashboard/actions", d.actions)),
		needs(RoleAdmin, get("/dashboard/logins", d.logins)),
		needs(RoleAdmin, post("/dashboard/logins/{id}/end", byID(d.endLogin))),
	}
	if !d.deps.Refunds {
		return all
	}
	return append(all, get("/dashboard/refunds", d.refunds), get("/dashboard/refunds/{id}", d.showRefund), needs(RoleAdmin, post("/dashboard/refunds", d.refund)))
}
