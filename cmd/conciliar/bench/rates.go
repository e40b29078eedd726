package bench

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"fmt"
	"net"
	"strconv"
	"time"

	"github.com/shopspring/decimal"

	"github.com/conciliar/conciliar/api"
	"github.com/conciliar/conciliar/jobs/provider/mercadopago/simulator"
)

// acknowledged measures pgbench and the service in turn, so that a machine that
// slows down slows both.
func (b *harness) acknowledged(ctx context.Context) ([]AckFigure, error) {
	service, err := b.startService(ctx, "api")
	if err != nil {
		return nil, err
	}
	defer service.stop()
	l := &load{addr: service.addr, path: api.WebhookPath, secret: webhookSecret, paymentID: func(n int64) string { return strconv.FormatInt(132_000_000_000+n, 10) }}
	ceilings := map[int][]float64{}
	results := make([][]loadResult, len(ackBars))
	for round := range b.options.Rounds {
		for _, clients := range []int{1, 64} {
			if err := b.empty(ctx); err != nil {
				return nil, err
			}
			rate, err := pgbench(ctx, b.databaseURL, clients, b.options.Length)
			if err != nil {
				return nil, err
			}
			b.say("round %d: pgbench, %d clients: %.0f a second", round+1, clients, rate)
			ceilings[clients] = append(ceilings[clients], rate)
		}
		for i, bar := range ackBars {
			if err := b.empty(ctx); err != nil {
				return nil, err
			}
			result, err := l.run(ctx, bar.connections, b.options.Length, 0)
			if err != nil {
				return nil, err
			}
			b.say("round %d: %d connections: %.0f acknowledged a second", round+1, bar.connections, result.PerSecond)
			results[i] = append(results[i], result)
		}
	}
	figures := make([]AckFigure, len(ackBars))
	for i, bar := range ackBars {
		mid := medianBy(results[i], func(r loadResult) float64 { return r.PerSecond })
		ceiling := medianBy(ceilings[bar.clients], func(r float64) float64 { return r })
		figures[i] = AckFigure{
			Connections: bar.connections, PerSecond: mid.PerSecond, P50Millis: millis(mid.P50), P99Millis: millis(mid.P99),
			Clients: bar.clients, Ceiling: ceiling, Ratio: mid.PerSecond / ceiling, Bar: bar.ratio, Met: mid.PerSecond/ceiling >= bar.ratio,
		}
	}
	return figures, nil
}

// settled fills the queue with events about orders, then starts a worker and
// measures until the last event has ended. settings are the worker's.
func (b *harness) settled(ctx context.Context, settings ...string) (float64, error) {
	if err := b.empty(ctx); err != nil {
		return 0, err
	}
	ids := make([]string, b.options.Settle)
	for i := range ids {
		reference := "bench-" + strconv.Itoa(i)
		ids[i] = b.sim.CreatePayment(simulator.PaymentSpec{Reference: reference, Amount: decimal.NewFromInt(150), Status: simulator.Approved, StatusDetail: "accredited"})
	}
	if _, err := b.pool.Exec(ctx, `INSERT INTO orders (reference, amount, currency, settled_at, fold_version) SELECT 'bench-' || n, 150, 'ARS', now(), `+foldVersion+` FROM generate_series(0, $1 - 1) n`, len(ids)); err != nil {
		return 0, err
	}
	receiver, err := b.startService(ctx, "api")
	if err != nil {
		return 0, err
	}
	l := &load{addr: receiver.addr, path: api.WebhookPath, secret: webhookSecret, paymentID: func(n int64) string { return ids[n-1] }}
	_, err = l.run(ctx, 64, time.Minute, int64(len(ids)))
	receiver.stop()
	if err != nil {
		return 0, err
	}
	if _, err := b.pool.Exec(ctx, `ANALYZE`); err != nil {
		return 0, err
	}
	worker, err := b.startService(ctx, "worker", settings...)
	if err != nil {
		return 0, err
	}
	defer worker.stop()
	rate, err := b.watchSettling(ctx, len(ids))
	if err != nil {
		return 0, err
	}
	var paid int
	if err := b.pool.QueryRow(ctx, `SELECT count(*) FROM orders WHERE status = 'paid'`).Scan(&paid); err != nil {
		return 0, err
	}
	if paid != len(ids) {
		return 0, fmt.Errorf("settled %d events and only %d of %d orders are paid", len(ids), paid, len(ids))
	}
	return rate, nil
}

// settledUntold is settled while the shop's endpoint takes connections and answers
// nothing.
func (b *harness) settledUntold(ctx context.Context) (float64, error) {
	ln, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	defer func() { _ = ln.Close() }()
	key := make([]byte, 32)
	_, _ = rand.Read(key) // it never fails
	return b.settled(ctx, "ORDER_EVENTS_URL=http://"+ln.Addr().String(), "ORDER_EVENTS_ALLOW_PRIVATE=true",
		"ORDER_EVENTS_SECRETS=whsec_"+base64.StdEncoding.EncodeToString(key))
}

// watchSettling measures from the first end that it sees to the last.
func (b *harness) watchSettling(ctx context.Context, total int) (float64, error) {
	const limit = 5 * time.Minute
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	tick := time.Tick(20 * time.Millisecond)
	var began time.Time
	var first int
	for {
		var done int
		if err := b.pool.QueryRow(ctx, `SELECT count(*) FROM webhook_queue WHERE completed_at IS NOT NULL`).Scan(&done); err != nil {
			return 0, fmt.Errorf("settling: %w", err)
		}
		switch {
		case done > 0 && began.IsZero():
			began, first = time.Now(), done
		case done == total:
			return float64(total-first) / time.Since(began).Seconds(), nil
		}
		select {
		case <-tick:
		case <-ctx.Done():
			return 0, fmt.Errorf("settling: %d of %d after %s", done, total, limit)
		}
	}
}
