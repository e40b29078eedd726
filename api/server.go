package api

import (
	"log/slog"
	"net/http"
	"time"
)

const (
	// A sender that trickles its headers or its body holds a connection for no
	// longer than this.
	readHeaderTimeout = 5 * time.Second
	readTimeout       = 15 * time.Second
	// writeTimeout is longer than the longest answer takes: operations wait up
	// to 30 s for their end.
	writeTimeout = 60 * time.Second
	// idleTimeout is longer than the 60 s of the usual proxies: were it shorter,
	// they would send on connections that we are closing.
	idleTimeout = 75 * time.Second
	// maxHeaderBytes is far more than providers and proxies send together.
	maxHeaderBytes = 32 << 10
)

// NewServer returns the server for h on addr, with limits against callers that
// are slow or send too much. What fails below HTTP is logged as a warning.
func NewServer(addr string, h http.Handler, logger *slog.Logger) *http.Server {
	return &http.Server{
		Addr:              addr,
		Handler:           h,
		ReadHeaderTimeout: readHeaderTimeout,
		ReadTimeout:       readTimeout,
		WriteTimeout:      writeTimeout,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    maxHeaderBytes,
		ErrorLog:          slog.NewLogLogger(logger.Handler(), slog.LevelWarn),
	}
}
