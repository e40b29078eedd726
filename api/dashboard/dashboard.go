package dashboard

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"time"

	"github.com/conciliar/conciliar/jobs/provider"
	"github.com/conciliar/conciliar/store"
)

// storageTimeout bounds the questions that one page asks the database.
const storageTimeout = 10 * time.Second

// operator does what people ask of jobs, which need the queue, and the pages don't.
type operator interface {
	ReplayDeadLetters(ctx context.Context, filter store.DeadLetterFilter, limit int64, by store.Actor) (store.BulkReplay, error)
	// ResumeQueue returns false where no queue has that name.
	ResumeQueue(ctx context.Context, name string, by store.Actor) (resumed bool, err error)
}

// Deps are the parts that the dashboard works with. All are required unless
// said otherwise.
type Deps struct {
	// Storage are read and, by what an operator presses, written.
	Storage *store.Store
	// Operator does what people ask of jobs.
	Operator operator
	// Schedule is when reconciliations start. It is asked for each page.
	Schedule func() Schedule
	// Diagnose says why a refused delivery was refused, by what is accepted now.
	Diagnose func(refused store.RefusedDetail) (provider.Diagnosis, error)
	// Provider is the display name of who is asked about payments, such as "Mercado Pago".
	Provider string
	// WebhookPath is where the provider delivers.
	WebhookPath string
	// Refunds is true where admins may refund.
	Refunds bool
	// AlertsSent tells whether messages about alerts have a receiver.
	AlertsSent func() bool
	// Zone is that of the merchant's days; UTC when nil.
	Zone *time.Location
	// Version is the program's.
	Version string
	Logger  *slog.Logger
	// Now is the clock that ages are measured by; time.Now when nil.
	Now func() time.Time
}

// A Schedule says when reconciliations start by themselves.
type Schedule struct {
	// Next is when the next one does; nil when nothing is scheduled.
	Next *time.Time
	// Every is the period; 0 when nothing is scheduled.
	Every time.Duration
}

func (d Deps) validate() error {
	var problems []error
	need := func(ok bool, what string) {
		if !ok {
			problems = append(problems, errors.New(what+" is missing"))
		}
	}
	need(d.Storage != nil, "Storage")
	need(d.Operator != nil, "Operator")
	need(d.Schedule != nil, "Schedule")
	need(d.Diagnose != nil, "Diagnose")
	need(d.Provider != "", "Provider")
	need(d.WebhookPath != "", "WebhookPath")
	need(d.AlertsSent != nil, "AlertsSent")
	need(d.Logger != nil, "Logger")
	return errors.Join(problems...)
}

// dashboard holds what the handlers share.
type dashboard struct {
	*site

	deps Deps
	now  func() time.Time
}

// New returns the handler of everything below /dashboard but what needs no
// login. The caller lets only a logged-in operator through, named with their role by
// WithActor, and refuses unsafe methods that come from other sites.
func New(deps Deps) (http.Handler, error) {
	if err := deps.validate(); err != nil {
		return nil, err
	}
	s, err := loadedSite()
	if err != nil {
		return nil, err
	}
	s = s.naming(deps.Provider)
	s.days = deps.Zone
	d := &dashboard{site: s, deps: deps, now: deps.Now}
	if d.now == nil {
		d.now = time.Now
	}
	mux := http.NewServeMux()
	for _, route := range d.routes() {
		mux.Handle(route.pattern, d.adapt(allow(route)))
	}
	mux.Handle("/", d.adapt(func(*call) error { return errNoPage }))
	return mux, nil
}

// A call is one request for a page.
type call struct {
	http.ResponseWriter
	*http.Request

	reader *reader
	ctx    context.Context //nolint:containedctx // a call's own, bounded by booksTimeout
}

// A handler answers a call. Its error becomes an error page.
type handler func(c *call) error

// adapt turns a handler into an http.Handler, with the one place where an error
// becomes a page.
func (d *dashboard) adapt(h handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if d.choose(w, r) {
			return
		}
		ctx, cancel := context.WithTimeout(r.Context(), storageTimeout)
		defer cancel()
		c := &call{ResponseWriter: w, Request: r, reader: d.readerOf(r), ctx: ctx}
		c.reader.now = d.now()
		if err := h(c); err != nil {
			d.answerError(c, err)
		}
	})
}

// allow lets a route's handler answer those who may have it.
func allow(r route) handler {
	return func(c *call) error {
		if !roleFrom(c.Context()).Allows(r.needs) {
			return errRole
		}
		return r.handle(c)
	}
}

// show renders a page with the notice that the query names.
func (d *dashboard) show(c *call, name string, p *page) error {
	return d.showStatus(c, http.StatusOK, name, p)
}

func (d *dashboard) showStatus(c *call, status int, name string, p *page) (err error) {
	if p.work, err = d.deps.Storage.OpenWork(c.ctx); err != nil {
		return err
	}
	return d.write(c, status, name, p)
}

// write renders a page with what is known by now.
func (d *dashboard) write(c *call, status int, name string, p *page) error {
	p.reader, p.Version = c.reader, d.deps.Version
	p.Who, p.Role, p.Refunds = c.actor().Name, roleFrom(c.Context()), d.deps.Refunds
	c.takeNotice(p)
	if p.About != "" {
		var err error
		if p.Name, err = c.reader.T(p.About, "id", p.ID); err != nil {
			return err
		}
	}
	return d.render(c.ResponseWriter, c.Request, status, name, p)
}

// actor is who acts, for the audit trail.
func (c *call) actor() store.Actor { return ActorFrom(c.Context()) }

// redirect sends the browser to a page of ours after an action.
func (c *call) redirect(format string, args ...any) error {
	http.Redirect(c.ResponseWriter, c.Request, fmt.Sprintf(format, args...), http.StatusSeeOther)
	return nil
}
