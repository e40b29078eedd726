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

// A listSpec is a list as a command: how it is described, read and shown.
type listSpec[T any, P comparable] struct {
	short, long, example string
	// order says which rows come first: "newest" unless set.
	order string
	// flags adds the filters.
	flags func(cmd *cobra.Command)
	// read reads one page of what the filters select.
	read func(ctx context.Context, storage *store.Store, page store.PageOf[P]) (store.ListOf[T, P], error)
	// header names the columns, separated by tabs; row has their cells.
	header string
	row    func(T) []any
}

func listCommand[T any, P comparable](std stdio, l listSpec[T, P]) *cobra.Command {
	first := cmp.Or(l.order, "newest")
	cmd := &cobra.Command{Use: "list", Short: l.short, Long: l.long, Example: l.example, Args: noArgs}
	l.flags(cmd)
	limit, asJSON := cmd.Flags().Int("limit", listRows, "how many rows at most, "+first+" first"), jsonFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if *limit < 1 {
			return usagef("--limit must be at least 1")
		}
		return withStore(cmd.Context(), std, func(storage *store.Store) error {
			found, err := readList(*limit, func(page store.PageOf[P]) (store.ListOf[T, P], error) { return l.read(cmd.Context(), storage, page) })
			if err != nil {
				return err
			}
			return printList(std, *asJSON, found, first, l.header, l.row)
		})
	}
	return cmd
}

// A showSpec is what shows one thing by its id.
type showSpec[T any] struct {
	short, example string
	read           func(ctx context.Context, storage *store.Store, id int64) (T, error)
	display        func(std stdio, v T) error
}

func showCommand[T any](std stdio, s showSpec[T]) *cobra.Command {
	cmd := &cobra.Command{Use: "show ID", Short: s.short, Example: s.example, Args: oneID}
	asJSON := jsonFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		id, err := recordID(args[0])
		if err != nil {
			return err
		}
		return withStore(cmd.Context(), std, func(storage *store.Store) error {
			v, err := s.read(cmd.Context(), storage, id)
			if err != nil {
				return err
			}
			if *asJSON {
				return printJSON(std.out, v)
			}
			return s.display(std, v)
		})
	}
	return cmd
}

// A listing is what a list prints as JSON.
type listing[T any] struct {
	Items []T `json:"items"`
	// More is true when the limit kept rows back.
	More bool `json:"more"`
}

// readList reads up to limit rows, page by page.
func readList[T any, P comparable](limit int, read func(page store.PageOf[P]) (store.ListOf[T, P], error)) (listing[T], error) {
	found := listing[T]{Items: []T{}}
	var page store.PageOf[P]
	var end P
	for {
		page.Limit = min(listPage, limit-len(found.Items))
		l, err := read(page)
		if err != nil {
			return found, err
		}
		found.Items = append(found.Items, l.Items...)
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

// printList prints a list as JSON or as a table of cells.
func printList[T any](std stdio, asJSON bool, found listing[T], first, header string, cells func(T) []any) error {
	if asJSON {
		return printJSON(std.out, found)
	}
	table := newTable(std.out)
	table.header(header)
	for _, item := range found.Items {
		table.row(cells(item)...)
	}
	if err := table.flush(); err != nil {
		return err
	}
	if found.More {
		_, err := fmt.Fprintf(std.err, "these are the %s %d; --limit shows more\n", first, len(found.Items))
		return err
	}
	return nil
}

// as is a page of a list whose rows are shown as documents.
func as[T, D any, P comparable](l store.ListOf[T, P], err error, document func(T) D) (store.ListOf[D, P], error) {
	shown := store.ListOf[D, P]{Items: make([]D, len(l.Items)), Next: l.Next}
	for i, item := range l.Items {
		shown.Items[i] = document(item)
	}
	return shown, err
}
