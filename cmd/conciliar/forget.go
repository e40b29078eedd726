package main

import (
	"errors"
	"maps"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/conciliar/conciliar/store"
)

func newForget(std stdio) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "forget",
		Short: "Erase a payer's personal data; the ledger stays",
		Long: `Empties the bodies, addresses and Mercado Pago's answers of a payer's payments and
replaces the payer's id, e-mail address and document wherever else they stand. The
payer is whom the payments name that are found: all payments with that id, e-mail
address or order, and those that share an id or e-mail address with them.

Amounts, states and the payments' ids stay, so that the ledger stays balanced. Keyed
hashes are kept, by which later webhooks, reconciliations and replays know the
payer: what was erased does not come back. The audit trail says that a payer was
forgotten, by whom and when, and not who.

Exits 1 and erases nothing while an event of these payments has not ended or has an
open dead letter. Notes and references that name the payer are listed and not
changed: they are the merchant's own. Needs only the database. It may run while the
service works, and be done again after it was interrupted. --dry-run counts.`,
		Example: `  conciliar forget --email ana@example.com --dry-run
  conciliar forget --payer-id 819668490
  conciliar forget --order order-1001 --json`,
		Args: noArgs,
	}
	request := store.Forget{}
	cmd.Flags().StringVar(&request.PayerID, "payer-id", "", "Mercado Pago's id of the payer")
	cmd.Flags().StringVar(&request.Email, "email", "", "the payer's e-mail address")
	cmd.Flags().StringVar(&request.Order, "order", "", "the reference of an order that the payer paid")
	cmd.MarkFlagsOneRequired("payer-id", "email", "order")
	cmd.MarkFlagsMutuallyExclusive("payer-id", "email", "order")
	cmd.Flags().BoolVar(&request.DryRun, "dry-run", false, "count, and change nothing")
	asJSON := jsonFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		switch {
		case cmd.Flags().Changed("payer-id") && strings.Trim(request.PayerID, "0123456789") != "",
			cmd.Flags().Changed("payer-id") && request.PayerID == "":
			return usagef("--payer-id takes a number")
		case cmd.Flags().Changed("email") && !strings.Contains(strings.Trim(request.Email, "@"), "@"):
			return usagef("--email takes an e-mail address")
		case cmd.Flags().Changed("order") && !store.ValidReference(request.Order):
			return usagef("--order takes one reference, of 1 to 64 characters")
		}
		return withStore(cmd.Context(), std, func(storage *store.Store) error {
			bar := newProgress(std)
			request.By, request.Progress = commandActor(), bar.show
			forgotten, err := storage.Forget(cmd.Context(), request)
			bar.end()
			var open *store.OpenEventsError
			if err != nil && !errors.As(err, &open) {
				return err
			}
			return errors.Join(err, printResult(std, *asJSON, forgotten, func(r *printout) { showForgotten(r, forgotten) }))
		})
	}
	return cmd
}

func showForgotten(r *printout, f store.Forgotten) {
	r.row("names of the payer", f.Names)
	r.row("payments", len(f.Payments))
	for _, table := range slices.Sorted(maps.Keys(f.Emptied)) {
		r.row("emptied in "+table, f.Emptied[table])
	}
	for _, table := range slices.Sorted(maps.Keys(f.Replaced)) {
		r.row("replaced in "+table, f.Replaced[table])
	}
	section(r, "events that have to end first", "EVENT", f.Open, func(id int64) []any { return []any{id} })
	section(r, "texts that name the payer and were left as they are", "TABLE\tCOLUMN\tROW", f.Mentions, func(m store.Mention) []any {
		return []any{m.Table, m.Column, m.Key}
	})
}
