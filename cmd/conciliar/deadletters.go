package main

import (
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/conciliar/conciliar/api"
	"github.com/conciliar/conciliar/config"
	"github.com/conciliar/conciliar/jobs"
	"github.com/conciliar/conciliar/store"
)

func newDeadLetters(std stdio) *cobra.Command {
	return group("dead-letters", "Handle events that will not be tried again by themselves",
		newDeadLettersList(std), newDeadLettersShow(std), newDeadLettersReplay(std), newDeadLettersDismiss(std))
}

// deadLetterFlags adds the flags that select dead letters, but for their state.
func deadLetterFlags(cmd *cobra.Command, filter *store.DeadLetterFilter, when *span) {
	wordFlag(cmd, &filter.Reason, "reason", "", "only that died for this reason", store.DeadLetterReasons())
	cmd.Flags().StringVar(&filter.ErrorClass, "error-class", "", "only with this cause, for example payment_not_found")
	cmd.Flags().StringVar(&filter.Topic, "topic", "", "only of this topic, for example payment")
	spanFlags(cmd, when)
}

func checkDeadLetterFlags(filter *store.DeadLetterFilter, when span) (err error) {
	if err := checkWord("--reason", filter.Reason, store.DeadLetterReasons()...); err != nil {
		return err
	}
	filter.Since, filter.Until, err = when.times(time.Now())
	return err
}

func newDeadLettersList(std stdio) *cobra.Command {
	cmd := &cobra.Command{
		Use:     "list",
		Short:   "List dead letters, newest first: open ones unless told otherwise",
		Example: "  conciliar dead-letters list\n  conciliar dead-letters list --reason retries_exhausted --since 24h",
		Args:    cobra.NoArgs,
	}
	var filter store.DeadLetterFilter
	var when span
	states := append(store.DeadLetterStates(), "all")
	wordFlag(cmd, &filter.State, "state", store.DeadLetterOpen, "only in this state", states)
	deadLetterFlags(cmd, &filter, &when)
	limit, asJSON := limitFlag(cmd), jsonFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if err := checkWord("--state", filter.State, states...); err != nil {
			return err
		}
		if err := checkDeadLetterFlags(&filter, when); err != nil {
			return err
		}
		if filter.State == "all" {
			filter.State = ""
		}
		return withStore(cmd.Context(), std, func(storage *store.Store) error {
			found, err := readList(*limit, func(page store.Page) (store.List[store.DeadLetter], error) {
				return storage.DeadLetters(cmd.Context(), filter, page)
			})
			if err != nil {
				return err
			}
			return printList(std, *asJSON, found, "DEAD LETTER\tEVENT\tDIED\tTOPIC\tRESOURCE\tSTATE\tREASON\tCLASS\tERROR", func(d store.DeadLetter) []any {
				return []any{d.ID, d.QueueID, d.DiedAt, d.Topic, d.ResourceID, d.State, d.Reason, d.ErrorClass, shorten(&d.Error)}
			})
		})
	}
	return cmd
}

func newDeadLettersShow(std stdio) *cobra.Command {
	cmd := &cobra.Command{
		Use:     "show ID",
		Short:   "Show a dead letter with every attempt's error and its body",
		Example: "  conciliar dead-letters show 7",
		Args:    cobra.ExactArgs(1),
	}
	asJSON := jsonFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		id, err := recordID(args[0])
		if err != nil {
			return err
		}
		return withStore(cmd.Context(), std, func(storage *store.Store) error {
			letter, err := storage.DeadLetter(cmd.Context(), id)
			if err != nil {
				return err
			}
			if *asJSON {
				return printJSON(std.out, letter)
			}
			return printDeadLetter(std, letter)
		})
	}
	return cmd
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
	return printAftermath(std, d.Replays, d.Actions, d.Payload, d.Resource)
}

func newDeadLettersReplay(std stdio) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "replay [ID]",
		Short: "Do the work of one dead letter, or of all that filters select, once more",
		Long: `Makes new events of the same deliveries, which a running service works. Only open
dead letters are selected by filters; --all selects every one. Up to a hundred
are replayed at once. More are replayed by the service in paced steps, which
--cancel stops.`,
		Example: `  conciliar dead-letters replay 7
  conciliar dead-letters replay --reason retries_exhausted --since 24h --dry-run
  conciliar dead-letters replay --cancel 3`,
		Args: cobra.MaximumNArgs(1),
	}
	r := &bulkReplay{std: std}
	deadLetterFlags(cmd, &r.filter, &r.when)
	f := cmd.Flags()
	f.BoolVar(&r.all, "all", false, "select every open dead letter")
	f.BoolVar(&r.dryRun, "dry-run", false, "only count what would be replayed")
	f.Int64Var(&r.limit, "limit", 0, "how many at most, oldest first; 0 is no limit")
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
				return usagef("--cancel takes the id of a bulk replay, and nothing else goes with it")
			}
			return r.stop(cmd.Context())
		case len(args) == 1:
			if bulk {
				return usagef("one dead letter takes no filters")
			}
			return r.one(cmd.Context(), args[0])
		case filters == 0:
			return usagef("say which: an id, a filter, or --all")
		case r.limit < 0:
			return usagef("--limit must not be negative")
		}
		if err := checkDeadLetterFlags(&r.filter, r.when); err != nil {
			return err
		}
		if r.dryRun {
			return r.count(cmd.Context())
		}
		return r.many(cmd.Context())
	}
	return cmd
}

// bulkReplay is what dead-letters replay was told.
type bulkReplay struct {
	std            stdio
	filter         store.DeadLetterFilter
	when           span
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
	_, err := fmt.Fprintf(r.std.err, "a running service goes on with it; 'conciliar dead-letters replay --cancel %d' stops it\n", bulk.ID)
	return err
}

func newDeadLettersDismiss(std stdio) *cobra.Command {
	cmd := &cobra.Command{
		Use:     "dismiss ID",
		Short:   "File a dead letter away: nothing is to be done about it",
		Example: `  conciliar dead-letters dismiss 7 --note refunded-by-hand`,
		Args:    cobra.ExactArgs(1),
	}
	note, asJSON := noteFlag(cmd), jsonFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		id, err := recordID(args[0])
		if err != nil {
			return err
		}
		why, err := store.ParseNote(*note)
		if err != nil {
			return err
		}
		return withStore(cmd.Context(), std, func(storage *store.Store) error {
			if err := storage.DismissDeadLetter(cmd.Context(), id, why, commandActor()); err != nil {
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

// noteFlag adds the note that an action needs.
func noteFlag(cmd *cobra.Command) *string {
	note := cmd.Flags().String("note", "", "why (required)")
	_ = cmd.MarkFlagRequired("note")
	return note
}
