package main

import (
	"github.com/spf13/cobra"

	"github.com/conciliar/conciliar/store"
)

func newRefused(std stdio) *cobra.Command {
	return group("refused", "Look up refused webhooks and the reasons", newRefusedList(std), newRefusedShow(std))
}

func newRefusedList(std stdio) *cobra.Command {
	return listCommand(std, listSpec[store.RefusedFilter, store.RefusedDelivery, store.RefusedDelivery, int64]{
		short:   "List refused deliveries, newest first",
		long:    "Lists refused deliveries. Only the newest 10,000 of the last seven days are kept.",
		example: "  conciliar refused list --since 1h",
		flags: func(cmd *cobra.Command, filter *store.RefusedFilter) {
			cmd.Flags().StringVar(&filter.Reason, "reason", "", "only for this reason, for example signature_mismatch")
			timeFlags(std, cmd, &filter.Since, &filter.Until)
		},
		read: (*store.Store).RefusedDeliveries, document: same[store.RefusedDelivery],
		header: "REFUSED\tAT\tREASON\tMETHOD\tFROM\tX-REQUEST-ID\tBYTES\tQUERY",
		row: func(r store.RefusedDelivery) []any {
			return []any{r.ID, r.RefusedAt, r.Reason, r.Method, r.RemoteIP, r.XRequestID, r.BodyBytes, shorten(&r.Query)}
		},
	})
}

func newRefusedShow(std stdio) *cobra.Command {
	return byID(std, &cobra.Command{
		Use: "show ID", Short: "Show a refused delivery: what was signed, and what was sent", Example: "  conciliar refused show 3",
	}, (*store.Store).RefusedDelivery, showRefused)
}

func showRefused(r *printout, d store.RefusedDetail) {
	r.row("refused", d.ID)
	r.row("at", d.RefusedAt)
	r.row("reason", d.Reason)
	r.row("source", d.Source)
	r.row("method", d.Method)
	r.row("query", d.Query)
	r.row("x-signature", d.XSignature)
	r.row("x-request-id", d.XRequestID)
	r.row("from", d.RemoteIP)
	r.row("bytes", d.BodyBytes)
	r.content("body", *d.Body)
}
