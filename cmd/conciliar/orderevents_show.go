package main

import (
	"bytes"
	"encoding/json"

	"github.com/spf13/cobra"

	"github.com/conciliar/conciliar/store"
)

func newOrderEventsList(std stdio) *cobra.Command {
	return listCommand(std, listSpec[store.OrderEventFilter, store.OrderEvent, store.OrderEvent, int64]{
		short:   "List order events, newest first",
		example: "  conciliar order-events list --order order-1001\n  conciliar order-events list --type order.charged_back --since 30d",
		flags: func(cmd *cobra.Command, filter *store.OrderEventFilter) {
			cmd.Flags().StringVar(&filter.Reference, "order", "", "only about the order with this reference")
			wordFlag(cmd, &filter.Type, "type", "only of this type", store.OrderEventTypes())
			wordFlag(cmd, &filter.Cause, "cause", "only with this cause", store.OrderEventCauses())
			timeFlags(std, cmd, &filter.Since, &filter.Until)
		},
		read: (*store.Store).OrderEvents, document: same[store.OrderEvent],
		header: "ID\tPOSITION\tWRITTEN\tORDER\tTYPE\tBEFORE\tCAUSE\tEVENT",
		row: func(e store.OrderEvent) []any {
			return []any{e.ID, e.Position, e.CreatedAt, e.Reference, e.Type, e.PreviousStatus, e.Cause, e.QueueID}
		},
	})
}

func newOrderEventsShow(std stdio) *cobra.Command {
	return byID(std, &cobra.Command{
		Use: "show ID", Short: "Show an order event: what is sent, and what the shop's endpoint answered", Example: "  conciliar order-events show 42",
	}, (*store.Store).OrderEvent, showOrderEvent)
}

func showOrderEvent(r *printout, e store.OrderEventDetail) {
	r.row("order event", e.ID)
	r.row("position", e.Position)
	r.row("type", e.Type)
	r.row("order", e.Reference)
	r.row("status before", e.PreviousStatus)
	r.row("cause", e.Cause)
	r.row("event", e.QueueID)
	r.row("written", e.CreatedAt)
	section(r, "deliveries", "DELIVERY\tRECEIVER\tSTATE\tATTEMPTS\tREPLAY OF\tMADE\tENDED\tNEXT ATTEMPT", e.Deliveries, func(d store.DeliveryDetail) []any {
		return []any{d.ID, d.Receiver, d.State, d.Attempts, d.ReplayOf, d.CreatedAt, d.EndedAt, d.NextAttemptAt}
	})
	type attempt struct {
		delivery int64
		store.DeliveryAttempt
	}
	var attempts []attempt
	for _, d := range e.Deliveries {
		for _, a := range d.Log {
			attempts = append(attempts, attempt{d.ID, a})
		}
	}
	section(r, "attempts", "DELIVERY\t"+attemptHeader, attempts, func(a attempt) []any {
		return append([]any{a.delivery}, attemptRow(a.DeliveryAttempt)...)
	})
	var body bytes.Buffer
	if json.Indent(&body, e.Body, "", "  ") == nil {
		r.printf("\nbody\n%s\n", printable(body.String(), "\n"))
	}
}
