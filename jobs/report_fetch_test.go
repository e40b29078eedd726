package jobs_test

import (
	"errors"
	"io"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/shopspring/decimal"
	"github.com/stretchr/testify/require"

	"github.com/conciliar/conciliar/jobs"
	"github.com/conciliar/conciliar/jobs/provider/mercadopago"
	moneyreport "github.com/conciliar/conciliar/jobs/provider/mercadopago/report"
	"github.com/conciliar/conciliar/jobs/provider/mercadopago/simulator"
	"github.com/conciliar/conciliar/store/storetest/fixture"
)

// A bank is a world whose account has three days of money.
type bank struct {
	*world
	*jobs.ReportFetcher

	clock *fixture.Clock
}

func newBank(t *testing.T, mode string, reports simulator.Reports, transport func(http.RoundTripper) http.RoundTripper) *bank {
	t.Helper()
	b := &bank{clock: fixture.ClockAt(time.Date(2026, 3, 1, 15, 0, 0, 0, time.UTC))}
	b.world = newWorld(t, worldSpec{sim: simulator.Config{
		Clock: b.clock.Now, Reports: reports,
		Money: simulator.Money{ReleaseAfter: time.Hour, TaxShare: decimal.RequireFromString("0.014"), PayoutEvery: 24 * time.Hour, PayoutKeeps: decimal.NewFromInt(5)},
	}})
	require.NoError(t, b.KeepAccount(t.Context(), strconv.Itoa(simulator.DefaultCollectorID)))
	if transport != nil {
		client, err := mercadopago.NewClient(mercadopago.Config{BaseURL: strings.TrimSuffix(strings.TrimPrefix(b.client.String(), "mercadopago.Client("), ")"), AccessToken: "TEST-token", Transport: transport(b.traffic)})
		require.NoError(t, err)
		b.deps.Providers = map[string]jobs.Fetcher{mercadopago.Source: client}
	}
	b.deps.Reports = jobs.MoneyReports{Mode: mode, Open: func(file io.Reader, collector, currency string) (jobs.ReportReader, error) {
		return moneyreport.NewReader(file, moneyreport.Options{CollectorID: collector, Currency: currency})
	}}
	b.ReportFetcher = jobs.NewReportFetcher(b.deps)
	for range 6 {
		b.sim.CreatePayment(simulator.PaymentSpec{Reference: "A-1", Amount: decimal.NewFromInt(100), Status: simulator.Approved, StatusDetail: "accredited"})
		b.clock.Add(10 * time.Hour)
	}
	return b
}

// steps steps until nothing is left to do.
func (b *bank) steps(t *testing.T) {
	t.Helper()
	for range 50 {
		wait, err := b.Step(t.Context(), b.clock.Now())
		require.NoError(t, err)
		if wait == 0 {
			return
		}
		b.clock.Add(wait)
	}
	t.Fatal("there is always more to do")
}

// requireBooked asserts that so many of the simulator's movements are in the ledger, and
// how many payouts they explain.
func (b *bank) requireBooked(t *testing.T, movements, payouts int) {
	t.Helper()
	require.Equal(t, movements, look[int](t, b.world, `SELECT count(*) FROM account_movements`))
	require.Equal(t, payouts, look[int](t, b.world, `SELECT count(*) FROM payouts WHERE state = 'explained'`))
	require.Zero(t, look[int](t, b.world, `SELECT count(*) FROM payouts WHERE state = 'open'`))
}

func TestReports_TheScheduledOnesAreTakenOnce(t *testing.T) {
	t.Parallel()
	b := newBank(t, jobs.ReportsRead, simulator.Reports{Scheduled: true, Language: "es", Separator: ";", DecimalComma: true}, nil)
	b.steps(t)
	truth := b.sim.Movements(simulator.DefaultCollectorID)
	var shown, payouts int
	end := b.clock.Now().Truncate(24 * time.Hour)
	for _, m := range truth {
		if m.At.Before(end) {
			shown++
			if m.Description == "payout" {
				payouts++
			}
		}
	}
	require.Positive(t, payouts)
	b.requireBooked(t, shown, payouts)
	require.Equal(t, 3, look[int](t, b.world, `SELECT count(*) FROM report_files WHERE imported_by = 'reports'`))
	require.Zero(t, b.sim.ReportRequests())

	downloads := b.sim.Stats()
	b.steps(t)
	require.Equal(t, downloads.Payments, b.sim.Stats().Payments)
	require.Equal(t, 3, look[int](t, b.world, `SELECT count(*) FROM report_files`))
}

func TestReports_AreAskedForOnceADay(t *testing.T) {
	t.Parallel()
	b := newBank(t, jobs.ReportsRequest, simulator.Reports{ReadyAfter: 3 * time.Minute}, nil)
	b.steps(t)
	require.Equal(t, 2, b.sim.ReportRequests(), "yesterday's and the day before's")
	require.Equal(t, 2, look[int](t, b.world, `SELECT count(*) FROM report_downloads WHERE file_id IS NOT NULL`))
	b.steps(t)
	require.Equal(t, 2, b.sim.ReportRequests())
	b.clock.Add(24 * time.Hour)
	b.steps(t)
	require.Equal(t, 4, b.sim.ReportRequests(), "late rows of the day before come with the next request")
	require.Zero(t, look[int](t, b.world, `SELECT count(*) FROM payouts WHERE state = 'open'`))
}

// lossy loses the answers of requests while it is told to, and watches what is asked.
type lossy struct {
	next  http.RoundTripper
	loses bool
	wrote []string
}

func (l *lossy) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.Method == http.MethodGet {
		return l.next.RoundTrip(r)
	}
	l.wrote = append(l.wrote, r.Method+" "+r.URL.Path)
	resp, err := l.next.RoundTrip(r)
	if err == nil && l.loses {
		_ = resp.Body.Close()
		return nil, errors.New("the connection broke")
	}
	return resp, err
}

func TestReports_ARequestWhoseAnswerIsLostIsNotRepeated(t *testing.T) {
	t.Parallel()
	network := &lossy{loses: true}
	b := newBank(t, jobs.ReportsRequest, simulator.Reports{}, func(next http.RoundTripper) http.RoundTripper {
		network.next = next
		return network
	})
	_, err := b.Step(t.Context(), b.clock.Now())
	require.NoError(t, err, "it is noted")
	require.NotEmpty(t, look[string](t, b.world, `SELECT error FROM report_accounts`))
	require.Equal(t, 1, b.sim.ReportRequests())
	network.loses = false
	// The one who asked has had its time. What the list says counts by its own clock.
	_, err = b.pool.Exec(t.Context(), `UPDATE report_requests SET claimed_at = claimed_at - interval '1 hour', created_at = $1`, b.clock.Now())
	require.NoError(t, err)
	b.steps(t)
	require.Equal(t, 2, b.sim.ReportRequests())
	require.Zero(t, look[int](t, b.world, `SELECT count(*) FROM report_accounts WHERE error IS NOT NULL`))
	for _, call := range network.wrote {
		require.Equal(t, "POST /v1/account/release_report", call, "the account's configuration is never written")
	}
}

func TestReports_TwoProcessesNeverAskAtOnce(t *testing.T) {
	t.Parallel()
	b := newBank(t, jobs.ReportsRequest, simulator.Reports{}, nil)
	other := jobs.NewReportFetcher(b.deps)
	now := b.clock.Now()
	done := make(chan error, 2)
	for _, f := range []*jobs.ReportFetcher{b.ReportFetcher, other} {
		go func() {
			_, err := f.Step(t.Context(), now)
			done <- err
		}()
	}
	require.NoError(t, <-done)
	require.NoError(t, <-done)
	require.Equal(t, 2, b.sim.ReportRequests())
}

func TestReports_WhatCannotBeReadIsNamedAndTheRestGoesOn(t *testing.T) {
	t.Parallel()
	b := newBank(t, jobs.ReportsRead, simulator.Reports{Scheduled: true, Columns: []string{"DATE", "SOURCE_ID", "RECORD_TYPE", "DESCRIPTION", "NET_CREDIT_AMOUNT"}}, nil)
	b.steps(t)
	require.Equal(t, 3, look[int](t, b.world, `SELECT count(*) FROM report_downloads WHERE error LIKE '%NET_DEBIT_AMOUNT%' AND tries = 1`))
	require.Equal(t, 3, look[int](t, b.world, `SELECT count(*) FROM report_downloads WHERE next_try_at > now() + interval '10 minutes'`))
	for range 2 {
		_, err := b.pool.Exec(t.Context(), `UPDATE report_downloads SET next_try_at = now()`)
		require.NoError(t, err)
		b.steps(t)
	}
	st, err := b.Status(t.Context())
	require.NoError(t, err)
	require.Len(t, st.Signals.Reports, 1)
	require.EqualValues(t, 3, st.Signals.Reports[0].Stuck)
	require.Contains(t, st.Signals.Reports[0].Error, "NET_DEBIT_AMOUNT")
}

func TestReports_ARefusalIsNotedUntilItEnds(t *testing.T) {
	t.Parallel()
	b := newBank(t, jobs.ReportsRead, simulator.Reports{Scheduled: true}, nil)
	b.sim.SetRevoked(true)
	wait, err := b.Step(t.Context(), b.clock.Now())
	require.NoError(t, err)
	require.Zero(t, wait)
	st, err := b.Status(t.Context())
	require.NoError(t, err)
	require.Equal(t, "unauthorized: HTTP 401", st.Signals.Reports[0].Error)
	require.Positive(t, st.Signals.Reports[0].FailingFor)
	require.Positive(t, st.Signals.Reports[0].Age, "since it is followed")
	b.sim.SetRevoked(false)
	b.steps(t)
	st, err = b.Status(t.Context())
	require.NoError(t, err)
	ended := time.Date(2026, 3, 3, 23, 59, 59, 0, time.UTC)
	require.Equal(t, max(0, st.Signals.At.Sub(ended)).Round(time.Second), st.Signals.Reports[0].Age.Round(time.Second), "since the last report's end")
	require.Zero(t, look[int](t, b.world, `SELECT count(*) FROM report_accounts WHERE failing_since IS NOT NULL`))

	// Without a mode nothing is followed, and nothing can be late.
	b.deps.Reports.Mode = ""
	_, err = jobs.NewReportFetcher(b.deps).Step(t.Context(), b.clock.Now())
	require.NoError(t, err)
	require.Zero(t, look[int](t, b.world, `SELECT count(*) FROM report_accounts`))
}

func TestReports_SyncTakesAllThatIsReady(t *testing.T) {
	t.Parallel()
	b := newBank(t, "", simulator.Reports{Scheduled: true}, nil)
	var names []string
	progress := func(name string) func(float64, string) {
		names = append(names, name)
		return func(float64, string) {}
	}
	results, err := b.Sync(t.Context(), "cli:ana", progress)
	require.NoError(t, err)
	require.Len(t, results, 3)
	require.Len(t, names, 3)
	require.Positive(t, results[0].New)
	results, err = b.Sync(t.Context(), "cli:ana", progress)
	require.NoError(t, err)
	require.Empty(t, results)
	require.Zero(t, b.sim.ReportRequests())
}
