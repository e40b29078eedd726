package main

import (
	"cmp"
	"context"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/spf13/cobra"

	"github.com/conciliar/conciliar/cmd/conciliar/bench"
	"github.com/conciliar/conciliar/config"
)

// everyScenario is the word for all of them.
const everyScenario = "all"

func newBench(std stdio) *cobra.Command {
	var o bench.Options
	scenarios := bench.Scenarios()
	var list strings.Builder
	for _, s := range scenarios {
		mark := " "
		if s.Default {
			mark = "*"
		}
		list.WriteString("\n  " + mark + " " + s.Name + strings.Repeat(" ", 13-len(s.Name)) + s.What)
	}
	cmd := &cobra.Command{
		Use:   "bench [SCENARIO...]",
		Short: "Measure this machine: acknowledged webhooks and settled events a second",
		Long: `Measures this binary as a process on this machine, each scenario with a PostgreSQL
of its own (fsync on), the load generator and the provider on the same cores. Figures
stand beside what the database itself does in the same run (pgbench): their ratio can
be compared between machines. Exits 1 if a target is missed.

Without a scenario those with * are measured, in some minutes; "all" takes an hour and
15 GB of disk:
` + list.String(),
		Example: "  conciliar bench\n  conciliar bench settle --rounds 5 --json\n  conciliar bench size read --rows 1000000,10000000",
		ValidArgsFunction: func(*cobra.Command, []string, string) (names []string, _ cobra.ShellCompDirective) {
			for _, s := range scenarios {
				names = append(names, s.Name)
			}
			return append(names, everyScenario), cobra.ShellCompDirectiveNoFileComp
		},
	}
	cmd.Flags().DurationVar(&o.Length, "duration", 4*time.Second, "length of each measurement that has no end of its own")
	cmd.Flags().IntVar(&o.Rounds, "rounds", 3, "measurements of each; the median counts")
	cmd.Flags().IntVar(&o.Settle, "settle", 50_000, "events in a backlog")
	cmd.Flags().IntVar(&o.Verify, "verify", 1_000_000, "events in the ledger that is verified")
	cmd.Flags().IntSliceVar(&o.Rows, "rows", []int{1_000_000}, "archived events that are there already; a tenth as many are in the queue")
	cmd.Flags().IntVar(&o.Behind, "behind", 200_000, "events that a live webhook overtakes")
	cmd.Flags().IntVar(&o.Payments, "payments", 100_000, "payments that a reconciliation finds")
	cmd.Flags().IntVar(&o.ImportRows, "import-rows", 1_000_000, "rows of the report that is imported")
	asJSON := jsonFlag(cmd)
	asMarkdown := cmd.Flags().Bool("markdown", false, "print tables of Markdown, as docs/performance.md has them")
	cmd.MarkFlagsMutuallyExclusive("json", "markdown")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if err := checkBench(o); err != nil {
			return err
		}
		chosen, err := chosenScenarios(scenarios, args)
		if err != nil {
			return err
		}
		o.OpenBounded, o.OpenUnbounded = benchPools(sessionSettings), benchPools(nil)
		o.Progress, o.ShutdownLimit, o.Command = std.err, shutdownLimit, benchCommand()
		// What was measured before something failed has taken its time, and is shown.
		measured, failed := bench.Run(cmd.Context(), o, chosen)
		switch {
		case *asJSON:
			err = printJSON(std.out, measured)
		case *asMarkdown:
			err = measured.PrintMarkdown(std.out)
		default:
			err = measured.Print(std.out)
		}
		if failed == nil && !measured.Met() {
			failed = errSilent
		}
		return cmp.Or(failed, err)
	}
	return cmd
}

// benchCommand is the command as it was given, but for how it answers.
func benchCommand() string {
	given := slices.DeleteFunc(slices.Clone(os.Args[1:]), func(word string) bool { return word == "--json" || word == "--markdown" })
	return strings.Join(append([]string{"conciliar"}, given...), " ")
}

func checkBench(o bench.Options) error {
	switch {
	case o.Length < time.Second || o.Rounds < 1:
		return usagef("--duration takes a second or more, --rounds 1 or more")
	case o.Settle < 2 || o.Behind < 1 || o.Payments < 1 || o.ImportRows < 1:
		return usagef("--settle takes 2 or more, --behind, --payments and --import-rows take 1 or more")
	case o.Verify < bench.VerifyLeast:
		return usagef("--verify takes at least %d", bench.VerifyLeast)
	case len(o.Rows) == 0 || slices.ContainsFunc(o.Rows, func(n int) bool { return n < bench.RowsStep || n%bench.RowsStep != 0 }):
		return usagef("--rows takes multiples of %d", bench.RowsStep)
	}
	return nil
}

// chosenScenarios are those named, in the order that they are measured in.
func chosenScenarios(scenarios []bench.Scenario, names []string) (chosen []bench.Scenario, err error) {
	for _, name := range names {
		if name != everyScenario && !slices.ContainsFunc(scenarios, func(s bench.Scenario) bool { return s.Name == name }) {
			return nil, usagef("there is no scenario %q", name)
		}
	}
	for _, s := range scenarios {
		if slices.Contains(names, s.Name) || slices.Contains(names, everyScenario) || len(names) == 0 && s.Default {
			chosen = append(chosen, s)
		}
	}
	return chosen, nil
}

// benchConnections are enough for a handler that answers 64 callers at a time.
const benchConnections = 64

// benchPools connects with these settings for each session.
func benchPools(settings map[string]string) bench.PoolOpener {
	return func(ctx context.Context, databaseURL string) (*pgxpool.Pool, error) {
		cfg, err := config.LoadDatabase([]string{"DATABASE_URL=" + databaseURL})
		if err != nil {
			return nil, err
		}
		return openPool(ctx, cfg.Database, benchConnections, settings)
	}
}
