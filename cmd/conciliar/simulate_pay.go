package main

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/conciliar/conciliar/jobs/provider/mercadopago/simulator"
)

const (
	// simulatorAddr is where a simulator listens unless told otherwise.
	simulatorAddr = "127.0.0.1:9090"
	// payLimit is longer than the simulator waits for the webhooks' answers.
	payLimit = 2 * time.Minute
)

func newSimulatePay(std stdio) *cobra.Command {
	var what simulator.Purchase
	cmd := &cobra.Command{
		Use:   "pay REFERENCE",
		Short: "Pay an order of yours at a running simulator",
		Long: `Makes a payment for an order of yours at the simulator that 'conciliar dev' or
'conciliar simulate' runs, and lets it send the webhook to the service: an
integration can be tested without an account at Mercado Pago.

--refund and --chargeback change what was paid last for the order; where nothing
was, it is paid first. --payment changes the payment that it names. The amount may
be left out once the simulator knows what the order asks for.`,
		Example: `  conciliar simulate pay order-1001 --amount 150.00
  conciliar simulate pay order-1001 --refund=50.00
  conciliar simulate pay order-1002 --amount 80.00 --as order --order-type qr
  conciliar simulate pay order-1003 --amount 80.00 --status pending
  conciliar simulate pay order-1003 --payment 853087000003 --status approved`,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) == 2 && (what.Refund == simulator.RefundAll || what.Chargeback != "") {
				return usagef("the value of --refund and --chargeback stands behind an equals sign: --refund=50.00")
			}
			return oneReference(cmd, args)
		},
	}
	f := cmd.Flags()
	base := f.String("url", "http://"+simulatorAddr, "where the simulator is, as it prints it")
	f.StringVar(&what.Amount, "amount", "", "how much is paid, for example 150.00")
	f.StringVar(&what.Currency, "currency", "", "its currency, for example ARS (default: the simulator's)")
	wordFlag(cmd, &what.Status, "status", "the payment's status (default approved)", simulator.PaymentStatuses())
	wordFlag(cmd, &what.As, "as", "what Mercado Pago notifies about (default payment)", simulator.Channels)
	wordFlag(cmd, &what.OrderType, "order-type", "with --as order, its type (default online)", simulator.OrderTypes())
	f.StringVar(&what.PaymentID, "payment", "", "change this payment instead of making one")
	f.StringVar(&what.Refund, "refund", "", "give back this much, all without a value")
	f.Lookup("refund").NoOptDefVal = simulator.RefundAll
	wordFlag(cmd, &what.Chargeback, "chargeback", "charge back, in_process without a value", simulator.Chargebacks)
	f.Lookup("chargeback").NoOptDefVal = simulator.Chargebacks[0]
	f.BoolVar(&what.NoWebhook, "no-webhook", false, "send no webhook: only a reconciliation finds it")
	cmd.MarkFlagsMutuallyExclusive("status", "refund", "chargeback")
	cmd.MarkFlagsMutuallyExclusive("payment", "amount")
	cmd.MarkFlagsMutuallyExclusive("payment", "currency")
	asJSON := jsonFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		what.Reference = args[0]
		if what.OrderType != "" && what.As != simulator.AsOrder {
			return usagef("--order-type goes with --as %s", simulator.AsOrder)
		}
		receipt, err := payAt(cmd.Context(), *base, what)
		if err != nil {
			return err
		}
		err = printResult(std, *asJSON, receipt, func(r *printout) { showReceipt(r, receipt) })
		return errors.Join(err, untold(std, receipt))
	}
	return cmd
}

// parseURL reads a URL of HTTP. Its error repeats nothing of it.
func parseURL(text string) (*url.URL, error) {
	u, err := url.Parse(text)
	if err != nil || u.Hostname() == "" || (u.Scheme != "http" && u.Scheme != "https") {
		return nil, errors.New("not a URL of HTTP")
	}
	return u, nil
}

// payAt sends a purchase to a running simulator.
func payAt(ctx context.Context, base string, what simulator.Purchase) (simulator.Receipt, error) {
	u, err := parseURL(base)
	if err != nil {
		return simulator.Receipt{}, usagef("--url must be a URL such as http://%s", simulatorAddr)
	}
	body, err := json.Marshal(what)
	if err != nil {
		return simulator.Receipt{}, err
	}
	ctx, cancel := context.WithTimeout(ctx, payLimit)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, u.JoinPath(simulator.PayPath).String(), bytes.NewReader(body))
	if err != nil {
		return simulator.Receipt{}, err
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return simulator.Receipt{}, fmt.Errorf("no simulator answers at %s: %w", u.Redacted(), err)
	}
	defer func() { _ = resp.Body.Close() }()
	answer, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	if err != nil {
		return simulator.Receipt{}, fmt.Errorf("reading the simulator's answer: %w", err)
	}
	if resp.StatusCode != http.StatusOK {
		var refused struct {
			Message string `json:"message"`
		}
		if json.Unmarshal(answer, &refused) == nil && resp.StatusCode == http.StatusBadRequest && refused.Message != "" {
			return simulator.Receipt{}, usagef("%s", refused.Message)
		}
		return simulator.Receipt{}, fmt.Errorf("what answers at %s is not a simulator: %s", u.Redacted(), resp.Status)
	}
	var receipt simulator.Receipt
	if err := json.Unmarshal(answer, &receipt); err != nil {
		return simulator.Receipt{}, fmt.Errorf("what answers at %s is not a simulator: %w", u.Redacted(), err)
	}
	return receipt, nil
}

func showReceipt(r *printout, receipt simulator.Receipt) {
	r.row("order", receipt.Reference)
	r.row("payment", receipt.PaymentID)
	if receipt.OrderID != "" {
		r.row("Mercado Pago order", receipt.OrderID)
	}
	if receipt.MerchantOrderID != "" {
		r.row("merchant order", receipt.MerchantOrderID)
	}
	r.row("status", receipt.Status+" ("+receipt.StatusDetail+")")
	r.row("amount", receipt.Amount+" "+receipt.Currency)
	r.row("refunded", receipt.Refunded)
	section(r, "webhooks", "TOPIC\tID\tANSWER\tEVENT", indices(receipt.Webhooks), func(i int) []any {
		w := receipt.Webhooks[i]
		return []any{w.Topic, w.ID, w.StatusCode, w.QueueID}
	})
}

// untold ends the command as failed when a webhook was not accepted.
func untold(std stdio, r simulator.Receipt) error {
	i := slices.IndexFunc(r.Webhooks, func(w simulator.Webhook) bool { return w.StatusCode/100 != 2 })
	if i < 0 {
		return nil
	}
	why := r.Webhooks[i].Error
	why = cmp.Or(why, fmt.Sprintf("it was answered %d", r.Webhooks[i].StatusCode))
	_, _ = fmt.Fprintln(std.err, "conciliar: the payment is made, but its webhook was not accepted:", why)
	return errSilent
}
