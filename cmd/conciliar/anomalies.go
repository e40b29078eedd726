package main

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/conciliar/conciliar/api"
	"github.com/conciliar/conciliar/store"
	"github.com/conciliar/conciliar/store/order"
)

func newAnomalies(std stdio) *cobra.Command {
	return group("anomalies", "Handle mismatches of money that a person must see", newAnomaliesList(std), newAnomaliesResolve(std))
}

// anomalyFlags adds the flags that select anomalies, but for their state.
func anomalyFlags(std stdio, cmd *cobra.Command, filter *store.AnomalyFilter) {
	wordFlag(cmd, &filter.Kind, "kind", "only of this kind", order.Words(order.AnomalyKinds()))
	cmd.Flags().StringVar(&filter.Order, "order", "", "only about the order with this reference")
	cmd.Flags().StringVar(&filter.PaymentID, "payment", "", "only about the payment with this id")
	timeFlags(std, cmd, &filter.Since, &filter.Until)
}

func newAnomaliesList(std stdio) *cobra.Command {
	return listCommand(std, listSpec[store.AnomalyFilter, store.Anomaly, api.AnomalyDocument, int64]{
		short:   "List anomalies, newest first; open ones by default",
		example: "  conciliar anomalies list\n  conciliar anomalies list --state all --order order-1001",
		flags: func(cmd *cobra.Command, filter *store.AnomalyFilter) {
			stateFlag(cmd, &filter.State, store.AnomalyOpen, store.AnomalyStates())
			anomalyFlags(std, cmd, filter)
		},
		read: (*store.Store).Anomalies, document: api.NewAnomalyDocument,
		header: "ANOMALY\tKIND\tORDER\tPAYMENT\tOPENED\tCLOSED\tBY\tDETAIL\tNOTE",
		row: func(a api.AnomalyDocument) []any {
			return []any{a.ID, string(a.Kind), a.OrderReference, a.PaymentID, a.OpenedAt, a.ClosedAt, a.ClosedBy, string(a.Detail), a.Note}
		},
	})
}

func newAnomaliesResolve(std stdio) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "resolve [ID]",
		Short: "Resolve an anomaly that you have dealt with, or all that match the filters",
		Long: `Closes an open anomaly, or all open ones that match, with a note on how it was
dealt with. The same facts do not open it again.`,
		Example: `  conciliar anomalies resolve 12 --note refunded-by-hand
  conciliar anomalies resolve --kind no_reference --note "sales in the shop"`,
	}
	note := noteFlag(cmd)
	byID(std, cmd, func(storage *store.Store, ctx context.Context, id int64) (api.AnomalyDocument, error) {
		resolved, err := storage.ResolveAnomaly(ctx, id, *note, commandActor())
		return api.NewAnomalyDocument(resolved), err
	}, func(r *printout, a api.AnomalyDocument) { r.printf("anomaly %d (%s) is closed\n", a.ID, a.Kind) })
	return orMany(std, cmd, note, manySpec[store.AnomalyFilter]{
		flags: anomalyFlags, names: []string{"kind", "order", "payment", "since", "until"},
		count: (*store.Store).MatchingAnomalies, act: (*store.Store).ResolveAnomalies, things: "anomalies", done: "resolved",
	})
}
