package main

import (
	"github.com/spf13/cobra"

	"github.com/conciliar/conciliar/config"
	"github.com/conciliar/conciliar/store"
	"github.com/conciliar/conciliar/store/order"
)

func newRestored(std stdio) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "restored",
		Short: "Make a restored database safe to use: move ids ahead, expire old cursors",
		Long: `What was handed out after the backup is not known to the database that was restored
from it. This moves each sequence of ids ahead, by as many ids as it ever gave and a
million at least, and ends the cursors of the orders' feed: a reader of it begins
again. Which events have no end, and which ended when, is listed anew from the queue.
The audit trail says that it was done.

Run it once, after the restore and 'conciliar migrate', before the service starts.
Exits 1 and changes nothing while a process of the service lives. Needs only the
database.`,
		Example: "  conciliar restored",
		Args:    noArgs,
	}
	asJSON := jsonFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		cfg, err := config.LoadDatabase(std.environ)
		if err != nil {
			return err
		}
		ctx := cmd.Context()
		// One session: others of the same name are a process of the service.
		pool, err := openDirect(ctx, cfg.Database, 1, sessionSettings)
		if err != nil {
			return err
		}
		defer pool.Close()
		if err := requireSchema(ctx, pool); err != nil {
			return err
		}
		storage, err := store.New(pool, store.Options{
			Rules: order.Rules{Mode: order.ModeAny}, UnknownOrder: store.UnknownOrderWait, Logger: newLogger(std, cfg.Log),
		})
		if err != nil {
			return err
		}
		done, err := storage.Restored(ctx, commandActor(), pool.Config().ConnConfig.RuntimeParams["application_name"])
		if err != nil {
			return err
		}
		return printResult(std, *asJSON, done, func(r *printout) {
			r.header("IDS OF\tSTORED\tNEXT")
			for _, moved := range done.Sequences {
				r.row(moved.Table, moved.Stored, moved.Next)
			}
		})
	}
	return cmd
}
