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
func deadLetterFlags(cmd *cobra.Command, filter *store.DeadLetterFilter) {
	wordFlag(cmd, &filter.Reason, "reason", "only that died for this reason", store.DeadLetterReasons())
	cmd.Flags().StringVar(&filter.ErrorClass, "error-class", "", "only with this cause, for example payment_not_found")
	cmd.Flags().StringVar(&filter.Topic, "topic", "", "only of this topic, for example payment")
	timeFlags(cmd, &filter.Since, &filter.Until)
}

func newDeadLettersList(std stdio) *cobra.Command {
	var filter store.DeadLetterFilter
	return listCommand(std, listSpec[store.DeadLetter, int64]{
		short:   "List dead letters, newest first; open ones by default",
		example: "  conciliar dead-letters list\n  conciliar dead-letters list --reason retries_exhausted --since 24h",
		flags: func(cmd *cobra.Command) {
			stateFlag(cmd, &filter.State, store.DeadLetterOpen, store.DeadLetterStates())
			deadLetterFlags(cmd, &filter)
		},
		read: func(ctx context.Context, storage *store.Store, page store.Page) (store.List[store.DeadLetter], error) {
			return storage.DeadLetters(ctx, filter, page)
		},
		header: "DEAD LETTER\tEVENT\tDIED\tTOPIC\tRESOURCE\tSTATE\tREASON\tCLASS\tERROR",
		row: func(d store.DeadLetter) []any {
			return []any{d.ID, d.QueueID, d.DiedAt, d.Topic, d.ResourceID, d.State, d.Reason, d.ErrorClass, shorten(&d.Error)}
		},
	})
}

func newDeadLettersShow(std stdio) *cobra.Command {
	return showCommand(std, showSpec[store.DeadLetterDetail]{
		short:   "Show a dead letter with its payload and the error of each attempt",
		example: "  conciliar dead-letters show 7",
		read: func(ctx context.Context, storage *store.Store, id int64) (store.DeadLetterDetail, error) {
			return storage.DeadLetter(ctx, id)
		},
		display: printDeadLetter,
	})
}

func printDeadLetter(std stdio, d store.DeadLetterDetail) error {
	t := newTable(std.out)
	t.row("dead letter", d.ID)
	t.row("event", d.QueueID)
	t.row("state", d.State)
	t.row("reason", d.Reason)
	t.row("class", d.ErrorClass)
	t.row("error", d.Error)
	t.row("note", d.Note)
	t.row("topic", d.Topic)
	t.row("resource", d.ResourceID)
	t.row("source", d.Source)
	t.row("received", d.ReceivedAt)
	t.row("died", d.DiedAt)
	t.row("deaths", d.Deaths)
	t.row("attempts", d.Attempts)
	if err := t.flush(); err != nil {
		return err
	}
	if err := printFailures(std, d.Errors); err != nil {
		return err
	}
	return printAftermath(std, d.Replays, d.Actions, d.Body)
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
	deadLetterFlags(cmd, &r.filter)
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
			return r.one(cmd.Context(), args[0])
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

func (r *bulkReplay) one(ctx context.Context, text string) error {
	id, err := recordID(text)
	if err != nil {
		return err
	}
	return replayOne(ctx, r.std, r.asJSON, func(ctx context.Context, storage *store.Store) (store.Replay, error) {
		return storage.ReplayDeadLetter(ctx, id, commandActor())
	})
}

func (r *bulkReplay) count(ctx context.Context) error {
	return withStore(ctx, r.std, func(storage *store.Store) error {
		matching, err := storage.CountReplayable(ctx, r.filter)
		if err != nil {
			return err
		}
		count := api.NewReplayCount(matching, r.limit)
		if r.asJSON {
			return printJSON(r.std.out, count)
		}
		_, err = fmt.Fprintf(r.std.out, "%d of %d dead letters would be replayed\n", count.WouldReplay, count.Matching)
		return err
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
	if r.asJSON {
		return printJSON(r.std.out, bulk)
	}
	if _, err := fmt.Fprintf(r.std.out, "bulk replay %d is %s: %d of %d dead letters replayed\n", bulk.ID, bulk.State, bulk.Replayed, bulk.Total); err != nil {
		return err
	}
	if bulk.State != store.BulkReplayRunning {
		return nil
	}
	_, err := fmt.Fprintf(r.std.err, "a running service continues it; 'conciliar dead-letters replay --cancel %d' stops it\n", bulk.ID)
	return err
}

func newDeadLettersDismiss(std stdio) *cobra.Command {
	cmd := &cobra.Command{
		Use:     "dismiss ID",
		Short:   "Dismiss a dead letter that needs no action",
		Example: `  conciliar dead-letters dismiss 7 --note refunded-by-hand`,
		Args:    oneID,
	}
	note, asJSON := noteFlag(cmd), jsonFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		id, err := recordID(args[0])
		if err != nil {
			return err
		}
		return withStore(cmd.Context(), std, func(storage *store.Store) error {
			if err := storage.DismissDeadLetter(cmd.Context(), id, *note, commandActor()); err != nil {
				return err
			}
			if *asJSON {
				letter, err := storage.DeadLetter(cmd.Context(), id)
				if err != nil {
					return err
				}
				return printJSON(std.out, letter)
			}
			_, err := fmt.Fprintf(std.out, "dead letter %d is dismissed\n", id)
			return err
		})
	}
	return cmd
}
