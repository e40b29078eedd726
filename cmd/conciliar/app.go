package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/prometheus/client_golang/prometheus"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"

	"github.com/conciliar/conciliar/api"
	"github.com/conciliar/conciliar/config"
	"github.com/conciliar/conciliar/jobs"
	"github.com/conciliar/conciliar/jobs/provider"
	"github.com/conciliar/conciliar/jobs/provider/mercadopago"
	"github.com/conciliar/conciliar/store"
	"github.com/conciliar/conciliar/store/order"
)

// A role is what a process does of the service's work.
type role struct{ api, worker bool }

const (
	// shutdownLimit bounds the whole of a shutdown.
	shutdownLimit = 10 * time.Second
	// hangUpAfter is how long a shutdown waits for calls under way. A webhook
	// that is cut off is delivered again.
	hangUpAfter = 5 * time.Second
	// closeReserve is what of a shutdown's time is left to closing: writing what
	// was accepted, and the database's connections.
	closeReserve = time.Second
	// flushLimit bounds the sending of the last traces.
	flushLimit = 2 * time.Second
)

// An app is the service, wired. Its parts are in the order in which they are
// made; they are stopped in the reverse order.
type app struct {
	logger  *slog.Logger
	metrics *prometheus.Registry
	traces  *sdktrace.TracerProvider
	pool    *pgxpool.Pool
	// direct makes connections whose session is ours alone; pool itself where no pooler
	// takes that from us.
	direct  *pgxpool.Pool
	store   *store.Store
	inbox   *store.Inbox
	refused *store.RefusedLog
	heart   *store.Heartbeat
	sources *store.SourceLog
	runner  *jobs.Runner
	working atomic.Bool
	// secrets are the parts that take over changed settings. watched is what is read
	// again from its files while the process runs, at once when hangups delivers
	// something.
	secrets secretUsers
	watched []config.Reloader
	hangups <-chan os.Signal
	// market follows the file of the sellers.
	market *marketplace
	// senders follows the file of the other senders.
	senders *senders
	// account keeps the account that the ledger belongs to; nil when it is configured.
	account *jobs.AccountKeeper
	riverUI *api.RiverUI
	server  *http.Server
}

// newApp wires the service and starts nothing that accepts work.
func newApp(ctx context.Context, cfg config.Config, does role, logger *slog.Logger) (_ *app, err error) {
	jobsConfig := jobsConfig(cfg, logger)
	a, err := newBase(ctx, cfg, jobsConfig, connectionsFor(cfg, does), measured(cfg, logger))
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			a.close()
		}
	}()
	client, err := a.connect(ctx, cfg)
	if err != nil {
		return nil, err
	}
	if does.worker {
		if err = a.newDeliveries(ctx, cfg); err != nil {
			return nil, err
		}
		a.senders.engine = a.secrets.deliveries.engine
		deps := a.jobsDeps(cfg, client)
		deps.Deliveries = a.secrets.deliveries.engine
		jobsConfig.Registerer, jobsConfig.TracerProvider = a.metrics, a.tracerProvider()
		if jobsConfig.Reindex, err = a.store.MayReindex(ctx); err != nil {
			return nil, err
		}
		if a.runner, err = jobs.NewRunner(a.pool, jobsConfig, deps); err != nil {
			return nil, err
		}
	}
	if err = a.wireAPI(cfg, does); err != nil {
		return nil, err
	}
	if err = a.store.CheckAbilities(ctx); err != nil {
		return nil, err
	}
	gap, err := a.store.CloseSequenceGap(ctx)
	if err != nil {
		return nil, err
	}
	if gap != nil {
		logger.Warn("the sequence of events was behind what is stored; moved ahead", "drawn", gap.Drawn, "stored", gap.Stored)
	}
	if err = a.market.follow(logger); err != nil {
		return nil, err
	}
	if err = a.senders.follow(logger); err != nil {
		return nil, err
	}
	a.watched = append(a.watched, a.market.watched, a.senders.watched)
	a.heart = store.NewHeartbeat(a.store, processOf(does), a.filesInUse)
	return a, nil
}

// newBase wires what every part of the service stands on: the database and
// the store.
func newBase(ctx context.Context, cfg config.Config, jobsConfig jobs.Config, connections int, opts ...poolOption) (_ *app, err error) {
	a := &app{logger: jobsConfig.Logger, metrics: newRegistry()}
	defer func() {
		if err != nil {
			a.close()
		}
	}()
	if a.senders, err = newSenders(cfg.Sources); err != nil {
		return nil, err
	}
	if a.traces, err = newTracing(ctx, cfg.Tracing, a.logger); err != nil {
		return nil, err
	}
	a.secrets.database.Store(&cfg.Database)
	if err = a.openDatabase(ctx, cfg.Database, connections, opts...); err != nil {
		return nil, err
	}
	if err = requireSchema(ctx, a.pool); err != nil {
		return nil, err
	}
	inserter, err := jobs.NewInserter(a.pool, jobsConfig)
	if err != nil {
		return nil, err
	}
	options := store.Options{
		Direct:       a.direct,
		Rules:        order.Rules{CollectorID: cfg.CollectorID, Mode: order.Mode(cfg.LiveMode)},
		UnknownOrder: store.UnknownOrder(cfg.UnknownOrder),
		FormJob:      inserter.Form,
		WorkOf:       a.workOf,
		Providers:    []string{mercadopago.Source},
		ReadPayers:   readPayers,
		InsertStep:   inserter.InsertStep,
		Logger:       jobsConfig.Logger,

		InsertDeliveries: inserter.InsertDeliveries,
	}
	if cfg.Refunds.On() {
		options.InsertRefund = inserter.InsertRefund
	}
	if a.store, err = store.New(a.pool, options); err != nil {
		return nil, err
	}
	if cfg.CollectorID == "" {
		if _, err = a.store.LoadAccount(ctx); err != nil {
			return nil, err
		}
	}
	if err = a.store.LoadSellers(ctx); err != nil {
		return nil, err
	}
	return a, a.store.RegisterMetrics(a.metrics)
}

// openDatabase connects to the database, past a pooler too where that is needed.
func (a *app) openDatabase(ctx context.Context, database config.Database, connections int, opts ...poolOption) (err error) {
	current := func() config.Database { return *a.secrets.database.Load() }
	var pooler store.Pooler
	opts = append(opts, withTracer(a.queryTracer()), noting(&pooler), withCredentials(func() config.Secret { return current().DatabaseURL }))
	if a.pool, err = openPool(ctx, database, connections, sessionSettings, opts...); err != nil {
		return err
	}
	if a.direct = a.pool; database.DatabaseDirectURL.Reveal() == "" && pooler != store.PoolerTransaction {
		return nil
	}
	a.direct, err = openDirect(ctx, database, directConnections, sessionSettings, withTracer(a.queryTracer()),
		withCredentials(func() config.Secret { return current().Direct() }))
	return err
}

// readPayers finds whom a document of our providers names as a payer.
func readPayers(source string, document []byte) store.Payers {
	if source != mercadopago.Source {
		return store.Payers{}
	}
	return store.Payers(mercadopago.ReadPayers(document))
}

// workOf says what the events of our providers and of declared senders ask for.
func (a *app) workOf(source, topic, resourceID string) (string, bool) {
	own := provider.Work("")
	if source == mercadopago.Source {
		own = mercadopago.WorkOf(topic, resourceID)
	}
	if own == "" || own == provider.Keep {
		if work, known := a.senders.workOf(source, topic); known {
			return string(work), true
		}
	}
	return string(own), own != ""
}

// filesInUse are the configuration files that this process has in use.
func (a *app) filesInUse() []store.ProcessFile {
	return []store.ProcessFile{
		fileInUse(sellersVariable, a.market.watched.Value().Digest, a.market.watched),
		fileInUse(sourcesVariable, a.senders.watched.Value().Digest, a.senders.watched),
	}
}

func jobsConfig(cfg config.Config, logger *slog.Logger) jobs.Config {
	return jobs.Config{
		Schema: cfg.DatabaseSchema, Workers: cfg.Workers, JobTimeout: cfg.JobTimeout, RescueAfter: cfg.RescueAfter, Retention: cfg.Retention, PayloadRetention: cfg.PayloadRetention,
		Backoff: jobs.Backoff{Waits: cfg.RetrySchedule, Attempts: cfg.RetryMaxAttempts}, ReconcileSchedule: cfg.ReconcileSchedule.String(),
		ProviderRate: float64(cfg.ProviderRateLimit),
		Logger:       logger, RiverLogger: atLeast(logger, slog.LevelWarn),
	}
}

// connectionsFor is how many database connections a process may hold. An
// attempt waits for Mercado Pago most of its time, so two share one connection;
// the rest is for the inbox's writers, operations, River's own and headroom.
func connectionsFor(cfg config.Config, does role) int {
	connections := 10
	if does.worker {
		connections += (cfg.Workers + 1) / 2
	}
	return connections
}

// connect makes what asks Mercado Pago, and refuses credentials of another account
// than the ledger.
func (a *app) connect(ctx context.Context, cfg config.Config) (*mercadopago.Client, error) {
	settings := mercadopago.Config{
		BaseURL: cfg.BaseURL.String(), AccessToken: cfg.AccessToken.Reveal(),
		RateLimit: float64(cfg.ProviderRateLimit), UserAgent: "conciliar/" + version, Registerer: a.metrics,
		AccountID: cfg.CollectorID,
		Transport: a.providerTransport(mercadopago.NewTransport()),
	}
	client, err := mercadopago.NewClient(settings)
	if err != nil {
		return nil, err
	}
	sender, err := jobs.NewAlertSender(cfg.AlertWebhookURL.Reveal())
	if err != nil {
		return nil, err
	}
	a.secrets.client, a.secrets.alerts, a.secrets.token = client, sender, cfg.AccessToken.Reveal()
	if a.market, err = newMarketplace(cfg, a.store, client); err != nil {
		return nil, err
	}
	if cfg.CollectorID != "" {
		return client, nil
	}
	a.secrets.judge = func(token string) error {
		settings.AccessToken, settings.Registerer = token, nil
		asking, err := mercadopago.NewClient(settings)
		if err != nil {
			return err
		}
		return otherAccount(jobs.NewAccountKeeper(a.store, asking.Account, a.logger).Start(context.WithoutCancel(ctx)))
	}
	a.account = jobs.NewAccountKeeper(a.store, client.Account, a.logger)
	return client, otherAccount(a.account.Start(ctx))
}

// jobsDeps are the parts that jobs work with.
func (a *app) jobsDeps(cfg config.Config, client *mercadopago.Client) jobs.Deps {
	return jobs.Deps{
		Store:       a.store,
		Direct:      a.direct,
		Sellers:     a.market.clients,
		Providers:   map[string]jobs.Fetcher{mercadopago.Source: client},
		Searches:    map[string]jobs.PaymentSearcher{mercadopago.Source: client},
		CollectorID: cfg.CollectorID,
		Alerts:      &jobs.Alerts{Sender: a.secrets.alerts},
		Reports:     moneyReports(cfg.MoneyReports),
		Refunds:     cfg.Refunds.On(),
		Sources:     &a.senders.sources,
		Logger:      a.logger,
	}
}

// otherAccount says of which variable it speaks that our credentials are of another
// account than the ledger.
func otherAccount(err error) error {
	var other *store.OtherAccountError
	if !errors.As(err, &other) {
		return err
	}
	return config.Problems{{Variable: "MERCADOPAGO_ACCESS_TOKEN", Text: fmt.Sprintf(
		"is of account %s, and these records belong to account %s: %s", other.Ours, other.Ledger, otherAccountHint)}}
}

// otherAccountHint is what there is to do about it.
const otherAccountHint = "use that account's token, or set MERCADOPAGO_COLLECTOR_ID to the account that is paid"

// processOf is this process as the list of processes shows it.
func processOf(does role) store.Process {
	process := store.Process{Role: store.RoleAll, Version: version}
	switch {
	case !does.worker:
		process.Role = store.RoleAPI
	case !does.api:
		process.Role = store.RoleWorker
	}
	// A machine without a name is one all the same.
	process.Host, _ = os.Hostname()
	return process
}

func (a *app) wireAPI(cfg config.Config, does role) error {
	ready := []api.Check{
		{Name: "database", Check: a.checkDatabase},
		{Name: "schema", Check: func(ctx context.Context, _ func(any)) error { return requireSteps(ctx, a.pool) }},
	}
	if does.worker {
		ready = append(ready, api.Check{Name: "river", Check: a.checkWorking})
	}
	deps := api.Deps{
		Refunds:        cfg.Refunds.On(),
		HealthOnly:     !does.api,
		Ready:          ready,
		Tokens:         tokensOf(cfg),
		Operators:      operatorsOf(cfg),
		TrustedProxies: cfg.TrustedProxies, SourceIPMode: api.SourceIPMode(cfg.SourceIPMode), SourceIPCIDRs: cfg.SourceIPCIDRs,
		APIRate: cfg.APIRateLimit, UnverifiedRate: cfg.UnverifiedRateLimit,
		Registry: a.metrics, TracerProvider: a.tracerProvider(), Logger: a.logger,
	}
	stopping := make(chan struct{})
	deps.Stopping = stopping
	if does.api {
		if err := a.wireReceiver(cfg, &deps); err != nil {
			return err
		}
	}
	handler, err := api.New(deps)
	if err != nil {
		return err
	}
	a.secrets.handler = handler
	a.server = api.NewServer(string(cfg.HTTPAddr), handler, a.logger)
	if cfg.TLSCert.Reveal() != "" {
		if err := a.secrets.useCertificate(cfg); err != nil {
			return err
		}
		a.server.TLSConfig = &tls.Config{MinVersion: tls.VersionTLS12, GetCertificate: a.secrets.present}
	}
	a.server.RegisterOnShutdown(sync.OnceFunc(func() { close(stopping) }))
	return nil
}

// wireReceiver adds to deps what a process needs that receives webhooks.
func (a *app) wireReceiver(cfg config.Config, deps *api.Deps) error {
	verifier, err := mercadopago.NewVerifier(config.Reveal(cfg.WebhookSecrets), mercadopago.WithTolerance(cfg.SignatureTolerance))
	if err != nil {
		return err
	}
	a.secrets.verifier = verifier
	if a.inbox, err = store.NewInbox(a.store, store.InboxOptions{}); err != nil {
		return err
	}
	a.refused = store.NewRefusedLog(a.store)
	a.sources = store.NewSourceLog(a.store)
	operator, err := jobs.NewOperator(a.pool, jobsConfig(cfg, a.logger), a.store)
	if err != nil {
		return err
	}
	deps.Storage, deps.Operator, deps.Inbox = a.store, operator, a.inbox
	deps.Refused, deps.Sources = a.refused, a.sources
	receiver := mercadopago.NewReceiver(verifier, cfg.AllowUnsigned)
	deps.Ready = append(deps.Ready, api.Check{Name: "inbox", Check: func(ctx context.Context, _ func(any)) error { return a.inbox.Ready(ctx) }})
	a.market.verifier, a.market.receiver = verifier, receiver
	a.senders.receiver = receiver
	if err := a.wirePages(cfg, receiver, operator, deps); err != nil {
		return err
	}
	deps.Webhooks = []api.Webhook{{
		Path: api.WebhookPath, Source: mercadopago.Source,
		Topics:   mercadopago.TopicNames(),
		Receiver: receiver,
	}}
	deps.Hooks = &a.senders.hooks
	deps.Extras = func() api.StatusExtras { return extras(cfg.ReconcileSchedule) }
	return nil
}

// checkDatabase shows how the database keeps what it is given.
func (a *app) checkDatabase(ctx context.Context, show func(any)) error {
	server, err := a.store.Server(ctx)
	show(server.Durability)
	return err
}

func (a *app) checkWorking(context.Context, func(any)) error {
	if !a.working.Load() {
		return errors.New("the workers are not running")
	}
	return nil
}

// extras are what the status shows beside the database.
func extras(schedule config.Schedule) api.StatusExtras {
	now := time.Now()
	next := schedule.Next(now)
	return api.StatusExtras{NextRunAt: &next, RunEvery: schedule.Next(next).Sub(next), Version: version, Now: now}
}
