package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/conciliar/conciliar/config"
)

func newOperators(std stdio) *cobra.Command {
	cmd := &cobra.Command{
		Use:     "operators",
		Short:   "Make lines for OPERATORS_FILE",
		Example: "  conciliar operators hash --name ana --role admin",
		Args:    noArgs,
		RunE:    func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(newOperatorsHash(std))
	return cmd
}

func newOperatorsHash(std stdio) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "hash",
		Short: "Read a password, print the operator's line for OPERATORS_FILE",
		Long: `Reads a password of 16 characters or more, without showing it at a terminal,
else the first line of the standard input, and prints the line name:role:hash:
append it to the file.
A running service takes a changed OPERATORS_FILE over within five seconds; a
login ends when its operator's line changes or goes.

Roles: viewer sees the pages without what belongs to payers; operator sees all
of it, replays, dismisses, resolves, reconciles, amends and cancels; admin also
has River UI and the logins.`,
		Example: "  conciliar operators hash --name ana --role admin",
		Args:    noArgs,
	}
	name := cmd.Flags().String("name", "", "the person's name, as it stands in the audit trail (required)")
	role := cmd.Flags().String("role", "operator", "viewer, operator or admin")
	_ = cmd.MarkFlagRequired("name")
	cmd.RunE = func(*cobra.Command, []string) error {
		password, err := readPassword(std)
		if err != nil {
			return err
		}
		line, err := config.HashOperator(*name, *role, password)
		if err != nil {
			return usagef("%w", err)
		}
		_, err = fmt.Fprintln(std.out, line)
		return err
	}
	return cmd
}

// readPassword reads a line, unseen where a person types it.
func readPassword(std stdio) (string, error) {
	if f, ok := std.in.(*os.File); ok && term.IsTerminal(int(f.Fd())) {
		_, _ = fmt.Fprint(std.err, "Password: ")
		typed, err := term.ReadPassword(int(f.Fd()))
		_, _ = fmt.Fprintln(std.err)
		if err != nil {
			return "", fmt.Errorf("read the password: %w", err)
		}
		return string(typed), nil
	}
	line, err := bufio.NewReader(io.LimitReader(std.in, 4096)).ReadString('\n')
	if err != nil && !errors.Is(err, io.EOF) {
		return "", fmt.Errorf("read the password: %w", err)
	}
	return strings.TrimRight(line, "\r\n"), nil
}
