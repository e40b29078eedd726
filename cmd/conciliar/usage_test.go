package main

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/conciliar/conciliar/store/storetest"
)

func TestUsage_NamesWhatWasMistyped(t *testing.T) {
	t.Parallel()
	for args, says := range map[string]string{
		"events list --status lost":                               "--status",
		"events list --origin moon":                               "--origin",
		"events list --since yesterday":                           "--since",
		"events list --limit 0":                                   "--limit",
		"events show":                                             "takes one id",
		"events show x":                                           "is not an id",
		"events replay 0":                                         "is not an id",
		"events bogus":                                            "bogus",
		"dead-letters list --state ajar":                          "--state",
		"dead-letters list --reason boredom":                      "--reason",
		"dead-letters replay":                                     "give an id, a filter or --all",
		"dead-letters replay --dry-run":                           "give an id, a filter or --all",
		"dead-letters replay --limit 5":                           "give an id, a filter or --all",
		"dead-letters replay 7 --reason deleted":                  "not both",
		"dead-letters replay 7 --dry-run":                         "not both",
		"dead-letters replay --all --limit -1":                    "--limit",
		"dead-letters replay --all --until soon":                  "--until",
		"dead-letters replay --cancel 1 --all":                    "--cancel",
		"dead-letters replay --cancel 0":                          "--cancel",
		"dead-letters dismiss 7":                                  "note",
		"dead-letters dismiss 7 --note=":                          "The note must have",
		"alerts list --state ajar":                                "--state",
		"alerts list --code boredom":                              "--code",
		"alerts list --since soon":                                "--since",
		"anomalies list --kind odd":                               "--kind",
		"anomalies list --state ajar":                             "--state",
		"anomalies resolve 7":                                     "note",
		"anomalies resolve 7 --note=":                             "The note must have",
		"orders list --status lost":                               "--status",
		"orders list --changed-since soon":                        "--changed-since",
		"orders show":                                             "takes one reference",
		"orders amend a --amount 1 --currency ARS":                "reason",
		"orders amend a --amount 0.001 --currency ARS --reason x": "--amount is finer than the smallest unit of ARS, which is 0.01",
		"orders amend a --amount 1 --currency ars --reason x":     "--currency must be a code",
		"orders cancel a --reason=":                               "The reason must have",
		"refused list --until 2026-02-30":                         "--until",
		"refused show -- -1":                                      "is not an id",
		"dev --order-events-url localhost:8090":                   "--order-events-url must be a URL",
		"process-queue --limit 0":                                 "--limit",
		"process-queue --limit 10001":                             "--limit",
		"process-queue --wait 0s":                                 "--wait",
		"process-queue":                                           "DATABASE_URL: is required",
		"events replay 1":                                         "ORDERS_TOKENS: is required",
		"dead-letters replay --reason deleted --since 24h":        "ORDERS_TOKENS: is required",
	} {
		t.Run(args, func(t *testing.T) {
			t.Parallel()
			environ := []string{"DATABASE_URL=postgres://app:hunter2-hunter2@127.0.0.1:1/conciliar"}
			if args == "process-queue" {
				environ = nil
			}
			if args == "events list --limit 0" {
				environ = []string{"DATABASE_URL=" + storetest.URL(t)}
			}
			got := execute(t, environ, strings.Fields(args)...)
			require.Equal(t, exitUsage, got.code, got.err)
			require.Contains(t, got.err, says)
			require.NotContains(t, got.err, "hunter2")
			require.Empty(t, got.out)
		})
	}
}

func TestUsage_AGroupShowsItsCommands(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"alerts", "events", "dead-letters", "anomalies", "orders", "refused"} {
		got := execute(t, nil, name)
		require.Equal(t, exitDone, got.code)
		require.Contains(t, got.out, "Available Commands:\n  ")
	}
}

func TestTable_EscapesWhatCameFromOutside(t *testing.T) {
	t.Parallel()
	out := newPrintout()
	odd, at := "a\x1b]0;owned\a\nb\tc\u202e", time.Date(2026, 1, 2, 0, 4, 5, 0, time.FixedZone("", -3*60*60))
	out.header("ODD\tNONE\tTIME")
	out.row(odd, (*string)(nil), at)
	out.row(&odd, (*int64)(nil), &at)
	const row = `a\x1b]0;owned\a\nb\tc\u202e  -     2026-01-02T03:04:05Z`
	require.Equal(t, []string{`ODD                          NONE  TIME`, row, row, ""}, strings.Split(string(out.bytes()), "\n"))
}
