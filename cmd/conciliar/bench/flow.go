package bench

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/shopspring/decimal"

	"github.com/conciliar/conciliar/jobs/provider/mercadopago/simulator"
)

const (
	// paidRate is the steady rate at which orders are paid, and behindBar the most
	// seconds that a live webhook may wait behind what an outage's end released.
	paidRate  = 200
	behindBar = 2
	// archiveRate is the rate of webhooks beside the archive.
	archiveRate = 500
	// idleFor is how long nothing happens.
	idleFor = 30 * time.Second
)

// Bars of a service that has nothing to do: statements a second, memory in MiB, and
// seconds until it is ready; and of the binary's size, in MiB.
const (
	idleStatements = 4
	idleMB         = 40
	readyBar       = 1
	binaryMB       = 40
)

// paid measures from the receipt of a webhook to its order, at a steady rate.
func (b *harness) paid(ctx context.Context) ([]Figure, error) {
	var results []Figure
	for range b.options.Rounds {
		if err := b.empty(ctx); err != nil {
			return nil, err
		}
		n := int(paidRate * b.options.Length.Seconds())
		ids, err := b.makeOrders(ctx, n)
		if err != nil {
			return nil, err
		}
		result, err := b.paidOnce(ctx, ids)
		if err != nil {
			return nil, err
		}
		results = append(results, result)
	}
	mid := medianBy(results, func(f Figure) float64 { return f.Value.Median })
	values := make([]float64, len(results))
	for i, r := range results {
		values[i] = r.Value.Median
	}
	mid.Value = spreadOf(values...)
	return []Figure{mid}, nil
}

func (b *harness) paidOnce(ctx context.Context, ids []string) (Figure, error) {
	service, err := b.startService(ctx, "")
	if err != nil {
		return Figure{}, err
	}
	defer service.stop()
	before, err := b.meter(ctx, service)
	if err != nil {
		return Figure{}, err
	}
	if _, err := b.about(service, ids).run(ctx, loadShape{connections: 64, rate: paidRate, length: time.Minute + b.options.Length, atMost: int64(len(ids))}); err != nil {
		return Figure{}, err
	}
	if err := b.await(ctx, time.Minute, `SELECT NOT EXISTS (SELECT FROM webhook_queue WHERE completed_at IS NULL)`); err != nil {
		return Figure{}, err
	}
	cost, err := b.costSince(ctx, before, len(ids), service)
	if err != nil {
		return Figure{}, err
	}
	f := Figure{What: fmt.Sprintf("receipt to order, %d a second", paidRate), Unit: "ms", Latency: &Latency{}, Cost: cost}
	err = b.pool.QueryRow(ctx, `
		SELECT p[1], p[2], p[3], p[4] FROM (
			SELECT percentile_disc(ARRAY[0.5, 0.99, 0.999, 1]) WITHIN GROUP (ORDER BY 1000 * extract(epoch FROM completed_at - received_at)::float8) p FROM webhook_queue
		) q`).Scan(&f.Latency.P50, &f.Latency.P99, &f.Latency.P999, &f.Latency.Max)
	f.Value = spreadOf(f.Latency.P50)
	return f, errors.Join(err, b.requirePaid(ctx))
}

// behind lets an outage hold many events, ends it, and measures how long a webhook takes
// that arrives then.
func (b *harness) behind(ctx context.Context) ([]Figure, error) {
	held, err := b.makeOrders(ctx, b.options.Behind)
	if err != nil {
		return nil, err
	}
	live, err := b.makeOrders(ctx, 1)
	if err != nil {
		return nil, err
	}
	b.sim.SetOutage(true)
	service, err := b.startService(ctx, "")
	if err != nil {
		return nil, err
	}
	defer service.stop()
	b.say("receiving %d webhooks in an outage …", len(held))
	if _, err := b.about(service, held).run(ctx, loadShape{connections: 64, length: settleLimit, atMost: int64(len(held))}); err != nil {
		return nil, err
	}
	b.sim.SetOutage(false)
	b.say("the outage ends …")
	if err := b.await(ctx, settleLimit, `SELECT EXISTS (SELECT FROM webhook_queue WHERE completed_at IS NOT NULL)`); err != nil {
		return nil, err
	}
	if _, err := b.about(service, live).run(ctx, loadShape{connections: 1, length: time.Minute, atMost: 1}); err != nil {
		return nil, err
	}
	if err := b.await(ctx, settleLimit, `SELECT EXISTS (SELECT FROM webhook_queue WHERE resource_id = $1 AND completed_at IS NOT NULL)`, live[0]); err != nil {
		return nil, err
	}
	var took float64
	var waiting int
	err = b.pool.QueryRow(ctx, `SELECT extract(epoch FROM completed_at - received_at)::float8, (SELECT count(*) FROM webhook_queue WHERE completed_at IS NULL) FROM webhook_queue WHERE resource_id = $1`, live[0]).Scan(&took, &waiting)
	f := Figure{What: fmt.Sprintf("a live webhook, %d of %d released ones still waiting", waiting, len(held)), Unit: "s", Value: spreadOf(took)}
	f.Bars = []Bar{atMost("s", behindBar, took)}
	return []Figure{f}, err
}

// archive measures webhooks at a fixed rate, alone and while old events move.
func (b *harness) archive(ctx context.Context) (figures []Figure, err error) {
	rows := b.options.Rows[0] / 10
	if _, err := Seed(ctx, b.pool, Size{Completed: rows}, b.say); err != nil {
		return nil, err
	}
	shape := loadShape{connections: 64, rate: archiveRate, length: b.options.Length, warmUp: warmUp}
	for _, moving := range []bool{false, true} {
		what, settings := "alone", []string(nil)
		only := "api"
		if moving {
			what, only, settings = "while "+strconv.Itoa(rows)+" events move to the archive", "", []string{"RETENTION=1h"}
		}
		service, err := b.startService(ctx, only, settings...)
		if err != nil {
			return nil, err
		}
		if moving {
			err = b.await(ctx, settleLimit, `SELECT EXISTS (SELECT FROM webhook_archive)`)
		}
		var result loadResult
		if err == nil {
			result, err = b.webhooks(service).run(ctx, shape)
		}
		var left int
		if err == nil {
			err = b.pool.QueryRow(ctx, `SELECT count(*) FROM webhook_queue WHERE completed_at < now() - interval '2 hours'`).Scan(&left)
		}
		service.stop()
		if err != nil {
			return nil, err
		}
		b.say("%s: p99 %.1f ms, %d old events are left", what, result.Latency.P99, left)
		figures = append(figures, loadFigure(fmt.Sprintf("%d a second, %s", archiveRate, what), []loadResult{result}))
	}
	return figures, nil
}

// reconcile measures the run at the start, which finds payments that no webhook told of.
func (b *harness) reconcile(ctx context.Context) ([]Figure, error) {
	if _, err := b.makeOrders(ctx, b.options.Payments); err != nil {
		return nil, err
	}
	worker, err := b.startService(ctx, "worker")
	if err != nil {
		return nil, err
	}
	defer worker.stop()
	before, err := b.meter(ctx, worker)
	if err != nil {
		return nil, err
	}
	if err := b.await(ctx, settleLimit, `SELECT EXISTS (SELECT FROM webhook_reconciliation_logs WHERE finished_at IS NOT NULL)`); err != nil {
		return nil, err
	}
	cost, err := b.costSince(ctx, before, b.options.Payments, worker)
	if err != nil {
		return nil, err
	}
	var status string
	var seconds float64
	if err := b.pool.QueryRow(ctx, `SELECT status, extract(epoch FROM finished_at - started_at)::float8 FROM webhook_reconciliation_logs ORDER BY id LIMIT 1`).Scan(&status, &seconds); err != nil {
		return nil, err
	}
	if err := b.requirePaid(ctx); err != nil {
		return nil, fmt.Errorf("the run ended %s: %w", status, err)
	}
	return []Figure{{What: fmt.Sprintf("%d payments that no webhook told of", b.options.Payments), Unit: "payments/s", Value: spreadOf(float64(b.options.Payments) / seconds), Cost: cost}}, nil
}

// idle measures a process of each kind that has nothing to do, and the binary.
func (b *harness) idle(ctx context.Context) (figures []Figure, err error) {
	if _, err := b.pool.Exec(ctx, `CREATE EXTENSION pg_stat_statements SCHEMA public`); err != nil {
		return nil, err
	}
	b.sim.CreatePayment(simulator.PaymentSpec{Reference: "nobody", Amount: decimal.NewFromInt(1), Status: simulator.Pending, StatusDetail: "pending_waiting_payment"})
	for _, only := range []string{"", "worker", "api"} {
		began := time.Now()
		service, err := b.startService(ctx, only)
		if err != nil {
			return nil, err
		}
		ready := time.Since(began)
		found, err := b.idleOf(ctx, service, only, ready)
		service.stop()
		if err != nil {
			return nil, err
		}
		figures = append(figures, found...)
	}
	program, err := os.Executable()
	if err != nil {
		return nil, err
	}
	info, err := os.Stat(program)
	if err != nil {
		return nil, err
	}
	size := float64(info.Size()) / (1 << 20)
	return append(figures, Figure{What: "the binary", Unit: "MiB", Value: spreadOf(size), Bars: []Bar{atMost("MiB", binaryMB, size)}}), nil
}

func (b *harness) idleOf(ctx context.Context, s *service, only string, ready time.Duration) ([]Figure, error) {
	const calls = `SELECT coalesce(sum(calls), 0)::float8 FROM public.pg_stat_statements WHERE dbid = (SELECT oid FROM pg_database WHERE datname = current_database())`
	name := "serve"
	if only != "" {
		name += " --only " + only
	}
	b.say("%s: nothing happens for %s …", name, idleFor)
	// The run at the start comes first.
	if err := b.await(ctx, settleLimit, `SELECT NOT EXISTS (SELECT FROM webhook_reconciliation_logs WHERE finished_at IS NULL) AND ($1 OR EXISTS (SELECT FROM webhook_reconciliation_logs))`, only == "api"); err != nil {
		return nil, err
	}
	var before, after float64
	if err := b.pool.QueryRow(ctx, calls).Scan(&before); err != nil {
		return nil, err
	}
	used, err := b.meter(ctx, s)
	if err != nil {
		return nil, err
	}
	if !sleepUntil(ctx, time.Now().Add(idleFor)) {
		return nil, ctx.Err()
	}
	if err := b.pool.QueryRow(ctx, calls).Scan(&after); err != nil {
		return nil, err
	}
	now, err := b.meter(ctx, s)
	if err != nil {
		return nil, err
	}
	rate, memory := (after-before)/idleFor.Seconds(), statusMB(s.cmd.Process.Pid, "VmRSS")
	return []Figure{
		{What: name + ", statements", Unit: "a second", Value: spreadOf(rate), Bars: []Bar{atMost("a second", idleStatements, rate)}},
		{What: name + ", CPU of the service", Unit: "ms a second", Value: spreadOf((now.service - used.service) / idleFor.Seconds())},
		{What: name + ", resident", Unit: "MiB", Value: spreadOf(memory), Bars: []Bar{atMost("MiB", idleMB, memory)}},
		{What: name + ", from its start to its first answer", Unit: "s", Value: spreadOf(ready.Seconds()), Bars: []Bar{atMost("s", readyBar, ready.Seconds())}},
	}, nil
}

// size measures acknowledging and settling beside rows that are there already.
func (b *harness) size(ctx context.Context) (figures []Figure, err error) {
	const sizeBar = 0.9
	var empty [2]Spread
	for _, rows := range append([]int{0}, b.options.Rows...) {
		if rows > 0 {
			if err := b.empty(ctx); err != nil {
				return nil, err
			}
			if _, err := Seed(ctx, b.pool, Size{Archived: rows, Completed: rows / 10}, b.say); err != nil {
				return nil, err
			}
		}
		acknowledged, settled, err := b.atSize(ctx)
		if err != nil {
			return nil, err
		}
		for i, f := range []Figure{acknowledged, settled} {
			f.What = fmt.Sprintf("%s, %d events there", f.What, rows+rows/10)
			if rows == 0 {
				empty[i] = f.Value
			} else {
				f = f.beside("empty", empty[i])
				f.Bars = []Bar{atLeast("ratio", sizeBar, f.Ratio)}
			}
			b.say("%s: %.0f %s", f.What, f.Value.Median, f.Unit)
			figures = append(figures, f)
		}
	}
	return figures, nil
}

// atSize measures without emptying the tables.
func (b *harness) atSize(ctx context.Context) (acknowledged, settled Figure, err error) {
	var results []loadResult
	var all []settling
	for range b.options.Rounds {
		service, err := b.startService(ctx, "api")
		if err != nil {
			return acknowledged, settled, err
		}
		result, err := b.webhooks(service).run(ctx, loadShape{connections: 64, length: b.options.Length, warmUp: warmUp})
		service.stop()
		if err != nil {
			return acknowledged, settled, err
		}
		if err := b.forgetUnsettled(ctx); err != nil {
			return acknowledged, settled, err
		}
		if err := b.backlog(ctx, b.options.Settle); err != nil {
			return acknowledged, settled, err
		}
		done, err := b.drain(ctx, 1)
		if err != nil {
			return acknowledged, settled, err
		}
		results, all = append(results, result), append(all, done)
	}
	return loadFigure("64 connections", results), settlingFigure("a backlog", all), nil
}

// forgetUnsettled takes out what was only acknowledged: workers would settle it with the
// backlog. A deleted job makes a dead letter of its event, which this goes past.
func (b *harness) forgetUnsettled(ctx context.Context) error {
	err := pgx.BeginFunc(ctx, b.pool, func(tx pgx.Tx) error {
		_, err := tx.Exec(ctx, `SET LOCAL session_replication_role = replica; DELETE FROM river_job WHERE state = 'available'; DELETE FROM webhook_queue WHERE completed_at IS NULL`)
		return err
	})
	if err == nil {
		_, err = b.pool.Exec(ctx, `CHECKPOINT`)
	}
	return err
}
