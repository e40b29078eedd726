package main

import (
	"bytes"
	"encoding/json"
	"log/slog"
	"regexp"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/stretchr/testify/require"

	"github.com/conciliar/conciliar/config"
)

// commands lists every command below c, without those that cobra adds.
func commands(c *cobra.Command) []*cobra.Command {
	var all []*cobra.Command
	for _, sub := range c.Commands() {
		if sub.Name() != "help" && sub.Name() != "completion" {
			all = append(append(all, sub), commands(sub)...)
		}
	}
	return all
}

func TestCommand_ExplainsItself(t *testing.T) {
	t.Parallel()
	for _, cmd := range commands(newRoot(stdio{})) {
		t.Run(cmd.CommandPath(), func(t *testing.T) {
			t.Parallel()
			args := append(strings.Fields(cmd.CommandPath())[1:], "-h")
			got := execute(t, nil, args...)
			require.Equal(t, exitDone, got.code)
			require.Empty(t, got.err)
			require.Contains(t, got.out, "Usage:\n  "+cmd.CommandPath())
			require.Contains(t, got.out, "Examples:\n  "+cmd.CommandPath())
			require.NotEmpty(t, cmd.Short)
		})
	}
}

// An example that a person copies must at least be one that the command reads.
func TestCommand_TakesItsExamples(t *testing.T) {
	t.Parallel()
	for _, cmd := range commands(newRoot(stdio{})) {
		examples := strings.ReplaceAll(cmd.Example, "\\\n", " ")
		require.NotContains(t, examples, "<", "%s: examples hold values, not placeholders", cmd.CommandPath())
		for line := range strings.Lines(examples) {
			line, _, _ = strings.Cut(line, "|")
			for call := range strings.SplitSeq(line, "&&") {
				words := strings.Fields(call)
				require.Equal(t, "conciliar", words[0], call)
				root := newRoot(stdio{})
				found, rest, err := root.Find(words[1:])
				require.NoError(t, err, call)
				require.NotSame(t, root, found, call)
				require.NoError(t, found.ParseFlags(rest), call)
				require.NoError(t, found.ValidateArgs(found.Flags().Args()), call)
				require.NoError(t, found.ValidateRequiredFlags(), call)
				require.NoError(t, found.ValidateFlagGroups(), call)
			}
		}
	}
}

func TestCommand_WrongUsageHasItsOwnExitCode(t *testing.T) {
	t.Parallel()
	unreachable := []string{"DATABASE_URL=postgres://app:hunter2-hunter2@127.0.0.1:1/conciliar"}
	for _, c := range []struct {
		args    string
		environ []string
		code    int
		says    string
	}{
		{args: "bogus", code: exitUsage, says: "unknown command \"bogus\"\nSee 'conciliar --help'.\n"},
		{args: "serv", code: exitUsage, says: "unknown command \"serv\"; did you mean serve?\n"},
		{args: "events lst", code: exitUsage, says: "unknown command \"events lst\"; did you mean list?\nSee 'conciliar events --help'.\n"},
		{args: "events show", code: exitUsage, says: "events show takes one id\nSee 'conciliar events show --help'.\n"},
		{args: "events show x", code: exitUsage, says: "\"x\" is not an id; expected a positive integer\nSee 'conciliar events show --help'.\n"},
		{args: "events list --status odd", code: exitUsage, says: "it takes one of pending, processing"},
		{args: "events list --since yesterday", code: exitUsage, says: "2026-01-31T15:04:05Z"},
		{args: "anomalies resolve 1 --note= ", code: exitUsage, says: "The note must have 1 to 2,000 characters"},
		{args: "help nothing", code: exitUsage, says: "unknown command \"nothing\""},
		{args: "help events lst", code: exitUsage, says: "unknown command \"events lst\"; did you mean list?"},
		{args: "help events list", code: exitDone},
		{args: "--version", code: exitDone},
		{args: "-v", code: exitDone},
		{args: "serve --bogus", code: exitUsage, says: "--bogus"},
		{args: "serve now", code: exitUsage, says: "now"},
		{args: "serve --only both", code: exitUsage, says: "--only takes api or worker"},
		{args: "serve", code: exitUsage, says: "DATABASE_URL: is required"},
		{args: "migrate", code: exitUsage, says: "DATABASE_URL: is required"},
		{args: "status", code: exitUsage, says: "DATABASE_URL: is required"},
		{args: "migrate --status --check", environ: unreachable, code: exitUsage, says: "--status and --check exclude each other"},
		{args: "migrate", environ: unreachable, code: exitFailed, says: "database"},
		{args: "status", environ: unreachable, code: exitFailed, says: "database"},
		{args: "simulate", code: exitUsage, says: "MERCADOPAGO_WEBHOOK_SECRETS"},
		{args: "simulate sign --id 1", code: exitUsage, says: "MERCADOPAGO_WEBHOOK_SECRETS"},
		{args: "simulate sign --id 1", environ: []string{"MERCADOPAGO_WEBHOOK_SECRETS=s3cret"}, code: exitDone},
		{args: "simulate --secret s --drop 2", code: exitUsage, says: "rop"},
		{args: "simulate --secret s --count -1", code: exitUsage, says: "--count"},
		{args: "simulate --secret s --rate -1", code: exitUsage, says: "--rate"},
		{args: "simulate --secret s --concurrency 0", code: exitUsage, says: "--concurrency"},
		{args: "simulate --secret s --outage -1s", code: exitUsage, says: "--outage"},
		{args: "simulate --secret s --listen nowhere", code: exitFailed, says: "nowhere"},
		{args: "simulate --secret s --through-orders 2", code: exitUsage, says: "--through-orders"},
		{args: "simulate --secret s --both-channels -1", code: exitUsage, says: "--both-channels"},
		{args: "simulate pay", code: exitUsage, says: "one reference"},
		{args: "simulate pay a --refund 5", code: exitUsage, says: "--refund=50.00"},
		{args: "simulate pay a --status paid", code: exitUsage, says: "\"--status\" flag: it takes one of"},
		{args: "simulate pay a --as letter", code: exitUsage, says: "\"--as\" flag: it takes one of"},
		{args: "simulate pay a --order-type qr", code: exitUsage, says: "--as order"},
		{args: "simulate pay a --chargeback=lost", code: exitUsage, says: "\"--chargeback\" flag: it takes one of"},
		{args: "simulate pay a --refund --chargeback", code: exitUsage, says: "chargeback"},
		{args: "simulate pay a --payment 1 --amount 5", code: exitUsage, says: "amount"},
		{args: "simulate pay a --url example.com", code: exitUsage, says: "--url"},
		{args: "simulate pay a --amount 5 --url http://127.0.0.1:1", code: exitFailed, says: "no simulator answers at http://127.0.0.1:1"},
		{args: "simulate sign --id 1", code: exitUsage, says: "secret"},
		{args: "simulate sign --secret s", code: exitUsage, says: "id"},
		{args: "simulate sign --secret s --id 1;2", code: exitUsage, says: "--id"},
		{args: "simulate sign --secret s --id 1 --url example.com", code: exitUsage, says: "URL"},
		{args: "simulate sign --secret= --id 1", code: exitUsage, says: "--secret"},
		{args: "version now", code: exitUsage, says: "now"},
		{args: "version", code: exitDone},
		{args: "", code: exitDone},
	} {
		t.Run(c.args, func(t *testing.T) {
			t.Parallel()
			got := execute(t, c.environ, strings.Fields(c.args)...)
			require.Equal(t, c.code, got.code, got.err)
			require.Contains(t, got.err, c.says)
			require.NotContains(t, got.err, "hunter2")
			if c.code != exitDone {
				require.Empty(t, got.out)
			}
		})
	}
}

func TestCommand_ListsEveryProblemOfTheConfiguration(t *testing.T) {
	t.Parallel()
	got := execute(t, []string{"WORKERS=hunter2", "STATUS_TOKENS=hunter3", "LOG_LEVEL=hunter4"}, "serve")
	require.Equal(t, exitUsage, got.code)
	require.Empty(t, got.out)
	require.NotContains(t, got.err, "hunter")
	lines := strings.Split(strings.TrimSpace(got.err), "\n")
	require.Len(t, lines, 1+10)
	for i, name := range []string{
		"DATABASE_URL", "LOG_LEVEL", "MERCADOPAGO_ACCESS_TOKEN", "MERCADOPAGO_WEBHOOK_SECRETS", "OPERATOR_PASSWORD", "ORDERS_TOKENS",
		"PROCESS_QUEUE_TOKENS", "RECONCILE_TOKENS", "STATUS_TOKENS", "WORKERS",
	} {
		require.True(t, strings.HasPrefix(lines[1+i], name+": "), lines[1+i])
	}
}

func TestServe_ExplainsEveryVariable(t *testing.T) {
	t.Parallel()
	got := execute(t, nil, "serve", "--help")
	for _, v := range config.Variables() {
		require.Regexp(t, `(?m)^  `+v.Name+` .*`+regexp.QuoteMeta(v.Meaning)+`$`, got.out)
	}
}

func TestVersion_IsPrinted(t *testing.T) {
	t.Parallel()
	for _, how := range []string{"version", "--version", "-v"} {
		require.Contains(t, execute(t, nil, how).out, "conciliar "+version+" go1")
	}

	var document map[string]string
	require.NoError(t, json.Unmarshal([]byte(execute(t, nil, "version", "--json").out), &document))
	require.Equal(t, version, document["version"])
	require.Contains(t, document["go"], "go1")
}

func TestLog_IsJSONUnlessAPersonReadsIt(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	log := config.Log{LogFormat: "auto"}
	newLogger(stdio{err: &out}, log).Info("hello", "queue_id", 42)
	var line map[string]any
	require.NoError(t, json.Unmarshal(out.Bytes(), &line))
	require.InDelta(t, 42, line["queue_id"], 0)

	out.Reset()
	log.LogFormat = "tint"
	newLogger(stdio{err: &out}, log).Info("hello", "queue_id", 42)
	require.Contains(t, out.String(), "hello")
	require.Error(t, json.Unmarshal(out.Bytes(), &line))
}

func TestLogger_NoColoursForWhoAsksForNone(t *testing.T) {
	t.Parallel()
	line := func(environ ...string) string {
		var out bytes.Buffer
		newLogger(stdio{err: &out, environ: environ}, config.Log{LogFormat: "tint"}).Info("hello")
		return out.String()
	}
	require.Contains(t, line(), "\x1b[")
	require.Contains(t, line("NO_COLOR=", "TERM=xterm"), "\x1b[", "an empty variable counts as unset")
	require.NotContains(t, line("NO_COLOR=1"), "\x1b[")
	require.NotContains(t, line("TERM=dumb"), "\x1b[")
}

func TestLevelHandler_AThresholdHoldsForDerivedLoggers(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	logger := newLogger(stdio{err: &out}, config.Log{LogFormat: "json"})
	quiet := atLeast(logger, slog.LevelWarn).With("part", "river").WithGroup("g")
	quiet.Info("too much")
	require.Empty(t, out.String())
	quiet.Warn("enough")
	require.Contains(t, out.String(), "enough")
	logger.Info("as before")
	require.Contains(t, out.String(), "as before")

	out.Reset()
	errorsOnly := newLogger(stdio{err: &out}, config.Log{LogFormat: "json", LogLevel: config.LogLevel{Level: slog.LevelError}})
	atLeast(errorsOnly, slog.LevelWarn).Warn("below the logger's own level")
	require.Empty(t, out.String())
}
