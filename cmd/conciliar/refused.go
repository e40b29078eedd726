package main

import (
	"time"

	"github.com/spf13/cobra"

	"github.com/conciliar/conciliar/store"
)

func newRefused(std stdio) *cobra.Command {
	return group("refused", "Look up webhooks that were refused, and why", newRefusedList(std), newRefusedShow(std))
}

func newRefusedList(std stdio) *cobra.Command {
	cmd := &cobra.Command{
		Use:     "list",
		Short:   "List refused deliveries, newest first",
		Long:    "Lists refused deliveries. The newest 10,000 of seven days are kept.",
		Example: "  conciliar refused list --since 1h",
		Args:    cobra.NoArgs,
	}
	var filter store.RefusedFilter
	var when span
	cmd.Flags().StringVar(&filter.Reason, "reason", "", "only for this reason, for example signature_mismatch")
	spanFlags(cmd, &when)
	limit, asJSON := limitFlag(cmd), jsonFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) (err error) {
		if filter.Since, filter.Until, err = when.times(time.Now()); err != nil {
			return err
		}
		return withStore(cmd.Context(), std, func(storage *store.Store) error {
			found, err := readList(*limit, func(page store.Page) (store.List[store.RefusedDelivery], error) {
				return storage.RefusedDeliveries(cmd.Context(), filter, page)
			})
			if err != nil {
				return err
			}
			return printList(std, *asJSON, found, "REFUSED\tAT\tREASON\tMETHOD\tFROM\tX-REQUEST-ID\tBYTES\tQUERY", func(r store.RefusedDelivery) []any {
				return []any{r.ID, r.RefusedAt, r.Reason, r.Method, r.RemoteIP, r.XRequestID, r.BodyBytes, shorten(&r.Query)}
			})
		})
	}
	return cmd
}

func newRefusedShow(std stdio) *cobra.Command {
	cmd := &cobra.Command{
		Use:     "show ID",
		Short:   "Show a refused delivery: what was signed, and what was sent",
		Example: "  conciliar refused show 3",
		Args:    cobra.ExactArgs(1),
	}
	asJSON := jsonFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		id, err := recordID(args[0])
		if err != nil {
			return err
		}
		return withStore(cmd.Context(), std, func(storage *store.Store) error {
			r, err := storage.RefusedDelivery(cmd.Context(), id)
			if err != nil {
				return err
			}
			if *asJSON {
				return printJSON(std.out, r)
			}
			t := newTable(std.out)
			t.row("refused", r.ID)
			t.row("at", r.RefusedAt)
			t.row("reason", r.Reason)
			t.row("source", r.Source)
			t.row("method", r.Method)
			t.row("query", r.Query)
			t.row("x-signature", r.XSignature)
			t.row("x-request-id", r.XRequestID)
			t.row("from", r.RemoteIP)
			t.row("bytes", r.BodyBytes)
			if err := t.flush(); err != nil {
				return err
			}
			return printContent(std.out, "body", r.Body)
		})
	}
	return cmd
}
