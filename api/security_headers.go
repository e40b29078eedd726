package api

import (
	"net/http"
	"strings"

	"github.com/gin-gonic/gin"
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

// strictTransport has a browser use nothing but TLS for this host, for a year.
const strictTransport = "max-age=31536000"

// guardConnection says what every answer must say of its connection. A call with a
// chunked body may have had a Content-Length as well, which net/http has dropped:
// a proxy in front that believed it sees another call's start where we see none
// (RFC 9112, section 6.3), so the connection is not used again.
func (a *api) guardConnection(c *gin.Context) {
	if a.sources.secure(c.Request) {
		c.Writer.Header().Set("Strict-Transport-Security", strictTransport)
	}
	if len(c.Request.TransferEncoding) > 0 {
		c.Writer.Header().Set("Connection", "close")
	}
}

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
