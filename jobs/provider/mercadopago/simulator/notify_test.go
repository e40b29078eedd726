package simulator

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestNotification_HasTheShapeOfTheRealOne(t *testing.T) {
	t.Parallel()
	s := setup(t, Config{
		Clock: newClock().Now, LiveMode: true, CollectorID: 77,
		TargetURL: "https://shop.example/hook?client=seller",
	})
	id := s.CreatePayment(PaymentSpec{Amount: money("1")})
	kinds := map[string]bool{}
	requestIDs := map[string]bool{}
	for range 100 {
		req, err := s.SignedRequest(t.Context(), id)
		require.NoError(t, err)
		require.Equal(t, http.MethodPost, req.Method)
		require.Equal(t, "https://shop.example/hook?client=seller&data.id="+id+"&type=payment", req.URL.String())
		require.Equal(t, "application/json", req.Header.Get("Content-Type"))
		require.Equal(t, "MercadoPago WebHook v1.0 payment", req.Header.Get("User-Agent"))
		require.Equal(t, "22000", req.Header.Get("X-Socket-Timeout"))
		require.Equal(t, "0", req.Header.Get("X-Retry"))
		requestID := req.Header.Get("X-Request-Id")
		require.False(t, requestIDs[requestID], "request id used twice")
		requestIDs[requestID] = true

		ts, _, _ := strings.Cut(strings.TrimPrefix(req.Header.Get("X-Signature"), "ts="), ",")
		require.Contains(t, []string{"1772377200", "1772377200123"}, ts)
		kinds[fmt.Sprintf("ts of %d digits", len(ts))] = true
		require.Equal(t, Sign(testSecret, id, requestID, ts), req.Header.Get("X-Signature"))

		body := decode(t, req.Body)
		require.Equal(t, "payment.created", body["action"])
		require.Equal(t, "v1", body["api_version"])
		require.Equal(t, "payment", body["type"])
		require.Equal(t, "2026-03-01T15:00:00Z", body["date_created"])
		require.Equal(t, true, body["live_mode"])
		require.Equal(t, "77", fmt.Sprint(body["user_id"]))
		data := body["data"].(map[string]any)
		require.Equal(t, id, fmt.Sprint(data["id"]))
		for name, value := range map[string]any{"id": body["id"], "data.id": data["id"], "user_id": body["user_id"]} {
			kinds[fmt.Sprintf("%s as %T", name, value)] = true
		}
	}
	for _, kind := range []string{
		"ts of 10 digits", "ts of 13 digits",
		"id as string", "id as json.Number",
		"data.id as string", "data.id as json.Number",
		"user_id as string", "user_id as json.Number",
	} {
		require.True(t, kinds[kind], "%s never came", kind)
	}

	require.NoError(t, s.Move(id, Approved, "accredited", money("0")))
	req, err := s.SignedRequest(t.Context(), id)
	require.NoError(t, err)
	require.Equal(t, "payment.updated", decode(t, req.Body)["action"])
}

func TestNotify_ReturnsTheAnswer(t *testing.T) {
	t.Parallel()
	rc := &receiver{}
	s := setup(t, Config{TargetURL: serve(t, rc)})
	id := s.CreatePayment(PaymentSpec{Amount: money("1")})
	first := s.Notify(t.Context(), id)
	require.Equal(t, Result{StatusCode: 200, QueueID: 1}, first)
	require.True(t, first.Acknowledged())
	require.Equal(t, Result{StatusCode: 200, QueueID: 2}, s.Notify(t.Context(), id), "a delivery of its own")
	require.Zero(t, rc.forged)

	// The same request again is a duplicate.
	req, err := s.SignedRequest(t.Context(), id)
	require.NoError(t, err)
	require.Equal(t, Result{StatusCode: 200, QueueID: 3}, s.send(req))
	req.Body, err = req.GetBody()
	require.NoError(t, err)
	require.Equal(t, Result{StatusCode: 200, QueueID: 3, Duplicate: true}, s.send(req))
}

func TestNotify_ToleratesWhateverIsAnswered(t *testing.T) {
	t.Parallel()
	status, body := 201, "OK"
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Location", "/elsewhere")
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
	}))
	t.Cleanup(server.Close)
	s := setup(t, Config{TargetURL: server.URL})
	id := s.CreatePayment(PaymentSpec{Amount: money("1")})
	require.Equal(t, Result{StatusCode: 201}, s.Notify(t.Context(), id))
	status, body = 302, ""
	moved := s.Notify(t.Context(), id)
	require.Equal(t, Result{StatusCode: 302}, moved, "a redirect is not followed")
	require.False(t, moved.Acknowledged())
	status, body = 500, `{"queue_id":"seven"}`
	require.Equal(t, Result{StatusCode: 500}, s.Notify(t.Context(), id))
}

func TestNotify_TellsWhyNothingCame(t *testing.T) {
	t.Parallel()
	s := setup(t, Config{})
	id := s.CreatePayment(PaymentSpec{Amount: money("1")})
	require.ErrorContains(t, s.Notify(t.Context(), id).Err, "no target")
	require.ErrorIs(t, s.Notify(t.Context(), "5").Err, ErrUnknownPayment)

	server := httptest.NewServer(http.NotFoundHandler())
	server.Close()
	require.NoError(t, s.SetTarget(server.URL+"/?key=hunter2"))
	result := s.Notify(t.Context(), id)
	require.Error(t, result.Err)
	require.NotContains(t, result.Err.Error(), "hunter2")
	require.False(t, result.Acknowledged())

	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	require.ErrorIs(t, s.Notify(ctx, id).Err, context.Canceled)
}

func TestNotify_ASendThatIsCutWasWritten(t *testing.T) {
	t.Parallel()
	for _, answered := range []bool{false, true} {
		arrived := make(chan string, 1)
		handler := http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			body, err := io.ReadAll(r.Body)
			if err != nil {
				t.Error(err)
			}
			arrived <- string(body)
		})
		for _, server := range []*httptest.Server{httptest.NewServer(handler), httptest.NewTLSServer(handler)} {
			t.Cleanup(server.Close)
			s := setup(t, Config{TargetURL: server.URL, HTTPClient: server.Client()})
			req, err := s.SignedRequest(t.Context(), s.CreatePayment(PaymentSpec{Amount: money("1")}))
			require.NoError(t, err)
			require.NoError(t, s.sendAndCut(req, answered))
			require.Contains(t, <-arrived, `"action":"payment.created"`)
		}
	}
}

func TestNotify_ASendThatIsCutTellsWhenItWasNotWritten(t *testing.T) {
	t.Parallel()
	server := httptest.NewServer(http.NotFoundHandler())
	server.Close()
	s := setup(t, Config{TargetURL: server.URL})
	req, err := s.SignedRequest(t.Context(), s.CreatePayment(PaymentSpec{Amount: money("1")}))
	require.NoError(t, err)
	require.Error(t, s.sendAndCut(req, true))
}
