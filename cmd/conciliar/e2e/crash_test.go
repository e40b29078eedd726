package e2e

import (
	"context"
	"net"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/shopspring/decimal"
	"github.com/stretchr/testify/require"

	"github.com/conciliar/conciliar/jobs/provider/mercadopago/simulator"
	"github.com/conciliar/conciliar/store/storetest"
)

// isPayment reports whether a call asks for one payment.
func isPayment(r *http.Request) bool {
	return strings.HasPrefix(r.URL.Path, "/v1/payments/") && !strings.HasSuffix(r.URL.Path, "/search")
}

// A heldAPI stands before the simulator and lets no question about a payment
// through until it is opened.
type heldAPI struct {
	address string
	// asked has a value for each question that waits.
	asked chan struct{}
	open  func()
}

func newHeldAPI(t *testing.T, sim *simulator.Simulator) *heldAPI {
	t.Helper()
	opened := make(chan struct{})
	h := &heldAPI{asked: make(chan struct{}, 1000), open: sync.OnceFunc(func() { close(opened) })}
	api := sim.Handler()
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if isPayment(r) {
			h.asked <- struct{}{}
			select {
			case <-opened:
			case <-r.Context().Done():
				return
			}
		}
		api.ServeHTTP(w, r)
	}))
	t.Cleanup(srv.Close)
	t.Cleanup(h.open)
	h.address = srv.URL
	return h
}

func (h *heldAPI) await(t *testing.T, questions int) {
	t.Helper()
	for range questions {
		select {
		case <-h.asked:
		case <-time.After(patience):
			require.FailNow(t, "fewer attempts run than should")
		}
	}
}

// sell registers an order and makes its payment, and returns the payment's id.
func (s *shop) sell(reference string) string {
	s.t.Helper()
	amount := decimal.RequireFromString("150.00")
	require.NoError(s.t, register(s.t.Context(), "http://"+s.addr, reference, amount, "ARS"))
	return s.sim.CreatePayment(simulator.PaymentSpec{
		Reference: reference, Amount: amount, Status: simulator.Approved, StatusDetail: "accredited",
	})
}

func (s *shop) requireSound() {
	s.t.Helper()
	got := execute(s.t, s.environ, "verify")
	require.Equal(s.t, exitDone, got.code, got.out+got.err)
}

// What a process worked when it was killed is taken up by another within seconds,
// however far away the rescue is.
func TestEndToEnd_AnotherProcessTakesUpWhatAKilledOneWorked(t *testing.T) {
	t.Parallel()
	s := newShop(t, simulator.Faults{}, map[string]string{"JOB_TIMEOUT": "30m", "RESCUE_AFTER": "1h"})
	s.hasReconciled()
	held := newHeldAPI(t, s.sim)
	first := s.launch("MERCADOPAGO_BASE_URL=" + held.address)
	const events = 10
	for i := range events {
		require.True(t, s.sim.Notify(t.Context(), s.sell("order-"+string(rune('a'+i)))).Acknowledged())
	}
	held.await(t, events)
	require.Equal(t, events, s.count(`SELECT count(*) FROM river_job WHERE state = 'running' AND kind = 'webhook_payment'`))

	first.kill()
	s.launch()

	s.awaitQuiet()
	require.Equal(t, events, s.count(`SELECT count(*) FROM orders WHERE status = 'paid'`))
	require.Equal(t, events, s.count(`SELECT count(*) FROM webhook_queue WHERE attempts = 2 AND attempt_errors -> 0 ->> 'error' LIKE 'orphaned: %'`))
	s.requireSound()
}

// Told to stop while it receives and works, the service loses nothing that it
// acknowledged and spends no attempt.
func TestEndToEnd_StoppedUnderLoadItGivesEverythingBack(t *testing.T) {
	t.Parallel()
	s := newShop(t, simulator.Faults{}, map[string]string{"JOB_TIMEOUT": "30m", "RESCUE_AFTER": "1h", "WORKERS": "8"})
	s.hasReconciled()
	held := newHeldAPI(t, s.sim)
	p := s.launch("MERCADOPAGO_BASE_URL=" + held.address)
	payments := make([]string, 8)
	for i := range payments {
		payments[i] = s.sell("order-" + strconv.Itoa(i))
	}
	// A call is given up after ten seconds and a stop waits seven for it, so little is
	// done between the two. One payment's events share a call, so each is asked for
	// before any is told of again: a worker that has a second event of one must not keep
	// others waiting.
	var acknowledged []int64
	for _, id := range payments {
		result := s.sim.Notify(t.Context(), id)
		require.True(t, result.Acknowledged())
		acknowledged = append(acknowledged, result.QueueID)
	}
	held.await(t, len(payments))
	refused := make(chan struct{})
	enough := make(chan struct{})
	go func() {
		defer close(refused)
		for {
			result := s.sim.Notify(context.WithoutCancel(t.Context()), payments[len(acknowledged)%len(payments)])
			if !result.Acknowledged() {
				return
			}
			if acknowledged = append(acknowledged, result.QueueID); len(acknowledged) == 2*len(payments) {
				close(enough)
			}
		}
	}()
	<-enough

	p.stop()

	require.Zero(t, p.cmd.ProcessState.ExitCode(), "it ended within its time, and well")
	<-refused
	require.Equal(t, len(acknowledged), s.count(`SELECT count(*) FROM webhook_queue WHERE id = ANY ($1)`, acknowledged))
	require.Zero(t, s.count(`SELECT count(*) FROM river_job WHERE kind = 'webhook_payment' AND (state <> 'available' OR attempt > 0 OR cardinality(errors) > 0)`))
	held.open()
	s.launch()
	s.awaitQuiet()
	require.Equal(t, 1, s.count(`SELECT max(attempts) FROM webhook_queue`))
	require.Equal(t, len(payments), s.count(`SELECT count(*) FROM orders WHERE status = 'paid'`))
	s.requireSound()
}

// The database goes away under load and comes back: webhooks are answered 503,
// what was under way is done, and nobody restarts the service.
func TestEndToEnd_TheServiceOutlivesItsDatabase(t *testing.T) {
	t.Parallel()
	s := newShop(t, simulator.Faults{}, map[string]string{"JOB_TIMEOUT": "30m", "RESCUE_AFTER": "1h"})
	s.hasReconciled()
	held := newHeldAPI(t, s.sim)
	p := s.launch("MERCADOPAGO_BASE_URL=" + held.address)
	const events = 10
	for i := range events {
		require.True(t, s.sim.Notify(t.Context(), s.sell("order-"+string(rune('a'+i)))).Acknowledged())
	}
	late := s.sell("order-late")
	held.await(t, events)
	config, err := pgx.ParseConfig(s.databaseURL)
	require.NoError(t, err)
	name := config.Database
	// From another database of the same server.
	elsewhere := storetest.EmptyURL(t)

	execSQL(t, elsewhere, `ALTER DATABASE `+name+` ALLOW_CONNECTIONS false`)
	execSQL(t, elsewhere, `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '`+name+`'`)
	result := s.sim.Notify(t.Context(), late)
	require.Equal(t, http.StatusServiceUnavailable, result.StatusCode)
	status, _ := get(t, "http://"+s.addr+"/readyz", "")
	require.Equal(t, http.StatusServiceUnavailable, status)
	status, _ = get(t, "http://"+s.addr+"/livez", "")
	require.Equal(t, http.StatusOK, status, "a restart would not help")
	// Attempts end while there is nowhere to write it.
	held.open()
	eventually(t, func() bool { return len(s.sim.Gets()) > 0 })
	execSQL(t, elsewhere, `ALTER DATABASE `+name+` ALLOW_CONNECTIONS true`)

	eventually(t, func() bool { return s.sim.Notify(t.Context(), late).Acknowledged() })
	s.awaitQuiet()
	require.Equal(t, events+1, s.count(`SELECT count(*) FROM orders WHERE status = 'paid'`))
	require.Zero(t, s.count(`SELECT count(*) FROM webhook_dead_letter`))
	s.requireSound()
	p.stop()
	require.Zero(t, p.cmd.ProcessState.ExitCode())
}

// A database that does not answer any more must not keep a process from ending.
func TestEndToEnd_ItStopsWithoutItsDatabase(t *testing.T) {
	t.Parallel()
	s := newShop(t, simulator.Faults{}, map[string]string{"JOB_TIMEOUT": "30m", "RESCUE_AFTER": "1h"})
	s.hasReconciled()
	silent := newSilentProxy(t, s.databaseURL)
	p := s.launch("DATABASE_URL=" + silent.url)
	payment := s.sell("order-1")
	require.True(t, s.sim.Notify(t.Context(), payment).Acknowledged())

	silent.fall()
	go s.sim.Notify(context.WithoutCancel(t.Context()), payment)
	p.stop()

	require.Equal(t, exitFailed, p.cmd.ProcessState.ExitCode())
	// Now the server learns that its caller is gone, and takes its lock back.
	silent.end()
	s.launch()
	s.awaitQuiet()
	s.requireSound()
}

// A silentProxy stands before a database and, from its fall to its end, passes
// nothing on and closes nothing. With its end all connections are closed.
type silentProxy struct {
	url       string
	fall, end func()
}

func newSilentProxy(t *testing.T, databaseURL string) *silentProxy {
	t.Helper()
	config, err := pgx.ParseConfig(databaseURL)
	require.NoError(t, err)
	server := net.JoinHostPort(config.Host, strconv.Itoa(int(config.Port)))
	ln, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	fallen, over := make(chan struct{}), make(chan struct{})
	end := sync.OnceFunc(func() {
		close(over)
		_ = ln.Close()
	})
	t.Cleanup(end)
	pass := func(from, to net.Conn) {
		defer func() { _ = from.Close() }()
		defer func() { _ = to.Close() }()
		buffer := make([]byte, 1<<16)
		for {
			n, err := from.Read(buffer)
			if err != nil {
				return
			}
			select {
			case <-fallen:
				<-over
				return
			default:
			}
			if _, err := to.Write(buffer[:n]); err != nil {
				return
			}
		}
	}
	go func() {
		for {
			client, err := ln.Accept()
			if err != nil {
				return
			}
			backend, err := (&net.Dialer{}).DialContext(context.WithoutCancel(t.Context()), "tcp", server)
			if err != nil {
				_ = client.Close()
				continue
			}
			go pass(client, backend)
			go pass(backend, client)
		}
	}()
	return &silentProxy{url: strings.Replace(databaseURL, server, ln.Addr().String(), 1), fall: sync.OnceFunc(func() { close(fallen) }), end: end}
}
