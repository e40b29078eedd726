package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/conciliar/conciliar/config"
)

func newDoctor(std stdio) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "doctor",
		Short: "Check the installation, or explain a refused webhook",
		Long: `Checks the configuration, the database, the schema, Mercado Pago's credentials,
the clock, what arrives and where it comes from: one line per check, with what
to do. It changes nothing. Needs the service's whole configuration.

With --signature it explains why a webhook was refused: a recorded one by its
id, or one whose headers and query are given. It prints no secret.

Exits 1 when a check fails or the webhook stays refused, 2 when the
configuration cannot be used.`,
		Example: `  conciliar doctor
  conciliar doctor --signature 3
  conciliar doctor --x-signature ts=1742505638,v1=2f1d --x-request-id 2066ca19 --data-id 138472432031`,
		Args: cobra.NoArgs,
	}
	var given givenDelivery
	cmd.Flags().Int64Var(&given.id, "signature", 0, "explain the refused delivery with this id ('conciliar refused list')")
	cmd.Flags().StringVar(&given.xSignature, "x-signature", "", "explain a delivery with this header")
	cmd.Flags().StringVar(&given.xRequestID, "x-request-id", "", "its header x-request-id")
	cmd.Flags().StringVar(&given.dataID, "data-id", "", "data.id of its query")
	cmd.Flags().StringVar(&given.query, "query", "", "its whole query, as in the access log; in place of --data-id")
	cmd.Flags().StringVar(&given.body, "body", "", "its body")
	cmd.Flags().StringArrayVar(&given.headers, "header", nil, "another of its headers, as 'Name: value'; may be repeated")
	cmd.MarkFlagsMutuallyExclusive("signature", "x-signature")
	cmd.MarkFlagsMutuallyExclusive("data-id", "query")
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
			return usagef("--signature takes the id of a refused delivery, a whole number from 1 on")
		}
		cfg, err := config.Load(std.environ)
		var problems config.Problems
		switch {
		case errors.As(err, &problems) && *asJSON:
			_ = printJSON(std.out, checkup{Checks: []finding{{
				Check: "configuration", State: stateFail, Says: "The configuration cannot be used.", Do: problems.Error(),
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
	report := checkup{OK: true, Checks: check(ctx, cfg, newLogger(std.err, cfg.Log))}
	for _, f := range report.Checks {
		report.OK = report.OK && f.State != stateFail
	}
	var err error
	if asJSON {
		err = printJSON(std.out, report)
	} else {
		err = printCheckup(std.out, report)
	}
	if err == nil && !report.OK {
		return errSilent
	}
	return err
}

func printCheckup(w io.Writer, report checkup) error {
	t := newTable(w)
	for _, f := range report.Checks {
		says := f.Says
		if f.Do != "" {
			says += " " + f.Do
		}
		t.row(strings.ToUpper(f.State), f.Check, says)
	}
	if err := t.flush(); err != nil {
		return fmt.Errorf("print: %w", err)
	}
	return nil
}
