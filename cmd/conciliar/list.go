package main

import (
	"cmp"
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/conciliar/conciliar/store"
)

const (
	// listRows is how many rows a list shows by default, and listPage how many
	// are read at a time.
	listRows = 50
	listPage = 200
)

// A listSpec is a list as a command: the filter F that its flags fill in, its rows
// T as they are read, and the documents D that they are shown as.
type listSpec[F, T, D any, P comparable] struct {
	short, long, example string
	// order says which rows come first: "newest" unless set.
	order string
	// orderOf says it of a filter that may change the order; nil where none does.
	orderOf func(F) string
	// flags adds the filters.
	flags func(cmd *cobra.Command, filter *F)
	// read reads one page of what the filter selects.
	read     func(storage *store.Store, ctx context.Context, filter F, page store.PageOf[P]) (store.ListOf[T, P], error)
	document func(T) D
	// header names the columns, separated by tabs; row has their cells.
	header string
	row    func(D) []any
}

func listCommand[F, T, D any, P comparable](std stdio, l listSpec[F, T, D, P]) *cobra.Command {
	first := cmp.Or(l.order, "newest")
	cmd := &cobra.Command{Use: "list", Short: l.short, Long: l.long, Example: l.example, Args: noArgs}
	var filter F
	l.flags(cmd, &filter)
	limit, asJSON := cmd.Flags().Int("limit", listRows, "how many rows at most, "+first+" first"), jsonFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if *limit < 1 {
			return usagef("--limit must be at least 1")
		}
		return withStore(cmd.Context(), std, func(storage *store.Store) error {
			found, err := readList(*limit, l.document, func(page store.PageOf[P]) (store.ListOf[T, P], error) {
				return l.read(storage, cmd.Context(), filter, page)
			})
			if err != nil {
				return err
			}
			err = printResult(std, *asJSON, found, func(r *printout) {
				r.header(l.header)
				for _, item := range found.Items {
					r.row(l.row(item)...)
				}
			})
			if l.orderOf != nil {
				first = l.orderOf(filter)
			}
			if err == nil && found.More && !*asJSON {
				_, err = fmt.Fprintf(std.err, "these are the %s %d; --limit shows more\n", first, len(found.Items))
			}
			return err
		})
	}
	return cmd
}

// same is the document of what is shown as it is read.
func same[T any](v T) T { return v }

// byID makes a command of what is done with one thing by its id, which is shown
// afterwards.
func byID[T any](std stdio, cmd *cobra.Command, do func(storage *store.Store, ctx context.Context, id int64) (T, error), show func(r *printout, v T)) *cobra.Command {
	cmd.Args = oneID
	asJSON := jsonFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		id, err := recordID(args[0])
		if err != nil {
			return err
		}
		return printRead(cmd.Context(), std, *asJSON, func(storage *store.Store) (T, error) { return do(storage, cmd.Context(), id) }, show)
	}
	return cmd
}

// printRead prints what is read from the store, or done in it.
func printRead[T any](ctx context.Context, std stdio, asJSON bool, read func(storage *store.Store) (T, error), show func(r *printout, v T)) error {
	return withStore(ctx, std, func(storage *store.Store) error {
		v, err := read(storage)
		if err != nil {
			return err
		}
		return printResult(std, asJSON, v, func(r *printout) { show(r, v) })
	})
}

// A listing is what a list prints as JSON.
type listing[T any] struct {
	Items []T `json:"items"`
	// More is true when the limit kept rows back.
	More bool `json:"more"`
}

// readList reads up to limit rows, page by page.
func readList[T, D any, P comparable](limit int, document func(T) D, read func(page store.PageOf[P]) (store.ListOf[T, P], error)) (listing[D], error) {
	found := listing[D]{Items: []D{}}
	var page store.PageOf[P]
	var end P
	for {
		page.Limit = min(listPage, limit-len(found.Items))
		l, err := read(page)
		if err != nil {
			return found, err
		}
		for _, item := range l.Items {
			found.Items = append(found.Items, document(item))
		}
		if l.Next == end {
			return found, nil
		}
		if len(found.Items) == limit {
			found.More = true
			return found, nil
		}
		page.Before = l.Next
	}
}
