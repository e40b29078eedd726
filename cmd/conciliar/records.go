package main

import (
	"cmp"
	"context"
	"log/slog"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/conciliar/conciliar/config"
	"github.com/conciliar/conciliar/jobs/provider/mercadopago"
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
		if err := storage.LoadSellers(ctx); err != nil {
			return err
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
	storage, err := store.New(pool, store.Options{Rules: rules, UnknownOrder: store.UnknownOrderWait, Providers: []string{mercadopago.Source}, ReadPayers: readPayers, Logger: newLogger(std, log)})
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

// group is a command that only has commands below it.
func group(use, short string, below ...*cobra.Command) *cobra.Command {
	cmd := &cobra.Command{
		Use: use, Short: short, Args: knownCommand, SuggestionsMinimumDistance: suggestionDistance,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(below...)
	for _, sub := range below {
		cmd.Example = cmp.Or(cmd.Example, sub.Example)
	}
	return cmd
}

// quiet is the logger of a command that shows its own progress.
func quiet(std stdio, log config.Log) *slog.Logger {
	return atLeast(newLogger(std, log), slog.LevelWarn)
}
