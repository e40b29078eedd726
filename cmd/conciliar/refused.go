package main

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/conciliar/conciliar/store"
)

func newRefused(std stdio) *cobra.Command {
	return group("refused", "Look up refused webhooks and the reasons", newRefusedList(std), newRefusedShow(std))
}

func newRefusedList(std stdio) *cobra.Command {
	var filter store.RefusedFilter
	return listCommand(std, listSpec[store.RefusedDelivery, int64]{
		short:   "List refused deliveries, newest first",
		long:    "Lists refused deliveries. Only the newest 10,000 of the last seven days are kept.",
		example: "  conciliar refused list --since 1h",
		flags: func(cmd *cobra.Command) {
			cmd.Flags().StringVar(&filter.Reason, "reason", "", "only for this reason, for example signature_mismatch")
			timeFlags(cmd, &filter.Since, &filter.Until)
		},
		read: func(ctx context.Context, storage *store.Store, page store.Page) (store.List[store.RefusedDelivery], error) {
			return storage.RefusedDeliveries(ctx, filter, page)
		},
		header: "REFUSED\tAT\tREASON\tMETHOD\tFROM\tX-REQUEST-ID\tBYTES\tQUERY",
		row: func(r store.RefusedDelivery) []any {
			return []any{r.ID, r.RefusedAt, r.Reason, r.Method, r.RemoteIP, r.XRequestID, r.BodyBytes, shorten(&r.Query)}
		},
	})
}

func newRefusedShow(std stdio) *cobra.Command {
	return showCommand(std, showSpec[store.RefusedDetail]{
		short:   "Show a refused delivery: what was signed, and what was sent",
		example: "  conciliar refused show 3",
		read: func(ctx context.Context, storage *store.Store, id int64) (store.RefusedDetail, error) {
			return storage.RefusedDelivery(ctx, id)
		},
		display: printRefused,
	})
}

func printRefused(std stdio, r store.RefusedDetail) error {
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
	return printContent(std.out, "body", *r.Body)
}
