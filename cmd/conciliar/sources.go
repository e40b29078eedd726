package main

import (
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync/atomic"

	"github.com/spf13/cobra"

	"github.com/conciliar/conciliar/api"
	"github.com/conciliar/conciliar/config"
	"github.com/conciliar/conciliar/jobs/source"
	"github.com/conciliar/conciliar/store"
)

// sourcesVariable names the file of the senders.
const sourcesVariable = "SOURCES_FILE"

func newSources(std stdio) *cobra.Command {
	cmd := &cobra.Command{
		Use:     "sources",
		Short:   "Check the file of other senders of webhooks",
		Example: "  conciliar sources check",
		Args:    noArgs,
		RunE:    func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(newSourcesCheck(std))
	return cmd
}

// A checkedSource is a sender as the check shows it.
type checkedSource struct {
	Name   string `json:"name"`
	Path   string `json:"path"`
	Scheme string `json:"scheme"`
	// Secrets is how many secrets are accepted.
	Secrets int `json:"secrets"`
	// Work is what its events ask for.
	Work  string   `json:"work"`
	Notes []string `json:"notes"`
}

// checkedSources are all senders of the file.
type checkedSources struct {
	Items []checkedSource `json:"items"`
}

func newSourcesCheck(std stdio) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "check",
		Short: "Validate SOURCES_FILE, with line and column of what is wrong",
		Long: `Reads SOURCES_FILE and the secrets that it names, and prints the senders. Needs no
other variable, no database and no network.

Exits 2 if the file can't be used.`,
		Example: "  conciliar sources check",
		Args:    noArgs,
	}
	asJSON := jsonFlag(cmd)
	cmd.RunE = func(*cobra.Command, []string) error {
		cfg, err := config.LoadSources(std.environ)
		if err != nil {
			return err
		}
		if !cfg.SourcesFile.IsSet() {
			return config.Problems{{Variable: sourcesVariable, Text: "is required"}}
		}
		watched, err := cfg.SourcesFile.Watch(checkSource)
		if err != nil {
			return err
		}
		declared := watched.Value().Sources
		found := make([]checkedSource, len(declared))
		for i, d := range declared {
			made, err := newSource(d)
			if err != nil {
				return err
			}
			found[i] = checkedSource{Name: d.Name, Path: d.Path, Scheme: made.Scheme(), Secrets: len(d.Verify.Secrets), Work: string(made.Work()), Notes: append([]string{}, made.Notes()...)}
		}
		return printResult(std, *asJSON, checkedSources{found}, func(r *printout) {
			r.header("NAME\tPATH\tSCHEME\tSECRETS\tWORK\tNOTES")
			for _, f := range found {
				r.row(f.Name, f.Path, f.Scheme, f.Secrets, f.Work, strings.Join(f.Notes, "; "))
			}
		})
	}
	return cmd
}

// newSource makes a sender of its declaration. The error is one or several
// *source.FieldError, joined.
func newSource(declared config.Source) (*source.Source, error) {
	v := declared.Verify
	if declared.Forward != nil {
		return nil, &source.FieldError{Name: "forward", Problem: "is not done by this release"}
	}
	return source.New(source.Spec{
		Name: declared.Name,
		Verify: source.Verify{
			Scheme: v.Scheme, Algorithm: v.Algorithm, Encoding: v.Encoding, Header: v.Header, Prefix: v.Prefix, Manifest: v.Manifest,
			Secrets: config.Reveal(v.Secrets), Tolerance: v.Tolerance,
		},
		ID: source.Place(declared.ID), Type: source.Place(declared.Type), Time: source.Place(declared.Time),
	})
}

func checkSource(declared config.Source) error {
	_, err := newSource(declared)
	return err
}

// A senders is what of a process follows the file of the senders.
type senders struct {
	watched *config.Watched[config.SourcesInUse]
	// hooks are where they deliver to.
	hooks api.Hooks
	// byName are the senders in use.
	byName atomic.Pointer[map[string]*source.Source]
}

// newSenders reads the file of the senders.
func newSenders(cfg config.Sources) (*senders, error) {
	watched, err := cfg.SourcesFile.Watch(checkSource)
	if err != nil {
		return nil, err
	}
	s := &senders{watched: watched}
	return s, s.use(watched.Value())
}

// follow has the process use the senders whenever their file changes.
func (s *senders) follow(logger *slog.Logger) {
	s.watched.OnChange(func(now config.SourcesInUse) {
		// What the file was checked for is all that could be refused.
		_ = s.use(now)
		logger.Info("sources taken over", "sources", len(now.Sources))
	})
}

func (s *senders) use(now config.SourcesInUse) error {
	byName := map[string]*source.Source{}
	webhooks := make([]api.Webhook, 0, len(now.Sources))
	for _, declared := range now.Sources {
		made, err := newSource(declared)
		if err != nil {
			return err
		}
		byName[declared.Name] = made
		webhooks = append(webhooks, api.Webhook{Path: declared.Path, Source: declared.Name, Receiver: made, SignatureHeader: made.SignatureHeader()})
	}
	s.byName.Store(&byName)
	s.hooks.Use(webhooks)
	return nil
}

// named is the sender of a source; nil when it is none.
func (s *senders) named(name string) *source.Source { return (*s.byName.Load())[name] }

// fileInUse is a configuration file that this process has in use.
func fileInUse[T any](variable, digest string, watched *config.Watched[T]) store.ProcessFile {
	file := store.ProcessFile{Name: variable, Digest: digest}
	if err := watched.Problem(); err != nil {
		file.Problem = err.Error()
	}
	return file
}

// checkSenders says which senders are declared.
func checkSenders(cfg config.Config) []finding {
	if !cfg.SourcesFile.IsSet() {
		return nil
	}
	s, err := newSenders(cfg.Sources)
	if err != nil {
		return []finding{{"sources", stateFail, "SOURCES_FILE cannot be used: " + strings.ReplaceAll(err.Error(), "\n", "; ") + ".", "Correct it ('conciliar sources check'); a running service goes on with what it read before."}}
	}
	names := slices.Sorted(maps.Keys(*s.byName.Load()))
	found := []finding{ok("sources", "%d senders declared: %s.", len(names), strings.Join(names, ", "))}
	for _, name := range names {
		for _, note := range s.named(name).Notes() {
			found = append(found, finding{"source " + name, stateWarn, "Its " + note + ".", "Say where the time stands, or leave tolerance out."})
		}
	}
	return found
}
