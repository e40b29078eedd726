package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"
	"unicode"

	"github.com/spf13/cobra"

	"github.com/conciliar/conciliar/config"
	"github.com/conciliar/conciliar/store"
	"github.com/conciliar/conciliar/store/order"
)

// withStore opens the database for a command that needs the database alone, and
// closes them afterwards.
func withStore(ctx context.Context, std stdio, do func(storage *store.Store) error) error {
	cfg, err := config.LoadDatabase(std.environ)
	if err != nil {
		return err
	}
	pool, err := openPool(ctx, cfg.Database, 2, sessionSettings)
	if err != nil {
		return err
	}
	defer pool.Close()
	if err := requireSchema(ctx, pool); err != nil {
		return err
	}
	storage, err := store.New(pool, store.Options{
		Rules: order.Rules{Mode: order.ModeAny}, UnknownOrder: store.UnknownOrderWait, Logger: newLogger(std.err, cfg.Log),
	})
	if err != nil {
		return err
	}
	return do(storage)
}

// withApp opens what a command needs that makes jobs, with the service's
// whole configuration, so that they are made as the service makes them.
func withApp(ctx context.Context, std stdio, do func(a *app, cfg config.Config) error) error {
	cfg, err := config.Load(std.environ)
	if err != nil {
		return err
	}
	a, err := newBase(ctx, cfg, commandJobs(cfg, std), connectionsFor(cfg, role{worker: true}))
	if err != nil {
		return err
	}
	defer a.close()
	return do(a, cfg)
}

// recordID reads the id that a command is about.
func recordID(text string) (int64, error) {
	id, err := strconv.ParseInt(text, 10, 64)
	if err != nil || id < 1 {
		return 0, usagef("%q is no id; ids are whole numbers from 1 on", text)
	}
	return id, nil
}

// A span is --since and --until.
type span struct{ since, until string }

func spanFlags(cmd *cobra.Command, s *span) {
	cmd.Flags().StringVar(&s.since, "since", "", "from then on: a date, a time (RFC 3339) or a duration back from now such as 24h or 7d")
	cmd.Flags().StringVar(&s.until, "until", "", "before then, written alike")
}

func (s span) times(now time.Time) (since, until time.Time, err error) {
	if since, err = parseMoment("--since", s.since, now); err != nil {
		return since, until, err
	}
	until, err = parseMoment("--until", s.until, now)
	return since, until, err
}

// wordFlag adds a flag that takes one of some words.
func wordFlag(cmd *cobra.Command, value *string, name, preset, usage string, known []string) {
	cmd.Flags().StringVar(value, name, preset, usage+": "+strings.Join(known, ", "))
}

// checkWord fails unless value is empty or one of the known words.
func checkWord(flag, value string, known ...string) error {
	for _, word := range known {
		if value == word {
			return nil
		}
	}
	if value == "" {
		return nil
	}
	return usagef("%s is %q; it takes one of %s", flag, value, strings.Join(known, ", "))
}

const (
	// listRows is how many rows a list shows unless told otherwise, and listPage
	// how many are read at a time.
	listRows = 50
	listPage = 200
)

func limitFlag(cmd *cobra.Command) *int {
	return cmd.Flags().Int("limit", listRows, "how many rows at most, newest first")
}

// A listing is what a list prints as JSON.
type listing[T any] struct {
	Items []T `json:"items"`
	// More is true when the limit kept rows back.
	More bool `json:"more"`
}

// readList reads up to limit rows, page by page.
func readList[T any](limit int, read func(page store.Page) (store.List[T], error)) (listing[T], error) {
	found := listing[T]{Items: []T{}}
	if limit < 1 {
		return found, usagef("--limit must be at least 1")
	}
	var page store.Page
	for {
		page.Limit = min(listPage, limit-len(found.Items))
		l, err := read(page)
		if err != nil {
			return found, err
		}
		found.Items = append(found.Items, l.Items...)
		if l.Next == 0 {
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
func printList[T any](std stdio, asJSON bool, found listing[T], header string, cells func(T) []any) error {
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
		_, err := fmt.Fprintf(std.err, "these are the newest %d; --limit shows more\n", len(found.Items))
		return err
	}
	return nil
}

// A table aligns its columns. What it prints came from outside, so what could
// steer a terminal is escaped.
type table struct{ w *tabwriter.Writer }

func newTable(w io.Writer) table { return table{tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)} }

// header prints the names of the columns, separated by tabs.
func (t table) header(names string) { _, _ = fmt.Fprintln(t.w, names) }

// row prints cells.
func (t table) row(cells ...any) {
	texts := make([]string, len(cells))
	for i, cell := range cells {
		texts[i] = cellText(cell)
	}
	_, _ = fmt.Fprintln(t.w, strings.Join(texts, "\t"))
}

func (t table) flush() error { return t.w.Flush() }

// cellText writes a cell; - stands for what is not there.
func cellText(cell any) string {
	var text string
	switch v := cell.(type) {
	case *string:
		if v != nil {
			text = *v
		}
	case *int64:
		if v != nil {
			text = strconv.FormatInt(*v, 10)
		}
	case time.Time:
		text = v.UTC().Format(time.RFC3339)
	case *time.Time:
		if v != nil {
			text = v.UTC().Format(time.RFC3339)
		}
	case string:
		text = v
	default:
		text = fmt.Sprint(v)
	}
	if text == "" {
		return "-"
	}
	return printable(text, "")
}

// printable escapes what is not printable, but for the characters that may stay.
func printable(text, may string) string {
	var b strings.Builder
	for _, r := range text {
		if unicode.IsPrint(r) || strings.ContainsRune(may, r) {
			b.WriteRune(r)
			continue
		}
		quoted := strconv.QuoteRune(r)
		b.WriteString(quoted[1 : len(quoted)-1])
	}
	return b.String()
}

// printContent prints a body as a person can read it.
func printContent(w io.Writer, name string, c store.Content) error {
	note := ""
	if c.Encoding == store.EncodingBase64 {
		note = ", in base64"
	}
	_, err := fmt.Fprintf(w, "\n%s (%d bytes%s)\n%s\n", name, c.Bytes, note, printable(c.Data, "\n\t"))
	return err
}

// A section is a table under its title, left out when it is empty.
func section[T any](w io.Writer, title, header string, items []T, cells func(T) []any) error {
	if len(items) == 0 {
		return nil
	}
	if _, err := fmt.Fprintf(w, "\n%s\n", title); err != nil {
		return err
	}
	t := newTable(w)
	t.header(header)
	for _, item := range items {
		t.row(cells(item)...)
	}
	return t.flush()
}

// group is a command that only has commands below it.
func group(use, short string, below ...*cobra.Command) *cobra.Command {
	cmd := &cobra.Command{
		Use: use, Short: short, Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(below...)
	for _, sub := range below {
		if cmd.Example == "" {
			cmd.Example = sub.Example
		}
	}
	return cmd
}

// quiet is the logger of a command that shows its own progress.
func quiet(std stdio, log config.Log) *slog.Logger {
	return atLeast(newLogger(std.err, log), slog.LevelWarn)
}
