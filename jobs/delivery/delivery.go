// Package delivery is the engine for what goes out: it knows receivers, signatures,
// addresses, what an answer means and when a message is sent again, and never what
// it carries. Which message is next is the store's to say, and jobs ask it.
package delivery

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

const (
	// DefaultTimeout bounds one attempt, from the lookup of the name to the answer.
	DefaultTimeout = 15 * time.Second
	// DefaultPace is how many attempts a second one process makes at one receiver.
	DefaultPace = 50
	// Concurrency is how many attempts one process makes at one receiver at once.
	// A receiver that never answers occupies these, and nobody else's.
	Concurrency = 8
	// bodyPatience is how long the rest of an answer is waited for, once its status
	// has come: the status decides, and the rest is for people.
	bodyPatience = 2 * time.Second
	// maxAnswer is how much of an answer is read, and maxAnswerHeader of its header.
	maxAnswer       = 64 << 10
	maxAnswerHeader = 64 << 10
	// maxWait bounds what a receiver may ask for by Retry-After: the longest wait
	// of the schedule.
	maxWait = 24 * time.Hour
)

// DefaultWaits are the waits between the attempts of one message. The attempt
// after the last wait is the last.
func DefaultWaits() []time.Duration {
	return []time.Duration{
		5 * time.Second, 30 * time.Second, 2 * time.Minute, 10 * time.Minute, 30 * time.Minute,
		time.Hour, 3 * time.Hour, 6 * time.Hour, 12 * time.Hour, 24 * time.Hour,
	}
}

// A Statuses is a range of HTTP statuses, both ends included.
type Statuses struct{ From, To int }

// A Receiver is where messages are sent by POST. It does not print its URL, which
// may hold a token.
type Receiver struct {
	// Name is what the ledger calls it, such as "order_events" or "source:github".
	Name string
	// URL must be https, unless private addresses are allowed.
	URL string `json:"-"`
	// Headers are set on every message, beside its own.
	Headers map[string]string `json:"-"`
	// Signer signs messages; nil for none.
	Signer *Signer `json:"-"`
	// Accept are the statuses that accept a message; 200 to 299 when empty.
	Accept []Statuses
	// Waits are those between attempts; DefaultWaits when nil. With none there is a
	// single attempt.
	Waits []time.Duration
	// Timeout bounds one attempt; DefaultTimeout when 0.
	Timeout time.Duration
	// Pace is how many attempts a second a process makes; DefaultPace when 0.
	Pace float64
	// AllowPrivate permits http, and addresses that are not on the public internet.
	AllowPrivate bool
}

// String says what this is, without the URL.
func (r Receiver) String() string { return "receiver " + r.Name }

// Format is String, for every verb.
func (r Receiver) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, r.String()) }

// LogValue is String, for log/slog.
func (r Receiver) LogValue() slog.Value { return slog.StringValue(r.String()) }

var receiverName = regexp.MustCompile(`^[a-z0-9_]+(:[a-z0-9-]{1,32})?$`)

// checkURL returns what is wrong with a URL, and repeats nothing of it.
func checkURL(text string, allowPrivate bool) error {
	parsed, err := url.Parse(text)
	switch {
	case err != nil || parsed.Hostname() == "" || parsed.User != nil:
		return errors.New("is not a URL with a host and without credentials")
	case parsed.Scheme != "https" && (parsed.Scheme != "http" || !allowPrivate):
		return errors.New("must be https (http is for private addresses, where they are allowed)")
	}
	return nil
}

// withDefaults is the receiver with everything filled in, or what is wrong with it.
func (r Receiver) withDefaults() (Receiver, error) {
	if !receiverName.MatchString(r.Name) {
		return r, fmt.Errorf("receiver %q: not a name of a receiver", r.Name)
	}
	if err := checkURL(r.URL, r.AllowPrivate); err != nil {
		return r, fmt.Errorf("receiver %s: its URL %w", r.Name, err)
	}
	if r.Timeout < 0 || r.Pace < 0 || slices.ContainsFunc(r.Waits, func(wait time.Duration) bool { return wait <= 0 }) {
		return r, fmt.Errorf("receiver %s: timeout, pace and waits must be positive", r.Name)
	}
	for _, s := range r.Accept {
		if s.From < 200 || s.To > 599 || s.From > s.To {
			return r, fmt.Errorf("receiver %s: %d to %d is not a range of statuses from 200 to 599", r.Name, s.From, s.To)
		}
	}
	if len(r.Accept) == 0 {
		r.Accept = []Statuses{{http.StatusOK, 299}}
	}
	if r.Waits == nil {
		r.Waits = DefaultWaits()
	}
	if r.Timeout == 0 {
		r.Timeout = DefaultTimeout
	}
	if r.Pace == 0 {
		r.Pace = DefaultPace
	}
	return r, nil
}

// A station is a receiver in use.
type station struct {
	Receiver

	limiter *rate.Limiter

	mu sync.Mutex
	// heldUntil is until when the receiver asked to be left alone.
	heldUntil time.Time
}

// An Engine sends messages to receivers. It is safe for concurrent use.
type Engine struct {
	public, private *http.Client
	userAgent       string
	now             func() time.Time

	mu       sync.RWMutex
	stations map[string]*station
}

// Options are what an Engine needs beside its receivers.
type Options struct {
	// UserAgent names us to receivers.
	UserAgent string
	// Now is the clock of what receivers ask to wait for; time.Now when nil.
	Now func() time.Time
}

// New returns an engine without receivers.
func New(opts Options) *Engine {
	if opts.Now == nil {
		opts.Now = time.Now
	}
	return &Engine{
		public: newClient(publicOnly), private: newClient(nil),
		userAgent: opts.UserAgent, now: opts.Now, stations: map[string]*station{},
	}
}

// Use replaces the receivers whose names begin with prefix: the settings and a file
// each have receivers of their own. Attempts under way end as they began. On an
// error the previous ones stay.
func (e *Engine) Use(prefix string, receivers ...Receiver) error {
	var problems []error
	next := map[string]*station{}
	for _, r := range receivers {
		filled, err := r.withDefaults()
		switch {
		case err != nil:
			problems = append(problems, err)
		case len(r.Name) < len(prefix) || r.Name[:len(prefix)] != prefix:
			problems = append(problems, fmt.Errorf("receiver %s: its name does not begin with %q", r.Name, prefix))
		default:
			next[r.Name] = &station{Receiver: filled, limiter: rate.NewLimiter(rate.Limit(filled.Pace), max(1, int(filled.Pace)))}
		}
	}
	if len(problems) > 0 {
		return errors.Join(problems...)
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	maps.DeleteFunc(e.stations, func(name string, _ *station) bool { return len(name) >= len(prefix) && name[:len(prefix)] == prefix })
	maps.Copy(e.stations, next)
	return nil
}

// Names are the receivers' names, in order.
func (e *Engine) Names() []string {
	e.mu.RLock()
	defer e.mu.RUnlock()
	return slices.Sorted(maps.Keys(e.stations))
}

// LongestTimeout is how long an attempt at any receiver may take at most.
func (e *Engine) LongestTimeout() time.Duration {
	e.mu.RLock()
	defer e.mu.RUnlock()
	longest := DefaultTimeout
	for _, s := range e.stations {
		longest = max(longest, s.Timeout)
	}
	return longest
}

// station returns a receiver that is in use; nil when there is none of that name.
func (e *Engine) station(name string) *station {
	e.mu.RLock()
	defer e.mu.RUnlock()
	return e.stations[name]
}

// HeldUntil is until when a receiver asked this process to wait, by Retry-After;
// zero when it may be asked now.
func (e *Engine) HeldUntil(name string) time.Time {
	s := e.station(name)
	if s == nil {
		return time.Time{}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.heldUntil.After(e.now()) {
		return time.Time{}
	}
	return s.heldUntil
}

// hold leaves the receiver alone until then.
func (s *station) hold(until time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if until.After(s.heldUntil) {
		s.heldUntil = until
	}
}
