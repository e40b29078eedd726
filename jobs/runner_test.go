package jobs_test

import (
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/conciliar/conciliar/jobs"
	"github.com/conciliar/conciliar/store/order"
	"github.com/conciliar/conciliar/store/storetest"
)

func TestConfigProblemsAreReportedTogether(t *testing.T) {
	t.Parallel()
	pool := storetest.Pool(t)
	_, err := jobs.NewInserter(pool, jobs.Config{})
	require.Error(t, err)
	require.Len(t, strings.Split(err.Error(), "\n"), 7)
	_, runnerErr := jobs.NewRunner(pool, jobs.Config{}, jobs.Deps{})
	require.Equal(t, err, runnerErr)

	config := jobs.Config{
		Workers: 1, JobTimeout: time.Second, RescueAfter: time.Second, Retention: time.Hour,
		RetryBase: time.Minute, MaxAttempts: 7, Logger: slog.New(slog.DiscardHandler),
	}
	_, err = jobs.NewInserter(pool, config)
	require.EqualError(t, err, "jobs: jobs may be rescued only after their timeout")
	config.RescueAfter *= 2
	_, err = jobs.NewRunner(pool, config, jobs.Deps{})
	require.EqualError(t, err, "jobs: a store and at least one provider are required")
}

func TestStopWithoutStart(t *testing.T) {
	t.Parallel()
	b := setup(t)
	runner, err := jobs.NewRunner(b.pool, b.config, jobs.Deps{Store: b.Store, Payments: map[string]jobs.PaymentFetcher{"mercadopago": b.bank}})
	require.NoError(t, err)
	require.NoError(t, runner.Stop(t.Context()))
}

// An order that a merchant inserts by plain SQL finds the payment that came
// before it.
func TestOrderOfPlainSQLIsSettled(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.bank.isPaid("77", "A-1", "150.05")
	event := b.deliver(t, "77")
	b.start(t)
	b.awaitStatus(t, event, "completed")

	b.exec(t, `INSERT INTO orders (reference, amount, currency) VALUES ('A-1', 150.05, 'ARS')`)

	await(t, func() bool { return scan[string](t, b, `SELECT status FROM orders`) == string(order.StatusPaid) })
}
