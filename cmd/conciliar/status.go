package main

import (
	"fmt"
	"slices"
	"strings"
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
			found := api.NewStatusReport(st, extras(cfg.ReconcileSchedule))
			return printResult(std, *asJSON, found, func(r *printout) { showStatus(r, found) })
		})
	}
	return cmd
}

func showStatus(r *printout, st api.StatusReport) {
	r.row("health", st.Health)
	for _, reason := range st.Reasons {
		r.header("\t" + reason)
	}
	r.row("provider", providerLine(st.Provider))
	q := st.Queue
	r.row("pending", q.Pending)
	r.row("processing", q.Processing)
	r.row("failed", q.Failed)
	r.row("held", q.Held)
	r.row("completed", q.Completed)
	r.row("dead letters open", fmt.Sprint(st.DeadLetters.Open, counts(st.DeadLetters.ByReason)))
	r.row("anomalies open", fmt.Sprint(st.Anomalies.Open, counts(st.Anomalies.ByKind)))
	if o := st.OrderEvents; o != (api.OrderEventsStatus{}) {
		r.row("order events", fmt.Sprintf("%d pending, %d failed, %d dead letters", o.Pending, o.Failed, o.DeadLetter))
	}
	r.row("oldest pending", time.Duration(q.OldestPendingSeconds)*time.Second)
	r.row("next retry", orNever(q.NextRetryAt))
	r.row("last hour", fmt.Sprintf("%d received, %d completed, %d died", st.Throughput.Received1h, st.Throughput.Completed1h, st.Throughput.Failed1h))
	r.row("last reconciliation", orNever(st.Reconciliation.LastSuccessAt))
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
