package main

import (
	"context"
	"errors"
	"strings"

	"github.com/spf13/cobra"

	"github.com/conciliar/conciliar/config"
)

func newDoctor(std stdio) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "doctor",
		Short: "Check the installation, or explain a refused webhook",
		Long: `Checks the configuration, the database, the schema, Mercado Pago's credentials,
the clocks, the arrival of webhooks and their sources: one line per check, with
what to do. Changes nothing. Needs the service's whole configuration.

With --signature it explains why a recorded webhook was refused; with
--x-signature, one given by its headers and query. It prints no secrets.

Exits 1 if a check fails or the webhook is still refused, 2 if the configuration
is invalid.`,
		Example: `  conciliar doctor
  conciliar doctor --signature 3
  conciliar doctor --x-signature ts=1742505638,v1=2f1d --x-request-id 2066ca19 --data-id 138472432031`,
		Args: noArgs,
	}
	var given givenDelivery
	cmd.Flags().Int64Var(&given.id, "signature", 0, "explain the refused delivery with this id ('conciliar refused list')")
	cmd.Flags().StringVar(&given.xSignature, "x-signature", "", "explain a delivery with this header")
	cmd.Flags().StringVar(&given.xRequestID, "x-request-id", "", "its header x-request-id")
	cmd.Flags().StringVar(&given.dataID, "data-id", "", "data.id of its query")
	cmd.Flags().StringVar(&given.query, "query", "", "its whole query, as in the access log; in place of --data-id")
	cmd.Flags().StringVar(&given.body, "body", "", "its body")
	cmd.Flags().StringArrayVar(&given.headers, "header", nil, "another of its headers, as 'Name: value'; may be repeated")
	exclusive(cmd, "signature", "x-signature")
	exclusive(cmd, "data-id", "query")
	asJSON := jsonFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		byID, byHeaders := cmd.Flags().Changed("signature"), cmd.Flags().Changed("x-signature")
		if !byHeaders {
			for _, flag := range []string{"x-request-id", "data-id", "query", "body", "header"} {
				if cmd.Flags().Changed(flag) {
					return usagef("--%s goes with --x-signature", flag)
				}
			}
		}
		if byID && given.id < 1 {
			return usagef("--signature takes the id of a refused delivery, a positive integer")
		}
		cfg, err := config.Load(std.environ)
		var problems config.Problems
		switch {
		case errors.As(err, &problems) && *asJSON:
			_ = printJSON(std.out, checkup{Checks: []finding{{
				Check: "configuration", State: stateFail, Says: "The configuration is invalid.", Do: problems.Error(),
			}}})
			return err
		case err != nil:
			return err
		case byID || byHeaders:
			return explain(cmd.Context(), std, cfg, given, byID, *asJSON)
		}
		return examine(cmd.Context(), std, cfg, *asJSON)
	}
	return cmd
}

// States of a check.
const (
	stateOK   = "ok"
	stateWarn = "warn"
	stateFail = "fail"
)

// A finding is what one check found.
type finding struct {
	Check string `json:"check"`
	State string `json:"state"`
	Says  string `json:"says"`
	// Do is what to do about it; empty when nothing is to be done.
	Do string `json:"do"`
}

// A checkup is every finding.
type checkup struct {
	OK     bool      `json:"ok"`
	Checks []finding `json:"checks"`
}

// examine runs the checks and prints what they found.
func examine(ctx context.Context, std stdio, cfg config.Config, asJSON bool) error {
	found := checkup{OK: true, Checks: check(ctx, cfg, newLogger(std, cfg.Log))}
	for _, f := range found.Checks {
		found.OK = found.OK && f.State != stateFail
	}
	return printVerdict(std, asJSON, found.OK, found, func(r *printout) {
		for _, f := range found.Checks {
			says := f.Says
			if f.Do != "" {
				says += " " + f.Do
			}
			r.row(strings.ToUpper(f.State), f.Check, says)
		}
	})
}
