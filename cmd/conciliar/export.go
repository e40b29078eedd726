package main

import (
	"bufio"
	"cmp"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/spf13/cobra"

	"github.com/conciliar/conciliar/config"
	"github.com/conciliar/conciliar/store"
)

func newExport(std stdio) *cobra.Command {
	var below []*cobra.Command
	for _, kind := range store.ExportKinds() {
		below = append(below, newExportOf(std, kind))
	}
	return group("export", "Write orders, payments, money, anomalies or events as CSV", below...)
}

func newExportOf(std stdio, kind string) *cobra.Command {
	cmd := &cobra.Command{
		Use: kind, Short: "Write " + kind + " as CSV",
		Long: `Writes CSV in UTF-8 to the standard output, or to --output. --locale sets the
decimal sign, the dates and the separator: en, es-AR, pt-BR and other forms of
English, Spanish and Portuguese. What a spreadsheet would run as a formula has an
apostrophe before it. The columns are in docs/export.md.`,
		Example: "  conciliar export " + kind + " --since 2026-03-01 --until 2026-04-01 --locale es-AR --output march.csv",
		Args:    noArgs,
	}
	since := cmd.Flags().String("since", "", "from then on: a date of the time zone, a time (RFC 3339) or an age such as 24h or 7d")
	until := cmd.Flags().String("until", "", "before then, in the same forms")
	locale := cmd.Flags().String("locale", "en", "a language tag, for example es-AR")
	zone := cmd.Flags().String("time-zone", "", "the zone of dates, for example America/Argentina/Buenos_Aires (default: TIME_ZONE)")
	output := cmd.Flags().StringP("output", "o", "", "the file to write (default: the standard output)")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		calendar, err := config.LoadCalendar(std.environ)
		if err != nil {
			return err
		}
		e, err := exportOf(kind, *since, *until, *locale, cmp.Or(*zone, calendar.TimeZone.String()), time.Now())
		if err != nil {
			return err
		}
		return withStore(cmd.Context(), std, func(storage *store.Store) error {
			return writeTo(std.out, *output, func(w io.Writer) error {
				rows, err := storage.Export(cmd.Context(), e, w)
				if err == nil && *output != "" {
					_, err = fmt.Fprintf(std.err, "%d rows written to %s\n", rows, *output)
				}
				return err
			})
		})
	}
	return cmd
}

// exportOf reads the flags of an export. A date begins when its day does in the zone.
func exportOf(kind, since, until, locale, zone string, now time.Time) (e store.Export, err error) {
	e.Kind = kind
	if e.Locale, err = store.ParseExportLocale(locale); err != nil {
		return e, err
	}
	var named config.TimeZone
	if err := named.UnmarshalText([]byte(zone)); err != nil {
		return e, usagef("--time-zone takes an IANA name such as America/Sao_Paulo, not %q", zone)
	}
	e.Zone = named.Location
	read := func(flag, text string) time.Time {
		if text == "" {
			return time.Time{}
		}
		at, failed := parseTime(text, now, e.Zone)
		if failed != nil {
			err = cmp.Or(err, usagef("--%s: %v", flag, failed))
		}
		return at
	}
	e.Since, e.Until = read("since", since), read("until", until)
	return e, err
}

// writeTo writes to a file, or to out where no file is named. A file that could not be
// written whole is removed.
func writeTo(out io.Writer, path string, write func(w io.Writer) error) error {
	if path == "" {
		return write(out)
	}
	file, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600) //nolint:gosec // the caller names the file
	if err != nil {
		return usageError{err}
	}
	buffered := bufio.NewWriterSize(file, 1<<16)
	err = errors.Join(write(buffered), buffered.Flush(), file.Close())
	if err != nil {
		_ = os.Remove(path)
	}
	return err
}
