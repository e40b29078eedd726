package main

import (
	"context"
	"fmt"
	"os/user"
	"text/tabwriter"
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
	timeFlags(cmd, &r.since, &r.until)
	cmd.Flags().Lookup("since").Usage = "begin of the window: a date, a time (RFC 3339) or an age such as 48h or 7d"
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
	cfg, err := config.Load(r.std.environ)
	if err != nil {
		return err
	}
	jobsConfig := commandJobs(cfg, r.std)
	a, err := newBase(ctx, cfg, jobsConfig, connectionsFor(cfg, role{worker: true}))
	if err != nil {
		return err
	}
	defer a.close()
	deps, err := a.jobsDeps(cfg)
	if err != nil {
		return err
	}
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
	if err := r.tell(run); err != nil {
		return err
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

func (r *reconcileCommand) tell(run store.Run) error {
	if r.asJSON {
		return printJSON(r.std.out, run)
	}
	table := tabwriter.NewWriter(r.std.out, 0, 0, 2, ' ', 0)
	row := func(name string, value any) { _, _ = fmt.Fprintf(table, "%s\t%v\n", name, value) }
	row("run", run.ID)
	row("status", run.Status)
	if run.Error != nil {
		row("error", *run.Error)
	}
	if run.Note != "" {
		row("note", run.Note)
	}
	row("window", orNever(run.WindowStart)+" to "+orNever(run.WindowEnd))
	row("payments checked", run.PaymentsChecked)
	row("orders checked", run.OrdersChecked)
	row("stuck, queued again", run.StuckRequeued)
	row("retries due", run.RetriesDue)
	row("missing, found", run.MissingFound)
	row("different", run.DriftFound)
	row("odd", run.OddFound)
	row("archived", run.Archived)
	row("not shown", run.Unseen)
	return table.Flush()
}

func (r *reconcileCommand) checkOnly(ctx context.Context, deps jobs.Deps, cfg jobs.Config) error {
	deps.Logger = cfg.Logger
	checker, err := jobs.NewChecker(deps)
	if err != nil {
		return err
	}
	bar := newProgress(r.std)
	report, err := checker.Check(ctx, jobs.CheckRequest{Since: r.since, Until: r.until, Progress: func(c jobs.CheckReport) {
		bar.show(share(c.WindowStart, c.WindowEnd, c.Position), fmt.Sprintf("%d payments, %d orders, %d differences", c.PaymentsChecked, c.OrdersChecked, len(c.Differences)))
	}})
	bar.end()
	if err != nil {
		return err
	}
	if r.asJSON {
		err = printJSON(r.std.out, report)
	} else {
		err = r.tellCheck(report)
	}
	if err != nil {
		return err
	}
	if !report.Clean() {
		return errSilent
	}
	return nil
}

func (r *reconcileCommand) tellCheck(report jobs.CheckReport) error {
	for _, d := range report.Differences {
		if _, err := fmt.Fprintf(r.std.out, "%s\tpayment %s\torder %s\t%s\n", d.Kind, d.PaymentID, d.Reference, d.Detail); err != nil {
			return err
		}
	}
	_, err := fmt.Fprintf(r.std.out, "%d payments and %d orders checked: %d differences, %d stuck events\n",
		report.PaymentsChecked, report.OrdersChecked, len(report.Differences), report.Stuck)
	return err
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
