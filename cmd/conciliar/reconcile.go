package main

import (
	"context"
	"fmt"
	"os/user"
	"time"

	"github.com/spf13/cobra"

	"github.com/conciliar/conciliar/config"
	"github.com/conciliar/conciliar/jobs"
	"github.com/conciliar/conciliar/store"
)

func newReconcile(std stdio) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "reconcile",
		Short: "Compare with Mercado Pago, and repair what is missing or different",
		Long: `Runs a reconciliation now, or joins the running one. This process does the work,
with or without a running service. If stopped, a running service or the same
command continues it. While Mercado Pago cannot be reached, it waits and says
since when.

With --since it is a backfill of that window, for a merchant with a history:
live webhooks take precedence. Mercado Pago searches the last 12 months.

--check changes nothing and exits 1 on a difference. Open anomalies don't count.`,
		Example: `  conciliar reconcile
  conciliar reconcile --since 2026-01-01 --until 2026-02-01
  conciliar reconcile --check || echo "something differs"`,
		Args: noArgs,
	}
	r := &reconcileCommand{std: std}
	timeFlags(std, cmd, &r.since, &r.until)
	cmd.Flags().Lookup("since").Usage = "begin of the window: a date of TIME_ZONE, a time (RFC 3339) or an age such as 48h or 7d"
	cmd.Flags().Lookup("until").Usage = "end of the window, in the same forms (default now)"
	cmd.Flags().BoolVar(&r.check, "check", false, "change nothing; exit 1 on a difference")
	cmd.Flags().DurationVar(&r.timeout, "timeout", 0, "stop waiting after this long; 0 waits for the end")
	asJSON := jsonFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		r.asJSON = *asJSON
		switch {
		case r.since.IsZero() && !r.until.IsZero():
			return usagef("--until needs --since")
		case r.timeout < 0:
			return usagef("--timeout must not be negative")
		case r.timeout == 0:
			return r.run(cmd.Context())
		}
		ctx, cancel := context.WithTimeout(cmd.Context(), r.timeout)
		defer cancel()
		return r.run(ctx)
	}
	return cmd
}

type reconcileCommand struct {
	std          stdio
	since, until time.Time
	timeout      time.Duration
	check        bool
	asJSON       bool
}

func (r *reconcileCommand) run(ctx context.Context) error {
	return withApp(ctx, r.std, func(a *app, cfg config.Config) error { return r.runIn(ctx, a, cfg) })
}

func (r *reconcileCommand) runIn(ctx context.Context, a *app, cfg config.Config) error {
	jobsConfig := commandJobs(cfg, r.std)
	client, err := a.connect(ctx, cfg)
	if err != nil {
		return err
	}
	deps := a.jobsDeps(cfg, client)
	if r.check {
		return r.checkOnly(ctx, deps, jobsConfig)
	}
	runner, err := jobs.NewRunner(a.pool, jobsConfig, deps)
	if err != nil {
		return err
	}
	if err := runner.Start(ctx); err != nil {
		return err
	}
	defer func() {
		limit, cancel := context.WithTimeout(context.WithoutCancel(ctx), shutdownLimit)
		defer cancel()
		if err := runner.Stop(limit); err != nil {
			a.logger.Error("stopping", "error", err)
		}
	}()
	return r.work(ctx, a.store)
}

// work starts the run or joins it, shows how far it is, and tells its end.
func (r *reconcileCommand) work(ctx context.Context, storage *store.Store) error {
	request := store.RunRequest{Trigger: store.TriggerCLI, Scope: store.ScopeRegular, By: commandActor()}
	if !r.since.IsZero() {
		request.Scope, request.Since, request.Until = store.ScopeBackfill, r.since, r.until
	}
	run, joined, err := storage.StartRun(ctx, request)
	if err != nil {
		return err
	}
	if joined {
		_, _ = fmt.Fprintf(r.std.err, "run %d is already running; waiting for it\n", run.ID)
	}
	bar := newProgress(r.std)
	run, err = storage.WaitRun(ctx, run.ID, func(run store.Run) { bar.show(runPosition(run), runLine(run)+waitsFor(ctx, storage, run)) })
	bar.end()
	if err != nil {
		return err
	}
	// Even when the time to wait is up: it is what was found until then.
	look, cancel := context.WithTimeout(context.WithoutCancel(ctx), shutdownLimit)
	defer cancel()
	found, err := storage.Findings(look, store.FindingFilter{RunID: run.ID}, store.Page{Limit: listRows})
	if err != nil {
		return err
	}
	if err := printResult(r.std, r.asJSON, run, func(r *printout) { showRun(r, run, found.Items) }); err != nil {
		return err
	}
	if found.Next != 0 && !r.asJSON {
		_, _ = fmt.Fprintf(r.std.err, "these are the newest %d findings; GET /api/webhooks/runs/%d/findings has all\n", len(found.Items), run.ID)
	}
	if run.Status == store.RunRunning {
		_, _ = fmt.Fprintf(r.std.err, "stopped; a running service or the next 'conciliar reconcile' continues run %d\n", run.ID)
	}
	if run.Status != store.RunSucceeded {
		return errSilent
	}
	return nil
}

// runPosition is how far the run's search is into its window, 0 to 1.
func runPosition(run store.Run) float64 {
	if run.Status != store.RunRunning {
		return 1
	}
	if run.Position == nil || run.WindowStart == nil || run.WindowEnd == nil {
		return 0
	}
	return share(*run.WindowStart, *run.WindowEnd, *run.Position)
}

func share(start, end, at time.Time) float64 {
	if !end.After(start) {
		return 1
	}
	return min(1, max(0, float64(at.Sub(start))/float64(end.Sub(start))))
}

func runLine(run store.Run) string {
	return fmt.Sprintf("%s: %d payments, %d orders, %d missing, %d different", run.Phase, run.PaymentsChecked, run.OrdersChecked, run.MissingFound, run.DriftFound)
}

// waitsFor says that a run waits out an outage; otherwise nothing. A database
// that does not answer fails the waiting for the run, and needs no word here.
func waitsFor(ctx context.Context, storage *store.Store, run store.Run) string {
	if run.Status != store.RunRunning {
		return ""
	}
	provider, err := storage.Provider(ctx)
	if err != nil || provider.Circuit == store.CircuitClosed || provider.Since == nil {
		return ""
	}
	return fmt.Sprintf("; waiting for %s, unreachable since %s", provider.Source, provider.Since.Format(time.RFC3339))
}

func showRun(r *printout, run store.Run, found []store.Finding) {
	r.row("run", run.ID)
	r.row("status", run.Status)
	if run.Error != nil {
		r.row("error", *run.Error)
	}
	if run.Note != "" {
		r.row("note", run.Note)
	}
	r.row("window", orNever(run.WindowStart)+" to "+orNever(run.WindowEnd))
	r.row("payments checked", run.PaymentsChecked)
	r.row("orders checked", run.OrdersChecked)
	r.row("stuck, queued again", run.StuckRequeued)
	r.row("retries due", run.RetriesDue)
	r.row("missing, found", run.MissingFound)
	r.row("different", run.DriftFound)
	r.row("odd", run.OddFound)
	r.row("archived", run.Archived)
	r.row("not shown", run.Unseen)
	section(r, "findings", "FINDING\tSTATE\tPAYMENT\tORDER\tEVENT", found, func(f store.Finding) []any {
		return []any{f.Kind, f.State, f.PaymentID, f.OrderReference, f.QueueID}
	})
}

func (r *reconcileCommand) checkOnly(ctx context.Context, deps jobs.Deps, cfg jobs.Config) error {
	deps.Logger = cfg.Logger
	checker, err := jobs.NewChecker(deps)
	if err != nil {
		return err
	}
	bar := newProgress(r.std)
	found, err := checker.Check(ctx, jobs.CheckRequest{Since: r.since, Until: r.until, Progress: func(c jobs.CheckReport) {
		bar.show(share(c.WindowStart, c.WindowEnd, c.Position), fmt.Sprintf("%d payments, %d orders, %d differences", c.PaymentsChecked, c.OrdersChecked, len(c.Differences)))
	}})
	bar.end()
	if err != nil {
		return err
	}
	return printVerdict(r.std, r.asJSON, found.Clean(), found, func(r *printout) { showCheck(r, found) })
}

func showCheck(r *printout, found jobs.CheckReport) {
	for _, d := range found.Differences {
		r.printf("%s\tpayment %s\torder %s\t%s\n", d.Kind, d.PaymentID, d.Reference, d.Detail)
	}
	r.printf("%d payments and %d orders checked: %d differences, %d stuck events\n",
		found.PaymentsChecked, found.OrdersChecked, len(found.Differences), found.Stuck)
}

// commandActor is who runs the command, as the audit trail names them.
func commandActor() store.Actor { return store.Actor{Name: "cli:" + loginName()} }

// loginName is who runs the command, as far as the system says.
func loginName() string {
	if u, err := user.Current(); err == nil {
		return u.Username
	}
	return "unknown"
}
