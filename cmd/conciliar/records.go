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

// withStore opens the store for a command that needs the database alone, and
// closes it afterwards.
func withStore(ctx context.Context, std stdio, do func(storage *store.Store) error) error {
	return withStoreConfig(ctx, std, func(storage *store.Store, _ config.DatabaseOnly) error { return do(storage) })
}

// withStoreConfig is withStore for what needs more of the configuration.
func withStoreConfig(ctx context.Context, std stdio, do func(storage *store.Store, cfg config.DatabaseOnly) error) error {
	cfg, err := config.LoadDatabase(std.environ)
	if err != nil {
		return err
	}
	return withStoreOf(ctx, std, cfg.Database, cfg.Log, order.Rules{Mode: order.ModeAny}, func(storage *store.Store) error {
		return do(storage, cfg)
	})
}

// withRules opens the store for a command that settles as the service does: which
// payments count is configured, or follows from the account that the service has
// kept.
func withRules(ctx context.Context, std stdio, database config.Database, money config.Money, log config.Log, do func(storage *store.Store) error) error {
	rules := order.Rules{CollectorID: money.CollectorID, Mode: order.Mode(money.LiveMode)}
	return withStoreOf(ctx, std, database, log, rules, func(storage *store.Store) error {
		if money.CollectorID == "" {
			if _, err := storage.LoadAccount(ctx); err != nil {
				return err
			}
		}
		return do(storage)
	})
}

// withStoreOf opens the store under the rules given, and closes it afterwards.
func withStoreOf(ctx context.Context, std stdio, database config.Database, log config.Log, rules order.Rules, do func(storage *store.Store) error) error {
	pool, err := openPool(ctx, database, 2, sessionSettings)
	if err != nil {
		return err
	}
	defer pool.Close()
	if err := requireSchema(ctx, pool); err != nil {
		return err
	}
	storage, err := store.New(pool, store.Options{Rules: rules, UnknownOrder: store.UnknownOrderWait, Logger: newLogger(std, log)})
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
		return 0, usagef("%q is not an id; expected a positive integer", text)
	}
	return id, nil
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
		Use: use, Short: short, Args: knownCommand, SuggestionsMinimumDistance: suggestionDistance,
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
	return atLeast(newLogger(std, log), slog.LevelWarn)
}
