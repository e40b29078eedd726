package mercadopago

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/conciliar/conciliar/jobs/provider"
)

const testToken = "APP_USR-0000-token-of-the-tests"

// secretBody stands in every odd answer: no error may repeat it.
const secretBody = "body-of-the-answer"

// serve starts an API and returns a client of it.
func serve(t testing.TB, handler http.HandlerFunc, changes ...func(*Config)) *Client {
	t.Helper()
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	cfg := Config{BaseURL: server.URL, AccessToken: testToken, Transport: server.Client().Transport}
	for _, change := range changes {
		change(&cfg)
	}
	client, err := NewClient(cfg)
	require.NoError(t, err)
	return client
}

func requireError(t testing.TB, err error, kind provider.ErrorKind, status int) *provider.Error {
	t.Helper()
	var failed *provider.Error
	require.ErrorAs(t, err, &failed)
	require.Equal(t, kind.String(), failed.Kind.String(), "%v", err)
	require.Equal(t, status, failed.StatusCode)
	for _, format := range []string{"%v", "%+v", "%#v"} {
		for text := err; text != nil; text = errors.Unwrap(text) {
			require.NotContains(t, fmt.Sprintf(format, text), testToken)
			require.NotContains(t, fmt.Sprintf(format, text), secretBody)
		}
	}
	return failed
}

func TestClient_FetchesAPayment(t *testing.T) {
	t.Parallel()
	body := fixture(t, "payments/approved")
	client := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodGet || r.URL.RequestURI() != "/v1/payments/90210000001" || r.ContentLength != 0 ||
			r.Header.Get("Authorization") != "Bearer "+testToken || r.Header.Get("Accept") != "application/json" ||
			r.Header.Get("User-Agent") != "conciliar/test" {
			w.WriteHeader(http.StatusTeapot)
			return
		}
		_, _ = w.Write(body)
	}, func(c *Config) { c.UserAgent = "conciliar/test" })
	payment, err := client.Payment(t.Context(), "90210000001")
	require.NoError(t, err)
	want, err := DecodePayment(body)
	require.NoError(t, err)
	requirePayment(t, want, payment)
}

func TestClient_KeepsTheBaseURLsPath(t *testing.T) {
	t.Parallel()
	var path atomic.Value
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		path.Store(r.URL.Path)
		_, _ = w.Write(paymentWith())
	}))
	t.Cleanup(server.Close)
	for _, suffix := range []string{"/mp", "/mp/"} {
		client, err := NewClient(Config{BaseURL: server.URL + suffix, AccessToken: testToken})
		require.NoError(t, err)
		_, err = client.Payment(t.Context(), "7")
		require.NoError(t, err)
		require.Equal(t, "/mp/v1/payments/7", path.Load())
		client.CloseIdleConnections()
	}
}

func TestClient_EachStatusHasItsKindOfError(t *testing.T) {
	t.Parallel()
	for status, kind := range map[int]provider.ErrorKind{
		400: provider.Unexpected, 401: provider.Unauthorized, 403: provider.Forbidden, 404: provider.NotFound,
		405: provider.Unexpected, 408: provider.Unavailable, 423: provider.Locked, 429: provider.RateLimited,
		500: provider.Unavailable, 502: provider.Unavailable, 503: provider.Unavailable, 504: provider.Unavailable, 599: provider.Unavailable,
		200: provider.Unexpected, 201: provider.Unexpected, 202: provider.Unexpected, 204: provider.Unreadable, 206: provider.Unexpected,
		301: provider.Unexpected, 304: provider.Unexpected, 418: provider.Unexpected,
	} {
		t.Run(fmt.Sprint(status), func(t *testing.T) {
			t.Parallel()
			var calls atomic.Int64
			client := serve(t, func(w http.ResponseWriter, _ *http.Request) {
				calls.Add(1)
				w.WriteHeader(status)
				if status != http.StatusNoContent && status != http.StatusNotModified {
					_, _ = fmt.Fprintf(w, `{"message":%q,"status":%d}`, secretBody+testToken, status)
				}
			})
			_, err := client.Payment(t.Context(), "7")
			failed := requireError(t, err, kind, status)
			require.Zero(t, failed.RetryAfter)
			require.EqualValues(t, 1, calls.Load(), "one attempt for a call")
		})
	}
}

// Only of a payment can it be said that it was not found.
func TestClient_OnlyAResourceCanBeNotFound(t *testing.T) {
	t.Parallel()
	client := serve(t, http.NotFound)
	requireError(t, client.CheckCredentials(t.Context()), provider.Unexpected, 404)
	_, err := client.SearchPayments(t.Context(), provider.SearchQuery{})
	requireError(t, err, provider.Unexpected, 404)
}

func TestClient_KeepsItsRate(t *testing.T) {
	t.Parallel()
	var calls atomic.Int64
	client := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		calls.Add(1)
		_, _ = w.Write(paymentWith())
	}, func(c *Config) { c.RateLimit = 0.0001 })
	_, err := client.Payment(t.Context(), "7")
	require.NoError(t, err)

	cancelled, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = client.Payment(cancelled, "7")
	requireError(t, err, provider.Unavailable, 0)
	require.ErrorIs(t, err, context.Canceled)

	hour, cancel := context.WithTimeout(t.Context(), time.Hour)
	defer cancel()
	_, err = client.Payment(hour, "7")
	requireError(t, err, provider.Unavailable, 0)
	require.ErrorIs(t, err, context.DeadlineExceeded, "told at once: the next turn is in hours")
	require.EqualValues(t, 1, calls.Load())

	client = serve(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(paymentWith()) })
	for range 50 {
		_, err = client.Payment(t.Context(), "7")
		require.NoError(t, err, "no limit unless one is set")
	}
}

func TestClient_SearchesPayments(t *testing.T) {
	t.Parallel()
	var asked atomic.Value
	long := paymentWith("x", `"`+strings.Repeat("x", 900)+`"`)
	client := serve(t, func(w http.ResponseWriter, r *http.Request) {
		asked.Store(*r.URL)
		_, _ = w.Write(pageOf(`{"total":6,"limit":50,"offset":0}`, long, long, long, long, long, long))
	}, func(c *Config) { c.MaxBody = 1000 })
	query := provider.SearchQuery{Begin: time.Unix(1_770_000_000, 0), End: time.Unix(1_770_003_600, 0), Reference: "A+77&x=1"}
	page, err := client.SearchPayments(t.Context(), query)
	require.NoError(t, err, "a page may be longer than a payment")
	require.Len(t, page.Payments, 6)
	got := asked.Load().(url.URL)
	require.Equal(t, "/v1/payments/search", got.Path)
	want, err := searchValues(query)
	require.NoError(t, err)
	require.Equal(t, want, got.Query())

	_, err = client.SearchPayments(t.Context(), provider.SearchQuery{Limit: 51})
	requireError(t, err, provider.Unexpected, 0)
	for _, body := range [][]byte{[]byte("{}"), pageOf(`{"total":1,"limit":50,"offset":0}`, bytes.Repeat([]byte(" "), 8001))} {
		client = serve(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(body) }, func(c *Config) { c.MaxBody = 1000 })
		_, err = client.SearchPayments(t.Context(), query)
		requireError(t, err, provider.Unexpected, 200)
	}
}

func TestClient_ChecksItsCredentials(t *testing.T) {
	t.Parallel()
	client := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodGet || r.URL.Path != "/users/me" || r.Header.Get("Authorization") != "Bearer "+testToken {
			w.WriteHeader(http.StatusTeapot)
			return
		}
		_, _ = io.WriteString(w, `{"id":700100200,"nickname":"SHOP","site_id":"MLA"}`)
	})
	require.NoError(t, client.CheckCredentials(t.Context()))
	id, err := client.Account(t.Context())
	require.NoError(t, err)
	require.Equal(t, "700100200", id)

	for body, kind := range map[string]provider.ErrorKind{
		"<html>log in</html>": provider.Unreadable, "{}": provider.Unexpected, `{"id":null}`: provider.Unexpected,
	} {
		client = serve(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, body) })
		requireError(t, client.CheckCredentials(t.Context()), kind, http.StatusOK)
	}
	for status, kind := range map[int]provider.ErrorKind{401: provider.Unauthorized, 403: provider.Forbidden, 503: provider.Unavailable} {
		client = serve(t, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(status) })
		requireError(t, client.CheckCredentials(t.Context()), kind, status)
	}
}

func TestClient_AsksForIDsOnly(t *testing.T) {
	t.Parallel()
	var calls atomic.Int64
	client := serve(t, func(http.ResponseWriter, *http.Request) { calls.Add(1) })
	for _, id := range []string{"", "..", "../users/me", "7/refunds", "7?x=1", "7%2f", "7\n", strings.Repeat("7", 129)} {
		_, err := client.Payment(t.Context(), id)
		requireError(t, err, provider.Unexpected, 0)
	}
	require.Zero(t, calls.Load())
}

func TestNewClient_ChecksItsConfig(t *testing.T) {
	t.Parallel()
	for name, cfg := range map[string]Config{
		"no token": {}, "blank token": {AccessToken: " "}, "token with a line end": {AccessToken: testToken + "\r\nX: y"},
		"token not ASCII":   {AccessToken: testToken + "é"},
		"no address":        {AccessToken: testToken, BaseURL: "api.mercadopago.com"},
		"not HTTP":          {AccessToken: testToken, BaseURL: "ftp://host"},
		"no host":           {AccessToken: testToken, BaseURL: "https://"},
		"not a URL":         {AccessToken: testToken, BaseURL: "https://user:" + secretBody + "@ho st"},
		"with a password":   {AccessToken: testToken, BaseURL: "https://user:" + secretBody + "@host"},
		"with a query":      {AccessToken: testToken, BaseURL: "https://host?a=" + secretBody},
		"unencrypted":       {AccessToken: testToken, BaseURL: "http://api.mercadopago.com"},
		"negative timeout":  {AccessToken: testToken, Timeout: -1},
		"negative body":     {AccessToken: testToken, MaxBody: -1},
		"negative rate":     {AccessToken: testToken, RateLimit: -1},
		"rate not a number": {AccessToken: testToken, RateLimit: func() float64 { var z float64; return z / z }()},
	} {
		client, err := NewClient(cfg)
		require.Error(t, err, name)
		require.NotContains(t, err.Error(), testToken)
		require.NotContains(t, err.Error(), secretBody)
		require.Nil(t, client)
	}
	client, err := NewClient(Config{AccessToken: testToken})
	require.NoError(t, err)
	require.Equal(t, "mercadopago.Client(https://api.mercadopago.com)", client.String())
	require.Equal(t, 10*time.Second, client.timeout)
	require.EqualValues(t, 1<<20, client.maxBody)
}

// echo is a transport that tells in its error what it was given.
type echo struct{}

func (echo) RoundTrip(r *http.Request) (*http.Response, error) {
	return nil, fmt.Errorf("%v %v", r.URL, r.Header)
}

func TestClient_NeverPrintsItsToken(t *testing.T) {
	t.Parallel()
	cfg := Config{AccessToken: testToken, Transport: echo{}}
	client, err := NewClient(cfg)
	require.NoError(t, err)
	_, failed := client.Payment(t.Context(), "7")
	requireError(t, failed, provider.Unavailable, 0)

	for _, value := range []any{cfg, &cfg, client, *client, failed} {
		var printed bytes.Buffer
		for _, format := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
			fmt.Fprintf(&printed, format, value)
		}
		slog.New(slog.NewTextHandler(&printed, nil)).Error("x", "value", value)
		slog.New(slog.NewJSONHandler(&printed, nil)).Error("x", "value", value)
		encoded, err := json.Marshal(value)
		require.NoError(t, err)
		printed.Write(encoded)
		require.NotContains(t, printed.String(), testToken)
		require.NotContains(t, printed.String(), fmt.Sprintf("%x", testToken))
	}
}

func TestMerchantOrderReference_IsReadWhateverElseIsOdd(t *testing.T) {
	t.Parallel()
	for body, want := range map[string]string{
		`{"id":31000000001,"external_reference":"A-77","payments":[{"id":"***"}]}`: "A-77",
		`{"id":"31000000001","external_reference":1001}`:                           "1001",
		`{"id":31000000001,"external_reference":null}`:                             "", `{"id":31000000001,"external_reference":" "}`: "",
	} {
		client := serve(t, func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path != "/merchant_orders/31000000001" {
				w.WriteHeader(http.StatusTeapot)
				return
			}
			_, _ = io.WriteString(w, body)
		})
		reference, err := client.MerchantOrderReference(t.Context(), "31000000001")
		require.NoError(t, err, body)
		require.Equal(t, want, reference)
	}
	for body, kind := range map[string]provider.ErrorKind{
		`{"id":31000000002,"external_reference":"A-77"}`: provider.Unexpected, "[]": provider.Unexpected, "<html>": provider.Unreadable,
		`{"id":31000000001,"external_reference":true}`: provider.Unexpected,
	} {
		client := serve(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, body) })
		_, err := client.MerchantOrderReference(t.Context(), "31000000001")
		requireError(t, err, kind, http.StatusOK)
	}
	client := serve(t, http.NotFound)
	_, err := client.MerchantOrderReference(t.Context(), "31000000001")
	requireError(t, err, provider.ResourceNotFound, http.StatusNotFound)
	_, err = client.MerchantOrderReference(t.Context(), "../x")
	requireError(t, err, provider.Unexpected, 0)
}

func TestClient_TakesAnotherTokenAndShowsNeither(t *testing.T) {
	t.Parallel()
	const next = "APP_USR-the-next-token"
	var said string
	client, err := NewClient(Config{AccessToken: testToken, Transport: transportFunc(func(r *http.Request) (*http.Response, error) {
		said = r.Header.Get("Authorization")
		return nil, errors.New("no route; " + testToken + " " + next)
	})})
	require.NoError(t, err)
	require.Error(t, client.UseAccessToken("two words"))
	_, err = client.Account(t.Context())
	require.Error(t, err)
	require.Equal(t, "Bearer "+testToken, said)
	require.NoError(t, client.UseAccessToken(next))
	_, err = client.Account(t.Context())
	require.Equal(t, "Bearer "+next, said)
	require.NotContains(t, err.Error(), testToken)
	require.NotContains(t, err.Error(), next)
}

type transportFunc func(*http.Request) (*http.Response, error)

func (f transportFunc) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }
