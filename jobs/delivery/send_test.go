package delivery

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"
	"github.com/stretchr/testify/require"
)

// shop is a receiver on the loopback address.
func shop(t *testing.T, handler http.HandlerFunc) (*Engine, Receiver) {
	t.Helper()
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	receiver := Receiver{Name: "order_events", URL: server.URL + "/hooks?token=hidden", AllowPrivate: true}
	engine := New(Options{UserAgent: "conciliar/test"})
	require.NoError(t, engine.Use("order_events", receiver))
	return engine, receiver
}

// answering is a shop that gives one answer.
func answering(t *testing.T, status int, header ...string) *Engine {
	t.Helper()
	engine, _ := shop(t, func(w http.ResponseWriter, _ *http.Request) {
		for i := 0; i < len(header); i += 2 {
			w.Header().Set(header[i], header[i+1])
		}
		w.WriteHeader(status)
		_, _ = io.WriteString(w, "said\x00 the\n\tshop\xff")
	})
	return engine
}

func send(t *testing.T, engine *Engine, n int) Answer {
	t.Helper()
	answer, err := engine.Send(t.Context(), "order_events", n, Message{ID: "7", Body: []byte(`{"type":"order.paid"}`), At: time.Now()})
	require.NoError(t, err)
	return answer
}

func TestSend_PostsTheMessageSigned(t *testing.T) {
	t.Parallel()
	secrets := []string{newSecret(), newSecret()}
	got := make(chan *http.Request, 1)
	bodies := make(chan []byte, 1)
	engine, receiver := shop(t, func(_ http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err == nil {
			got <- r
			bodies <- body
		}
	})
	var err error
	receiver.Signer, err = NewSigner(secrets)
	require.NoError(t, err)
	require.NoError(t, engine.Use("order_events", receiver))

	answer := send(t, engine, 1)
	require.True(t, answer.Accepted(), "%+v", answer)
	require.Zero(t, answer.Wait)
	req, body := <-got, <-bodies
	require.Equal(t, http.MethodPost, req.Method)
	require.Equal(t, "application/json", req.Header.Get("Content-Type"))
	require.Equal(t, "conciliar/test", req.Header.Get("User-Agent"))
	require.Equal(t, "7", req.Header.Get("webhook-id"))
	require.Empty(t, req.Header.Get("traceparent"))
	require.JSONEq(t, `{"type":"order.paid"}`, string(body))
	// Whoever knows either secret verifies it with the specification's library.
	for _, secret := range secrets {
		hook, err := standardwebhooks.NewWebhook(secret)
		require.NoError(t, err)
		require.NoError(t, hook.Verify(body, req.Header))
	}
	stranger, err := standardwebhooks.NewWebhook(newSecret())
	require.NoError(t, err)
	require.Error(t, stranger.Verify(body, req.Header))
}

// The example of the specification's own libraries.
func TestSigner_SignsAsTheSpecificationDoes(t *testing.T) {
	t.Parallel()
	signer, err := NewSigner([]string{"whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"})
	require.NoError(t, err)
	signature, err := signer.sign("msg_p5jXN8AQM9LWM0D4loKWxJek", time.Unix(1614265330, 0), []byte(`{"test": 2432232314}`))
	require.NoError(t, err)
	require.Equal(t, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=", signature)
	_, err = NewSigner(nil)
	require.Error(t, err)
	_, err = NewSigner([]string{"whsec_no base64 at all"})
	require.Error(t, err)
	require.NotContains(t, err.Error(), "at all")
}

func TestSend_KnowsWhatAStatusMeans(t *testing.T) {
	t.Parallel()
	for status, class := range map[int]string{
		200: "", 201: "", 204: "", 299: "",
		300: ClassRedirected, 302: ClassRedirected, 308: ClassRedirected, 304: ClassRedirected,
		400: ClassRefused, 401: ClassRefused, 404: ClassRefused, 409: ClassRefused, 500: ClassRefused, 503: ClassRefused,
		410: ClassGone, 429: ClassRateLimited,
	} {
		answer := send(t, answering(t, status), 1)
		require.Equal(t, status, answer.Status)
		require.Equal(t, class, answer.Class, "%d", status)
		switch class {
		case "", ClassGone:
			require.Zero(t, answer.Wait, "%d", status)
		default:
			require.GreaterOrEqual(t, answer.Wait, 5*time.Second, "%d", status)
			require.LessOrEqual(t, answer.Wait, 5500*time.Millisecond, "%d", status)
		}
	}
}

func TestSend_AcceptsWhatTheReceiverIsSaidToAnswer(t *testing.T) {
	t.Parallel()
	engine, receiver := shop(t, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusConflict) })
	receiver.Accept = []Statuses{{200, 204}, {409, 409}}
	require.NoError(t, engine.Use("order_events", receiver))
	require.True(t, send(t, engine, 1).Accepted())
}

func TestSend_WaitsLongerEachTimeAndThenNoMore(t *testing.T) {
	t.Parallel()
	engine := answering(t, http.StatusInternalServerError)
	waits := DefaultWaits()
	require.Len(t, waits, 10)
	for n, wait := range waits {
		answer := send(t, engine, n+1)
		require.GreaterOrEqual(t, answer.Wait, wait)
		require.LessOrEqual(t, answer.Wait, wait+wait/10)
	}
	require.Zero(t, send(t, engine, 11).Wait)
}

func TestSend_HonoursRetryAfter(t *testing.T) {
	t.Parallel()
	engine := answering(t, http.StatusTooManyRequests, "Retry-After", "120")
	require.Zero(t, engine.HeldUntil("order_events"))
	require.Equal(t, 2*time.Minute, send(t, engine, 1).Wait)
	require.WithinDuration(t, time.Now().Add(2*time.Minute), engine.HeldUntil("order_events"), 10*time.Second)
	// The schedule's wait stands where it is longer, and a day is the most.
	require.GreaterOrEqual(t, send(t, engine, 5).Wait, 30*time.Minute)
	require.Equal(t, 24*time.Hour, send(t, answering(t, http.StatusTooManyRequests, "Retry-After", "999999"), 1).Wait)
	date := time.Now().Add(time.Hour).UTC().Format(http.TimeFormat)
	require.Greater(t, send(t, answering(t, http.StatusServiceUnavailable, "Retry-After", date), 1).Wait, 50*time.Minute)
	require.Less(t, send(t, answering(t, http.StatusTooManyRequests, "Retry-After", "soon"), 1).Wait, 6*time.Second)
}

func TestSend_FollowsNoRedirect(t *testing.T) {
	t.Parallel()
	elsewhere := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("the redirect was followed") }))
	t.Cleanup(elsewhere.Close)
	require.Equal(t, ClassRedirected, send(t, answering(t, http.StatusPermanentRedirect, "Location", elsewhere.URL), 1).Class)
}

func TestSend_ReadsALineOfTheAnswer(t *testing.T) {
	t.Parallel()
	require.Equal(t, "said  the  shop", send(t, answering(t, http.StatusOK), 1).Text)
	engine, _ := shop(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, strings.Repeat("ñ", 1<<20)) })
	answer := send(t, engine, 1)
	require.True(t, answer.Accepted())
	require.LessOrEqual(t, len(answer.Text), maxText)
	require.NotContains(t, answer.Text, "\uFFFD")
}

// What has said 200 has been told; what it says then may take for ever.
func TestSend_AcceptsA200ThatHangs(t *testing.T) {
	t.Parallel()
	engine, _ := shop(t, func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body) // only then the server sees that the client goes away
		_ = http.NewResponseController(w).Flush()
		<-r.Context().Done()
	})
	answer := send(t, engine, 1)
	require.True(t, answer.Accepted(), "%+v", answer)
}

func TestSend_GivesUpOnWhatNeverAnswers(t *testing.T) {
	t.Parallel()
	engine, receiver := shop(t, func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		<-r.Context().Done()
	})
	receiver.Timeout = 50 * time.Millisecond
	require.NoError(t, engine.Use("order_events", receiver))
	answer := send(t, engine, 1)
	require.Equal(t, ClassTimeout, answer.Class)
	require.Zero(t, answer.Status)
	require.NotZero(t, answer.Wait)
}

func TestSend_BoundsTheHeader(t *testing.T) {
	t.Parallel()
	answer := send(t, answering(t, http.StatusOK, "X-Long", strings.Repeat("a", 2*maxAnswerHeader)), 1)
	require.False(t, answer.Accepted())
	require.Zero(t, answer.Status)
}

func TestSend_SaysWhyNoConnectionWasMade(t *testing.T) {
	t.Parallel()
	// A port that nobody listens at.
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	address := listener.Addr().String()
	require.NoError(t, listener.Close())
	server := httptest.NewTLSServer(http.NotFoundHandler())
	t.Cleanup(server.Close)
	server.Config.ErrorLog = nil
	for url, class := range map[string]string{
		"http://" + address + "/?token=hidden":     ClassUnreachable,
		"http://shop.invalid/?token=hidden":        ClassUnreachable,
		server.URL + "/?token=hidden":              ClassTLS, // nobody knows its certificate
		"https://" + plain(t) + "/?token=hidden":   ClassTLS,
		"https://shop.invalid:99999/?token=hidden": ClassUnreachable,
	} {
		engine := New(Options{})
		require.NoError(t, engine.Use("", Receiver{Name: "order_events", URL: url, AllowPrivate: true}))
		answer := send(t, engine, 1)
		require.Equal(t, class, answer.Class, "%s: %v", url, answer.Err)
		require.Error(t, answer.Err)
		require.NotContains(t, answer.Err.Error(), "hidden")
	}
}

// plain is the address of a server without TLS.
func plain(t *testing.T) string {
	t.Helper()
	server := httptest.NewServer(http.NotFoundHandler())
	t.Cleanup(server.Close)
	return server.Listener.Addr().String()
}

// The check is made on the address that is connected to, so a name is not a way around.
func TestSend_RefusesPrivateAddressesWhateverTheirName(t *testing.T) {
	t.Parallel()
	server := httptest.NewTLSServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("a private address was connected to") }))
	t.Cleanup(server.Close)
	_, port, err := net.SplitHostPort(server.Listener.Addr().String())
	require.NoError(t, err)
	for _, host := range []string{"127.0.0.1", "localhost", "[::ffff:127.0.0.1]", "0.0.0.0", "127.1", "2130706433", "[::1]"} {
		engine := New(Options{})
		require.NoError(t, engine.Use("", Receiver{Name: "order_events", URL: fmt.Sprintf("https://%s:%s/", host, port)}))
		answer := send(t, engine, 1)
		require.Contains(t, []string{ClassPrivateAddress, ClassUnreachable}, answer.Class, host)
		require.False(t, answer.Accepted(), host)
	}
	engine := New(Options{})
	require.NoError(t, engine.Use("", Receiver{Name: "order_events", URL: "https://localhost:" + port}))
	require.Equal(t, ClassPrivateAddress, send(t, engine, 1).Class)
}

func TestSend_HasHeadersOfTheMessageButNotOfTheConnection(t *testing.T) {
	t.Parallel()
	got := make(chan http.Header, 1)
	engine, _ := shop(t, func(_ http.ResponseWriter, r *http.Request) { got <- r.Header })
	answer, err := engine.Send(t.Context(), "order_events", 1, Message{Headers: map[string]string{"X-Type": "push", "content-type": "text/plain"}})
	require.NoError(t, err)
	require.True(t, answer.Accepted())
	header := <-got
	require.Equal(t, "push", header.Get("X-Type"))
	require.Equal(t, "text/plain", header.Get("Content-Type"))
	for _, name := range []string{"host", "Content-Length", "transfer-encoding", "Webhook-Signature", "webhook-id", "user-agent", "bad name", "X-Bad\r\nX-Other"} {
		answer, err := engine.Send(t.Context(), "order_events", 1, Message{Headers: map[string]string{name: "x"}})
		require.NoError(t, err)
		require.False(t, answer.Accepted(), name)
	}
	answer, err = engine.Send(t.Context(), "order_events", 1, Message{Headers: map[string]string{"X-Type": "a\r\nX-Other: b"}})
	require.NoError(t, err)
	require.False(t, answer.Accepted())
}

// An attempt that a stopping process cut off says nothing about the receiver.
func TestSend_SaysNothingOfAnAttemptThatWasCutOff(t *testing.T) {
	t.Parallel()
	began := make(chan struct{})
	engine, _ := shop(t, func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		close(began)
		<-r.Context().Done()
	})
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		<-began
		cancel()
	}()
	_, err := engine.Send(ctx, "order_events", 1, Message{})
	require.ErrorIs(t, err, context.Canceled)
	_, err = engine.Send(t.Context(), "source:nobody", 1, Message{})
	require.ErrorIs(t, err, ErrUnknownReceiver)
}

func TestUse_ReplacesItsOwnReceiversAlone(t *testing.T) {
	t.Parallel()
	engine := New(Options{})
	events := Receiver{Name: "order_events", URL: "https://shop.example.com"}
	require.NoError(t, engine.Use("order_events", events))
	require.NoError(t, engine.Use("source:", Receiver{Name: "source:github", URL: "https://ci.example.com"}, Receiver{Name: "source:own", URL: "https://own.example.com"}))
	require.NoError(t, engine.Use("source:", Receiver{Name: "source:own", URL: "https://own.example.com"}))
	require.Equal(t, []string{"order_events", "source:own"}, engine.Names())
	require.NoError(t, engine.Use("order_events"))
	require.Equal(t, []string{"source:own"}, engine.Names())

	for _, bad := range []Receiver{
		{Name: "Order Events", URL: "https://shop.example.com"},
		{Name: "order_events", URL: "https://shop.example.com"}, // not of this prefix
		{Name: "source:own", URL: "http://shop.example.com/hidden"},
		{Name: "source:own", URL: "ftp://shop.example.com/hidden"},
		{Name: "source:own", URL: "https://user:hidden@shop.example.com"},
		{Name: "source:own", URL: "https://shop.example.com/%zzhidden"},
		{Name: "source:own", URL: ""},
		{Name: "source:own", URL: "https://shop.example.com", Waits: []time.Duration{time.Second, 0}},
		{Name: "source:own", URL: "https://shop.example.com", Accept: []Statuses{{100, 299}}},
		{Name: "source:own", URL: "https://shop.example.com", Accept: []Statuses{{300, 299}}},
		{Name: "source:own", URL: "https://shop.example.com", Pace: -1},
	} {
		err := engine.Use("source:", bad)
		require.Error(t, err)
		require.NotContains(t, err.Error(), "hidden")
	}
	require.Equal(t, []string{"source:own"}, engine.Names())
}

func TestReceiver_DoesNotPrintItsURL(t *testing.T) {
	t.Parallel()
	signer, err := NewSigner([]string{newSecret()})
	require.NoError(t, err)
	receiver := Receiver{Name: "order_events", URL: "https://shop.example.com/hidden", Signer: signer}
	require.NotContains(t, fmt.Sprintf("%v %+v %#v %s %v", receiver, receiver, receiver, receiver, receiver.LogValue()), "hidden")
}

func newSecret() string {
	key := make([]byte, 24)
	_, _ = rand.Read(key)
	return "whsec_" + base64.StdEncoding.EncodeToString(key)
}

func TestReach_NeedsAnAnswerOfWhateverKind(t *testing.T) {
	t.Parallel()
	answer, err := answering(t, http.StatusNotFound).Reach(t.Context(), "order_events")
	require.NoError(t, err)
	require.True(t, answer.Accepted())
	require.Equal(t, http.StatusNotFound, answer.Status)
	engine := New(Options{})
	_, err = engine.Reach(t.Context(), "order_events")
	require.ErrorIs(t, err, ErrUnknownReceiver)
	require.NoError(t, engine.Use("", Receiver{Name: "order_events", URL: "https://localhost:1/hidden"}))
	answer, err = engine.Reach(t.Context(), "order_events")
	require.NoError(t, err)
	require.Equal(t, ClassPrivateAddress, answer.Class)
	require.NotContains(t, answer.Err.Error(), "hidden")
}
