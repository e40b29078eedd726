package main

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/conciliar/conciliar/api/dashboard"
	"github.com/conciliar/conciliar/config"
	"github.com/conciliar/conciliar/jobs/provider/mercadopago"
	"github.com/conciliar/conciliar/store"
	"github.com/conciliar/conciliar/store/order"
)

func newOrders(std stdio) *cobra.Command {
	return group("orders", "Look at, amend, cancel and compare the merchant's orders",
		newOrdersList(std), newOrdersShow(std), newOrdersAmend(std), newOrdersCancel(std), newOrdersCompare(std))
}

func newOrdersList(std stdio) *cobra.Command {
	return listCommand(std, listSpec[store.OrderFilter, store.OrderSummary, store.OrderSummaryDocument, store.OrderPlace]{
		short:   "List orders by their last change, the oldest first",
		example: "  conciliar orders list --changed-since 24h\n  conciliar orders list --status partially_paid",
		order:   "longest unchanged",
		flags: func(cmd *cobra.Command, filter *store.OrderFilter) {
			wordFlag(cmd, (*string)(&filter.Status), "status", "only in this status", order.Words(order.Statuses()))
			cmd.Flags().StringVar(&filter.Currency, "currency", "", "only in this currency, for example ARS")
			timeFlag(std, cmd, &filter.ChangedSince, "changed-since", "changed from then on: a date of TIME_ZONE, a time (RFC 3339) or an age such as 24h or 7d")
			timeFlag(std, cmd, &filter.ChangedUntil, "changed-until", "changed last before then, in the same forms")
			amountFlag(cmd, &filter.AmountFrom, "amount-from", "of this amount or more, for example 150.00")
			amountFlag(cmd, &filter.AmountTo, "amount-to", "of this amount or less")
		},
		read: (*store.Store).Orders, document: store.NewOrderSummaryDocument,
		header: "ORDER\tSTATUS\tAMOUNT\tPAID\tREFUNDED\tCURRENCY\tCHANGED",
		row: func(o store.OrderSummaryDocument) []any {
			return []any{o.Reference, string(o.Status), o.Amount, o.PaidAmount, o.RefundedAmount, o.Currency, o.UpdatedAt}
		},
	})
}

func newOrdersShow(std stdio) *cobra.Command {
	cmd := &cobra.Command{
		Use: "show REFERENCE", Short: "Show an order with its payments, timeline and open anomalies",
		Long: `Shows an order, and says why it is in its state and what to do, as its page does.

--case writes all that is known under the reference as JSON, to hand to a developer:
the verdict, states, events with their errors, anomalies, deliveries, movements. It has
nothing of the payer, no names and no notes; the reference stands in it as it is.

` + sameRules,
		Example: `  conciliar orders show order-1001
  conciliar orders show order-1001 --case --output case.json`, Args: oneReference,
	}
	asJSON := jsonFlag(cmd)
	asCase := cmd.Flags().Bool("case", false, "write a case for a developer, as JSON without personal data")
	output := cmd.Flags().StringP("output", "o", "", "the file to write the case to (default: the standard output)")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if *output != "" && !*asCase {
			return usagef("--output is for --case")
		}
		cfg, err := config.LoadOrders(std.environ)
		if err != nil {
			return err
		}
		return withRules(cmd.Context(), std, cfg.Database, cfg.Money, cfg.Log, func(storage *store.Store) error {
			if *asCase {
				return writeCase(cmd.Context(), std, storage, args[0], *output)
			}
			facts, err := storage.OrderFacts(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			if facts.Order == nil {
				return store.ErrOrderNotFound.With(args[0])
			}
			doc, err := newJudgedOrder(facts)
			if err != nil {
				return err
			}
			return printResult(std, *asJSON, doc, func(r *printout) { showOrder(r, doc.OrderDocument, doc.Verdict) })
		})
	}
	return cmd
}

// writeCase writes the case of an order.
func writeCase(ctx context.Context, std stdio, storage *store.Store, reference, output string) error {
	known, err := storage.OrderCase(ctx, reference)
	if err != nil {
		return err
	}
	doc, err := dashboard.NewCaseDocument(mercadopago.DisplayName, version, known)
	if err != nil {
		return err
	}
	return writeTo(std.out, output, func(w io.Writer) error {
		encoder := json.NewEncoder(w)
		encoder.SetIndent("", "  ")
		return encoder.Encode(doc)
	})
}

// A judgedOrder is an order with the verdict on it.
type judgedOrder struct {
	store.OrderDocument
	Verdict *dashboard.VerdictDocument `json:"verdict"`
}

func newJudgedOrder(facts store.OrderFacts) (judgedOrder, error) {
	verdict, err := dashboard.NewVerdictDocument(mercadopago.DisplayName, facts)
	return judgedOrder{store.NewOrderDocument(*facts.Order), verdict}, err
}

func newOrdersAmend(std stdio) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "amend REFERENCE",
		Short: "Give an order another amount or currency",
		Long: `Gives an order other terms and settles it under them. The same terms again
change nothing. A cancelled order is not amended.

` + sameRules,
		Example: `  conciliar orders amend order-1001 --amount 140.00 --currency ARS --reason discount`,
		Args:    oneReference,
	}
	amount := cmd.Flags().String("amount", "", "what the order asks for from now on, for example 140.00 (required)")
	currency := cmd.Flags().String("currency", "", "its currency, for example ARS (required)")
	_, _ = cmd.MarkFlagRequired("amount"), cmd.MarkFlagRequired("currency")
	reason, asJSON := reasonFlag(cmd), jsonFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		terms, err := order.ParseTerms(*amount, *currency)
		if wrong, ok := errors.AsType[*order.TermsError](err); ok {
			return usagef("--%s %s", wrong.Field, wrong.Why)
		}
		return actOnOrder(cmd.Context(), std, *asJSON, func(storage *store.Store) (store.Order, error) {
			return storage.AmendOrder(cmd.Context(), store.OrderAct{Reference: args[0], Reason: *reason, By: commandActor()}, terms)
		})
	}
	return cmd
}

func newOrdersCancel(std stdio) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "cancel REFERENCE",
		Short: "Cancel an order",
		Long: `Cancels an order. Money that is there or comes later still counts, with the
anomaly paid_after_cancel. What is cancelled already stays as it is.

` + sameRules,
		Example: `  conciliar orders cancel order-1001 --reason sold-out`,
		Args:    oneReference,
	}
	reason, asJSON := reasonFlag(cmd), jsonFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		return actOnOrder(cmd.Context(), std, *asJSON, func(storage *store.Store) (store.Order, error) {
			return storage.CancelOrder(cmd.Context(), store.OrderAct{Reference: args[0], Reason: *reason, By: commandActor()})
		})
	}
	return cmd
}

const sameRules = `MERCADOPAGO_COLLECTOR_ID and MERCADOPAGO_LIVE_MODE must be those of the service,
because they decide which payments count.`

// oneReference is for commands about one order.
func oneReference(cmd *cobra.Command, args []string) error {
	if len(args) != 1 || !store.ValidReference(args[0]) {
		return usagef("%s takes one reference, of 1 to 64 characters", nameOf(cmd))
	}
	return nil
}

// actOnOrder does something to an order under the rules of the service, and
// prints it.
func actOnOrder(ctx context.Context, std stdio, asJSON bool, act func(storage *store.Store) (store.Order, error)) error {
	cfg, err := config.LoadOrders(std.environ)
	if err != nil {
		return err
	}
	return withRules(ctx, std, cfg.Database, cfg.Money, cfg.Log, func(storage *store.Store) error {
		o, err := act(storage)
		if err != nil {
			return err
		}
		return printOrder(std, asJSON, o)
	})
}

func printOrder(std stdio, asJSON bool, o store.Order) error {
	doc := store.NewOrderDocument(o)
	return printResult(std, asJSON, doc, func(r *printout) { showOrder(r, doc, nil) })
}

// showOrder prints an order, with the verdict on it where there is one.
func showOrder(r *printout, doc store.OrderDocument, v *dashboard.VerdictDocument) {
	r.row("order", doc.Reference)
	r.row("status", string(doc.Status))
	r.row("amount", doc.Amount+" "+doc.Currency)
	r.row("paid", doc.PaidAmount)
	r.row("refunded", doc.RefundedAmount)
	r.row("registered", doc.CreatedAt)
	r.row("changed", doc.UpdatedAt)
	r.row("cancelled", doc.CancelledAt)
	if v != nil {
		r.row("verdict", strings.Join(v.Said, " "))
		r.row("to do", v.Do)
	}
	section(r, "payments", "PAYMENT\tSTATUS\tAMOUNT\tREFUNDED\tNET\tCURRENCY\tRELEASE\tCHANGED\tFETCHED", indices(doc.Payments), func(i int) []any {
		p := doc.Payments[i]
		return []any{p.ID, string(p.Status), p.Amount, p.RefundedAmount, p.NetAmount, p.Currency, p.ReleaseDate, p.DateLastUpdated, p.FetchedAt}
	})
	for _, p := range doc.Payments {
		section(r, "releases of payment "+p.ID, "RELEASED\tAMOUNT\tCURRENCY\tPAYOUT\tPAID OUT", indices(p.Releases), func(i int) []any {
			release := p.Releases[i]
			return []any{release.ReleasedAt, release.Amount, p.Currency, release.PayoutID, release.PaidOutAt}
		})
	}
	section(r, "payments that only a Mercado Pago order has shown", "PAYMENT\tMERCADO PAGO ORDER\tIT SAYS\tCOUNTS AS\tAMOUNT\tREFUNDED\tCURRENCY", indices(doc.ProvisionalPayments), func(i int) []any {
		p := doc.ProvisionalPayments[i]
		return []any{p.Alias, p.ProviderOrderID, p.OrderStatus, (*string)(p.Status), p.Amount, p.RefundedAmount, p.Currency}
	})
	section(r, "payments that could not be booked", "PAYMENT\tDEAD LETTER\tCLASS\tPROBLEM", indices(doc.OddPayments), func(i int) []any {
		p := doc.OddPayments[i]
		return []any{p.ID, p.DeadLetterID, p.ErrorClass, p.Problem}
	})
	section(r, "chargebacks", "CHARGEBACK\tPAYMENTS\tAMOUNT\tCURRENCY\tDOCUMENTS\tUNTIL", indices(doc.Chargebacks), func(i int) []any {
		c := doc.Chargebacks[i]
		return []any{c.ID, strings.Join(c.PaymentIDs, ","), c.Amount, c.Currency, c.DocumentationStatus, c.DocumentationDeadline}
	})
	section(r, "claims", "CLAIM\tPAYMENT\tSTATUS\tTYPE\tSTAGE\tCHANGED", indices(doc.Claims), func(i int) []any {
		c := doc.Claims[i]
		return []any{c.ID, c.PaymentID, c.Status, c.Type, c.Stage, c.DateLastUpdated}
	})
	section(r, "timeline", "AT\tCAUSE\tEVENT\tSTATUS\tAMOUNT\tPAID\tREFUNDED\tBY\tREASON", indices(doc.Timeline), func(i int) []any {
		c := doc.Timeline[i]
		return []any{c.At, c.Cause, c.QueueID, string(c.Status), c.Amount, c.PaidAmount, c.RefundedAmount, c.Actor, c.Reason}
	})
	section(r, "open anomalies", "ANOMALY\tKIND\tPAYMENT\tDETAIL", indices(doc.Anomalies), func(i int) []any {
		a := doc.Anomalies[i]
		return []any{a.ID, string(a.Kind), a.PaymentID, string(a.Detail)}
	})
}

// indices are those of the items.
func indices[T any](items []T) []int {
	all := make([]int, len(items))
	for i := range items {
		all[i] = i
	}
	return all
}
