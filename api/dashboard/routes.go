package dashboard

import "net/http"

// A route is one row of the surface. Its pattern is one of net/http's.
type route struct {
	pattern string
	handle  handler
}

// routes are all pages and actions. An action ends in a redirect, so that a
// page which is loaded again does nothing again.
func (d *dashboard) routes() []route {
	get := func(path string, h handler) route { return route{http.MethodGet + " " + path, h} }
	post := func(path string, h handler) route { return route{http.MethodPost + " " + path, h} }
	return []route{
		get("/dashboard", d.overview),
		get("/dashboard/{$}", d.overview),
		get("/dashboard/events", d.events),
		get("/dashboard/events/{id}", d.event),
		post("/dashboard/events/{id}/replay", d.replayEvent),
		get("/dashboard/search", d.search),
		get("/dashboard/orders", d.orders),
		post("/dashboard/orders/amend", d.amendOrder),
		post("/dashboard/orders/cancel", d.cancelOrder),
		get("/dashboard/dead-letters", d.deadLetters),
		post("/dashboard/dead-letters/replay-chosen", d.replayChosen),
		get("/dashboard/dead-letters/replay", d.confirmReplay),
		post("/dashboard/dead-letters/replay", d.replayAll),
		get("/dashboard/dead-letters/{id}", d.deadLetter),
		post("/dashboard/dead-letters/{id}/replay", d.replayDeadLetter),
		post("/dashboard/dead-letters/{id}/dismiss", d.dismissDeadLetter),
		get("/dashboard/replays/{id}", d.bulkReplay),
		post("/dashboard/replays/{id}/cancel", d.cancelBulkReplay),
		get("/dashboard/anomalies", d.anomalies),
		get("/dashboard/anomalies/{id}", d.anomaly),
		post("/dashboard/anomalies/{id}/resolve", d.resolveAnomaly),
		get("/dashboard/runs", d.runs),
		post("/dashboard/runs", d.startRun),
		get("/dashboard/runs/{id}", d.run),
		get("/dashboard/refused", d.refused),
		get("/dashboard/refused/{id}", d.refusal),
	}
}
