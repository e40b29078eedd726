package main

import (
	"fmt"
	"runtime"

	"github.com/spf13/cobra"
)

func newVersion(std stdio) *cobra.Command {
	cmd := &cobra.Command{
		Use: "version", Short: "Print the version", Args: cobra.NoArgs,
		Example: "  conciliar version --json",
	}
	asJSON := jsonFlag(cmd)
	cmd.RunE = func(*cobra.Command, []string) error {
		if *asJSON {
			return printJSON(std.out, map[string]string{"version": version, "go": runtime.Version()})
		}
		_, err := fmt.Fprintln(std.out, "conciliar", version, runtime.Version())
		return err
	}
	return cmd
}
