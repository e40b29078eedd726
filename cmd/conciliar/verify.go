package main

import (
	"context"
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
		found, err := verify(cmd.Context(), std, *limit)
		if err != nil {
			return err
		}
		return printVerdict(std, *asJSON, len(found.Violations) == 0, found, func(r *printout) { showVerify(r, found) })
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

func showVerify(r *printout, v verifyReport) {
	r.printf("checked %d events, %d archived events, %d jobs, %d payments and %d orders in %.1f s\n",
		v.Events, v.Archived, v.Jobs, v.Payments, v.Orders, v.Seconds)
	if v.Unfolded > 0 {
		r.printf("%d payments and orders are not yet under the rules of this release; the service brings them there after an upgrade\n", v.Unfolded)
	}
	if len(v.Violations) == 0 {
		r.printf("all invariants hold\n")
		return
	}
	for _, broken := range v.Violations {
		r.printf("\n%s: %d violations; the invariant: %s\n", broken.Invariant, broken.Total, broken.Meaning)
		for _, row := range broken.Rows {
			r.printf("  %s\n", printable(string(row), ""))
		}
		if rest := broken.Total - int64(len(broken.Rows)); rest > 0 {
			r.printf("  … and %d more; --limit shows them\n", rest)
		}
	}
	r.printf("\ninvariants are violated\n")
}
