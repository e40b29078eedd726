package main

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/conciliar/conciliar/api"
	"github.com/conciliar/conciliar/config"
	"github.com/conciliar/conciliar/jobs"
	"github.com/conciliar/conciliar/store"
)

func newDeadLetters(std stdio) *cobra.Command {
	return group("dead-letters", "Handle events that are not retried any more",
		newDeadLettersList(std), newDeadLettersShow(std), newDeadLettersReplay(std), newDeadLettersDismiss(std))
}

// deadLetterFlags adds the flags that select dead letters, but for their state.
func deadLetterFlags(std stdio, cmd *cobra.Command, filter *store.DeadLetterFilter) {
	wordFlag(cmd, &filter.Reason, "reason", "only that died for this reason", store.DeadLetterReasons())
	cmd.Flags().StringVar(&filter.ErrorClass, "error-class", "", "only with this cause, for example payment_not_found")
	cmd.Flags().StringVar(&filter.Topic, "topic", "", "only of this topic, for example payment")
	timeFlags(std, cmd, &filter.Since, &filter.Until)
}

func newDeadLettersList(std stdio) *cobra.Command {
	return listCommand(std, listSpec[store.DeadLetterFilter, store.DeadLetter, store.DeadLetter, int64]{
		short:   "List dead letters, newest first; open ones by default",
		example: "  conciliar dead-letters list\n  conciliar dead-letters list --reason retries_exhausted --since 24h",
		flags: func(cmd *cobra.Command, filter *store.DeadLetterFilter) {
			stateFlag(cmd, &filter.State, store.DeadLetterOpen, store.DeadLetterStates())
			deadLetterFlags(std, cmd, filter)
		},
		read: (*store.Store).DeadLetters, document: same[store.DeadLetter],
		header: "DEAD LETTER\tEVENT\tDIED\tTOPIC\tRESOURCE\tSTATE\tREASON\tCLASS\tERROR",
		row: func(d store.DeadLetter) []any {
			return []any{d.ID, d.QueueID, d.DiedAt, d.Topic, d.ResourceID, d.State, d.Reason, d.ErrorClass, shorten(&d.Error)}
		},
	})
}

func newDeadLettersShow(std stdio) *cobra.Command {
	return byID(std, &cobra.Command{
		Use: "show ID", Short: "Show a dead letter with its payload and the error of each attempt", Example: "  conciliar dead-letters show 7",
	}, (*store.Store).DeadLetter, showDeadLetter)
}

func showDeadLetter(r *printout, d store.DeadLetterDetail) {
	r.row("dead letter", d.ID)
	r.row("event", d.QueueID)
	r.row("state", d.State)
	r.row("reason", d.Reason)
	r.row("class", d.ErrorClass)
	r.row("error", d.Error)
	r.row("note", d.Note)
	r.row("topic", d.Topic)
	r.row("resource", d.ResourceID)
	r.row("source", d.Source)
	r.row("received", d.ReceivedAt)
	r.row("died", d.DiedAt)
	r.row("deaths", d.Deaths)
	r.row("attempts", d.Attempts)
	showFailures(r, d.Errors)
	showAftermath(r, d.Replays, d.Actions, d.Body)
}

func newDeadLettersReplay(std stdio) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "replay [ID]",
		Short: "Replay one dead letter, or all that match the filters",
		Long: `Makes new events of the same deliveries, for a running service to process.
Filters match open dead letters only; --all matches every open one. Up to a
hundred are replayed at once; the service replays more in paced steps, which
--cancel stops.`,
		Example: `  conciliar dead-letters replay 7
  conciliar dead-letters replay --reason retries_exhausted --since 24h --dry-run
  conciliar dead-letters replay --cancel 3`,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) > 1 {
				return usagef("%s takes one id at most", nameOf(cmd))
			}
			return nil
		},
	}
	r := &bulkReplay{std: std}
	deadLetterFlags(std, cmd, &r.filter)
	f := cmd.Flags()
	f.BoolVar(&r.all, "all", false, "replay every open dead letter")
	f.BoolVar(&r.dryRun, "dry-run", false, "only count what would be replayed")
	f.Int64Var(&r.limit, "limit", 0, "how many at most, oldest first; 0 means no limit")
	f.Int64Var(&r.cancel, "cancel", 0, "stop the bulk replay with this id")
	asJSON := jsonFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		r.asJSON = *asJSON
		filters := 0
		for _, name := range []string{"reason", "error-class", "topic", "since", "until", "all"} {
			if cmd.Flags().Changed(name) {
				filters++
			}
		}
		bulk := filters > 0 || r.dryRun || cmd.Flags().Changed("limit")
		switch {
		case cmd.Flags().Changed("cancel"):
			if bulk || len(args) > 0 || r.cancel < 1 {
				return usagef("--cancel takes the id of a bulk replay and no other flag or argument")
			}
			return r.stop(cmd.Context())
		case len(args) == 1:
			if bulk {
				return usagef("give an id or filters, not both")
			}
			return replayOne(cmd.Context(), std, *asJSON, args[0], (*store.Store).ReplayDeadLetter)
		case filters == 0:
			return usagef("give an id, a filter or --all")
		case r.limit < 0:
			return usagef("--limit must not be negative")
		}
		if r.dryRun {
			return r.count(cmd.Context())
		}
		return r.many(cmd.Context())
	}
	return cmd
}

// bulkReplay is what dead-letters replay is asked for.
type bulkReplay struct {
	std            stdio
	filter         store.DeadLetterFilter
	limit, cancel  int64
	all            bool
	dryRun, asJSON bool
}

func (r *bulkReplay) count(ctx context.Context) error {
	return printRead(ctx, r.std, r.asJSON, func(storage *store.Store) (api.ReplayCount, error) {
		matching, err := storage.CountReplayable(ctx, r.filter)
		return api.NewReplayCount(matching, r.limit), err
	}, func(r *printout, count api.ReplayCount) {
		r.printf("%d of %d dead letters would be replayed\n", count.WouldReplay, count.Matching)
	})
}

func (r *bulkReplay) many(ctx context.Context) error {
	return withApp(ctx, r.std, func(a *app, cfg config.Config) error {
		operator, err := jobs.NewOperator(a.pool, commandJobs(cfg, r.std), a.store)
		if err != nil {
			return err
		}
		bulk, err := operator.ReplayDeadLetters(ctx, r.filter, r.limit, commandActor())
		if err != nil {
			return err
		}
		return r.tell(bulk)
	})
}

func (r *bulkReplay) stop(ctx context.Context) error {
	return withStore(ctx, r.std, func(storage *store.Store) error {
		bulk, err := storage.CancelBulkReplay(ctx, r.cancel, commandActor())
		if err != nil {
			return err
		}
		return r.tell(bulk)
	})
}

func (r *bulkReplay) tell(bulk store.BulkReplay) error {
	err := printResult(r.std, r.asJSON, bulk, func(r *printout) {
		r.printf("bulk replay %d is %s: %d of %d dead letters replayed\n", bulk.ID, bulk.State, bulk.Replayed, bulk.Total)
	})
	if err != nil || r.asJSON || bulk.State != store.BulkReplayRunning {
		return err
	}
	_, err = fmt.Fprintf(r.std.err, "a running service continues it; 'conciliar dead-letters replay --cancel %d' stops it\n", bulk.ID)
	return err
}

func newDeadLettersDismiss(std stdio) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "dismiss [ID]",
		Short: "Dismiss a dead letter that needs no action, or all that match the filters",
		Example: `  conciliar dead-letters dismiss 7 --note refunded-by-hand
  conciliar dead-letters dismiss --error-class forbidden --note "another account's"`,
	}
	note := noteFlag(cmd)
	byID(std, cmd, func(storage *store.Store, ctx context.Context, id int64) (store.DeadLetterDetail, error) {
		if err := storage.DismissDeadLetter(ctx, id, *note, commandActor()); err != nil {
			return store.DeadLetterDetail{}, err
		}
		return storage.DeadLetter(ctx, id)
	}, func(r *printout, d store.DeadLetterDetail) { r.printf("dead letter %d is dismissed\n", d.ID) })
	return orMany(std, cmd, note, manySpec[store.DeadLetterFilter]{
		flags: deadLetterFlags, names: []string{"reason", "error-class", "topic", "since", "until"},
		count: (*store.Store).MatchingDeadLetters, act: (*store.Store).DismissDeadLetters, things: "dead letters", done: "dismissed",
	})
}
