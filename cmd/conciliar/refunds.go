package main

import (
	"github.com/spf13/cobra"

	"github.com/conciliar/conciliar/api"
	"github.com/conciliar/conciliar/config"
	"github.com/conciliar/conciliar/store"
)

func newRefunds(std stdio) *cobra.Command {
	return group("refunds", "Look at refunds that admins asked for; with REFUNDS=enabled only",
		whereEnabled(std, newRefundsList(std)), whereEnabled(std, newRefundsShow(std)))
}

// whereEnabled is a command that is there only where money may be given back.
func whereEnabled(std stdio, cmd *cobra.Command) *cobra.Command {
	run := cmd.RunE
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		cfg, err := config.LoadRefunding(std.environ)
		if err != nil {
			return err
		}
		if !cfg.Refunds.On() {
			return config.Problems{{Variable: "REFUNDS", Text: "is not enabled, so nobody refunds and there is nothing to look at"}}
		}
		return run(cmd, args)
	}
	return cmd
}

func newRefundsList(std stdio) *cobra.Command {
	return listCommand(std, listSpec[store.RefundFilter, store.Refund, api.RefundDocument, int64]{
		short:   "List refunds, newest first",
		long:    "Lists refunds. One that is unknown was sent, and is sent again with the same key.",
		example: "  conciliar refunds list --state unknown",
		flags: func(cmd *cobra.Command, filter *store.RefundFilter) {
			wordFlag(cmd, &filter.State, "state", "only in this state", store.RefundStates())
			cmd.Flags().StringVar(&filter.PaymentID, "payment", "", "only of this payment")
			cmd.Flags().StringVar(&filter.OrderReference, "order", "", "only of this order")
		},
		read: (*store.Store).Refunds, document: api.NewRefundDocument,
		header: "REFUND\tREQUESTED\tBY\tPAYMENT\tORDER\tAMOUNT\tCURRENCY\tSTATE\tREASON",
		row: func(r api.RefundDocument) []any {
			return []any{r.ID, r.RequestedAt, r.RequestedBy, r.PaymentID, r.OrderReference, r.Amount, r.Currency, r.State, r.Reason}
		},
	})
}

func newRefundsShow(std stdio) *cobra.Command {
	cmd := &cobra.Command{
		Use: "show REFUND", Short: "Show a refund and what came of it", Example: "  conciliar refunds show 9d1c3cf8-7a3d-4b29-9bd9-0e6b8a3d2a10",
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) != 1 || args[0] == "" {
				return usagef("%s takes the id of one refund", nameOf(cmd))
			}
			return nil
		},
	}
	asJSON := jsonFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		return printRead(cmd.Context(), std, *asJSON, func(storage *store.Store) (api.RefundDocument, error) {
			refund, err := storage.Refund(cmd.Context(), args[0])
			return api.NewRefundDocument(refund), err
		}, showRefund)
	}
	return cmd
}

func showRefund(r *printout, d api.RefundDocument) {
	r.row("refund", d.ID)
	r.row("payment", d.PaymentID)
	r.row("order", d.OrderReference)
	r.row("amount", d.Amount+" "+d.Currency)
	r.row("state", d.State)
	r.row("reason", d.Reason)
	r.row("error", d.Error)
	r.row("requested", d.RequestedAt)
	r.row("by", d.RequestedBy)
	r.row("note", d.Note)
	r.row("tries", d.Tries)
	r.row("sent", d.SentAt)
	r.row("ended", d.EndedAt)
	r.row("provider's id", d.ProviderID)
	r.row("went back", d.ConfirmedAmount)
	r.row("read back by event", d.QueueID)
}
