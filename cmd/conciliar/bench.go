package main

import (
	"context"
	"io"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/spf13/cobra"

	"github.com/conciliar/conciliar/cmd/conciliar/bench"
	"github.com/conciliar/conciliar/config"
)

func newBench(std stdio) *cobra.Command {
	var o bench.Options
	var status bool
	cmd := &cobra.Command{
		Use:   "bench",
		Short: "Measure this machine: acknowledged webhooks and settled events a second",
		Long: `Measures this binary on this machine, with a PostgreSQL of its own (fsync on) and
the load generator on the same cores. Each figure stands beside what the
database itself does: pgbench, one transaction with the same two rows for each
event. Their ratio can be compared between machines. Exits 1 if a target is
missed.

With --status it measures reading instead: GET /api/webhooks/status and what the
dashboard's overview reads, over --rows archived events and a tenth as many in
the queue. Beside each stands what the same numbers cost by counting rows. At the
default size it takes some minutes and 15 GB of disk, mostly to make the rows.`,
		Example: "  conciliar bench\n  conciliar bench --duration 10s --rounds 5 --json\n  conciliar bench --status --rows 1000000",
		Args:    noArgs,
	}
	cmd.Flags().DurationVar(&o.Length, "duration", 4*time.Second, "length of each measurement")
	cmd.Flags().IntVar(&o.Rounds, "rounds", 3, "measurements of each; the median counts")
	cmd.Flags().IntVar(&o.Settle, "settle", 20_000, "events in the backlog of the settlement benchmark")
	cmd.Flags().IntVar(&o.Verify, "verify", 1_000_000, "events in the ledger of the verification benchmark; 0 leaves it out")
	cmd.Flags().BoolVar(&status, "status", false, "measure the status and the dashboard's overview instead")
	cmd.Flags().IntVar(&o.Rows, "rows", 10_000_000, "archived events for --status; a tenth as many are in the queue")
	for _, other := range []string{"duration", "rounds", "settle", "verify"} {
		exclusive(cmd, "status", other)
	}
	asJSON := jsonFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		o.OpenBounded, o.OpenUnbounded = benchPools(sessionSettings), benchPools(nil)
		o.Progress, o.ShutdownLimit = std.err, shutdownLimit
		if status {
			if o.Rows < bench.RowsStep || o.Rows%bench.RowsStep != 0 {
				return usagef("--rows takes a multiple of %d", bench.RowsStep)
			}
			return report(cmd.Context(), std, *asJSON, o, bench.RunStatus)
		}
		if o.Length < time.Second || o.Rounds < 1 || o.Settle < 1 {
			return usagef("--duration takes a second or more, --rounds and --settle take 1 or more")
		}
		if o.Verify != 0 && o.Verify < bench.VerifyLeast {
			return usagef("--verify takes 0 or at least %d", bench.VerifyLeast)
		}
		return report(cmd.Context(), std, *asJSON, o, bench.Run)
	}
	return cmd
}

// report runs a benchmark and prints what it measured. It fails when a bar is
// not met.
func report[R interface {
	Met() bool
	Print(w io.Writer) error
}](ctx context.Context, std stdio, asJSON bool, o bench.Options, run func(context.Context, bench.Options) (R, error)) error {
	measured, err := run(ctx, o)
	if err != nil {
		return err
	}
	if asJSON {
		err = printJSON(std.out, measured)
	} else {
		err = measured.Print(std.out)
	}
	if err == nil && !measured.Met() {
		err = errSilent
	}
	return err
}

// benchPools connects with these settings for each session.
func benchPools(settings map[string]string) bench.PoolOpener {
	return func(ctx context.Context, databaseURL string) (*pgxpool.Pool, error) {
		cfg, err := config.LoadDatabase([]string{"DATABASE_URL=" + databaseURL})
		if err != nil {
			return nil, err
		}
		return openPool(ctx, cfg.Database, 4, settings)
	}
}
