package main

import (
	"strconv"

	"github.com/spf13/cobra"

	"github.com/conciliar/conciliar/store"
)

func newDeliveriesCommand(std stdio) *cobra.Command {
	return group("deliveries", "Look at what was sent to receivers, and what they answered", newDeliveriesList(std), newDeliveriesShow(std))
}

func newDeliveriesList(std stdio) *cobra.Command {
	return listCommand(std, listSpec[store.DeliveryFilter, store.Delivery, store.Delivery, int64]{
		short:   "List what was sent or is to be, newest first",
		long:    "Lists deliveries: order events to the shop, and other senders' webhooks to those they\nare forwarded to.",
		example: "  conciliar deliveries list --state dead\n  conciliar deliveries list --order order-1001",
		flags: func(cmd *cobra.Command, filter *store.DeliveryFilter) {
			wordFlag(cmd, &filter.State, "state", "only in this state", store.DeliveryStates())
			f := cmd.Flags()
			f.StringVar(&filter.Receiver, "receiver", "", "only to this receiver")
			f.StringVar(&filter.Reference, "order", "", "only about the order with this reference")
			f.Int64Var(&filter.OrderEventID, "order-event", 0, "only of this order event")
			f.Int64Var(&filter.QueueID, "event", 0, "only of what came of this event")
			timeFlags(std, cmd, &filter.Since, &filter.Until)
		},
		read: (*store.Store).Deliveries, document: same[store.Delivery],
		header: "DELIVERY\tRECEIVER\tSTATE\tTYPE\tORDER\tEVENT\tATTEMPTS\tCLASS\tMADE\tENDED\tNEXT ATTEMPT",
		row: func(d store.Delivery) []any {
			return []any{d.ID, d.Receiver, d.State, d.Type, d.Reference, d.QueueID, d.Attempts, d.Class, d.CreatedAt, d.EndedAt, d.NextAttemptAt}
		},
	})
}

func newDeliveriesShow(std stdio) *cobra.Command {
	return byID(std, &cobra.Command{
		Use: "show ID", Short: "Show a delivery with its attempts and what the receiver answered", Example: "  conciliar deliveries show 42",
	}, (*store.Store).Delivery, showDelivery)
}

func showDelivery(r *printout, d store.DeliveryDetail) {
	r.row("delivery", d.ID)
	r.row("receiver", d.Receiver)
	r.row("webhook-id", d.MessageID)
	r.row("order event", d.OrderEventID)
	r.row("type", d.Type)
	r.row("order", d.Reference)
	r.row("event", d.QueueID)
	r.row("replay of", d.ReplayOf)
	r.row("state", d.State)
	r.row("class", d.Class)
	r.row("made", d.CreatedAt)
	r.row("ended", d.EndedAt)
	r.row("next attempt", d.NextAttemptAt)
	section(r, "attempts", attemptHeader, d.Log, attemptRow)
}

const attemptHeader = "ATTEMPT\tENDED\tTOOK\tSTATUS\tERROR\tANSWER"

// attemptRow is an attempt under attemptHeader; its status is empty when no answer came.
func attemptRow(a store.DeliveryAttempt) []any {
	status := ""
	if a.Status != nil {
		status = strconv.Itoa(*a.Status)
	}
	return []any{a.Number, a.EndedAt, strconv.FormatInt(a.DurationMS, 10) + " ms", status, a.Error, shorten(&a.Answer)}
}
