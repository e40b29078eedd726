package bench

import (
	"context"
	"fmt"
)

// reconcile measures the run at the start, which finds payments that no webhook told of,
// with each in its order at its end.
func (b *harness) reconcile(ctx context.Context) ([]Figure, error) {
	var rates []float64
	var costs []*Cost
	for range b.options.Rounds {
		perSecond, cost, err := b.reconcileOnce(ctx)
		if err != nil {
			return nil, err
		}
		b.say("%.0f payments a second", perSecond)
		rates, costs = append(rates, perSecond), append(costs, cost)
	}
	f := Figure{What: fmt.Sprintf("%d payments that no webhook told of", b.options.Payments), Unit: "payments/s", Value: spreadOf(rates...)}
	f.Cost = costs[len(costs)-1]
	return []Figure{f}, nil
}

func (b *harness) reconcileOnce(ctx context.Context) (perSecond float64, _ *Cost, err error) {
	if err := b.empty(ctx); err != nil {
		return 0, nil, err
	}
	if _, err := b.pool.Exec(ctx, `TRUNCATE webhook_reconciliation_logs CASCADE`); err != nil {
		return 0, nil, err
	}
	// A provider that knows the payments of this round only.
	if err := b.startSimulator(ctx); err != nil {
		return 0, nil, err
	}
	if _, err := b.makeOrders(ctx, b.options.Payments); err != nil {
		return 0, nil, err
	}
	worker, err := b.startService(ctx, "worker")
	if err != nil {
		return 0, nil, err
	}
	defer worker.stop()
	before, err := b.meter(ctx, worker)
	if err != nil {
		return 0, nil, err
	}
	if err := b.await(ctx, settleLimit, `SELECT EXISTS (SELECT FROM webhook_reconciliation_logs WHERE finished_at IS NOT NULL)`); err != nil {
		return 0, nil, err
	}
	cost, err := b.costSince(ctx, before, b.options.Payments, worker)
	if err != nil {
		return 0, nil, err
	}
	var status string
	var seconds float64
	if err := b.pool.QueryRow(ctx, `SELECT status, extract(epoch FROM finished_at - started_at)::float8 FROM webhook_reconciliation_logs ORDER BY id LIMIT 1`).Scan(&status, &seconds); err != nil {
		return 0, nil, err
	}
	if err := b.requirePaid(ctx); err != nil {
		return 0, nil, fmt.Errorf("the run ended %s: %w", status, err)
	}
	return float64(b.options.Payments) / seconds, cost, nil
}
