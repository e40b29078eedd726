package main

import (
	"time"

	"github.com/spf13/cobra"

	"github.com/conciliar/conciliar/config"
	"github.com/conciliar/conciliar/migrations"
)

func newMigrate(std stdio) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "migrate",
		Short: "Bring the database's schema up to this release",
		Long: `Makes the schema DATABASE_SCHEMA and applies its missing steps: River's first, then
Conciliar's. Each step is safe while the previous release still runs. What would stop
them halfway is found before the first. Needs DATABASE_URL.

--move-from moves an installation from another schema before that, in one transaction,
and refuses while a process lives. What others have in that schema stays there.`,
		Example: "  conciliar migrate\n  conciliar migrate --status\n  conciliar migrate --move-from public\n  conciliar migrate --check && conciliar serve",
		Args:    noArgs,
	}
	status := cmd.Flags().Bool("status", false, "show the steps; change nothing")
	check := cmd.Flags().Bool("check", false, "exit 1 if the schema is behind; change nothing")
	from := cmd.Flags().String("move-from", "", "move the installation from this schema first")
	asJSON := jsonFlag(cmd)
	exclusive(cmd, "status", "check", "move-from")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		cfg, err := config.LoadDatabase(std.environ)
		if err != nil {
			return err
		}
		ctx := cmd.Context()
		if *from == cfg.DatabaseSchema {
			return usagef("--move-from takes another schema than DATABASE_SCHEMA, which is %s", *from)
		}
		pool, err := openDirect(ctx, cfg.Database, 4, nil, withName("conciliar migrate"))
		if err != nil {
			return err
		}
		defer pool.Close()
		logger := newLogger(std, cfg.Log)
		if *from != "" {
			err = moveHere(ctx, pool, *from, logger)
		} else {
			err = requirePlace(ctx, pool)
		}
		if err != nil {
			return err
		}
		if *check {
			return requireSchema(ctx, pool)
		}
		if !*status {
			if err := migrations.Up(ctx, pool, logger); err != nil {
				return err
			}
		}
		steps, err := migrations.Status(ctx, pool)
		if err != nil {
			return err
		}
		return printResult(std, *asJSON, steps, func(r *printout) { showSteps(r, steps) })
	}
	return cmd
}

func showSteps(r *printout, steps []migrations.Step) {
	r.header("LINE\tVERSION\tSTEP\tAPPLIED")
	for _, s := range steps {
		applied := "pending"
		if s.AppliedAt != nil {
			applied = s.AppliedAt.Format(time.RFC3339)
		}
		r.row(s.Line, s.Version, s.Name, applied)
	}
}
