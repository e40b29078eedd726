package main

import (
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"

	"github.com/conciliar/conciliar/jobs/compare"
	"github.com/conciliar/conciliar/store"
)

func newOrdersCompare(std stdio) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "compare FILE|-",
		Short: "Compare the shop's own orders with Conciliar's, and change nothing",
		Long: `Reads a CSV export of the orders that the shop keeps by other means, for example by a
handler of its own, and names each that differs from Conciliar's with the payments that
Conciliar goes by. Columns are found by their titles: reference and status, and where
they are given amount, currency, paid_amount (all that came, before refunds) and
refunded_amount. Commas or semicolons separate; an empty amount is not compared.

The shop's words for a status are mapped by --status; Conciliar's own mean themselves.
With --since it also names orders that changed here from then on and are not in the file.

Exit codes: 0 all are equal, 1 something differs, 2 the file or a flag can't be used.`,
		Example: `  conciliar orders compare orders.csv --status open=pending,in_process,rejected
  conciliar orders compare orders.csv --since 30d --json`,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) != 1 {
				return usagef("%s takes one file, or - for the standard input", nameOf(cmd))
			}
			return nil
		},
	}
	opts := compare.Options{Statuses: compare.Statuses{}}
	cmd.Flags().Var(&flagValue{kind: "theirs=ours", read: opts.Statuses.Add}, "status", "what a status of the shop's means, several by commas where it may mean any of them; repeatable")
	timeFlag(std, cmd, &opts.Since, "since", "look for orders that changed from then on and are not in the file, too: a date of TIME_ZONE, a time (RFC 3339) or an age such as 24h or 7d")
	cmd.Flags().IntVar(&opts.Limit, "limit", listRows, "how many orders that differ to name at most")
	asJSON := jsonFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if opts.Limit < 1 {
			return usagef("--limit must be at least 1")
		}
		file, name := std.in, "the standard input"
		if args[0] != "-" {
			opened, err := os.Open(args[0])
			if err != nil {
				return usageError{err}
			}
			defer func() { _ = opened.Close() }()
			file, name = opened, args[0]
		}
		return withStore(cmd.Context(), std, func(storage *store.Store) error {
			return compareOrders(cmd, std, storage, file, name, opts, *asJSON)
		})
	}
	return cmd
}

func compareOrders(cmd *cobra.Command, std stdio, storage *store.Store, file io.Reader, name string, opts compare.Options, asJSON bool) error {
	result, err := compare.Run(cmd.Context(), storage, file, opts)
	_, misread := errors.AsType[*compare.FileError](err)
	_, unmapped := errors.AsType[*compare.UnmappedError](err)
	switch {
	case misread || unmapped:
		return usagef("%s: %w", name, err)
	case err != nil:
		return err
	}
	err = printVerdict(std, asJSON, result.Equal(), result, func(r *printout) { showComparison(r, result) })
	if result.More && !asJSON {
		_, _ = fmt.Fprintf(std.err, "these are the first %d orders that differ; --limit shows more\n", len(result.Differences))
	}
	return err
}

func showComparison(r *printout, result compare.Result) {
	r.row("same", result.Same)
	r.row("different", result.Different)
	r.row("not registered", result.Unregistered)
	r.row("not in the file", result.NotInFile)
	if len(result.Differences) == 0 {
		return
	}
	r.printf("\n")
	r.header("ORDER\tLINE\tWHAT\tSHOP\tCONCILIAR\tWHY")
	for _, d := range result.Differences {
		line := ""
		if d.Line != nil {
			line = fmt.Sprint(*d.Line)
		}
		for _, fact := range d.Facts {
			r.row(d.Reference, line, fact.Name, fact.Shop, fact.Conciliar, d.Why)
		}
	}
}
