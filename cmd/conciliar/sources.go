package main

import (
	"errors"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync/atomic"

	"github.com/spf13/cobra"
	"golang.org/x/net/http/httpguts"

	"github.com/conciliar/conciliar/api"
	"github.com/conciliar/conciliar/config"
	"github.com/conciliar/conciliar/jobs"
	"github.com/conciliar/conciliar/jobs/delivery"
	"github.com/conciliar/conciliar/jobs/provider"
	"github.com/conciliar/conciliar/jobs/provider/mercadopago"
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
	var forward *source.Forward
	var problems []error
	if f := declared.Forward; f != nil {
		forward = &source.Forward{Headers: f.Headers, Body: f.Body, Accept: f.Accept, Retry: f.Retry}
		problems = checkHeaders(f)
	}
	if declared.Name == mercadopago.Source {
		if _, err := mercadopago.NewOnward(declared.Topics); err != nil {
			problems = append(problems, &source.FieldError{Name: "topics", Problem: err.Error()})
		}
		made, err := source.Onward(declared.Name, *forward)
		return made, errors.Join(append(problems, err)...)
	}
	v := declared.Verify
	made, err := source.New(source.Spec{
		Name: declared.Name,
		Verify: source.Verify{
			Scheme: v.Scheme, Algorithm: v.Algorithm, Encoding: v.Encoding, Header: v.Header, Prefix: v.Prefix, Manifest: v.Manifest,
			Secrets: config.Reveal(v.Secrets), Tolerance: v.Tolerance,
		},
		ID: source.Place(declared.ID), Type: source.Place(declared.Type), Time: source.Place(declared.Time),
		Forward: forward,
	})
	return made, errors.Join(append(problems, err)...)
}

// checkHeaders says which headers of a forward the engine does not send.
func checkHeaders(f *config.SourceForward) []error {
	var problems []error
	for _, name := range slices.Sorted(maps.Keys(f.Headers)) {
		if err := delivery.CheckHeader(name); err != nil {
			problems = append(problems, &source.FieldError{Name: "forward.headers." + name, Problem: err.Error()})
		}
	}
	for _, name := range slices.Sorted(maps.Keys(f.Credentials)) {
		if err := delivery.CheckHeader(name); err != nil {
			problems = append(problems, &source.FieldError{Name: "forward", Problem: err.Error()})
		}
		if !httpguts.ValidHeaderFieldName(name) || !httpguts.ValidHeaderFieldValue(f.Credentials[name].Reveal()) {
			problems = append(problems, &source.FieldError{Name: "forward", Problem: "has a header in headers_env or headers_file that cannot be sent"})
		}
	}
	return problems
}

func checkSource(declared config.Source) error {
	_, err := newSource(declared)
	return err
}

// receiverOf is where a sender's events go on to.
func receiverOf(declared config.Source, made *source.Source) delivery.Receiver {
	f := declared.Forward
	r := delivery.Receiver{
		Name: jobs.SourceReceivers + declared.Name, URL: f.URL.Reveal(), Waits: f.Retry, AllowPrivate: f.AllowPrivate, Headers: map[string]string{},
	}
	for name, value := range f.Credentials {
		r.Headers[name] = value.Reveal()
	}
	for _, s := range made.Accept() {
		r.Accept = append(r.Accept, delivery.Statuses{From: s.First, To: s.Last})
	}
	return r
}

// A senders is what of a process follows the file of the senders. A process that sends
// nothing has no engine, and one that receives nothing no receiver.
type senders struct {
	watched *config.Watched[config.SourcesInUse]
	// hooks are where they deliver to, and sources the senders in use.
	hooks   api.Hooks
	sources jobs.Sources
	// onward are the topics of Mercado Pago's that are passed onward.
	onward   atomic.Pointer[mercadopago.Onward]
	engine   *delivery.Engine
	receiver *mercadopago.Receiver
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

// follow has the parts use the senders, now and whenever their file changes.
func (s *senders) follow(logger *slog.Logger) error {
	if err := s.use(s.watched.Value()); err != nil {
		return err
	}
	s.watched.OnChange(func(now config.SourcesInUse) {
		// What the file was checked for is all that a part could refuse.
		_ = s.use(now)
		logger.Info("sources taken over", "sources", len(now.Sources))
	})
	return nil
}

func (s *senders) use(now config.SourcesInUse) error {
	byName := map[string]*source.Source{}
	webhooks := make([]api.Webhook, 0, len(now.Sources))
	var receivers []delivery.Receiver
	var onward *mercadopago.Onward
	for _, declared := range now.Sources {
		made, err := newSource(declared)
		if err != nil {
			return err
		}
		byName[declared.Name] = made
		if declared.Forward != nil {
			receivers = append(receivers, receiverOf(declared, made))
		}
		if declared.Path == "" {
			if onward, err = mercadopago.NewOnward(declared.Topics); err != nil {
				return err
			}
			continue
		}
		webhooks = append(webhooks, api.Webhook{Path: declared.Path, Source: declared.Name, Receiver: made, SignatureHeader: made.SignatureHeader()})
	}
	// Where events go on to is known before the first one comes.
	if s.engine != nil {
		if err := s.engine.Use(jobs.SourceReceivers, receivers...); err != nil {
			return err
		}
	}
	s.sources.Use(byName)
	s.onward.Store(onward)
	if s.receiver != nil {
		s.receiver.PassOnward(onward)
	}
	s.hooks.Use(webhooks)
	return nil
}

// sender is who delivers under a name; nil for nobody.
func (s *senders) sender(name string) *source.Source {
	if name == mercadopago.Source {
		return nil
	}
	return s.sources.Named(name)
}

// workOf says what an event of a declared sender, or of a topic that is passed onward,
// asks for.
func (s *senders) workOf(name, topic string) (work provider.Work, known bool) {
	if name == mercadopago.Source {
		return provider.Forward, s.onward.Load().Has(topic)
	}
	if sender := s.sources.Named(name); sender != nil {
		return sender.Work(), true
	}
	return "", false
}

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
		return []finding{{"sources", stateFail, "SOURCES_FILE cannot be used: " + strings.ReplaceAll(err.Error(), "\n", "; ") + ".", "Correct it ('conciliar sources check'); a running service continues with what it read before."}}
	}
	var names []string
	var notes []finding
	for _, declared := range s.watched.Value().Sources {
		names = append(names, declared.Name)
		for _, note := range s.sources.Named(declared.Name).Notes() {
			notes = append(notes, finding{"source " + declared.Name, stateWarn, "Its " + note + ".", "Say where the time stands, or leave tolerance out."})
		}
	}
	found := append([]finding{ok("sources", "%d declared: %s.", len(names), strings.Join(names, ", "))}, notes...)
	return found
}
