package main

import (
	"cmp"
	"fmt"
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"
)

// linkedVersion is set by the linker in builds from a clone; see the Makefile.
var linkedVersion string

// version is this build's: a release, or a commit.
var version = cmp.Or(linkedVersion, recordedVersion(debug.ReadBuildInfo()))

// recordedVersion is what Go recorded of the source: a module's version, else the
// commit that was built.
func recordedVersion(info *debug.BuildInfo, ok bool) string {
	if !ok {
		return "unknown"
	}
	if v := info.Main.Version; v != "" && v != "(devel)" {
		return v
	}
	var revision, changed string
	for _, s := range info.Settings {
		switch {
		case s.Key == "vcs.revision":
			revision = s.Value[:min(12, len(s.Value))]
		case s.Key == "vcs.modified" && s.Value == "true":
			changed = "-dirty"
		}
	}
	if revision == "" {
		return "unknown"
	}
	return revision + changed
}

func newVersion(std stdio) *cobra.Command {
	cmd := &cobra.Command{
		Use: "version", Short: "Print the version", Args: noArgs,
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
