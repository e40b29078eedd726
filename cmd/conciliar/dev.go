package main

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"log/slog"
	"math/big"
	"net"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"

	"github.com/conciliar/conciliar/api"
	"github.com/conciliar/conciliar/config"
	"github.com/conciliar/conciliar/jobs/provider/mercadopago/simulator"
	"github.com/conciliar/conciliar/migrations"
	"github.com/conciliar/conciliar/store/localpg"
)

func newDev(std stdio) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "dev",
		Short: "Run everything on this machine, with nothing set up",
		Long: `Starts a private PostgreSQL, brings up its schema, plays Mercado Pago with the
simulator, runs the service against both, and lets sample shoppers buy: the
orders turn paid through signed webhooks, the queue, the fetch and the
settlement. Nothing leaves this machine. Ctrl-C stops and removes it all.

With --order-events-url a shop of yours is told of each change of an order, as in
production; the URL may be http and on this machine.

PostgreSQL's programs are taken from where they are installed, else fetched.`,
		Example: "  conciliar dev\n  conciliar dev --data ./conciliar-data --http 127.0.0.1:8080\n" +
			"  conciliar dev --no-shoppers --order-events-url http://127.0.0.1:8090/conciliar",
		Args: noArgs,
	}
	data := cmd.Flags().String("data", "", "keep the data in this directory")
	httpAddr := cmd.Flags().String("http", "", "listen address of the service (default 127.0.0.1:8080, or a free port)")
	eventsURL := cmd.Flags().String("order-events-url", "", "send order events to this URL; the secret that signs them is printed")
	quiet := cmd.Flags().Bool("no-shoppers", false, "no sample shoppers")
	verbose := cmd.Flags().BoolP("verbose", "v", false, "show the service's own log")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if *eventsURL != "" {
			if _, err := parseURL(*eventsURL); err != nil {
				return usagef("--order-events-url must be a URL such as http://127.0.0.1:8090/conciliar")
			}
		}
		level := slog.LevelWarn
		if *verbose {
			level = slog.LevelDebug
		}
		d := &dev{std: std, dataDir: *data, httpAddr: *httpAddr, eventsURL: *eventsURL, shoppers: !*quiet,
			logger: newLogger(std, config.Log{LogLevel: config.LogLevel{Level: level}, LogFormat: "auto"})}
		return d.run(cmd.Context())
	}
	return cmd
}

// dev is one run of the command.
type dev struct {
	std      stdio
	dataDir  string
	httpAddr string
	// eventsURL is where order events are sent; empty for nowhere.
	eventsURL string
	shoppers  bool
	logger    *slog.Logger

	database *localpg.Server
	sim      *simulator.Simulator
	stopSim  context.CancelFunc
	simURL   string
	secret   string
	access   string
	tokens   map[string]string
	password string
	// eventsSecret signs order events.
	eventsSecret string
	service      string
	began        time.Time
}

func (d *dev) say(format string, args ...any) { _, _ = fmt.Fprintf(d.std.out, format+"\n", args...) }

func (d *dev) run(ctx context.Context) (err error) {
	d.say("starting a private PostgreSQL …")
	d.began = time.Now()
	d.database, err = localpg.Start(ctx, localpg.Options{DataDir: d.dataDir, Logger: d.logger, Fsync: d.dataDir != ""})
	if err != nil {
		return stoppedOr(ctx, err)
	}
	defer func() {
		limit, done := context.WithTimeout(context.WithoutCancel(ctx), shutdownLimit)
		defer done()
		err = errors.Join(err, d.database.Stop(limit))
		if err == nil {
			d.say("stopped")
		}
	}()
	return d.runParts(ctx)
}

// runParts starts one part after the other on the database and returns when
// all have ended: at the end of ctx, or after the first that failed.
func (d *dev) runParts(ctx context.Context) error {
	parts, ctx := errgroup.WithContext(ctx)
	parts.Go(func() error {
		select {
		case <-d.database.Done():
			return errors.New("PostgreSQL ended unexpectedly")
		case <-ctx.Done():
			return nil
		}
	})
	start := func() error {
		if err := d.startSimulator(ctx, parts); err != nil {
			return err
		}
		if err := d.startService(ctx, parts); err != nil {
			d.stopSim()
			return err
		}
		return d.introduce(ctx)
	}
	parts.Go(func() error {
		err := start()
		if err == nil && d.shoppers {
			err = d.buy(ctx)
		}
		return stoppedOr(ctx, err)
	})
	return parts.Wait()
}

// stoppedOr is nil when ctx was ended on purpose, and err otherwise.
func stoppedOr(ctx context.Context, err error) error {
	select {
	case <-ctx.Done():
		return nil
	default:
		return err
	}
}

func (d *dev) startSimulator(ctx context.Context, parts *errgroup.Group) error {
	d.secret, d.access = rand.Text(), "TEST-"+rand.Text()
	// Another seed in every run: with kept data, payments must not repeat.
	seed, err := rand.Int(rand.Reader, big.NewInt(1<<62))
	if err != nil {
		return err
	}
	d.sim, err = simulator.New(simulator.Config{Seed: seed.Uint64(), AccessToken: d.access, Secret: d.secret, Logger: atLeast(d.logger, slog.LevelWarn)})
	if err != nil {
		return err
	}
	ln, err := listenNear(ctx, simulatorAddr)
	if err != nil {
		return err
	}
	d.simURL = "http://" + ln.Addr().String()
	// It outlives the service: attempts under way when both are told to stop
	// must not fail over it.
	life, stop := context.WithCancel(context.WithoutCancel(ctx))
	d.stopSim = stop
	parts.Go(func() error { return d.sim.Serve(life, ln) })
	return nil
}

func (d *dev) startService(ctx context.Context, parts *errgroup.Group) error {
	if err := d.database.CreateDatabase(ctx, "conciliar"); err != nil {
		return err
	}
	ln, err := d.listen(ctx)
	if err != nil {
		return err
	}
	d.service = "http://" + ln.Addr().String()
	a, err := d.wire(ctx, ln.Addr().String())
	if err != nil {
		return errors.Join(err, ln.Close())
	}
	parts.Go(func() error {
		defer d.stopSim()
		return a.run(ctx, ln)
	})
	return nil
}

// wire makes the service as serve does, from an environment.
func (d *dev) wire(ctx context.Context, addr string) (*app, error) {
	cfg, err := config.Load(d.environ(addr))
	if err != nil {
		return nil, err
	}
	if err := d.migrate(ctx, cfg); err != nil {
		return nil, err
	}
	if err := d.sim.SetTarget(d.service + api.WebhookPath); err != nil {
		return nil, err
	}
	return newApp(ctx, cfg, role{api: true, worker: true}, d.logger)
}

// listen takes the address asked for; without one, the usual port or a free one.
func (d *dev) listen(ctx context.Context) (net.Listener, error) {
	if d.httpAddr != "" {
		return (&net.ListenConfig{}).Listen(ctx, "tcp", d.httpAddr)
	}
	return listenNear(ctx, "127.0.0.1:8080")
}

// listenNear takes an address, or a free port of this machine where it is taken.
func listenNear(ctx context.Context, addr string) (net.Listener, error) {
	var lc net.ListenConfig
	if ln, err := lc.Listen(ctx, "tcp", addr); err == nil {
		return ln, nil
	}
	return lc.Listen(ctx, "tcp", "127.0.0.1:0")
}

// environ is the environment that the service of this run gets: the same way
// in as in production.
func (d *dev) environ(addr string) []string {
	d.tokens = map[string]string{}
	environ := []string{
		"DATABASE_URL=" + d.database.URL("conciliar"),
		"HTTP_ADDR=" + addr,
		"MERCADOPAGO_ACCESS_TOKEN=" + d.access,
		"MERCADOPAGO_WEBHOOK_SECRETS=" + d.secret,
		"MERCADOPAGO_BASE_URL=" + d.simURL,
		// The simulator has no limits; sample shoppers should not wait.
		"PROVIDER_RATE_LIMIT=200",
	}
	d.password = rand.Text()
	environ = append(environ, "OPERATOR_PASSWORD="+d.password)
	for _, name := range []string{"STATUS_TOKENS", "PROCESS_QUEUE_TOKENS", "RECONCILE_TOKENS", "ORDERS_TOKENS"} {
		d.tokens[name] = rand.Text()
		environ = append(environ, name+"="+d.tokens[name])
	}
	if d.eventsURL != "" {
		d.eventsSecret = "whsec_" + base64.StdEncoding.EncodeToString([]byte(rand.Text()))
		environ = append(environ, "ORDER_EVENTS_URL="+d.eventsURL, "ORDER_EVENTS_SECRETS="+d.eventsSecret, "ORDER_EVENTS_ALLOW_PRIVATE=true")
	}
	return environ
}

func (d *dev) migrate(ctx context.Context, cfg config.Config) error {
	pool, err := openPool(ctx, cfg.Database, 4, nil, withName("conciliar migrate"))
	if err != nil {
		return err
	}
	defer pool.Close()
	// Data that an older release kept is in public.
	found, err := migrations.Find(ctx, pool)
	if err == nil && !found.Here && len(found.Elsewhere) > 0 {
		err = moveHere(ctx, pool, found.Elsewhere[0], d.logger)
	}
	if err != nil {
		return err
	}
	return migrations.Up(ctx, pool, d.logger)
}

// introduce registers an order to play with and prints how to reach everything.
func (d *dev) introduce(ctx context.Context) error {
	reference := "demo-" + someName()
	orders := &orderClient{service: d.service, token: d.tokens["ORDERS_TOKENS"]}
	if err := orders.register(ctx, reference, demoAmount, "ARS"); err != nil {
		return err
	}
	// Unlisted: a reconciliation would find it before the reader's curl tells of it.
	id := d.sim.CreatePayment(simulator.PaymentSpec{
		Reference: reference, Amount: demoAmount, Status: simulator.Approved, StatusDetail: "accredited", CreatedAt: time.Now(), Unlisted: true,
	})
	curl, err := sign(d.secret, id, time.Now()).curl(d.service + api.WebhookPath)
	if err != nil {
		return err
	}
	events := ""
	if d.eventsURL != "" {
		events = fmt.Sprintf("\n  export ORDER_EVENTS_SECRETS=%s   # signs order events, which go to %s", d.eventsSecret, d.eventsURL)
	}
	d.say(`
Conciliar %s is running.

  service     %s
  simulator   %s   (plays Mercado Pago)
  database    %s
  dashboard   %s/dashboard   (River UI: %s/riverui/)
  log in with the password
              %s

Order %s waits for 150.00 ARS. Its payment %s is approved, but no
webhook has said so yet. This one does:
  %s

For commands in another terminal:
  export SERVICE=%s ORDER=%s PAYMENT_ID=%s SIMULATOR=%s
  export STATUS_TOKEN=%s PROCESS_QUEUE_TOKEN=%s
  export RECONCILE_TOKEN=%s ORDERS_TOKEN=%s
  export SECRET=%s   # signs webhooks%s
and then, for example:
  curl "$SERVICE/api/orders/$ORDER" -H "Authorization: Bearer $ORDERS_TOKEN"
  curl "$SERVICE/api/webhooks/status" -H "Authorization: Bearer $STATUS_TOKEN"
An order of your own is paid, refunded or charged back by
  %s simulate pay REFERENCE --amount 150.00 --url "$SIMULATOR"

Ctrl-C stops everything.
`, version, d.service, d.simURL, d.database.URL("conciliar"),
		d.service, d.service, d.password,
		reference, id, curl,
		d.service, reference, id, d.simURL,
		d.tokens["STATUS_TOKENS"], d.tokens["PROCESS_QUEUE_TOKENS"],
		d.tokens["RECONCILE_TOKENS"], d.tokens["ORDERS_TOKENS"],
		d.secret, events, d.std.called())
	return nil
}

// someName tells the orders of this run from those of the runs before.
func someName() string { return strings.ToLower(rand.Text()[:6]) }
