package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"runtime"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/conciliar/conciliar/config"
	"github.com/conciliar/conciliar/jobs/provider"
	"github.com/conciliar/conciliar/store"
)

// Exit codes.
const (
	exitDone   = 0
	exitFailed = 1
	// exitUsage is for wrong flags or arguments and for a configuration that
	// cannot be used.
	exitUsage = 2
)

// stdio is what a command may touch of the world besides the network.
type stdio struct {
	in       io.Reader
	out, err io.Writer
	environ  []string
	// program is how the program was called, such as bin/conciliar.
	program string
}

// called is the program in a command to paste: by its path where it was called so,
// as it need not be in PATH then.
func (s stdio) called() string {
	if strings.Contains(s.program, "/") {
		return s.program
	}
	return "conciliar"
}

// env is the value of a variable of the environment; empty when unset.
func (s stdio) env(name string) string {
	for _, entry := range slices.Backward(s.environ) {
		if value, found := strings.CutPrefix(entry, name+"="); found {
			return value
		}
	}
	return ""
}

// errSilent ends a command as failed when it has said why already.
var errSilent = errors.New("failed")

// usageError marks an error as wrong usage.
type usageError struct{ error }

func (e usageError) Unwrap() error { return e.error }

// usagef returns an error about how the command was called.
func usagef(format string, args ...any) error { return usageError{fmt.Errorf(format, args...)} }

// run runs the command that args name and returns its exit code.
func run(ctx context.Context, args []string, std stdio) int {
	root := newRoot(std)
	root.SetArgs(args)
	root.SetContext(ctx)
	// Until a command begins to run, whatever fails is wrong usage. Cobra would
	// look at required and exclusive flags after this hook only.
	began := false
	root.PersistentPreRunE = func(cmd *cobra.Command, _ []string) error {
		err := cmp.Or(cmd.ValidateRequiredFlags(), cmd.ValidateFlagGroups())
		began = err == nil
		return err
	}
	cmd, err := root.ExecuteC()
	if err == nil {
		return exitDone
	}
	code, text := exitOf(err)
	if !began {
		code = exitUsage
	}
	var said strings.Builder
	if text != "" {
		_, _ = fmt.Fprintln(&said, "conciliar:", text)
	}
	var problems config.Problems
	if code == exitUsage && !errors.As(err, &problems) {
		_, _ = fmt.Fprintf(&said, "See '%s --help'.\n", cmd.CommandPath())
	}
	// A reader that stopped must not keep the process.
	last := newLogPipe(std.err, func(int64) {})
	defer last.Close()
	_, _ = last.Write([]byte(said.String()))
	return code
}

// exitOf is the one place where an error becomes an exit code and a text, which
// is empty when everything has been said. What the store says of an error is
// what the API and the dashboard say too; an error that nobody knows is shown
// whole, because the person who runs a command may see it.
func exitOf(err error) (code int, text string) {
	var usage usageError
	var problems config.Problems
	switch {
	case errors.Is(err, errSilent):
		return exitFailed, ""
	case errors.As(err, &problems):
		return exitUsage, "the configuration is invalid:\n" + problems.Error()
	case errors.As(err, &usage):
		return exitUsage, err.Error()
	}
	if provided, ok := errors.AsType[*provider.Error](err); ok {
		if found, known := credentialsRefused(provided); known {
			return exitFailed, found.Says + " " + found.Do
		}
	}
	switch told := store.ProblemOf(err); told.Class {
	case store.Invalid:
		return exitUsage, told.Text
	case store.NotFound, store.Conflict, store.Unauthenticated:
		return exitFailed, told.Text
	case store.Unavailable, store.Internal:
	}
	return exitFailed, err.Error()
}

func newRoot(std stdio) *cobra.Command {
	root := &cobra.Command{
		Use:   "conciliar",
		Short: "Receive Mercado Pago's webhooks and keep orders equal to what was paid",
		Long: `Conciliar receives a merchant's Mercado Pago webhooks, never loses one, and
keeps the merchant's orders equal to what Mercado Pago says was paid.

Exit codes: 0 done, 1 failed, 2 wrong usage or configuration.`,
		SilenceUsage:  true,
		SilenceErrors: true,
	}
	root.SetIn(std.in)
	root.SetOut(std.out)
	root.SetErr(std.err)
	root.CompletionOptions.HiddenDefaultCmd = true
	root.Args, root.SuggestionsMinimumDistance = knownCommand, suggestionDistance
	root.RunE = func(cmd *cobra.Command, _ []string) error { return cmd.Help() }
	root.Version = version + " " + runtime.Version()
	root.SetVersionTemplate("{{.Name}} {{.Version}}\n")
	root.SetHelpCommand(newHelp())
	root.AddCommand(
		newAlerts(std),
		newAnomalies(std),
		newBench(std),
		newDeadLetters(std),
		newDeliveriesCommand(std),
		newDev(std),
		newDoctor(std),
		newEvents(std),
		newExport(std),
		newForget(std),
		newInit(std),
		newRestored(std),
		newMigrate(std),
		newOperators(std),
		newOrderEvents(std),
		newOrders(std),
		newPayments(std),
		newPayouts(std),
		newProcessQueue(std),
		newReady(std),
		newReceivers(std),
		newReconcile(std),
		newRefunds(std),
		newRefused(std),
		newServe(std),
		newSimulate(std),
		newSources(std),
		newStatus(std),
		newVerify(std),
		newVersion(std),
	)
	return root
}

// printJSON writes v as indented JSON, for --json.
func printJSON(w io.Writer, v any) error {
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	return enc.Encode(v)
}
