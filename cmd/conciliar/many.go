package main

import (
	"context"
	"slices"

	"github.com/spf13/cobra"

	"github.com/conciliar/conciliar/api"
	"github.com/conciliar/conciliar/store"
)

// A manySpec is what a command does to all open things that its flags select.
type manySpec[F any] struct {
	// flags adds the flags that select, whose names these are.
	flags func(std stdio, cmd *cobra.Command, filter *F)
	names []string
	count func(storage *store.Store, ctx context.Context, filter F) (store.Matching, error)
	act   func(storage *store.Store, ctx context.Context, filter F, limit int64, note store.Note, by store.Actor) (store.ManyDone, error)
	// things names them in the plural, and done what they are then.
	things, done string
}

// orMany has a command about one thing, by its id, act on many where flags select them.
func orMany[F any](std stdio, cmd *cobra.Command, note *store.Note, m manySpec[F]) *cobra.Command {
	one, oneArg := cmd.RunE, cmd.Args
	var filter F
	m.flags(std, cmd, &filter)
	all, dryRun := cmd.Flags().Bool("all", false, "all that are open"), cmd.Flags().Bool("dry-run", false, "only count them")
	limit := cmd.Flags().Int64("limit", 0, "how many at most, oldest first; no more than 1,000 at once")
	cmd.Args = nil
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		selected := slices.ContainsFunc(m.names, cmd.Flags().Changed) || *all
		switch {
		case len(args) > 0 && (selected || *dryRun || *limit != 0):
			return usagef("give an id or filters, not both")
		case len(args) > 0:
			if err := oneArg(cmd, args); err != nil {
				return err
			}
			return one(cmd, args)
		case !selected:
			return usagef("give an id, a filter or --all")
		case *limit < 0:
			return usagef("--limit must not be negative")
		}
		asJSON, err := cmd.Flags().GetBool("json")
		if err != nil {
			return err
		}
		if *dryRun {
			return printRead(cmd.Context(), std, asJSON, func(storage *store.Store) (api.MatchingCount, error) {
				matching, err := m.count(storage, cmd.Context(), filter)
				return api.MatchingCount{DryRun: true, Matching: matching.Count}, err
			}, func(r *printout, c api.MatchingCount) { r.printf("%d %s would be %s\n", c.Matching, m.things, m.done) })
		}
		return printRead(cmd.Context(), std, asJSON, func(storage *store.Store) (store.ManyDone, error) {
			return m.act(storage, cmd.Context(), filter, *limit, *note, commandActor())
		}, func(r *printout, d store.ManyDone) {
			r.printf("%d %s are %s; %d that match are open\n", d.Done, m.things, m.done, d.Remaining)
		})
	}
	return cmd
}
