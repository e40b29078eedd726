package main

import (
	"context"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"github.com/conciliar/conciliar/config"
	"github.com/conciliar/conciliar/store"
)

// verifyRows is how many rows of each violation are listed unless told otherwise.
const verifyRows = 20

func newVerify(std stdio) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "verify",
		Short: "Check the ledger's invariants; exit 1 and list violations",
		Long: `Checks what must be true of the ledger at every moment: each event has exactly
one end or one live job, each payment is applied once, each order is the fold of
its payments, and so on. Reads one snapshot, changes and locks nothing, and may
run while the service works. Needs only the database.

MERCADOPAGO_COLLECTOR_ID, MERCADOPAGO_LIVE_MODE and RESCUE_AFTER must be those of
the service, because the invariants depend on them. An event that was retried in
River UI after its end is listed until that attempt is over.`,
		Example: `  conciliar verify
  conciliar verify --json --limit 100 || mail -s 'invariants violated' you@example.com`,
		Args: noArgs,
	}
	limit := cmd.Flags().Int("limit", verifyRows, "how many rows of each violation to list; all are counted")
	asJSON := jsonFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if *limit < 1 {
			return usagef("--limit must be at least 1")
		}
		report, err := verify(cmd.Context(), std, *limit)
		if err != nil {
			return err
		}
		if *asJSON {
			err = printJSON(std.out, report)
		} else {
			err = printVerify(std.out, report)
		}
		if err != nil {
			return err
		}
		if len(report.Violations) > 0 {
			return errSilent
		}
		return nil
	}
	return cmd
}

// A verifyReport is what the command prints.
type verifyReport struct {
	store.VerifyReport
	Seconds float64 `json:"seconds"`
}

func verify(ctx context.Context, std stdio, limit int) (verifyReport, error) {
	cfg, err := config.LoadVerify(std.environ)
	if err != nil {
		return verifyReport{}, err
	}
	var report verifyReport
	err = withRules(ctx, std, cfg.Database, cfg.Money, cfg.Log, func(storage *store.Store) error {
		began := time.Now()
		found, err := storage.Verify(ctx, store.VerifyOptions{RescueAfter: cfg.RescueAfter, Limit: limit})
		report = verifyReport{VerifyReport: found, Seconds: time.Since(began).Seconds()}
		return err
	})
	return report, err
}

func printVerify(w io.Writer, r verifyReport) error {
	_, _ = fmt.Fprintf(w, "checked %d events, %d archived events, %d jobs, %d payments and %d orders in %.1f s\n",
		r.Events, r.Archived, r.Jobs, r.Payments, r.Orders, r.Seconds)
	if r.Unfolded > 0 {
		_, _ = fmt.Fprintf(w, "%d payments and orders are not yet under the rules of this release; the service brings them there after an upgrade\n", r.Unfolded)
	}
	if len(r.Violations) == 0 {
		_, err := fmt.Fprintln(w, "all invariants hold")
		return err
	}
	for _, v := range r.Violations {
		_, _ = fmt.Fprintf(w, "\n%s: %d violations; the invariant: %s\n", v.Invariant, v.Total, v.Meaning)
		for _, row := range v.Rows {
			_, _ = fmt.Fprintf(w, "  %s\n", printable(string(row), ""))
		}
		if rest := v.Total - int64(len(v.Rows)); rest > 0 {
			_, _ = fmt.Fprintf(w, "  … and %d more; --limit shows them\n", rest)
		}
	}
	_, err := fmt.Fprintln(w, "\ninvariants are violated")
	return err
}
