package main

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/conciliar/conciliar/store"
	"github.com/conciliar/conciliar/store/order"
)

func newPayments(std stdio) *cobra.Command {
	return group("payments", "Look at payments as they were fetched last", newPaymentsList(std))
}

// A paymentSelection is what payments are listed by.
type paymentSelection struct {
	store.PaymentFilter

	payerEmail string
}

func newPaymentsList(std stdio) *cobra.Command {
	return listCommand(std, listSpec[paymentSelection, store.PaymentSummary, store.PaymentSummaryDocument, store.PaymentPlace]{
		short: "List payments by their last change or by when they were made, the oldest first",
		long: `Lists payments by their last change, the oldest first; with --made-since or
--made-until in the order in which they were made.

--payer-email finds those of which Mercado Pago's answer, while it is kept, names the
address as the payer's, whatever its case. A keyed hash of it is compared.`,
		example: "  conciliar payments list --order order-1001\n  conciliar payments list --payer-email ana@example.com",
		order:   "longest unchanged",
		orderOf: func(filter paymentSelection) string {
			if filter.ByMade() {
				return "oldest"
			}
			return "longest unchanged"
		},
		flags: func(cmd *cobra.Command, filter *paymentSelection) {
			f := cmd.Flags()
			f.StringVar(&filter.payerEmail, "payer-email", "", "only those of the payer with this e-mail address")
			f.StringVar(&filter.Order, "order", "", "only of the order with this reference")
			wordFlag(cmd, (*string)(&filter.Status), "status", "only in this status", order.Words(order.PaymentStatuses()))
			f.StringVar(&filter.Type, "payment-type", "", "only those made with this kind of means, for example credit_card")
			f.StringVar(&filter.Method, "payment-method", "", "only those made with this means, for example pix")
			f.StringVar(&filter.Currency, "currency", "", "only in this currency, for example ARS")
			f.StringVar(&filter.CollectorID, "collector-id", "", "only those that were paid to this account")
			timeFlag(std, cmd, &filter.ChangedSince, "changed-since", "changed from then on: a date of TIME_ZONE, a time (RFC 3339) or an age such as 24h or 7d")
			timeFlag(std, cmd, &filter.ChangedUntil, "changed-until", "changed last before then, in the same forms")
			timeFlag(std, cmd, &filter.MadeSince, "made-since", "made from then on, or recorded where they do not say when they were made, in the same forms")
			timeFlag(std, cmd, &filter.MadeUntil, "made-until", "made before then, in the same forms")
			amountFlag(cmd, &filter.AmountFrom, "amount-from", "of this amount or more, for example 150.00")
			amountFlag(cmd, &filter.AmountTo, "amount-to", "of this amount or less")
		},
		read: func(storage *store.Store, ctx context.Context, filter paymentSelection, page store.PageOf[store.PaymentPlace]) (store.ListOf[store.PaymentSummary, store.PaymentPlace], error) {
			if filter.payerEmail != "" {
				var err error
				if filter.Payer, err = storage.PayerKeyOf(ctx, filter.payerEmail); err != nil {
					return store.ListOf[store.PaymentSummary, store.PaymentPlace]{}, err
				}
			}
			return storage.Payments(ctx, filter.PaymentFilter, page)
		},
		document: store.NewPaymentSummaryDocument,
		header:   "PAYMENT\tSTATUS\tAMOUNT\tREFUNDED\tNET\tCURRENCY\tTYPE\tMETHOD\tORDER\tCHANGED",
		row: func(p store.PaymentSummaryDocument) []any {
			return []any{p.ID, string(p.Status), p.Amount, p.RefundedAmount, p.NetAmount, p.Currency, p.PaymentType, p.PaymentMethod, p.OrderReference, p.UpdatedAt}
		},
	})
}
