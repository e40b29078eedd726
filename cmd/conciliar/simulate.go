package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/conciliar/conciliar/config"
	"github.com/conciliar/conciliar/jobs/provider/mercadopago/simulator"
)

// simulateOptions are the flags of the simulate command.
type simulateOptions struct {
	listen      string
	target      string
	accessToken string
	secret      string
	ordersURL   string
	ordersToken string
	seed        uint64
	count       int
	rate        float64
	concurrency int
	outage      time.Duration
	exit        bool
	orders      float64
	both        float64
	test        bool
	faults      simulator.Faults
}

func newSimulate(std stdio) *cobra.Command {
	var o simulateOptions
	cmd := &cobra.Command{
		Use:   "simulate",
		Short: "Play Mercado Pago: serve its API, create payments, send signed webhooks",
		Long: `Serves the parts of Mercado Pago's API that Conciliar uses, makes payments that
pass through its statuses, and sends signed webhooks to --target, with the given
faults. The same seed gives the same payments and the same faults.

Point a service at it with MERCADOPAGO_BASE_URL, MERCADOPAGO_ACCESS_TOKEN and
MERCADOPAGO_WEBHOOK_SECRETS; where these are set, and ORDERS_TOKEN, or name a file
(…_FILE), their flags may be left out. With --orders-url it waits for the service and registers the orders first.
After sending, it serves the API until Ctrl-C, or exits with --exit.`,
		Example: `  conciliar simulate --listen 127.0.0.1:9090 --access-token TEST-1 --secret s3cret \
      --target http://127.0.0.1:8080/api/checkout/webhook --count 1000 --duplicates 2 --drop 0.15
  conciliar simulate sign --secret s3cret --id 123 --url http://127.0.0.1:8080/api/checkout/webhook`,
		Args: noArgs,
	}
	f := cmd.Flags()
	f.StringVar(&o.listen, "listen", simulatorAddr, "address of the simulated API")
	f.StringVar(&o.target, "target", "http://127.0.0.1:8080/api/checkout/webhook", "where webhooks are sent")
	f.StringVar(&o.accessToken, "access-token", "", "the token that API calls must carry; MERCADOPAGO_ACCESS_TOKEN, else "+simulatorToken)
	f.StringVar(&o.secret, "secret", "", "the secret that signs webhooks; the first of MERCADOPAGO_WEBHOOK_SECRETS")
	f.StringVar(&o.ordersURL, "orders-url", "", "base URL of the service to register the orders at, for example http://127.0.0.1:8080")
	f.StringVar(&o.ordersToken, "orders-token", "", "bearer token for --orders-url; ORDERS_TOKEN, else the first of ORDERS_TOKENS")
	f.Uint64Var(&o.seed, "seed", 1, "seed of the random numbers")
	f.IntVar(&o.count, "count", 100, "how many orders are paid; 0 only serves the API")
	f.Float64Var(&o.orders, "through-orders", 0, "share that is paid through Mercado Pago's orders, 0 to 1")
	f.Float64Var(&o.both, "both-channels", 0, "share of these that is notified as payments too, 0 to 1")
	f.BoolVar(&o.test, "test-credentials", false, "as with test credentials: webhooks of orders don't verify, their search is refused")
	f.Float64Var(&o.rate, "rate", 0, "webhooks a second; 0 is as fast as possible")
	f.IntVar(&o.concurrency, "concurrency", 8, "webhooks under way at a time")
	f.IntVar(&o.faults.Duplicates, "duplicates", 0, "extra deliveries of each webhook")
	f.BoolVar(&o.faults.Disorder, "disorder", false, "send webhooks out of order")
	f.Float64Var(&o.faults.Drop, "drop", 0, "share of webhooks that are never sent, 0 to 1")
	f.DurationVar(&o.faults.Latency, "latency", 0, "added to each answer of the API")
	f.DurationVar(&o.faults.SearchLag, "search-lag", 0, "delay until the search shows a change")
	f.DurationVar(&o.outage, "outage", 0, "begin with an outage of the API of this length")
	f.BoolVar(&o.exit, "exit", false, "exit after sending everything")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		given, err := std.simulated(cmd)
		if err != nil {
			return err
		}
		o.accessToken = cmp.Or(o.accessToken, given.AccessToken.Reveal(), simulatorToken)
		o.secret = cmp.Or(o.secret, config.First(given.WebhookSecrets))
		o.ordersToken = cmp.Or(o.ordersToken, given.OrdersToken.Reveal(), config.First(given.OrdersTokens))
		return simulate(cmd.Context(), std, o)
	}
	cmd.AddCommand(newSimulatePay(std), newSimulateSign(std))
	return cmd
}

// flagFor are the flags that stand for a variable.
var flagFor = map[string]string{
	"MERCADOPAGO_ACCESS_TOKEN": "access-token", "MERCADOPAGO_WEBHOOK_SECRETS": "secret", "ORDERS_TOKEN": "orders-token", "ORDERS_TOKENS": "orders-token",
}

// simulated reads what the service expects of Mercado Pago and of the shop as the
// service does, from variables and from the files that they name. What a flag gives is
// not read: its file may be for the service's eyes alone.
func (s stdio) simulated(cmd *cobra.Command) (config.Simulator, error) {
	return config.LoadSimulator(slices.DeleteFunc(slices.Clone(s.environ), func(entry string) bool {
		name, _, _ := strings.Cut(entry, "=")
		flag, stands := flagFor[strings.TrimSuffix(name, "_FILE")]
		return stands && cmd.Flags().Changed(flag)
	}))
}

// errNoSigningSecret is wrong usage.
var errNoSigningSecret = usagef("no secret to sign with: give --secret, or set MERCADOPAGO_WEBHOOK_SECRETS or MERCADOPAGO_WEBHOOK_SECRETS_FILE")

func simulate(ctx context.Context, std stdio, o simulateOptions) error {
	if o.orders < 0 || o.orders > 1 || o.both < 0 || o.both > 1 {
		return usagef("--through-orders and --both-channels are shares, from 0 to 1")
	}
	if strings.TrimSpace(o.secret) == "" {
		return errNoSigningSecret
	}
	if o.count < 0 || o.rate < 0 || o.concurrency < 1 || o.outage < 0 {
		return usagef("--count, --rate and --outage must not be negative, and --concurrency must be at least 1")
	}
	sim, err := simulator.New(simulator.Config{
		Seed: o.seed, AccessToken: o.accessToken, Secret: o.secret, TargetURL: o.target, Faults: o.faults,
		TestCredentials: o.test,
		Logger:          newLogger(std, config.Log{LogFormat: "auto"}),
	})
	if err != nil {
		return usageError{err}
	}
	ln, err := (&net.ListenConfig{}).Listen(ctx, "tcp", o.listen)
	if err != nil {
		return err
	}
	serveCtx, stopServing := context.WithCancel(context.WithoutCancel(ctx))
	defer stopServing()
	served := make(chan error, 1)
	go func() { served <- sim.Serve(serveCtx, ln) }()
	_, _ = fmt.Fprintf(std.out, "simulated API at http://%s\n", ln.Addr())
	if o.outage > 0 {
		sim.SetOutage(true)
		end := time.AfterFunc(o.outage, func() { sim.SetOutage(false) })
		defer end.Stop()
	}
	failed := simulateRun(ctx, std, sim, o)
	if failed == nil && !o.exit && ctx.Err() == nil {
		_, _ = fmt.Fprintln(std.out, "serving until Ctrl-C")
		select {
		case <-ctx.Done():
		case err := <-served:
			return err
		}
	}
	stopServing()
	return errors.Join(failed, <-served)
}

func simulateRun(ctx context.Context, std stdio, sim *simulator.Simulator, o simulateOptions) error {
	if o.count == 0 {
		return nil
	}
	plan := simulator.Plan{Orders: o.count, Rate: o.rate, Concurrency: o.concurrency, ThroughOrders: o.orders, BothChannels: o.both,
		ReferencePrefix: fmt.Sprintf("sim-%d-", o.seed)}
	if o.ordersURL != "" {
		orders := &orderClient{service: o.ordersURL, token: o.ordersToken}
		if err := orders.await(ctx, std.out); err != nil {
			return stoppedOr(ctx, err)
		}
		for _, spec := range sim.Orders(plan) {
			if err := orders.register(ctx, spec.Reference, spec.Amount, spec.Currency); err != nil {
				return stoppedOr(ctx, err)
			}
		}
		_, _ = fmt.Fprintf(std.out, "%d orders registered\n", o.count)
	}
	step := max(1, o.count/10)
	plan.Progress = func(done, total int) {
		if done%step == 0 || done == total {
			_, _ = fmt.Fprintf(std.out, "%d of %d orders told\n", done, total)
		}
	}
	report, err := sim.Run(ctx, plan)
	_, _ = fmt.Fprintln(std.out, report)
	return stoppedOr(ctx, err)
}
