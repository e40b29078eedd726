// Package api is the HTTP surface: its URLs, statuses and JSON, who may call
// what and how often, and one log line for each call.
//
// routes.go holds the whole surface as one table. Handlers return errors: a
// problem (RFC 9457) is answered as it is, anything else is logged with the
// request's id and answered without detail.
package api
