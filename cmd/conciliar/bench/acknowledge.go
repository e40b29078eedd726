package bench

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/conciliar/conciliar/api"
)

// ackBars are the measurements of the acknowledgement by connections: how many clients
// pgbench has beside them, and the least ratio; 0 means no bar.
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
// while workers are busy, and residentBar the most memory at residentRate, in MiB.
const (
	busyBar                   = 9
	residentBar, residentRate = 64, 1000
)

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
			result, err := b.load(ctx, service, loadShape{connections: bar.connections, length: b.options.Length, warmUp: warmUp})
			if err != nil {
				return nil, err
			}
			b.say("round %d: %d connections: %.0f acknowledged a second", round+1, bar.connections, result.PerSecond)
			results[i] = append(results[i], result)
		}
	}
	figures := make([]Figure, len(ackBars))
	for i, bar := range ackBars {
		figures[i] = loadFigure(fmt.Sprintf("%d connections", bar.connections), results[i]).
			beside(fmt.Sprintf("pgbench, %d clients", bar.clients), spreadOf(ceilings[bar.clients]...))
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
func (b *harness) load(ctx context.Context, s *service, shape loadShape) (loadResult, error) {
	if err := b.empty(ctx); err != nil {
		return loadResult{}, err
	}
	return b.metered(ctx, s, b.webhooks(s), shape)
}

// metered delivers a load and says what each delivery took.
func (b *harness) metered(ctx context.Context, s *service, l *load, shape loadShape) (loadResult, error) {
	before, err := b.meter(ctx, s)
	if err != nil {
		return loadResult{}, err
	}
	result, err := l.run(ctx, shape)
	if err != nil {
		return result, err
	}
	result.Cost, err = b.costSince(ctx, before, result.Delivered, s)
	return result, err
}

// loadFigure is the figure of a load that was repeated.
func loadFigure(what string, results []loadResult) Figure {
	rates, p99 := make([]float64, len(results)), make([]float64, len(results))
	for i, r := range results {
		rates[i], p99[i] = r.PerSecond, r.Latency.P99
	}
	mid := medianBy(results, func(r loadResult) float64 { return r.Latency.P99 })
	latency, rounds := *mid.Latency, spreadOf(p99...)
	latency.Rounds = &rounds
	return Figure{What: what, Unit: "acknowledged/s", Value: spreadOf(rates...), Latency: &latency, Cost: mid.Cost}
}

// rates measures latency at fixed rates, in a process that only receives and in one whose
// workers settle what it receives; and in that one by connections, too.
func (b *harness) rates(ctx context.Context) (figures []Figure, err error) {
	for _, busy := range []bool{false, true} {
		var shapes []loadShape
		who := "receiver only"
		if busy {
			who = "workers busy"
			for _, bar := range ackBars {
				shapes = append(shapes, loadShape{connections: bar.connections})
			}
		}
		for _, rate := range rateSteps {
			shapes = append(shapes, loadShape{connections: 128, rate: rate})
		}
		for _, shape := range shapes {
			shape.length, shape.warmUp = b.options.Length, warmUp
			figure, err := b.ratesOf(ctx, who, shape, busy)
			if err != nil {
				return nil, err
			}
			figures = append(figures, figure)
		}
	}
	return figures, nil
}

func (b *harness) ratesOf(ctx context.Context, who string, shape loadShape, busy bool) (Figure, error) {
	what := fmt.Sprintf("%s, %.0f a second", who, shape.rate)
	if shape.rate == 0 {
		what = fmt.Sprintf("%s, %d connections", who, shape.connections)
	}
	var results []loadResult
	for range b.options.Rounds {
		result, err := b.told(ctx, shape, busy)
		if err != nil {
			return Figure{}, err
		}
		results = append(results, result)
	}
	figure := loadFigure(what, results)
	if shape.rate == 0 && shape.connections == 16 {
		figure.Bars = append(figure.Bars, atMost("p99 ms", busyBar, figure.Latency.P99))
	}
	if shape.rate == residentRate {
		figure.Bars = append(figure.Bars, atMost("peak MiB", residentBar, figure.Cost.PeakMB))
	}
	b.say("%s: %.0f a second, p99 %.1f ms", figure.What, figure.Value.Median, figure.Latency.P99)
	return figure, nil
}

// told delivers webhooks to a process of its own, of orders that are there if it is to
// settle them.
func (b *harness) told(ctx context.Context, shape loadShape, settling bool) (loadResult, error) {
	if !settling {
		service, err := b.startService(ctx, "api")
		if err != nil {
			return loadResult{}, err
		}
		defer service.stop()
		return b.load(ctx, service, shape)
	}
	if err := b.empty(ctx); err != nil {
		return loadResult{}, err
	}
	// As many as are due, or more than the quickest connections deliver.
	n, _ := shape.deliveries()
	if n == 0 {
		perSecond := min(15_000, 2500*float64(shape.connections))
		n = int64(perSecond * (shape.warmUp + shape.length).Seconds())
		shape.atMost = n
	}
	ids, err := b.makeOrders(ctx, int(n))
	if err != nil {
		return loadResult{}, err
	}
	if err := b.noRunDue(ctx); err != nil {
		return loadResult{}, err
	}
	service, err := b.startService(ctx, "")
	if err != nil {
		return loadResult{}, err
	}
	defer service.stop()
	return b.metered(ctx, service, b.about(service, ids), shape)
}
