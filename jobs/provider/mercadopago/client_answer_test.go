package mercadopago

import (
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/conciliar/conciliar/jobs/provider"
)

func TestClientPayment_ReadsAnySuccess(t *testing.T) {
	t.Parallel()
	for _, status := range []int{200, 201, 202, 203, 206, 299} {
		for _, mark := range []string{"", "\ufeff"} {
			client := serve(t, func(w http.ResponseWriter, _ *http.Request) {
				w.WriteHeader(status)
				_, _ = w.Write(append([]byte(mark), paymentWith()...))
			})
			payment, err := client.Payment(t.Context(), "7")
			require.NoError(t, err)
			require.Equal(t, "7", payment.ID)
		}
	}
}

// What an answer says tells nothing about whether Mercado Pago is there. Only
// what is cut off or no JSON does.
func TestClientPayment_TellsOddFromUnreadable(t *testing.T) {
	t.Parallel()
	mark := "\ufeff"
	for name, c := range map[string]struct {
		body []byte
		kind provider.ErrorKind
	}{
		"empty": {nil, provider.Unreadable}, "html": {[]byte("<html>" + secretBody), provider.Unreadable},
		"cut": {[]byte(`{"id":7,"x":"` + secretBody), provider.Unreadable}, "text": {[]byte(secretBody), provider.Unreadable},
		"mark alone": {[]byte(mark), provider.Unreadable}, "html behind a mark": {[]byte(mark + "<html>"), provider.Unreadable},
		"another payment": {paymentWith("id", "8"), provider.Unexpected}, "another odd payment": {paymentWith("id", "8", "status", ""), provider.Unexpected},
		"no id": {paymentWith("id", ""), provider.Unexpected}, "a list": {[]byte("[" + string(paymentWith()) + "]"), provider.Unexpected},
		"null": {[]byte("null"), provider.Unexpected}, "a string": {[]byte(`"` + secretBody + `"`), provider.Unexpected},
		"an error": {[]byte(`{"message":"` + secretBody + `","status":500}`), provider.Unexpected},
		"too long": {paymentWith("x", `"`+strings.Repeat("x", 1000)+`"`), provider.Unexpected},
		"odd":      {paymentWith("transaction_amount", `"`+secretBody+`"`), provider.Odd},
	} {
		for _, status := range []int{200, 201, 206} {
			t.Run(fmt.Sprintf("%s (%d)", name, status), func(t *testing.T) {
				t.Parallel()
				client := serve(t, func(w http.ResponseWriter, _ *http.Request) {
					w.WriteHeader(status)
					_, _ = w.Write(c.body)
				}, func(c *Config) { c.MaxBody = 1000 })
				_, err := client.Payment(t.Context(), "7")
				failed := requireError(t, err, c.kind, status)
				var odd *provider.OddPayment
				require.Equal(t, c.kind == provider.Odd, errors.As(failed, &odd))
				if odd != nil {
					require.Equal(t, c.body, odd.Raw)
				}
			})
		}
	}
}

func TestClient_BodyLimitIsExact(t *testing.T) {
	t.Parallel()
	body := paymentWith()
	for limit, fits := range map[int64]bool{int64(len(body)): true, int64(len(body)) - 1: false} {
		client := serve(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(body) },
			func(c *Config) { c.MaxBody = limit })
		_, err := client.Payment(t.Context(), "7")
		if fits {
			require.NoError(t, err)
		} else {
			requireError(t, err, provider.Unexpected, 200)
		}
	}
}

// flood is a transport whose answer hardly ends; it counts what was read of it.
type flood struct{ read atomic.Int64 }

func (f *flood) RoundTrip(*http.Request) (*http.Response, error) {
	return &http.Response{StatusCode: http.StatusOK, Body: io.NopCloser(io.LimitReader(f, 64<<20))}, nil
}

func (f *flood) Read(p []byte) (int, error) {
	f.read.Add(int64(len(p)))
	return len(p), nil
}

func TestClient_ReadsNoMoreThanItsLimit(t *testing.T) {
	t.Parallel()
	transport := &flood{}
	client, err := NewClient(Config{AccessToken: testToken, Transport: transport, MaxBody: 100_000})
	require.NoError(t, err)
	_, err = client.Payment(t.Context(), "7")
	requireError(t, err, provider.Unexpected, 200)
	require.EqualValues(t, 100_001, transport.read.Load())
}

func TestClient_ReadsACompressedAnswer(t *testing.T) {
	t.Parallel()
	zip := func(body []byte) []byte {
		var b bytes.Buffer
		w := gzip.NewWriter(&b)
		_, err := w.Write(body)
		require.NoError(t, err)
		require.NoError(t, w.Close())
		return b.Bytes()
	}
	answer := func(body []byte) *Client {
		return serve(t, func(w http.ResponseWriter, r *http.Request) {
			if r.Header.Get("Accept-Encoding") != "gzip" {
				w.WriteHeader(http.StatusTeapot)
				return
			}
			w.Header().Set("Content-Encoding", "gzip")
			_, _ = w.Write(body)
		})
	}
	payment, err := answer(zip(paymentWith())).Payment(t.Context(), "7")
	require.NoError(t, err)
	require.Equal(t, "7", payment.ID)

	bomb := zip(paymentWith("x", `"`+strings.Repeat("x", defaultMaxBody)+`"`))
	require.Less(t, len(bomb), 10_000)
	_, err = answer(bomb).Payment(t.Context(), "7")
	failed := requireError(t, err, provider.Unexpected, 200)
	require.ErrorContains(t, failed, "longer than 1048576 bytes")

	_, err = answer([]byte("no gzip at all, "+secretBody)).Payment(t.Context(), "7")
	requireError(t, err, provider.Unreadable, 200)
	good := zip(paymentWith())
	good[len(good)-6] ^= 0xff // its checksum
	_, err = answer(good).Payment(t.Context(), "7")
	requireError(t, err, provider.Unreadable, 200)
}
