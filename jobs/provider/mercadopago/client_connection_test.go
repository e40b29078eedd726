package mercadopago

import (
	"context"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/conciliar/conciliar/jobs/provider"
)

func TestClient_ABrokenConnectionIsUnavailable(t *testing.T) {
	t.Parallel()
	t.Run("nobody listens", func(t *testing.T) {
		t.Parallel()
		server := httptest.NewServer(http.NotFoundHandler())
		address := server.URL
		server.Close()
		client, err := NewClient(Config{BaseURL: address, AccessToken: testToken})
		require.NoError(t, err)
		_, err = client.Payment(t.Context(), "7")
		failed := requireError(t, err, provider.Unavailable, 0)
		require.ErrorContains(t, failed, "connection refused")
	})
	t.Run("cut within the body", func(t *testing.T) {
		t.Parallel()
		client := serve(t, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "1000")
			_, _ = io.WriteString(w, `{"id":7,"x":"`+secretBody)
		})
		_, err := client.Payment(t.Context(), "7")
		requireError(t, err, provider.Unavailable, 200)
	})
	t.Run("cut before the answer", func(t *testing.T) {
		t.Parallel()
		client := serve(t, func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) })
		_, err := client.Payment(t.Context(), "7")
		requireError(t, err, provider.Unavailable, 0)
	})
	t.Run("an answer that is not HTTP", func(t *testing.T) {
		t.Parallel()
		client := serve(t, func(w http.ResponseWriter, _ *http.Request) {
			conn, _, err := w.(http.Hijacker).Hijack()
			if err == nil {
				_, _ = io.WriteString(conn, secretBody+testToken+"\r\n\r\n")
				_ = conn.Close()
			}
		})
		_, err := client.Payment(t.Context(), "7")
		requireError(t, err, provider.Unavailable, 0)
	})
	t.Run("a certificate of nobody", func(t *testing.T) {
		t.Parallel()
		server := httptest.NewUnstartedServer(http.NotFoundHandler())
		server.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
		server.StartTLS()
		t.Cleanup(server.Close)
		client, err := NewClient(Config{BaseURL: server.URL, AccessToken: testToken})
		require.NoError(t, err)
		_, err = client.Payment(t.Context(), "7")
		failed := requireError(t, err, provider.Unavailable, 0)
		require.ErrorContains(t, failed, "certificate")
	})
	for name, part := range map[string]string{"no answer in time": "", "no whole answer in time": `{"id":7,`} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			client := serve(t, func(w http.ResponseWriter, r *http.Request) {
				if part != "" {
					_, _ = io.WriteString(w, part)
					_ = http.NewResponseController(w).Flush()
				}
				<-r.Context().Done()
			}, func(c *Config) { c.Timeout = 20 * time.Millisecond })
			_, err := client.Payment(t.Context(), "7")
			var failed *provider.Error
			require.ErrorAs(t, err, &failed)
			requireError(t, err, provider.Unavailable, failed.StatusCode)
			require.ErrorIs(t, err, context.DeadlineExceeded)
			require.ErrorContains(t, err, "within 20ms")
		})
	}
}

func TestClient_EndsWithItsContext(t *testing.T) {
	t.Parallel()
	for name, part := range map[string]string{"before the answer": "", "within it": `{"id":7,`} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ctx, cancel := context.WithCancel(t.Context())
			client := serve(t, func(w http.ResponseWriter, r *http.Request) {
				if part != "" {
					_, _ = io.WriteString(w, part)
					_ = http.NewResponseController(w).Flush()
				}
				cancel()
				<-r.Context().Done()
			})
			_, err := client.Payment(ctx, "7")
			require.ErrorIs(t, err, context.Canceled)
			require.NotErrorIs(t, err, context.DeadlineExceeded)
			require.ErrorContains(t, err, "given up by the caller")
		})
	}
}

func TestClient_FollowsNoRedirect(t *testing.T) {
	t.Parallel()
	var visited atomic.Int64
	elsewhere := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		visited.Add(1)
		_, _ = w.Write(paymentWith())
	}))
	t.Cleanup(elsewhere.Close)
	for _, status := range []int{301, 302, 303, 307, 308} {
		client := serve(t, func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/here" {
				visited.Add(1)
			}
			target := elsewhere.URL
			if status == 302 {
				target = "/here"
			}
			http.Redirect(w, r, target, status)
		})
		_, err := client.Payment(t.Context(), "7")
		require.ErrorContains(t, requireError(t, err, provider.Unexpected, status), "redirect")
	}
	require.Zero(t, visited.Load())
}

func TestClient_ReadsRetryAfter(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 2, 3, 15, 0, 0, 0, time.UTC)
	for value, want := range map[string]time.Duration{
		"": 0, "0": 0, "7": 7 * time.Second, " 7 ": 7 * time.Second, "007": 7 * time.Second,
		"86400": 24 * time.Hour, "86401": 24 * time.Hour, "99999999999999999999": 24 * time.Hour,
		"9300000000": 24 * time.Hour, "9223372036854775807": 24 * time.Hour,
		"-5": 0, "+5": 0, "1.5": 0, "soon": 0, "5s": 0,
		"Tue, 03 Feb 2026 15:01:30 GMT":   90 * time.Second,
		"Tuesday, 03-Feb-26 15:01:30 GMT": 90 * time.Second,
		"Tue Feb  3 15:01:30 2026":        90 * time.Second,
		"Tue, 03 Feb 2026 14:59:00 GMT":   0,
		"Tue, 03 Feb 2099 15:00:00 GMT":   24 * time.Hour,
	} {
		require.Equal(t, want, retryAfter(value, now), value)
	}
	for _, status := range []int{429, 503} {
		client := serve(t, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Retry-After", "Tue, 03 Feb 2026 15:00:42 GMT")
			w.WriteHeader(status)
		}, func(c *Config) { c.Now = func() time.Time { return now } })
		_, err := client.Payment(t.Context(), "7")
		var failed *provider.Error
		require.ErrorAs(t, err, &failed)
		require.Equal(t, 42*time.Second, failed.RetryAfter)
	}
}
