package api

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/netip"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.opentelemetry.io/otel/trace"

	"github.com/conciliar/conciliar/jobs"
	"github.com/conciliar/conciliar/jobs/provider"
	"github.com/conciliar/conciliar/store"
)

// WebhookPath is where the first provider's webhooks arrive.
const WebhookPath = "/api/checkout/webhook"

// receiver judges a delivery. A delivery that it does not accept is a
// *provider.Refusal.
type receiver interface {
	Receive(d provider.Delivery) (provider.Event, error)
	diagnoser
}

// A Webhook is one sender of webhooks and where it sends them.
type Webhook struct {
	// Path is where its deliveries arrive, by POST or GET.
	Path string
	// Source names it in the database, for example "mercadopago".
	Source string
	// Topics are the topics that it is known to send. Metrics tell these apart and
	// call every other one other: a topic is the sender's word.
	Topics []string
	// Receiver judges its deliveries.
	Receiver receiver
	// SignatureHeader is the header that is recorded of what is refused; X-Signature
	// when empty.
	SignatureHeader string

	// declared is true for a sender that a file declares.
	declared bool
}

// Tokens are the bearer tokens by what they open. Each list holds several
// during a rotation.
type Tokens struct {
	Status       []string
	ProcessQueue []string
	Reconcile    []string
	Orders       []string
}

// validate names every list that is empty and every token that is none.
func (t Tokens) validate() error {
	var problems []error
	for _, list := range []struct {
		name   string
		tokens []string
	}{
		{"Status", t.Status}, {"ProcessQueue", t.ProcessQueue}, {"Reconcile", t.Reconcile}, {"Orders", t.Orders},
	} {
		if len(list.tokens) == 0 {
			problems = append(problems, errors.New("Tokens."+list.name+" is empty"))
		}
		for i, token := range list.tokens {
			if !validToken(token) {
				problems = append(problems, fmt.Errorf("Tokens.%s[%d] is empty or has characters that a header can't carry", list.name, i)) //nolint:staticcheck // a field's name
			}
		}
	}
	return errors.Join(problems...)
}

// SourceIPMode says what the address of a webhook's sender decides.
type SourceIPMode string

// The modes.
const (
	// SourceIPOff looks at no address.
	SourceIPOff SourceIPMode = "off"
	// SourceIPObserve says in the log whether the address is in the list, and
	// learns the networks of validly signed calls.
	SourceIPObserve SourceIPMode = "observe"
	// SourceIPEnforce refuses addresses outside of the list (403).
	SourceIPEnforce SourceIPMode = "enforce"
)

// A Check is one thing that must hold before the process is ready for work.
type Check struct {
	// Name is shown to anyone who asks, for example "database".
	Name string
	// Check returns what is wrong, which is logged and not shown. What it gives show
	// is shown to anyone who asks, under its name, as JSON.
	Check func(ctx context.Context, show func(v any)) error
}

// Deps are the parts that the API works with. All are required unless said
// otherwise.
type Deps struct {
	// HealthOnly leaves the routes that a monitor asks, for a process that
	// receives nothing. Storage, Operator, Inbox, Refused, Sources, Webhooks, Extras
	// and what the operator's pages need are then not needed.
	HealthOnly bool

	Storage *store.Store
	// Operator does what people ask of jobs.
	Operator *jobs.Operator
	Inbox    *store.Inbox
	Refused  *store.RefusedLog
	Sources  *store.SourceLog
	// Webhooks are the senders, at least one.
	Webhooks []Webhook
	// Hooks are those that a file declares; nil for none.
	Hooks *Hooks
	// Ready are the checks of /readyz, at least one.
	Ready  []Check
	Tokens Tokens
	// Operators are who may log in, at least one.
	Operators []Operator
	// Dashboard is everything below /dashboard but the login.
	Dashboard http.Handler
	// Provider is the display name of who delivers webhooks, for pages about problems.
	Provider string
	// Version is the program's; empty where nobody says it.
	Version string
	RiverUI *RiverUI
	// Extras are what the status shows beside the database. It is called for each
	// answer; Now may stay zero.
	Extras func() StatusExtras

	// Refunds is true where admins may refund.
	Refunds bool

	// TrustedProxies are the proxies whose X-Forwarded-For counts; may be empty.
	TrustedProxies []netip.Prefix
	SourceIPMode   SourceIPMode
	// SourceIPCIDRs are the senders' addresses; required to enforce.
	SourceIPCIDRs []netip.Prefix

	// APIRate is calls a second for one token, burst five times that.
	APIRate int
	// UnverifiedRate is webhooks a second that fail or lack verification, for
	// one source address, burst ten times that. Calls with a wrong token have
	// a limit of the same size.
	UnverifiedRate int

	// Registry holds what /metrics answers, the callers' own metrics included;
	// one with the API's alone when nil.
	Registry *prometheus.Registry

	// TracerProvider takes the traces of calls; nil for none.
	TracerProvider trace.TracerProvider

	// Stopping, if set, is closed when the process begins to stop: calls that only
	// wait end then.
	Stopping <-chan struct{}

	Logger *slog.Logger
	// Now is the clock of limits and durations; time.Now when nil.
	Now func() time.Time
}

// validate names everything that is missing or wrong.
func (d Deps) validate() error {
	var problems []error
	need := func(ok bool, what string) {
		if !ok {
			problems = append(problems, errors.New(what))
		}
	}
	if !d.HealthOnly {
		need(d.Storage != nil, "Storage is missing")
		need(d.Operator != nil, "Operator is missing")
		need(d.Inbox != nil, "Inbox is missing")
		need(d.Refused != nil, "Refused is missing")
		need(d.Sources != nil, "Sources is missing")
		need(d.Extras != nil, "Extras is missing")
		need(len(d.Webhooks) > 0, "Webhooks is empty")
		_, err := newAccounts(d.Operators)
		need(err == nil, fmt.Sprint(err))
		need(d.Dashboard != nil, "Dashboard is missing")
		need(d.RiverUI != nil, "RiverUI is missing")
	}
	need(d.Logger != nil, "Logger is missing")
	need(d.APIRate > 0, "APIRate must be positive")
	need(d.UnverifiedRate > 0, "UnverifiedRate must be positive")

	paths := map[string]bool{}
	for i, w := range d.Webhooks {
		need(!paths[w.Path], fmt.Sprintf("Webhooks[%d].Path is taken by another webhook", i))
		paths[w.Path] = true
		need(len(w.Path) > 1 && w.Path[0] == '/', fmt.Sprintf("Webhooks[%d].Path must begin with a slash", i))
		need(w.Source != "", fmt.Sprintf("Webhooks[%d].Source is missing", i))
		need(w.Receiver != nil, fmt.Sprintf("Webhooks[%d].Receiver is missing", i))
	}
	need(len(d.Ready) > 0, "Ready is empty")
	for i, c := range d.Ready {
		need(c.Name != "" && c.Check != nil, fmt.Sprintf("Ready[%d] lacks its name or its check", i))
	}
	switch d.SourceIPMode {
	case SourceIPOff, SourceIPObserve:
	case SourceIPEnforce:
		need(len(d.SourceIPCIDRs) > 0, "SourceIPCIDRs is empty, so enforcing would refuse everyone")
	default:
		need(false, fmt.Sprintf("SourceIPMode %q is not off, observe or enforce", d.SourceIPMode))
	}
	for _, list := range []struct {
		name     string
		prefixes []netip.Prefix
	}{{"TrustedProxies", d.TrustedProxies}, {"SourceIPCIDRs", d.SourceIPCIDRs}} {
		for i, p := range list.prefixes {
			// Addresses are compared as what they are, so a range of IPv4
			// written as IPv6 would match nothing.
			need(p.IsValid() && !p.Addr().Is4In6(), fmt.Sprintf("%s[%d] is not a range, or one of IPv4 written as IPv6", list.name, i))
		}
	}
	if err := d.Tokens.validate(); err != nil {
		problems = append(problems, err)
	}
	return errors.Join(problems...)
}
