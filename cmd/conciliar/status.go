package main

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/conciliar/conciliar/api"
	"github.com/conciliar/conciliar/config"
	"github.com/conciliar/conciliar/store"
	"github.com/conciliar/conciliar/store/order"
)

func newStatus(std stdio) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "status",
		Short: "Show the queue, dead letters, runs and anomalies",
		Long: `Reads the statistics from the database: the same document as
GET /api/webhooks/status. Needs DATABASE_URL. Exits 0 when they could be read,
whatever they say; scripts look at "health" in --json.`,
		Example: "  conciliar status\n  conciliar status --json | jq .health",
		Args:    cobra.NoArgs,
	}
	asJSON := jsonFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		cfg, err := config.LoadDatabase(std.environ)
		if err != nil {
			return err
		}
		ctx := cmd.Context()
		pool, err := openPool(ctx, cfg.Database, 2, sessionSettings)
		if err != nil {
			return err
		}
		defer pool.Close()
		if err := requireSchema(ctx, pool); err != nil {
			return err
		}
		storage, err := store.New(pool, store.Options{
			Rules: order.Rules{Mode: order.ModeAny}, UnknownOrder: store.UnknownOrderWait, Logger: newLogger(std.err, cfg.Log),
		})
		if err != nil {
			return err
		}
		st, err := storage.Status(ctx)
		if err != nil {
			return err
		}
		report := api.NewStatusReport(st, extras(cfg.ReconcileSchedule))
		if *asJSON {
			return printJSON(std.out, report)
		}
		return printStatus(std.out, report)
	}
	return cmd
}

func printStatus(w io.Writer, r api.StatusReport) error {
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	row := func(name string, value any) { _, _ = fmt.Fprintf(table, "%s\t%v\n", name, value) }
	row("health", r.Health)
	for _, reason := range r.Reasons {
		row("", reason)
	}
	row("provider", providerLine(r.Provider))
	q := r.Queue
	row("pending", q.Pending)
	row("processing", q.Processing)
	row("failed", q.Failed)
	row("held", q.Held)
	row("completed", q.Completed)
	row("dead letters open", fmt.Sprint(r.DeadLetters.Open, counts(r.DeadLetters.ByReason)))
	row("anomalies open", fmt.Sprint(r.Anomalies.Open, counts(r.Anomalies.ByKind)))
	row("oldest pending", time.Duration(q.OldestPendingSeconds)*time.Second)
	row("next retry", orNever(q.NextRetryAt))
	row("last hour", fmt.Sprintf("%d received, %d completed, %d died", r.Throughput.Received1h, r.Throughput.Completed1h, r.Throughput.Failed1h))
	row("last reconciliation", orNever(r.Reconciliation.LastSuccessAt))
	return table.Flush()
}

// providerLine says how the provider is.
func providerLine(p store.ProviderState) string {
	line := string(p.Circuit)
	if p.Reason != "" {
		line += " (" + p.Reason + ")"
	}
	if p.Since != nil {
		line += " since " + p.Since.UTC().Format(time.RFC3339)
	}
	return line
}

// counts writes named counts in a stable order, or nothing when there are none.
func counts(by map[string]int64) string {
	parts := make([]string, 0, len(by))
	for name, n := range by {
		parts = append(parts, fmt.Sprintf("%s %d", name, n))
	}
	if len(parts) == 0 {
		return ""
	}
	slices.Sort(parts)
	return " (" + strings.Join(parts, ", ") + ")"
}

func orNever(t *time.Time) string {
	if t == nil {
		return "never"
	}
	return t.UTC().Format(time.RFC3339)
}
