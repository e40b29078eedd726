package simulator

import (
	"context"
	"math"
	"net"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestNew_SaysAllThatIsWrong(t *testing.T) {
	t.Parallel()
	_, err := New(Config{
		CollectorID:      -1,
		TargetURL:        "localhost:8080",
		RedeliveryDelays: []time.Duration{-1},
		Faults:           Faults{Drop: 1.5, DropAnswer: math.NaN(), RateLimited: 0.6, Errors5xx: 0.6, Duplicates: -1, LateBy: -1},
	})
	for _, word := range []string{
		"AccessToken", "Secret", "CollectorID", "RedeliveryDelays", "target",
		"Drop", "DropAnswer", "RateLimited", "Duplicates", "LateBy",
	} {
		require.ErrorContains(t, err, word)
	}
}

func TestNew_KeepsTheTargetOutOfItsError(t *testing.T) {
	t.Parallel()
	_, err := New(Config{AccessToken: "a", Secret: "b", TargetURL: "http://ho st/?key=hunter2"})
	require.Error(t, err)
	require.NotContains(t, err.Error(), "hunter2")
}

func TestServe_AnswersUntilItIsStopped(t *testing.T) {
	t.Parallel()
	s := setup(t, Config{})
	ln, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- s.Serve(ctx, ln) }()

	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+ln.Addr().String()+"/users/me", nil)
	require.NoError(t, err)
	req.Header.Set("Authorization", "Bearer "+testToken)
	resp, err := http.DefaultClient.Do(req)
	require.NoError(t, err)
	require.NoError(t, resp.Body.Close())
	require.Equal(t, http.StatusOK, resp.StatusCode)

	cancel()
	require.NoError(t, <-ended)
	_, err = ln.Accept()
	require.ErrorIs(t, err, net.ErrClosed)
}

func TestServe_TellsWhyItCannot(t *testing.T) {
	t.Parallel()
	ln, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	require.NoError(t, ln.Close())
	require.Error(t, setup(t, Config{}).Serve(t.Context(), ln))
}

func TestSeed_HasPaymentsOfItsOwn(t *testing.T) {
	t.Parallel()
	id := setup(t, Config{Seed: 1}).CreatePayment(PaymentSpec{})
	require.Equal(t, id, setup(t, Config{Seed: 1}).CreatePayment(PaymentSpec{}))
	require.NotEqual(t, id, setup(t, Config{Seed: 2}).CreatePayment(PaymentSpec{}))
	require.Len(t, id, 12)
}
