package simulator

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"sync"
	"sync/atomic"
	"time"
)

// DefaultCollectorID is the account that is paid when the configuration names
// none.
const DefaultCollectorID = 190_061_234

// answerLimit is how long Mercado Pago waits for the answer to a notification
// (Webhooks page, "22 seconds").
const answerLimit = 22 * time.Second

// Config says what is simulated. AccessToken and Secret are required.
type Config struct {
	// Seed is where every draw comes from. Payments of simulators with
	// different seeds have, all but surely, different ids.
	Seed uint64
	// AccessToken is the bearer token that API calls must carry.
	AccessToken string
	// Secret signs the notifications.
	Secret string
	// CollectorID is the account that is paid; DefaultCollectorID when 0.
	CollectorID int64
	// Sellers are accounts beside it.
	Sellers []Seller
	// LiveMode is what payments say in live_mode, unless their spec says
	// otherwise.
	LiveMode bool
	// Currency is the ISO 4217 code of orders and payments; "ARS" when empty.
	Currency string
	// TargetURL is where notifications go. It may be set later by SetTarget.
	// Parameters in it are sent along, as Mercado Pago does.
	TargetURL string
	// HTTPClient sends the notifications; one with Mercado Pago's limit of 22
	// seconds when nil.
	HTTPClient *http.Client
	// Clock tells the time; time.Now when nil. Delays wait in real time.
	Clock func() time.Time
	// Logger receives what the simulator does; nothing is logged when nil.
	Logger *slog.Logger
	// TestCredentials makes the access token one of a test application, as some
	// integrators report them: the signature of a notification about an order
	// verifies in no form, the orders' search is refused, and so are chargebacks.
	TestCredentials bool
	// Money is what happens to payments' money, Reports how the reports on it are
	// written.
	Money   Money
	Reports Reports
	// Faults is what goes wrong; nothing when zero.
	Faults Faults
	// RedeliveryDelays is how long after each answer other than 2xx a
	// notification of Run is sent again; when the list is used up it is given
	// up. Mercado Pago redelivers seven times over about two weeks; the list
	// when nil has seven steps from 100 ms, each the double of the one before.
	RedeliveryDelays []time.Duration
}

// A Simulator plays Mercado Pago. It is safe for concurrent use.
type Simulator struct {
	cfg       Config
	client    *http.Client
	ownClient bool
	clock     func() time.Time
	log       *slog.Logger
	firstID   int64
	sellers   map[int64]*seller

	target     atomic.Pointer[url.URL]
	outage     atomic.Bool
	revoked    atomic.Bool
	lastSeq    atomic.Uint64
	counters   counters
	searchMemo searchMemo
	// notified counts the notifications about anything but payments.
	notified atomic.Uint64

	paying sync.Mutex // held while Pay looks at a payment and changes it

	refunding  sync.Mutex // guards refundBook; taken before mu
	refundBook refundBook

	mu       sync.RWMutex      // guards what follows
	answers  map[string]Answer // by path: see SetAnswer
	payments map[int64]*payment
	created  []*payment // in the order of creation; only ever appended to
	orders   map[string]*ledgerOrder
	opened   []*ledgerOrder // in the order of first mention
	// merchantOrders are by id, merchantOrderIDs by reference.
	merchantOrders   map[int64]*merchantOrder
	merchantOrderIDs map[string]int64
	// resources are by path, also of those that are served nowhere.
	resources map[string]*resource
	// mercadoPagoOrders are those of the resources that are Mercado Pago's orders, in
	// the order of creation.
	mercadoPagoOrders []*resource
	// accounts are the collectors' money, reports what was made of it, and
	// scheduledUntil up to when an account's schedule made reports.
	accounts       []*account
	reports        []*report
	scheduledUntil map[int64]time.Time
}

// New makes a simulator. It reports everything that is wrong with cfg at once.
func New(cfg Config) (*Simulator, error) {
	var problems []error
	if cfg.AccessToken == "" {
		problems = append(problems, errors.New("no AccessToken"))
	}
	if cfg.Secret == "" {
		problems = append(problems, errors.New("no Secret"))
	}
	if cfg.CollectorID < 0 {
		problems = append(problems, errors.New("negative CollectorID"))
	}
	for _, delay := range cfg.RedeliveryDelays {
		if delay < 0 {
			problems = append(problems, fmt.Errorf("negative delay %v in RedeliveryDelays", delay))
		}
	}
	problems = append(problems, cfg.Faults.check()...)

	s := &Simulator{
		cfg:      cfg,
		client:   cfg.HTTPClient,
		clock:    cfg.Clock,
		log:      cfg.Logger,
		firstID:  firstID(cfg.Seed),
		answers:  make(map[string]Answer),
		payments: make(map[int64]*payment),
		orders:   make(map[string]*ledgerOrder),

		merchantOrders: make(map[int64]*merchantOrder), merchantOrderIDs: make(map[string]int64),
		refundBook: refundBook{bodies: make(map[string]string)},
		resources:  make(map[string]*resource), scheduledUntil: make(map[int64]time.Time),
	}
	s.cfg.CollectorID = cmp.Or(s.cfg.CollectorID, DefaultCollectorID)
	var wrong []error
	s.sellers, wrong = newSellers(cfg.Sellers, s.cfg.CollectorID)
	problems = append(problems, wrong...)
	s.cfg.Currency = cmp.Or(s.cfg.Currency, "ARS")
	if s.cfg.RedeliveryDelays == nil {
		for delay := 100 * time.Millisecond; len(s.cfg.RedeliveryDelays) < 7; delay *= 2 {
			s.cfg.RedeliveryDelays = append(s.cfg.RedeliveryDelays, delay)
		}
	}
	if s.client == nil {
		s.client, s.ownClient = newClient(), true
	}
	if s.clock == nil {
		s.clock = time.Now
	}
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	if cfg.TargetURL != "" {
		if err := s.SetTarget(cfg.TargetURL); err != nil {
			problems = append(problems, err)
		}
	}
	if err := errors.Join(problems...); err != nil {
		return nil, fmt.Errorf("simulator configuration: %w", err)
	}
	return s, nil
}

// newClient makes a client that keeps enough connections open for many
// concurrent notifications to one host and follows no redirect.
func newClient() *http.Client {
	return &http.Client{
		Timeout: answerLimit,
		Transport: &http.Transport{
			Proxy:               http.ProxyFromEnvironment,
			DisableCompression:  true,
			IdleConnTimeout:     time.Minute,
			MaxIdleConns:        1024,
			MaxIdleConnsPerHost: 1024,
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// SetTarget changes where notifications go from now on. The target must be an
// absolute http or https URL.
func (s *Simulator) SetTarget(target string) error {
	u, err := url.Parse(target)
	if err != nil {
		// url.Error repeats the URL, which may hold a credential.
		return errors.New("target: not a URL")
	}
	if (u.Scheme != "http" && u.Scheme != "https") || u.Host == "" {
		return errors.New("target: not an absolute http or https URL")
	}
	s.target.Store(u)
	return nil
}

// SetOutage makes the whole API unavailable, or available again. During an
// outage three of four calls are answered 503 (two with a JSON body, one with
// a proxy's HTML page) and every fourth loses its connection. Notifications
// are not affected.
func (s *Simulator) SetOutage(on bool) { s.outage.Store(on) }

// SetRevoked makes the access token one that is not accepted any more, or again.
// Notifications are not affected.
func (s *Simulator) SetRevoked(on bool) { s.revoked.Store(on) }

// Serve answers API calls on ln until ctx is done; it then lets the calls under
// way finish, for five seconds at most, and returns nil.
func (s *Simulator) Serve(ctx context.Context, ln net.Listener) error {
	server := &http.Server{
		Handler:           s.Handler(),
		ReadHeaderTimeout: 10 * time.Second,
		ErrorLog:          slog.NewLogLogger(s.log.Handler(), slog.LevelWarn),
	}
	failed := make(chan error, 1)
	go func() { failed <- server.Serve(ln) }()
	select {
	case err := <-failed:
		return fmt.Errorf("serving the API: %w", err)
	case <-ctx.Done():
	}
	// ctx is over, and what is under way gets time of its own.
	grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	if err := server.Shutdown(grace); err != nil {
		if err := server.Close(); err != nil {
			return fmt.Errorf("closing the API: %w", err)
		}
	}
	if err := <-failed; !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serving the API: %w", err)
	}
	return nil
}

// now is the simulator's time.
func (s *Simulator) now() time.Time { return s.clock() }
