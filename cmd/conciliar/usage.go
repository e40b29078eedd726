package main

import (
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"
)

// suggestionDistance is how many letters a mistyped command may differ by for
// the right one to be suggested.
const suggestionDistance = 2

// noArgs is for commands that take flags alone.
func noArgs(cmd *cobra.Command, args []string) error {
	if len(args) > 0 {
		return usagef("%s takes no arguments; got %q", nameOf(cmd), args[0])
	}
	return nil
}

// oneID is for commands about one thing.
func oneID(cmd *cobra.Command, args []string) error {
	if len(args) != 1 {
		return usagef("%s takes one id", nameOf(cmd))
	}
	return nil
}

// knownCommand is for commands that only have commands below them: what follows
// must be one.
func knownCommand(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	text := fmt.Sprintf("unknown command %q", strings.TrimSpace(strings.TrimPrefix(nameOf(cmd), cmd.Root().Name())+" "+args[0]))
	near := cmd.SuggestionsFor(args[0])
	other := func(name string) bool { return !strings.HasPrefix(name, args[0]) }
	if longer := slices.DeleteFunc(slices.Clone(near), other); len(longer) > 0 {
		near = longer // what was begun rather than misspelt
	}
	if len(near) > 0 {
		text += "; did you mean " + strings.Join(near, " or ") + "?"
	}
	return usagef("%s", text)
}

// nameOf is the command as it is typed after the program's name.
func nameOf(cmd *cobra.Command) string {
	return strings.TrimPrefix(cmd.CommandPath(), cmd.Root().Name()+" ")
}

// exclusive allows one of the flags at most.
func exclusive(cmd *cobra.Command, names ...string) {
	before := cmd.PreRunE
	cmd.PreRunE = func(cmd *cobra.Command, args []string) error {
		var given []string
		for _, name := range names {
			if cmd.Flags().Changed(name) {
				given = append(given, "--"+name)
			}
		}
		if len(given) > 1 {
			return usagef("%s exclude each other", strings.Join(given, " and "))
		}
		if before != nil {
			return before(cmd, args)
		}
		return nil
	}
}

// newHelp is the help command: cobra's own takes what it does not know for the
// root, and for success.
func newHelp() *cobra.Command {
	return &cobra.Command{
		Use:   "help [COMMAND]",
		Short: "Help about any command",
		RunE: func(cmd *cobra.Command, args []string) error {
			about := cmd.Root()
			for _, name := range args {
				next, _, err := about.Find([]string{name})
				if err != nil || next == about {
					return knownCommand(about, []string{name})
				}
				about = next
			}
			about.InitDefaultHelpFlag()
			return about.Help()
		},
	}
}
