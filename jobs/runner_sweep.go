package jobs

import (
	"context"
	"time"
)

// sweep settles orders that somebody inserted by plain SQL after their payments had
// come, and looks again for payments that only an order of a provider's has shown.
func (r *Runner) sweep(ctx context.Context) {
	tick := time.Tick(sweepEvery)
	told := map[string]bool{}
	for n := 0; ; n++ {
		select {
		case <-ctx.Done():
			return
		case <-tick:
			pending := r.lookout.pending()
			if pending.Orders {
				r.settleUnsettled(ctx, told)
			}
			if r.refunds && n%int(sweepRefundsEvery/sweepEvery) == 0 {
				if lost, err := r.store.SweepRefunds(ctx); err != nil && ctx.Err() == nil {
					r.logger.WarnContext(ctx, "refunds not swept", "error", err)
				} else if lost > 0 {
					r.logger.WarnContext(ctx, "refunds whose job was lost have another", "count", lost)
				}
			}
			if n%2 != 0 || !pending.Looks {
				continue
			}
			if _, err := r.store.LookAgain(ctx, r.policy.backoff.Waits, sweepBatch); err != nil && ctx.Err() == nil {
				r.logger.WarnContext(ctx, "payments of orders not looked for again", "error", err)
			}
		}
	}
}

// settleUnsettled settles what has not been, and tells once of each order that can't be.
func (r *Runner) settleUnsettled(ctx context.Context, told map[string]bool) {
	_, refused, err := r.store.SettleUnsettled(ctx, sweepBatch)
	if err != nil && ctx.Err() == nil {
		r.logger.WarnContext(ctx, "unsettled orders not settled", "error", err)
	}
	for _, o := range refused {
		if !told[o.Reference] {
			told[o.Reference] = true
			r.logger.WarnContext(ctx, "an inserted order is not settled: no payment can meet its terms",
				"order_reference", o.Reference, "error", o.Err)
		}
	}
}
