package bench

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/shopspring/decimal"

	"github.com/conciliar/conciliar/jobs/provider/mercadopago/simulator"
)

const (
	// settleBar is the least ratio of settled events to the bare writes, and
	// settleRate the least a second on two cores.
	settleBar, settleRate = 1.25, 2500
	// bareClients is how many clients commit the bare writes.
	bareClients = 8
	// slowLatency is what a slow provider takes, and slowWorkers are more than it takes
	// to settle as fast as one that answers at once.
	slowLatency = 200 * time.Millisecond
	slowWorkers = 400
	// receiveRate is the rate of webhooks beside the settlement and beside the archive.
	receiveRate = 500
	// settleLimit is how long a backlog may take.
	settleLimit = 15 * time.Minute
)

// besideBare is what a backlog is compared with.
var besideBare = fmt.Sprintf("pgbench, bare writes, %d clients", bareClients)

// makeOrders makes so many orders and an approved payment of each, and returns the
// payments' ids. The provider's answers are rendered ahead: on the cores that it shares
// with the service it takes what a provider elsewhere does, little more than the call.
func (b *harness) makeOrders(ctx context.Context, n int) ([]string, error) {
	b.runs++
	prefix := fmt.Sprintf("run%d-", b.runs)
	ids := make([]string, n)
	for i := range ids {
		ids[i] = b.paymentOf(prefix + strconv.Itoa(i))
		if err := b.sim.Render(ids[i]); err != nil {
			return nil, err
		}
	}
	_, err := b.pool.Exec(ctx, `INSERT INTO orders (reference, amount, currency, settled_at, fold_version)
		SELECT $2 || n, 150, 'ARS', now(), `+foldVersion+` FROM generate_series(0, $1 - 1) n`, n, prefix)
	return ids, err
}

// paymentOf makes an approved payment.
func (b *harness) paymentOf(reference string) (id string) {
	return b.sim.CreatePayment(simulator.PaymentSpec{
		Reference: reference, Amount: decimal.NewFromInt(150), Status: simulator.Approved, StatusDetail: "accredited",
	})
}

// payment makes the nth payment of an order that nobody registers.
func (b *harness) payment(n int64) string { return b.paymentOf("offered-" + strconv.FormatInt(n, 10)) }

// about is a load of webhooks about these payments, one after the other and over again.
func (b *harness) about(s *service, ids []string) *load {
	return b.webhooksOf(s, func(n int64) string { return ids[(n-1)%int64(len(ids))] })
}

// backlog fills the queue with events about n payments, so many about each, and makes
// their orders.
func (b *harness) backlog(ctx context.Context, n, each int) error {
	ids, err := b.makeOrders(ctx, n)
	if err != nil {
		return err
	}
	receiver, err := b.startService(ctx, "api")
	if err != nil {
		return err
	}
	defer receiver.stop()
	if _, err := b.about(receiver, ids).run(ctx, loadShape{connections: 64, length: settleLimit, atMost: int64(n * each)}); err != nil {
		return err
	}
	if _, err = b.pool.Exec(ctx, `ANALYZE`); err != nil {
		return err
	}
	return b.noRunDue(ctx)
}

// noRunDue keeps a reconciliation from starting with the workers: it would read all
// payments beside what is measured.
func (b *harness) noRunDue(ctx context.Context) error {
	_, err := b.pool.Exec(ctx, `INSERT INTO webhook_reconciliation_logs (trigger, status, finished_at) VALUES ('schedule', 'succeeded', now())`)
	return err
}

// allEnded is true when every event has ended. It looks at the newest first: in front of
// the index are those that ended just now.
const allEnded = `SELECT (SELECT queue_id FROM webhook_open ORDER BY queue_id DESC LIMIT 1) IS NULL`

// A settling is what working a backlog off came to.
type settling struct {
	perSecond float64
	cost      *Cost
}

// drain starts worker processes on the backlog that is there, and measures from the
// first end to the last, by the times in the database.
func (b *harness) drain(ctx context.Context, workers int, settings ...string) (settling, error) {
	var since int64
	if err := b.pool.QueryRow(ctx, `SELECT coalesce(max(id), 0) FROM webhook_queue WHERE completed_at IS NOT NULL`).Scan(&since); err != nil {
		return settling{}, err
	}
	var processes []*service
	defer func() {
		for _, p := range processes {
			p.stop()
		}
	}()
	for range workers {
		p, err := b.startService(ctx, "worker", settings...)
		if err != nil {
			return settling{}, err
		}
		processes = append(processes, p)
	}
	before, err := b.meter(ctx, processes...)
	if err != nil {
		return settling{}, err
	}
	if err := b.await(ctx, settleLimit, allEnded); err != nil {
		return settling{}, err
	}
	var n int
	var seconds float64
	err = b.pool.QueryRow(ctx, `SELECT count(*), extract(epoch FROM max(completed_at) - min(completed_at)) FROM webhook_queue WHERE id > $1`, since).Scan(&n, &seconds)
	if err != nil {
		return settling{}, err
	}
	done := settling{perSecond: float64(n-1) / seconds}
	if done.cost, err = b.costSince(ctx, before, n, processes...); err != nil {
		return settling{}, err
	}
	return done, b.requirePaid(ctx)
}

// requirePaid makes sure that what was measured is right.
func (b *harness) requirePaid(ctx context.Context) error {
	var paid, orders int
	if err := b.pool.QueryRow(ctx, `SELECT count(*) FILTER (WHERE status = 'paid'), count(*) FROM orders`).Scan(&paid, &orders); err != nil {
		return err
	}
	if paid != orders {
		return fmt.Errorf("everything is settled and only %d of %d orders are paid", paid, orders)
	}
	return nil
}

// await waits until the query answers true. It asks rarely: what is measured shares the
// machine.
func (b *harness) await(ctx context.Context, limit time.Duration, query string, args ...any) error {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	tick := time.Tick(200 * time.Millisecond)
	for done := false; !done; {
		if err := b.pool.QueryRow(ctx, query, args...).Scan(&done); err != nil {
			return fmt.Errorf("await %s: %w", query, err)
		}
		if !done {
			select {
			case <-tick:
			case <-ctx.Done():
				return fmt.Errorf("not within %s: %s (%s)", limit, query, b.openJobs(context.WithoutCancel(ctx)))
			}
		}
	}
	return nil
}

// openJobs says what keeps something waiting: the jobs that are not over.
func (b *harness) openJobs(ctx context.Context) string {
	var open string
	err := b.pool.QueryRow(ctx, `
		SELECT 'open jobs: ' || coalesce(string_agg(format('%s %s %s, due %s to %s', n, state, kind, first, last), '; '), 'none')
		FROM (SELECT state, kind, count(*) n, min(scheduled_at) AS first, max(scheduled_at) AS last FROM river_job WHERE finalized_at IS NULL GROUP BY 1, 2) q`).Scan(&open)
	if err != nil {
		return err.Error()
	}
	return open
}

// settledOnce works one backlog off, on empty tables.
func (b *harness) settledOnce(ctx context.Context, workers int, settings ...string) (settling, error) {
	if err := b.empty(ctx); err != nil {
		return settling{}, err
	}
	if err := b.backlog(ctx, b.options.Settle, 1); err != nil {
		return settling{}, err
	}
	return b.drain(ctx, workers, settings...)
}

// bareWrites is pgbench's rate of the settlement's writes, over as many rows.
func (b *harness) bareWrites(ctx context.Context) (float64, error) {
	if err := b.empty(ctx); err != nil {
		return 0, err
	}
	for _, statement := range []string{
		`INSERT INTO orders (reference, amount, currency, settled_at, fold_version) SELECT 'bench-' || n, 150, 'ARS', now(), ` + foldVersion + ` FROM generate_series(1, $1::int) n`,
		`INSERT INTO webhook_queue (id, source, topic, action, resource_id, request_id, query, remote_ip, live_mode, signed, signature, payload)
		 SELECT n, 'pgbench', 'payment', 'payment.updated', n::text, md5(n::text), 'data.id=132646402927&type=payment', '203.0.113.9', true, true,
		        decode(md5(n::text) || md5((-n)::text), 'hex'), convert_to(repeat('x', 220), 'UTF8') FROM generate_series(1, $1::int) n`,
	} {
		if _, err := b.pool.Exec(ctx, statement, b.options.Settle); err != nil {
			return 0, err
		}
	}
	if _, err := b.pool.Exec(ctx, `ANALYZE`); err != nil {
		return 0, err
	}
	return pgbench(ctx, b.databaseURL, settleScript, b.options.Settle, bareClients, b.options.Length)
}

// settlingFigure is the figure of a backlog that was worked off several times.
func settlingFigure(what string, all []settling) Figure {
	rates := make([]float64, len(all))
	for i, s := range all {
		rates[i] = s.perSecond
	}
	return Figure{What: what, Unit: "settled/s", Value: spreadOf(rates...), Cost: medianBy(all, func(s settling) float64 { return s.perSecond }).cost}
}

// settle measures a backlog and the bare writes in turns.
func (b *harness) settle(ctx context.Context) ([]Figure, error) {
	var bare []float64
	var quick []settling
	for round := range b.options.Rounds {
		rate, err := b.bareWrites(ctx)
		if err != nil {
			return nil, err
		}
		done, err := b.settledOnce(ctx, 1)
		if err != nil {
			return nil, err
		}
		b.say("round %d: pgbench, bare writes: %.0f a second; settled: %.0f a second", round+1, rate, done.perSecond)
		bare, quick = append(bare, rate), append(quick, done)
	}
	figure := settlingFigure(fmt.Sprintf("%d events, the provider answers at once", b.options.Settle), quick).
		beside(besideBare, spreadOf(bare...))
	figure.Bars = []Bar{atLeast("ratio", settleBar, figure.Ratio), atLeast("per second", settleRate, figure.Value.Median)}
	return []Figure{figure}, nil
}

// slow measures a backlog whose provider takes its time, with workers enough to wait for
// it, beside the bare writes, and with the default, whose number decides: one round of
// that tells all.
func (b *harness) slow(ctx context.Context) (figures []Figure, err error) {
	if err := b.startSimulator(ctx, simulator.Faults{Latency: slowLatency}); err != nil {
		return nil, err
	}
	for _, with := range []struct {
		what     string
		rounds   int
		settings []string
	}{
		{fmt.Sprintf("WORKERS=%d", slowWorkers), b.options.Rounds, []string{"WORKERS=" + strconv.Itoa(slowWorkers)}},
		{"the default of WORKERS", 1, nil},
	} {
		var all []settling
		var bare []float64
		for round := range with.rounds {
			if with.settings != nil {
				rate, err := b.bareWrites(ctx)
				if err != nil {
					return figures, err
				}
				bare = append(bare, rate)
			}
			done, err := b.settledOnce(ctx, 1, with.settings...)
			if err != nil {
				return figures, err
			}
			b.say("round %d: %s: %.0f settled a second", round+1, with.what, done.perSecond)
			all = append(all, done)
		}
		figure := settlingFigure(fmt.Sprintf("%d events, the provider answers after %d ms, %s", b.options.Settle, slowLatency.Milliseconds(), with.what), all)
		if bare != nil {
			figure = figure.beside(besideBare, spreadOf(bare...))
		}
		figures = append(figures, figure)
	}
	return figures, nil
}

// processes measures the backlog with several worker processes, and with a process that
// receives meanwhile. On one machine they share its cores: they must not cost any.
func (b *harness) processes(ctx context.Context) (figures []Figure, err error) {
	const most = 3
	all, results := make([][]settling, most+1), []loadResult(nil)
	for round := range b.options.Rounds {
		for workers := 1; workers <= most; workers++ {
			done, err := b.settledOnce(ctx, workers)
			if err != nil {
				return nil, err
			}
			b.say("round %d: %d worker processes: %.0f settled a second", round+1, workers, done.perSecond)
			all[workers-1] = append(all[workers-1], done)
		}
		done, result, err := b.settledReceiving(ctx, 2)
		if err != nil {
			return nil, err
		}
		b.say("round %d: 2 worker processes and one that receives: %.0f settled a second, p99 %.1f ms", round+1, done.perSecond, result.Latency.P99)
		all[most], results = append(all[most], done), append(results, result)
	}
	one := settlingFigure("1 worker process", all[0])
	figures = []Figure{one}
	for workers := 2; workers <= most; workers++ {
		figure := settlingFigure(fmt.Sprintf("%d worker processes", workers), all[workers-1]).beside("1 worker process", one.Value)
		figure.Bars = []Bar{atLeast("ratio", 1, figure.Ratio)}
		figures = append(figures, figure)
	}
	receiving := settlingFigure(fmt.Sprintf("2 worker processes, and an api process that receives %d a second", receiveRate), all[most]).beside("1 worker process", one.Value)
	receiving.Latency = loadFigure("", results).Latency
	return append(figures, receiving), nil
}

// settledReceiving works a backlog off while another process receives what is to be
// settled, too.
func (b *harness) settledReceiving(ctx context.Context, workers int) (done settling, received loadResult, err error) {
	if err := b.empty(ctx); err != nil {
		return done, received, err
	}
	if err := b.backlog(ctx, b.options.Settle, 1); err != nil {
		return done, received, err
	}
	shape := loadShape{connections: 64, rate: receiveRate, length: b.options.Length}
	due, _ := shape.deliveries()
	ids, err := b.makeOrders(ctx, int(due))
	if err != nil {
		return done, received, err
	}
	receiver, err := b.startService(ctx, "api")
	if err != nil {
		return done, received, err
	}
	defer receiver.stop()
	var failed error
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		received, failed = b.about(receiver, ids).run(ctx, shape)
	}()
	done, err = b.drain(ctx, workers)
	<-ended
	return done, received, errors.Join(err, failed)
}
