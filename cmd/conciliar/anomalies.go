package main

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/conciliar/conciliar/api"
	"github.com/conciliar/conciliar/store"
	"github.com/conciliar/conciliar/store/order"
)

func newAnomalies(std stdio) *cobra.Command {
	return group("anomalies", "Handle mismatches of money that a person must see", newAnomaliesList(std), newAnomaliesResolve(std))
}

func newAnomaliesList(std stdio) *cobra.Command {
	var filter store.AnomalyFilter
	var kinds []string
	for _, kind := range order.AnomalyKinds() {
		kinds = append(kinds, string(kind))
	}
	return listCommand(std, listSpec[api.AnomalyDocument, int64]{
		short:   "List anomalies, newest first; open ones by default",
		example: "  conciliar anomalies list\n  conciliar anomalies list --state all --order order-1001",
		flags: func(cmd *cobra.Command) {
			stateFlag(cmd, &filter.State, store.AnomalyOpen, store.AnomalyStates())
			wordFlag(cmd, &filter.Kind, "kind", "only of this kind", kinds)
			cmd.Flags().StringVar(&filter.Order, "order", "", "only about the order with this reference")
			cmd.Flags().StringVar(&filter.PaymentID, "payment", "", "only about the payment with this id")
			timeFlags(cmd, &filter.Since, &filter.Until)
		},
		read: func(ctx context.Context, storage *store.Store, page store.Page) (store.List[api.AnomalyDocument], error) {
			found, err := storage.Anomalies(ctx, filter, page)
			return as(found, err, api.NewAnomalyDocument)
		},
		header: "ANOMALY\tKIND\tORDER\tPAYMENT\tOPENED\tCLOSED\tBY\tDETAIL\tNOTE",
		row: func(a api.AnomalyDocument) []any {
			return []any{a.ID, string(a.Kind), a.OrderReference, a.PaymentID, a.OpenedAt, a.ClosedAt, a.ClosedBy, string(a.Detail), a.Note}
		},
	})
}

func newAnomaliesResolve(std stdio) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "resolve ID",
		Short: "Resolve an anomaly that you have dealt with",
		Long: `Closes an open anomaly with a note on how it was dealt with. The same facts do
not open it again.`,
		Example: `  conciliar anomalies resolve 12 --note refunded-by-hand`,
		Args:    oneID,
	}
	note, asJSON := noteFlag(cmd), jsonFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		id, err := recordID(args[0])
		if err != nil {
			return err
		}
		return withStore(cmd.Context(), std, func(storage *store.Store) error {
			resolved, err := storage.ResolveAnomaly(cmd.Context(), id, *note, commandActor())
			if err != nil {
				return err
			}
			if *asJSON {
				return printJSON(std.out, api.NewAnomalyDocument(resolved))
			}
			_, err = fmt.Fprintf(std.out, "anomaly %d (%s) is closed\n", id, resolved.Kind)
			return err
		})
	}
	return cmd
}
