package main

import (
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/conciliar/conciliar/api"
	"github.com/conciliar/conciliar/store"
	"github.com/conciliar/conciliar/store/order"
)

func newAnomalies(std stdio) *cobra.Command {
	return group("anomalies", "Handle money that does not fit", newAnomaliesList(std), newAnomaliesResolve(std))
}

func newAnomaliesList(std stdio) *cobra.Command {
	cmd := &cobra.Command{
		Use:     "list",
		Short:   "List anomalies, newest first: open ones unless told otherwise",
		Example: "  conciliar anomalies list\n  conciliar anomalies list --state all --order order-1001",
		Args:    cobra.NoArgs,
	}
	var filter store.AnomalyFilter
	var when span
	states := append(store.AnomalyStates(), "all")
	var kinds []string
	for _, kind := range order.AnomalyKinds() {
		kinds = append(kinds, string(kind))
	}
	wordFlag(cmd, &filter.State, "state", store.AnomalyOpen, "only in this state", states)
	wordFlag(cmd, &filter.Kind, "kind", "", "only of this kind", kinds)
	cmd.Flags().StringVar(&filter.Order, "order", "", "only about the order with this reference")
	cmd.Flags().StringVar(&filter.PaymentID, "payment", "", "only about the payment with this id")
	spanFlags(cmd, &when)
	limit, asJSON := limitFlag(cmd), jsonFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) (err error) {
		if err := checkWord("--state", filter.State, states...); err != nil {
			return err
		}
		if err := checkWord("--kind", filter.Kind, kinds...); err != nil {
			return err
		}
		if filter.Since, filter.Until, err = when.times(time.Now()); err != nil {
			return err
		}
		if filter.State == "all" {
			filter.State = ""
		}
		return withStore(cmd.Context(), std, func(storage *store.Store) error {
			found, err := readList(*limit, func(page store.Page) (store.List[store.Anomaly], error) {
				return storage.Anomalies(cmd.Context(), filter, page)
			})
			if err != nil {
				return err
			}
			documents := listing[api.AnomalyDocument]{Items: make([]api.AnomalyDocument, len(found.Items)), More: found.More}
			for i, a := range found.Items {
				documents.Items[i] = api.NewAnomalyDocument(a)
			}
			return printList(std, *asJSON, documents, "ANOMALY\tKIND\tORDER\tPAYMENT\tOPENED\tCLOSED\tBY\tDETAIL\tNOTE", func(a api.AnomalyDocument) []any {
				return []any{a.ID, string(a.Kind), a.OrderReference, a.PaymentID, a.OpenedAt, a.ClosedAt, a.ClosedBy, string(a.Detail), a.Note}
			})
		})
	}
	return cmd
}

func newAnomaliesResolve(std stdio) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "resolve ID",
		Short: "Close an anomaly that you have dealt with",
		Long: `Closes an open anomaly, with a note that says how it was dealt with. It does not
open again over the same facts.`,
		Example: `  conciliar anomalies resolve 12 --note refunded-by-hand`,
		Args:    cobra.ExactArgs(1),
	}
	note, asJSON := noteFlag(cmd), jsonFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		id, err := recordID(args[0])
		if err != nil {
			return err
		}
		how, err := store.ParseNote(*note)
		if err != nil {
			return err
		}
		return withStore(cmd.Context(), std, func(storage *store.Store) error {
			resolved, err := storage.ResolveAnomaly(cmd.Context(), id, how, commandActor())
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
