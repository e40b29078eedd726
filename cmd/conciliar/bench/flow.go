package bench

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/shopspring/decimal"

	"github.com/conciliar/conciliar/jobs/provider/mercadopago/simulator"
)

const (
	// paidRate is the steady rate at which orders are paid.
	paidRate = 200
	// idleFor is how long nothing happens: what is done each minute is in it once.
	// idleAfter is how long a process has before, for what it does at its start.
	idleFor, idleAfter = time.Minute, 30 * time.Second
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
		result, err := b.paidOnce(ctx, steady)
		if err != nil {
			return nil, err
		}
		b.say("p50 %.1f ms, p99 %.1f ms", result.Latency.P50, result.Latency.P99)
		results = append(results, result)
	}
	return []Figure{paidFigure(results)}, nil
}

// paidFigure is the figure of several rounds.
func paidFigure(results []Figure) Figure {
	values, p99 := make([]float64, len(results)), make([]float64, len(results))
	for i, r := range results {
		values[i], p99[i] = r.Latency.P50, r.Latency.P99
	}
	mid, rounds := medianBy(results, func(f Figure) float64 { return f.Latency.P99 }), spreadOf(p99...)
	mid.Value, mid.Latency.Rounds = spreadOf(values...), &rounds
	return mid
}

// An arrival is how webhooks come: at a rate, so many in a row about each payment, to a
// process with these settings.
type arrival struct {
	rate, each int
	settings   []string
}

// steady is the arrival that bars are about.
var steady = arrival{rate: paidRate, each: 1}

func (b *harness) paidOnce(ctx context.Context, a arrival) (f Figure, err error) {
	shape := loadShape{connections: 64, rate: float64(a.rate), length: b.options.Length, warmUp: warmUp}
	due, _ := shape.deliveries()
	ids, err := b.makeOrders(ctx, (int(due)+a.each-1)/a.each)
	if err != nil {
		return f, err
	}
	if err := b.noRunDue(ctx); err != nil {
		return f, err
	}
	service, err := b.startService(ctx, "", a.settings...)
	if err != nil {
		return f, err
	}
	defer service.stop()
	since, err := b.lastEvent(ctx)
	if err != nil {
		return f, err
	}
	before, err := b.meter(ctx, service)
	if err != nil {
		return f, err
	}
	if _, err := b.webhooksOf(service, func(n int64) string { return ids[(n-1)/int64(a.each)] }).run(ctx, shape); err != nil {
		return f, err
	}
	if err := b.await(ctx, time.Minute, allEnded); err != nil {
		return f, err
	}
	f = Figure{What: fmt.Sprintf("receipt to order, %d a second", a.rate), Unit: "ms", Latency: &Latency{}}
	if f.Cost, err = b.costSince(ctx, before, int(due), service); err != nil {
		return f, err
	}
	// The first ones warm the service up.
	const took = `
		SELECT p[1], p[2], p[3], p[4] FROM (
			SELECT percentile_disc(ARRAY[0.5, 0.99, 0.999, 1]) WITHIN GROUP (ORDER BY 1000 * extract(epoch FROM completed_at - received_at)::float8) p
			FROM (SELECT completed_at, received_at FROM webhook_queue WHERE id > $1 ORDER BY id OFFSET $2) q
		) q`
	err = b.pool.QueryRow(ctx, took, since, a.rate*int(warmUp.Seconds())).Scan(&f.Latency.P50, &f.Latency.P99, &f.Latency.P999, &f.Latency.Max)
	f.Value = spreadOf(f.Latency.P50)
	return f, errors.Join(err, b.requirePaid(ctx))
}

// lastEvent is the newest event's id, 0 where there is none.
func (b *harness) lastEvent(ctx context.Context) (id int64, err error) {
	err = b.pool.QueryRow(ctx, `SELECT coalesce(max(id), 0) FROM webhook_queue`).Scan(&id)
	return id, err
}

// archive measures webhooks at a fixed rate, alone and while old events move.
func (b *harness) archive(ctx context.Context) ([]Figure, error) {
	rows := b.options.Rows[0] / 2
	var results [2][]loadResult
	var moved []float64
	for range b.options.Rounds {
		if err := b.empty(ctx); err != nil {
			return nil, err
		}
		if _, err := Seed(ctx, b.pool, Size{Completed: rows}, b.say); err != nil {
			return nil, err
		}
		alone, _, err := b.receiveBeside(ctx, false)
		if err != nil {
			return nil, err
		}
		beside, rate, err := b.receiveBeside(ctx, true)
		if err != nil {
			return nil, err
		}
		b.say("p99 %.1f ms alone, %.1f ms while %.0f events a second moved", alone.Latency.P99, beside.Latency.P99, rate)
		results[0], results[1], moved = append(results[0], alone), append(results[1], beside), append(moved, rate)
	}
	return []Figure{
		loadFigure(fmt.Sprintf("%d a second, alone", receiveRate), results[0]),
		loadFigure(fmt.Sprintf("%d a second, while %d events move to the archive", receiveRate, rows), results[1]),
		{What: "events that moved meanwhile", Unit: "moved/s", Value: spreadOf(moved...)},
	}, nil
}

// receiveBeside receives and settles webhooks at a fixed rate, and says how many old
// events moved a second meanwhile, if some are to.
func (b *harness) receiveBeside(ctx context.Context, moving bool) (result loadResult, perSecond float64, err error) {
	shape := loadShape{connections: 64, rate: receiveRate, length: b.options.Length, warmUp: warmUp}
	due, _ := shape.deliveries()
	ids, err := b.makeOrders(ctx, int(due))
	if err != nil {
		return result, 0, err
	}
	if err := b.noRunDue(ctx); err != nil {
		return result, 0, err
	}
	receiver, err := b.startService(ctx, "api")
	if err != nil {
		return result, 0, err
	}
	defer receiver.stop()
	worker, err := b.startService(ctx, "worker", "RETENTION=1h")
	if err != nil {
		return result, 0, err
	}
	defer worker.stop()
	if moving {
		// A reconciliation begins with it.
		if err := receiver.post(ctx, "/api/webhooks/reconcile", receiver.reconcileToken, ""); err != nil {
			return result, 0, err
		}
		if err := b.await(ctx, settleLimit, `SELECT EXISTS (SELECT FROM webhook_archive)`); err != nil {
			return result, 0, err
		}
	}
	began, before, err := b.moved(ctx)
	if err != nil {
		return result, 0, err
	}
	if result, err = b.about(receiver, ids).run(ctx, shape); err != nil {
		return result, 0, err
	}
	ended, after, err := b.moved(ctx)
	if err != nil {
		return result, 0, err
	}
	var left int
	if err := b.pool.QueryRow(ctx, `SELECT count(*) FROM webhook_completed WHERE completed_at < now() - interval '2 hours'`).Scan(&left); err != nil {
		return result, 0, err
	}
	if moving && left == 0 {
		b.say("nothing was left to move at the end: make --rows larger or --duration shorter")
	}
	return result, (after - before) / ended.Sub(began).Seconds(), nil
}

// moved is how many events the archive has, and when.
func (b *harness) moved(ctx context.Context) (at time.Time, events float64, err error) {
	err = b.pool.QueryRow(ctx, `SELECT clock_timestamp(), count(*)::float8 FROM webhook_archive`).Scan(&at, &events)
	return at, events, err
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
	if !sleepUntil(ctx, time.Now().Add(idleAfter)) {
		return nil, ctx.Err()
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
