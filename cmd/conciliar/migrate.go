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
		Long: `Applies the missing steps of the schema: River's first, then Conciliar's. Each
step is safe while the previous release still runs. Needs DATABASE_URL.`,
		Example: "  conciliar migrate\n  conciliar migrate --status\n  conciliar migrate --check && conciliar serve",
		Args:    noArgs,
	}
	status := cmd.Flags().Bool("status", false, "show the steps; change nothing")
	check := cmd.Flags().Bool("check", false, "exit 1 if the schema is behind; change nothing")
	asJSON := jsonFlag(cmd)
	exclusive(cmd, "status", "check")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		cfg, err := config.LoadDatabase(std.environ)
		if err != nil {
			return err
		}
		ctx := cmd.Context()
		pool, err := openDirect(ctx, cfg.Database, 4, nil)
		if err != nil {
			return err
		}
		defer pool.Close()
		if *check {
			return requireSchema(ctx, pool)
		}
		if !*status {
			if err := migrations.Up(ctx, pool, newLogger(std, cfg.Log)); err != nil {
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
