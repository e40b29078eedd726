package bench

import (
	"context"
	"fmt"
	"strconv"
)

const (
	// providerLimit is PROVIDER_RATE_LIMIT's default, in calls a second.
	providerLimit = 20
	// limitedPayments are the payments of a backlog: some twenty seconds of the limit.
	limitedPayments = 400
	// notifications are the webhooks for one payment, and limitedRate how many come a
	// second: the limit carries their payments, and a third of them.
	notifications = 3
	limitedRate   = notifications * (providerLimit - 2)
	// limitedBar is the least ratio of the webhooks that the limit carries with three for
	// each payment to those with one.
	limitedBar = 2.9
)

// limited measures what the provider's limit carries, where all events of a payment that
// were received before it is fetched share one fetch.
func (b *harness) limited(ctx context.Context) ([]Figure, error) {
	settings := []string{"PROVIDER_RATE_LIMIT=" + strconv.Itoa(providerLimit)}
	var all [2][]settling
	var arriving []Figure
	var backlogFetches, fetches []float64
	for range b.options.Rounds {
		for i, each := range []int{1, notifications} {
			if err := b.empty(ctx); err != nil {
				return nil, err
			}
			if err := b.backlog(ctx, limitedPayments, each); err != nil {
				return nil, err
			}
			before := b.sim.Stats().Gets
			done, err := b.drain(ctx, 1, settings...)
			if err != nil {
				return nil, err
			}
			b.say("%d for each payment: %.0f settled a second", each, done.perSecond)
			if all[i] = append(all[i], done); each > 1 {
				backlogFetches = append(backlogFetches, float64(b.sim.Stats().Gets-before)/limitedPayments)
			}
		}
		if err := b.empty(ctx); err != nil {
			return nil, err
		}
		stats := b.sim.Stats()
		arrived, err := b.paidOnce(ctx, arrival{rate: limitedRate, each: notifications, settings: settings})
		if err != nil {
			return nil, err
		}
		after := b.sim.Stats()
		arriving, fetches = append(arriving, arrived), append(fetches, float64(after.Gets-stats.Gets)/float64(after.Payments-stats.Payments))
	}
	one := settlingFigure(fmt.Sprintf("a backlog of %d payments, 1 webhook for each", limitedPayments), all[0])
	three := settlingFigure(fmt.Sprintf("a backlog of %d payments, %d webhooks for each", limitedPayments, notifications), all[1]).beside("1 for each", one.Value)
	three.Bars = []Bar{atLeast("ratio", limitedBar, three.Ratio)}
	fetched := Figure{What: "calls for each payment of that backlog", Unit: "calls", Value: spreadOf(backlogFetches...)}
	came := paidFigure(arriving)
	came.What += fmt.Sprintf(", %d in a row for each payment", notifications)
	return []Figure{one, three, fetched, came, {What: "calls for each of these payments", Unit: "calls", Value: spreadOf(fetches...)}}, nil
}
