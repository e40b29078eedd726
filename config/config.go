// Package config knows the names, the defaults and the checks of everything
// that the environment decides. Other packages receive values, never a Config.
package config

import (
	"net/netip"
	"os"
	"reflect"
	"slices"
	"strings"
	"time"
)

// A Config is what the service needs to know. The tags hold each variable's
// name, its default and its meaning; Variables reads them.
type Config struct {
	Database

	Listener

	AccessToken    Secret      `env:"MERCADOPAGO_ACCESS_TOKEN,required" help:"Mercado Pago's API credential"`
	WebhookSecrets []Secret    `env:"MERCADOPAGO_WEBHOOK_SECRETS,required" help:"signing secrets; several during a rotation"`
	SellersFile    SellersFile `env:"MERCADOPAGO_SELLERS_FILE" help:"path of a YAML file: sellers' accounts, with the names of their access tokens and secrets; for a marketplace"`
	BaseURL        ServiceURL  `env:"MERCADOPAGO_BASE_URL" envDefault:"https://api.mercadopago.com" help:"Mercado Pago's API; another for the simulator"`
	Money

	SourceIPMode   SourceIPMode   `env:"SOURCE_IP_MODE" envDefault:"observe" help:"off, observe (record and count) or enforce (403)"`
	SourceIPCIDRs  []netip.Prefix `env:"SOURCE_IP_CIDRS" help:"addresses and ranges taken for Mercado Pago's, which publishes none"`
	TrustedProxies []netip.Prefix `env:"TRUSTED_PROXIES" help:"addresses and ranges of proxies whose X-Forwarded-For counts"`

	AllowUnsigned      bool          `env:"ALLOW_UNSIGNED" envDefault:"false" help:"accept IPN and QR notifications, whose signature can't be verified, as a hint to fetch"`
	SignatureTolerance time.Duration `env:"SIGNATURE_TOLERANCE" envDefault:"0s" help:"largest distance of a signature's ts from now; 0s is off"`

	StatusTokens       []Secret `env:"STATUS_TOKENS,required" help:"bearer tokens for reading, 16 characters or more"`
	ProcessQueueTokens []Secret `env:"PROCESS_QUEUE_TOKENS,required" help:"bearer tokens for processing and replaying events, 16 characters or more"`
	ReconcileTokens    []Secret `env:"RECONCILE_TOKENS,required" help:"bearer tokens for the reconciliation, 16 characters or more"`
	OrdersTokens       []Secret `env:"ORDERS_TOKENS,required" help:"bearer tokens for orders, 16 characters or more"`

	OperatorPassword Secret    `env:"OPERATOR_PASSWORD" help:"opens the dashboard and River UI, 16 characters or more; required without OPERATORS_FILE"`
	Operators        Operators `env:"OPERATORS_FILE" help:"path of a file of named operators, a line name:role:hash each; in place of OPERATOR_PASSWORD"`

	Retry
	Rescue
	Workers int `env:"WORKERS" envDefault:"50" help:"concurrent attempts in one process"`

	ProviderRateLimit   int `env:"PROVIDER_RATE_LIMIT" envDefault:"20" help:"requests a second to Mercado Pago from one process"`
	APIRateLimit        int `env:"API_RATE_LIMIT" envDefault:"200" help:"calls a second for one token, burst five times that"`
	UnverifiedRateLimit int `env:"UNVERIFIED_RATE_LIMIT" envDefault:"20" help:"webhooks a second that fail or lack verification, for one source address, burst ten times that"`

	UnknownOrder UnknownOrder `env:"UNKNOWN_ORDER" envDefault:"wait" help:"a payment whose order we don't know: wait, create or ignore"`
	Reconciliation
	Retention        time.Duration `env:"RETENTION" envDefault:"168h" help:"completed events older than this move to webhook_archive"`
	PayloadRetention time.Duration `env:"PAYLOAD_RETENTION" envDefault:"2160h" help:"raw bodies, IP addresses and fetched answers are emptied this long after their event's end"`

	Calendar
	MoneyReports MoneyReports `env:"MONEY_REPORTS" envDefault:"off" help:"read: take the release reports that the account's own schedule makes; request: ask for one a day as well; off"`

	Refunding
	Sources
	OrderEvents
	Tracing
	Alerts
	Log
}

// Listener says where the service listens, and how.
type Listener struct {
	HTTPAddr ListenAddr `env:"HTTP_ADDR" envDefault:":8080" help:"listen address"`
	TLSCert  Secret     `env:"TLS_CERT" help:"certificate chain of the listener, PEM; HTTPS when set"`
	TLSKey   Secret     `env:"TLS_KEY" help:"its private key, PEM"`
}

// OrderEvents says where changes of orders are sent.
type OrderEvents struct {
	OrderEventsURL          Secret   `env:"ORDER_EVENTS_URL" help:"where changes of orders are sent, by https; a secret where it holds one"`
	OrderEventsSecrets      []Secret `env:"ORDER_EVENTS_SECRETS" help:"secrets that sign them after the Standard Webhooks specification, whsec_ and base64; several during a rotation; required with ORDER_EVENTS_URL"`
	OrderEventsAllowPrivate bool     `env:"ORDER_EVENTS_ALLOW_PRIVATE" envDefault:"false" help:"let ORDER_EVENTS_URL be http, and resolve to a private or loopback address; also the forwards of SOURCES_FILE"`
}

// Tracing says where traces go.
type Tracing struct {
	TracesEndpoint CollectorURL `env:"OTEL_EXPORTER_OTLP_ENDPOINT" help:"base URL of an OpenTelemetry collector that takes traces by OTLP over HTTP; none when empty"`
}

// DefaultSchema is where the tables are unless DATABASE_SCHEMA says otherwise.
const DefaultSchema = "conciliar"

// Database is what a command needs that only talks to the database.
type Database struct {
	DatabaseURL       Secret `env:"DATABASE_URL,required" help:"PostgreSQL 14 or newer"`
	DatabaseDirectURL Secret `env:"DATABASE_DIRECT_URL" help:"past a pooler, for what needs a session of its own: migrations, LISTEN, locks held for life; DATABASE_URL unless set"`
	DatabaseSchema    string `env:"DATABASE_SCHEMA" envDefault:"conciliar" help:"the schema that every table is in; 'conciliar migrate' creates it"`
}

// Direct is the address for what needs a session of its own.
func (d Database) Direct() Secret {
	if d.DatabaseDirectURL.Reveal() != "" {
		return d.DatabaseDirectURL
	}
	return d.DatabaseURL
}

// Money says which payments may move an order.
type Money struct {
	CollectorID string   `env:"MERCADOPAGO_COLLECTOR_ID" help:"the account that is paid, that of the access token unless set; payments collected by another account never pay an order"`
	LiveMode    LiveMode `env:"MERCADOPAGO_LIVE_MODE" envDefault:"any" help:"live, test or any: which payments may move an order"`
}

// Retry says how failed attempts are repeated. Load makes its fields agree: there
// is at least one wait, and otherwise one less than attempts.
type Retry struct {
	RetrySchedule    []time.Duration `env:"RETRY_SCHEDULE" envDefault:"1m,2m,4m,8m,16m,32m" help:"the waits between attempts, counted from now; the attempt after the last wait is the last"`
	RetryBaseDelay   time.Duration   `env:"RETRY_BASE_DELAY" envDefault:"1m" help:"scales the default RETRY_SCHEDULE: its first wait"`
	RetryMaxAttempts int             `env:"RETRY_MAX_ATTEMPTS" envDefault:"7" help:"cuts or lengthens the default RETRY_SCHEDULE, whose last wait repeats: the attempt whose failure ends in the dead letter"`
}

// Rescue says how long an attempt may take, and when it counts as dead.
type Rescue struct {
	JobTimeout  time.Duration `env:"JOB_TIMEOUT" envDefault:"30s" help:"one attempt's limit"`
	RescueAfter time.Duration `env:"RESCUE_AFTER" envDefault:"2m" help:"when a job whose worker died is tried again; longer than JOB_TIMEOUT"`
}

// Reconciliation says when reconciliations start by themselves.
type Reconciliation struct {
	ReconcileSchedule Schedule `env:"RECONCILE_SCHEDULE" envDefault:"0 * * * *" help:"cron expression of the reconciliation, in UTC"`
}

// Calendar says when the merchant's days begin.
type Calendar struct {
	TimeZone TimeZone `env:"TIME_ZONE" envDefault:"UTC" help:"the merchant's days, by an IANA name such as America/Sao_Paulo: charts, exports, dates of --since and --until; JSON and RECONCILE_SCHEDULE stay UTC"`
}

// Refunding says whether money may be given back.
type Refunding struct {
	Refunds Switch `env:"REFUNDS" envDefault:"disabled" help:"enabled: admins may refund from the dashboard; disabled: nobody, and what was asked for is not sent"`
}

// Alerts says where alerts are sent.
type Alerts struct {
	AlertWebhookURL WebhookURL `env:"ALERT_WEBHOOK_URL" help:"where alerts are sent: a Slack-compatible webhook, by https; a secret"`
}

// Sources are the other senders of webhooks.
type Sources struct {
	SourcesFile SourcesFile `env:"SOURCES_FILE" help:"path of a YAML file: other senders of webhooks, by template"`
}

// Log says what is logged, and how.
type Log struct {
	LogLevel  LogLevel  `env:"LOG_LEVEL" envDefault:"info" help:"debug, info, warn or error"`
	LogFormat LogFormat `env:"LOG_FORMAT" envDefault:"auto" help:"auto (tint on a terminal, JSON otherwise), tint or json"`
}

// DatabaseOnly is the configuration of commands that need nothing but the
// database.
type DatabaseOnly struct {
	Database
	Reconciliation
	Log
}

// Verify is the configuration of a command that checks the ledger's invariants.
type Verify struct {
	Database
	Money
	Rescue
	Log
}

// Orders is the configuration of a command that changes orders.
type Orders struct {
	Database
	Money
	Log
}

// SourcesOnly is the configuration of a command that checks the file of the senders.
type SourcesOnly struct {
	Sources
	OrderEvents
}

// AlertsOnly is the configuration of a command that only sends a test message.
type AlertsOnly struct {
	Alerts
	Log
}

// Simulator is the configuration of a command that plays Mercado Pago and the shop:
// what the service expects of both.
type Simulator struct {
	AccessToken    Secret   `env:"MERCADOPAGO_ACCESS_TOKEN"`
	WebhookSecrets []Secret `env:"MERCADOPAGO_WEBHOOK_SECRETS"`
	// OrdersToken is the shop's, and OrdersTokens are those that the service takes.
	OrdersToken  Secret   `env:"ORDERS_TOKEN"`
	OrdersTokens []Secret `env:"ORDERS_TOKENS"`
}

// Load reads the whole configuration from an environment, as os.Environ gives
// it. Its error is a Problems.
func Load(environ []string) (Config, error) { return LoadWith(environ, os.ReadFile) }

// LoadWith is Load where read reads the files that the environment names.
func LoadWith(environ []string, read ReadFile) (Config, error) {
	var c Config
	check := parse(environ, read, &c)
	c.check(check)
	return c, check.problems.orNil()
}

// LoadDatabase reads what a command needs that only talks to the database. Its
// error is a Problems.
func LoadDatabase(environ []string) (DatabaseOnly, error) {
	var c DatabaseOnly
	check := parse(environ, os.ReadFile, &c)
	c.Database.check(check)
	return c, check.problems.orNil()
}

// LoadVerify reads what a command needs that checks the ledger's invariants. Its
// error is a Problems.
func LoadVerify(environ []string) (Verify, error) {
	var c Verify
	check := parse(environ, os.ReadFile, &c)
	c.Database.check(check)
	c.Money.check(check)
	c.Rescue.check(check)
	return c, check.problems.orNil()
}

// LoadOrders reads what a command needs that changes orders. Its error is a
// Problems.
func LoadOrders(environ []string) (Orders, error) {
	var c Orders
	check := parse(environ, os.ReadFile, &c)
	c.Database.check(check)
	c.Money.check(check)
	return c, check.problems.orNil()
}

// LoadListener reads what a command needs that asks the service on this machine. Its
// error is a Problems.
func LoadListener(environ []string) (Listener, error) {
	var c Listener
	check := parse(environ, os.ReadFile, &c)
	c.check(check)
	return c, check.problems.orNil()
}

// LoadCalendar reads in which zone the merchant's days are. Its error is a Problems.
func LoadCalendar(environ []string) (Calendar, error) {
	var c Calendar
	return c, parse(environ, os.ReadFile, &c).problems.orNil()
}

// LoadRefunding reads whether money may be given back. Its error is a Problems.
func LoadRefunding(environ []string) (Refunding, error) {
	var c Refunding
	return c, parse(environ, os.ReadFile, &c).problems.orNil()
}

// LoadSources reads what a command needs that checks the file of the senders. Its error
// is a Problems.
func LoadSources(environ []string) (SourcesOnly, error) {
	var c SourcesOnly
	check := parse(environ, os.ReadFile, &c)
	c.check(check)
	return c, check.problems.orNil()
}

// LoadAlerts reads what a command needs that only sends a test message. Its error
// is a Problems.
func LoadAlerts(environ []string) (AlertsOnly, error) {
	var c AlertsOnly
	return c, parse(environ, os.ReadFile, &c).problems.orNil()
}

// LoadSimulator reads what a command needs that plays Mercado Pago and the shop. It
// looks at nothing else: a client's environment has the service's variables under names
// of its own (STATUS_TOKEN). Its error is a Problems.
func LoadSimulator(environ []string) (Simulator, error) {
	var c Simulator
	own := namesOf(variablesOf(reflect.TypeFor[Simulator]()))
	environ = slices.DeleteFunc(slices.Clone(environ), func(entry string) bool {
		name, _, _ := strings.Cut(entry, "=")
		return !slices.Contains(own, name)
	})
	return c, parse(environ, os.ReadFile, &c).problems.orNil()
}
