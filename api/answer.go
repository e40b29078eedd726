package api

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"github.com/gin-gonic/gin"
)

func setRetryAfter(h http.Header, wait time.Duration) {
	h["Retry-After"] = []string{strconv.FormatInt(ceilSeconds(wait), 10)}
}

// ceilSeconds rounds up, to 1 at least: a caller told to wait for 0 seconds
// would come back at once.
func ceilSeconds(d time.Duration) int64 {
	return max(1, int64((d+time.Second-1)/time.Second))
}

// answerJSON answers v. After an error, over a value that cannot be JSON,
// nothing has been sent.
func answerJSON(c *gin.Context, status int, v any) error {
	return writeJSON(c, status, "application/json", v)
}

func writeJSON(c *gin.Context, status int, contentType string, v any) error {
	var body bytes.Buffer
	enc := json.NewEncoder(&body)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return fmt.Errorf("encode the answer: %w", err)
	}
	writeBody(c, status, contentType, body.Bytes())
	return nil
}

func writeBody(c *gin.Context, status int, contentType string, body []byte) {
	h := c.Writer.Header()
	h["Content-Type"] = []string{contentType}
	h["Content-Length"] = []string{strconv.Itoa(len(body))}
	h["Cache-Control"] = []string{"no-store"}
	h["X-Content-Type-Options"] = []string{"nosniff"}
	c.Writer.WriteHeader(status)
	if c.Request.Method == http.MethodHead {
		c.Writer.WriteHeaderNow()
		return
	}
	// A failure here means that the caller is gone; there is nobody to tell.
	_, _ = c.Writer.Write(body)
}

// clip shortens what came from outside before it is logged or answered.
func clip(s string, most int) string {
	if len(s) <= most {
		return s
	}
	return s[:most] + "…"
}
