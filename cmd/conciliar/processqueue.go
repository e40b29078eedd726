package main

import (
	"context"
	"time"

	"github.com/spf13/cobra"

	"github.com/conciliar/conciliar/config"
	"github.com/conciliar/conciliar/jobs"
	"github.com/conciliar/conciliar/store"
)

func newProcessQueue(std stdio) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "process-queue",
		Short: "Process pending and retryable events now",
		Long: `Makes the next attempt of waiting events due now, works them in this process
(with or without a running service), and reports the outcome. A
failed attempt is one of an event's (RETRY_SCHEDULE). While the circuit of Mercado Pago is
not closed, events wait for it and none is woken; the answer says so. Exits 1
when the time is up before the last attempt.`,
		Example: "  conciliar process-queue\n  conciliar process-queue --limit 100 --wait 1m --json",
		Args:    noArgs,
	}
	limit := cmd.Flags().Int("limit", 1000, "how many events at most, oldest first")
	wait := cmd.Flags().Duration("wait", 5*time.Minute, "how long to wait for their attempts")
	asJSON := jsonFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if *limit < 1 || *limit > jobs.WakeLimit {
			return usagef("--limit takes 1 to %d", jobs.WakeLimit)
		}
		if *wait <= 0 {
			return usagef("--wait must be positive")
		}
		return withApp(cmd.Context(), std, func(a *app, cfg config.Config) error {
			done, err := processQueue(cmd.Context(), a, cfg, commandJobs(cfg, std), *limit, *wait)
			if err != nil {
				return err
			}
			return printVerdict(std, *asJSON, !done.TimedOut, done, func(r *printout) { showProcessed(r, done) })
		})
	}
	return cmd
}

// processQueue wakes what waits and works it with a runner of its own.
func processQueue(ctx context.Context, a *app, cfg config.Config, jobsConfig jobs.Config, limit int, wait time.Duration) (done jobs.QueueProcessed, err error) {
	operator, err := jobs.NewOperator(a.pool, jobsConfig, a.store)
	if err != nil {
		return done, err
	}
	client, err := a.connect(ctx, cfg)
	if err != nil {
		return done, err
	}
	deps := a.jobsDeps(cfg, client)
	// What a reconciliation has to do is not what was asked for.
	deps.Searches, jobsConfig.ReconcileSchedule = nil, ""
	runner, err := jobs.NewRunner(a.pool, jobsConfig, deps)
	if err != nil {
		return done, err
	}
	// Woken first: what this process worked before would not be counted.
	woken, err := operator.Wake(ctx, limit, commandActor())
	if err != nil {
		return done, err
	}
	if err := runner.Start(ctx); err != nil {
		return done, err
	}
	done, err = operator.Await(ctx, woken, wait)
	stopping, cancel := context.WithTimeout(context.WithoutCancel(ctx), shutdownLimit)
	defer cancel()
	if stopErr := runner.Stop(stopping); err == nil {
		err = stopErr
	}
	return done, err
}

func showProcessed(r *printout, done jobs.QueueProcessed) {
	provider := string(done.Provider)
	if done.Provider != store.CircuitClosed {
		provider += ": its events are held, and none was woken"
	}
	r.row("provider", provider)
	r.row("woken", done.Woken)
	r.row("processed", done.Processed)
	r.row("failed", done.Failed)
	r.row("held", done.Held)
	r.row("timed out", done.TimedOut)
	type stage struct {
		name string
		q    store.QueueStatus
	}
	section(r, "the queue", "\tPENDING\tPROCESSING\tFAILED\tHELD\tCOMPLETED\tDEAD LETTER",
		[]stage{{"before", done.Before}, {"after", done.After}}, func(s stage) []any {
			return []any{s.name, s.q.Pending, s.q.Processing, s.q.Failed, s.q.Held, s.q.Completed, s.q.DeadLetter}
		})
}

// commandJobs is the configuration of jobs for a command that works beside a
// service: each attempt's line would come between its own.
func commandJobs(cfg config.Config, std stdio) jobs.Config {
	c := jobsConfig(cfg, quiet(std, cfg.Log))
	c.Helper = true
	return c
}
