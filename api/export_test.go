package api

import (
	"crypto/sha256"
	"strings"
)

// TokenName is the name under which logs show the token.
func TokenName(token string) string { return string(nameOf(sha256.Sum256([]byte(token)))) }

// EncodeCursor and DecodeCursor are what lists make and read.
var (
	EncodeCursor = func(list string, id int64) string { return encodeCursor(list, byID, id) }
	DecodeCursor = func(list, cursor string) (int64, bool) { return decodeCursor(list, byID, cursor) }
)

// A Route is what a description of the API says of a route.
type Route struct {
	Method, Path string
	// Described routes answer JSON; the others are pages for people.
	Described bool
	// Scheme is the security scheme, or those of which any will do; empty where no
	// token is needed.
	Scheme   string
	Query    []string
	AnyQuery bool
	// Access is who may call it: open, signature, a list of tokens, operator, admin.
	Access string
}

// Routes are the routes of deps, with paths as OpenAPI writes them.
func Routes(deps Deps) []Route {
	schemes := map[access]string{
		accessOpen: "", accessSignature: "", accessStatus: "statusToken", accessProcessQueue: "processQueueToken",
		accessReconcile: "reconcileToken", accessOrders: "ordersToken", accessRecords: "statusToken processQueueToken",
	}
	names := map[access]string{
		accessOpen: "open", accessSignature: "signature", accessStatus: "status", accessProcessQueue: "process_queue",
		accessReconcile: "reconcile", accessOrders: "orders", accessRecords: "records", accessOperator: "operator", accessAdmin: "admin",
	}
	var routes []Route
	for _, r := range (&api{deps: deps}).routes() {
		parts := strings.Split(r.path, "/")
		for i, part := range parts {
			if name, ok := strings.CutPrefix(part, ":"); ok {
				parts[i] = "{" + name + "}"
			}
		}
		scheme, described := schemes[r.access]
		routes = append(routes, Route{r.method, strings.Join(parts, "/"), described, scheme, r.query, r.anyQuery, names[r.access]})
	}
	return routes
}

// Waiting is how many calls wait for the feed.
func (h *Handler) Waiting() int {
	h.api.feed.mu.Lock()
	defer h.api.feed.mu.Unlock()
	if a := h.api.feed.keys[feedKey]; a != nil {
		return a.calls
	}
	return 0
}
