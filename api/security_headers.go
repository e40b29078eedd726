package api

import (
	"net/http"
	"strings"
)

// Content-Security-Policies. Pages may use what we serve ourselves, and nothing
// that stands in the page's own text.
const (
	pagePolicy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; " +
		"form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
	// River UI's stylesheet has pictures within, and its scripts write styles.
	riverUIPolicy = "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; connect-src 'self'; " +
		"form-action 'none'; base-uri 'none'; frame-ancestors 'none'"
)

// guardPages sets what a browser must know of an operator's page before it
// shows it. The referrer is not no-referrer: with that, browsers send no origin
// with forms, and unsafe calls are held to their origin.
func guardPages(h http.Header, path string) {
	policy, keep := pagePolicy, "no-store"
	if strings.HasPrefix(path, riverUIPath) {
		policy = riverUIPolicy
		if strings.HasPrefix(path, riverUIPath+"/assets/") {
			keep = "private, max-age=31536000, immutable" // their names have a hash
		}
	}
	for _, f := range [...]struct{ name, value string }{
		{"Content-Security-Policy", policy},
		{"Cache-Control", keep},
		{"Cross-Origin-Opener-Policy", "same-origin"},
		{"Cross-Origin-Resource-Policy", "same-origin"},
		{"Permissions-Policy", "camera=(), display-capture=(), geolocation=(), microphone=(), payment=(), usb=()"},
		{"Referrer-Policy", "same-origin"},
		{"X-Content-Type-Options", "nosniff"},
		{"X-Frame-Options", "DENY"},
	} {
		h.Set(f.name, f.value)
	}
}
