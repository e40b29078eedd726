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
)

func newStatus(std stdio) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "status",
		Short: "Show the queue, dead letters, runs and anomalies",
		Long: `Reads the status from the database: the same document as
GET /api/webhooks/status. Needs DATABASE_URL. Exits 0 if it could be read,
whatever it says; scripts check "health" in --json.`,
		Example: "  conciliar status\n  conciliar status --json | jq .health",
		Args:    noArgs,
	}
	asJSON := jsonFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		return withStoreConfig(cmd.Context(), std, func(storage *store.Store, cfg config.DatabaseOnly) error {
			st, err := storage.Status(cmd.Context())
			if err != nil {
				return err
			}
			report := api.NewStatusReport(st, extras(cfg.ReconcileSchedule))
			if *asJSON {
				return printJSON(std.out, report)
			}
			return printStatus(std.out, report)
		})
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
