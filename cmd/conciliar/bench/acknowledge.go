package bench

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/conciliar/conciliar/api"
)

// ackBars are the measurements of the acknowledgement by connections: how many clients
// pgbench has beside them, and the least ratio; 0 is no bar.
var ackBars = []struct {
	connections, clients int
	ratio                float64
}{
	{1, 1, 0.75},
	{16, 64, 0},
	{64, 64, 2.75},
	{256, 64, 3.5},
}

// busyBar is the most that 99 of 100 webhooks over 16 connections may take, in ms,
// while workers are busy.
const busyBar = 9

// rateSteps are the rates of open-loop arrival, a second.
var rateSteps = []float64{200, 1000, 2500}

// warmUp is how long a load runs before it counts.
const warmUp = time.Second

// webhooks is a load of webhooks about payments that nobody has heard of.
func (b *harness) webhooks(s *service) *load {
	b.runs++
	base := int64(100+b.runs) * 1_000_000_000
	return b.webhooksOf(s, func(n int64) string { return strconv.FormatInt(base+n, 10) })
}

// webhooksOf is a load of webhooks of which the nth is about this payment.
func (b *harness) webhooksOf(s *service, paymentID func(n int64) string) *load {
	return &load{addr: s.addr, path: api.WebhookPath, secret: webhookSecret, paymentID: paymentID}
}

// acknowledge measures pgbench and the service in turns, so that a machine that slows
// down slows both.
func (b *harness) acknowledge(ctx context.Context) ([]Figure, error) {
	service, err := b.startService(ctx, "api")
	if err != nil {
		return nil, err
	}
	defer service.stop()
	ceilings := map[int][]float64{}
	results := make([][]loadResult, len(ackBars))
	costs := make([]*Cost, len(ackBars))
	for round := range b.options.Rounds {
		for _, clients := range []int{1, 64} {
			rate, err := b.ceiling(ctx, ceilingScript, 1, clients)
			if err != nil {
				return nil, err
			}
			b.say("round %d: pgbench, %d clients: %.0f a second", round+1, clients, rate)
			ceilings[clients] = append(ceilings[clients], rate)
		}
		for i, bar := range ackBars {
			result, cost, err := b.load(ctx, service, loadShape{connections: bar.connections, length: b.options.Length, warmUp: warmUp})
			if err != nil {
				return nil, err
			}
			b.say("round %d: %d connections: %.0f acknowledged a second", round+1, bar.connections, result.PerSecond)
			results[i], costs[i] = append(results[i], result), cost
		}
	}
	figures := make([]Figure, len(ackBars))
	for i, bar := range ackBars {
		figures[i] = loadFigure(fmt.Sprintf("%d connections", bar.connections), results[i]).
			beside(fmt.Sprintf("pgbench, %d clients", bar.clients), spreadOf(ceilings[bar.clients]...))
		figures[i].Cost = costs[i]
		if bar.ratio > 0 {
			figures[i].Bars = []Bar{atLeast("ratio", bar.ratio, figures[i].Ratio)}
		}
	}
	return figures, nil
}

// ceiling is pgbench's rate on empty tables.
func (b *harness) ceiling(ctx context.Context, transaction string, rows, clients int) (float64, error) {
	if err := b.empty(ctx); err != nil {
		return 0, err
	}
	return pgbench(ctx, b.databaseURL, transaction, rows, clients, b.options.Length)
}

// load delivers webhooks on empty tables and says what each took.
func (b *harness) load(ctx context.Context, s *service, shape loadShape) (loadResult, *Cost, error) {
	if err := b.empty(ctx); err != nil {
		return loadResult{}, nil, err
	}
	l := b.webhooks(s)
	before, err := b.meter(ctx, s)
	if err != nil {
		return loadResult{}, nil, err
	}
	result, err := l.run(ctx, shape)
	if err != nil {
		return result, nil, err
	}
	cost, err := b.costSince(ctx, before, int(l.next.Load()), s)
	return result, cost, err
}

// loadFigure is the figure of a load that was repeated.
func loadFigure(what string, results []loadResult) Figure {
	rates := make([]float64, len(results))
	for i, r := range results {
		rates[i] = r.PerSecond
	}
	return Figure{
		What: what, Unit: "acknowledged/s", Value: spreadOf(rates...),
		Latency: medianBy(results, func(r loadResult) float64 { return r.PerSecond }).Latency,
	}
}

// rates measures latency at fixed rates and over 16 connections, with workers that have
// nothing to do and with workers that settle.
func (b *harness) rates(ctx context.Context) (figures []Figure, err error) {
	shapes := []loadShape{{connections: 16}}
	for _, rate := range rateSteps {
		shapes = append(shapes, loadShape{connections: 128, rate: rate})
	}
	for _, workers := range []string{"idle", "busy"} {
		for _, shape := range shapes {
			what := fmt.Sprintf("%.0f a second", shape.rate)
			if shape.rate == 0 {
				what = fmt.Sprintf("%d connections", shape.connections)
			}
			shape.length, shape.warmUp = b.options.Length, warmUp
			var results []loadResult
			for range b.options.Rounds {
				result, err := b.told(ctx, shape, workers == "busy")
				if err != nil {
					return nil, err
				}
				results = append(results, result)
			}
			figure := loadFigure(what+", workers "+workers, results)
			if shape.rate == 0 && workers == "busy" {
				figure.Bars = []Bar{atMost("p99 ms", busyBar, figure.Latency.P99)}
			}
			b.say("%s: p99 %.1f ms", figure.What, figure.Latency.P99)
			figures = append(figures, figure)
		}
	}
	return figures, nil
}

// told delivers webhooks to a process of its own, of orders that are there if it is to
// settle them.
func (b *harness) told(ctx context.Context, shape loadShape, settling bool) (loadResult, error) {
	if err := b.empty(ctx); err != nil {
		return loadResult{}, err
	}
	if !settling {
		service, err := b.startService(ctx, "api")
		if err != nil {
			return loadResult{}, err
		}
		defer service.stop()
		return b.webhooks(service).run(ctx, shape)
	}
	const most = 40_000
	ids, err := b.makeOrders(ctx, most)
	if err != nil {
		return loadResult{}, err
	}
	service, err := b.startService(ctx, "")
	if err != nil {
		return loadResult{}, err
	}
	defer service.stop()
	shape.atMost = most
	return b.about(service, ids).run(ctx, shape)
}
