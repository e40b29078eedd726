package main

import (
	"github.com/spf13/cobra"

	"github.com/conciliar/conciliar/store"
)

func newOrderEvents(std stdio) *cobra.Command {
	return group("order-events", "Look at what the shop is told of orders, and send it again",
		newOrderEventsList(std), newOrderEventsShow(std), newOrderEventsReplay(std))
}

// An orderEventsReplay is what `order-events replay` prints as JSON.
type orderEventsReplay struct {
	Replayed int64 `json:"replayed"`
	DryRun   bool  `json:"dry_run"`
}

func newOrderEventsReplay(std stdio) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "replay [ID]",
		Short: "Send one order event again, or all that match the filters",
		Long: `Sends order events to ORDER_EVENTS_URL again: the same webhook-id and body with
a new timestamp, after what is on its way about the same order. Those on their way
are left out. --since and --until go by when an event was written, and select those
from before the shop's first start with ORDER_EVENTS_URL too, which are not sent
otherwise.`,
		Example: `  conciliar order-events replay 42
  conciliar order-events replay --dead --dry-run
  conciliar order-events replay --since 2026-03-01 --type order.paid`,
		Args: cobra.MaximumNArgs(1),
	}
	var filter store.OrderEventReplay
	timeFlags(std, cmd, &filter.Since, &filter.Until)
	f := cmd.Flags()
	wordFlag(cmd, &filter.Type, "type", "only of this type", store.OrderEventTypes())
	f.StringVar(&filter.Reference, "order", "", "only about the order with this reference")
	f.BoolVar(&filter.Dead, "dead", false, "only those that were given up")
	dryRun := f.Bool("dry-run", false, "only count what would be sent")
	asJSON := jsonFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		filtered := filter != store.OrderEventReplay{}
		switch {
		case len(args) == 1 && (filtered || *dryRun):
			return usagef("give an id or filters, not both")
		case len(args) == 0 && !filtered:
			return usagef("give an id or a filter; --since 400d selects all that are kept")
		case len(args) == 1:
			var err error
			if filter.ID, err = recordID(args[0]); err != nil {
				return err
			}
		}
		return withStore(cmd.Context(), std, func(storage *store.Store) error {
			total, err := storage.CountReplayableOrderEvents(cmd.Context(), filter)
			if err != nil {
				return err
			}
			done := orderEventsReplay{Replayed: total, DryRun: *dryRun}
			if !*dryRun {
				bar := newProgress(std)
				done.Replayed, err = storage.ReplayOrderEvents(cmd.Context(), filter, commandActor(), func(sent int64) { bar.show(float64(sent)/float64(max(total, 1)), "") })
				bar.end()
				if err != nil {
					return err
				}
			}
			return printResult(std, *asJSON, done, func(r *printout) {
				if done.DryRun {
					r.printf("%d order events would be sent\n", done.Replayed)
					return
				}
				r.printf("%d order events are sent again\n", done.Replayed)
			})
		})
	}
	return cmd
}
