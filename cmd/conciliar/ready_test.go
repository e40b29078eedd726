package main

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestReady_SaysWhatTheServiceSays(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		status int
		body   string
		code   int
		says   string
	}{
		"ready":      {http.StatusOK, `{"status":"ready"}`, exitDone, "ready\n"},
		"not":        {http.StatusServiceUnavailable, `{"code":"not_ready","detail":"Failing checks: database."}`, exitFailed, "conciliar: not ready: Failing checks: database.\n"},
		"some proxy": {http.StatusBadGateway, `<html>`, exitFailed, "answers 502"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if r.URL.Path != "/readyz" {
					c.status = http.StatusNotFound
				}
				w.WriteHeader(c.status)
				_, _ = w.Write([]byte(c.body))
			})
			plain := httptest.NewServer(handler)
			t.Cleanup(plain.Close)
			got := execute(t, []string{"HTTP_ADDR=" + strings.TrimPrefix(plain.URL, "http://")}, "ready")
			require.Equal(t, c.code, got.code, got.err)
			require.Contains(t, got.out+got.err, c.says)
		})
	}
}

func TestReady_NobodyAnswers(t *testing.T) {
	t.Parallel()
	gone := httptest.NewServer(http.NotFoundHandler())
	gone.Close()
	got := execute(t, nil, "ready", "--url", gone.URL)
	require.Equal(t, exitFailed, got.code)
	require.Contains(t, got.err, "not ready: ")
	got = execute(t, nil, "ready", "--timeout", "0s")
	require.Equal(t, exitUsage, got.code)
	require.Contains(t, got.err, "--timeout")
}
