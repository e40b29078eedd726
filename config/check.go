package config

import (
	"crypto/tls"
	"encoding/base64"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
)

const (
	// maxAttempts is how often an event may be attempted: River keeps attempts
	// as smallint, and more would only hide what never succeeds.
	maxAttempts = 100
	// maxBaseDelay bounds the first wait, and maxWait any: 32 times the first,
	// as in the default schedule.
	maxBaseDelay = 24 * time.Hour
	maxWait      = 32 * maxBaseDelay
)

// A checker collects problems with an environment.
type checker struct {
	problems Problems
	// given are the values of the variables that are set.
	given map[string]string
	// environment are all variables that are set, whosever they are.
	environment map[string]string
}

// demand notes a problem with the variable unless ok, or unless one is known.
func (c *checker) demand(variable string, ok bool, text string) {
	if !ok && !c.problems.about(variable) {
		c.problems = append(c.problems, Problem{variable, text})
	}
}

// maxSchema bounds a schema's name: River's channels begin with it, and PostgreSQL
// bounds those to 63 bytes.
const maxSchema = 40

// schemaName is what a schema's name looks like that needs no quotes anywhere.
var schemaName = regexp.MustCompile(`^[a-z_][a-z0-9_]*$`)

func (d Database) check(c *checker) {
	for variable, secret := range map[string]Secret{"DATABASE_URL": d.DatabaseURL, "DATABASE_DIRECT_URL": d.Direct()} {
		if variable != "DATABASE_URL" && secret == d.DatabaseURL {
			continue // a fault of it is told under its own name
		}
		address, err := pgxpool.ParseConfig(secret.Reveal())
		c.demand(variable, err == nil, "must be a PostgreSQL address such as postgres://user:password@host:5432/name")
		if err == nil {
			path := address.ConnConfig.RuntimeParams["search_path"]
			c.demand(variable, path == "" || path == d.DatabaseSchema, "sets search_path; remove it, and name the schema in DATABASE_SCHEMA")
		}
	}
	name := d.DatabaseSchema
	c.demand("DATABASE_SCHEMA", schemaName.MatchString(name) && len(name) <= maxSchema,
		"must be a name of small letters, digits and underscores, not longer than 40 and not beginning with a digit")
	c.demand("DATABASE_SCHEMA", !strings.HasPrefix(name, "pg_") && name != "information_schema", "is a schema of PostgreSQL's own")
}

func (cfg *Config) check(c *checker) {
	cfg.Database.check(c)
	if cfg.SellersFile.IsSet() {
		cfg.SellersFile.given, cfg.SellersFile.main = c.environment, cfg.CollectorID
	}
	cfg.Sources.check(c)
	if cfg.SourcesFile.IsSet() {
		cfg.SourcesFile.allowPrivate = cfg.OrderEventsAllowPrivate
	}
	for variable, n := range map[string]int{
		"WORKERS": cfg.Workers, "PROVIDER_RATE_LIMIT": cfg.ProviderRateLimit,
		"API_RATE_LIMIT": cfg.APIRateLimit, "UNVERIFIED_RATE_LIMIT": cfg.UnverifiedRateLimit,
	} {
		c.demand(variable, n > 0, "must be at least 1")
	}
	// River takes ten thousand workers at most.
	c.demand("WORKERS", cfg.Workers <= 1000, "must be at most 1000")
	c.demand("RETENTION", cfg.Retention > 0, "must be longer than 0s")
	c.demand("PAYLOAD_RETENTION", cfg.PayloadRetention > 0, "must be longer than 0s")
	c.demand("SIGNATURE_TOLERANCE", cfg.SignatureTolerance >= 0, "must not be negative")
	cfg.Retry.check(c)
	cfg.Rescue.check(c)
	c.demand("SOURCE_IP_CIDRS", cfg.SourceIPMode != "enforce" || len(cfg.SourceIPCIDRs) > 0, "is required when SOURCE_IP_MODE is enforce")
	cfg.Money.check(c)
	c.demand("MERCADOPAGO_ACCESS_TOKEN", isVisibleASCII(cfg.AccessToken.Reveal()), "has characters that no token has, such as spaces")
	for _, s := range cfg.WebhookSecrets {
		fault := faultOf(s.Reveal())
		c.demand("MERCADOPAGO_WEBHOOK_SECRETS", fault == "", "has a secret that "+fault)
	}
	cfg.OrderEvents.check(c)
	cfg.checkOperators(c)
	cfg.checkTokens(c)
	cfg.Listener.check(c)
}

func (s *Sources) check(c *checker) {
	if s.SourcesFile.IsSet() {
		s.SourcesFile.given = c.environment
	}
}

func (s *SourcesOnly) check(c *checker) {
	s.Sources.check(c)
	s.SourcesFile.allowPrivate = s.OrderEventsAllowPrivate
}

// check makes one of the schedule, the first wait and the number of attempts,
// and refuses what contradicts.
func (r *Retry) check(c *checker) {
	for _, wait := range r.RetrySchedule {
		c.demand("RETRY_SCHEDULE", wait > 0, "has a wait that is not longer than 0s")
		c.demand("RETRY_SCHEDULE", wait <= maxWait, "has a wait of more than 32d")
	}
	c.demand("RETRY_SCHEDULE", len(r.RetrySchedule) < maxAttempts, "must have at most 99 waits, as an event may be attempted at most 100 times")
	c.demand("RETRY_BASE_DELAY", r.RetryBaseDelay > 0, "must be longer than 0s")
	c.demand("RETRY_BASE_DELAY", r.RetryBaseDelay <= maxBaseDelay, "must be at most 24h")
	c.demand("RETRY_MAX_ATTEMPTS", r.RetryMaxAttempts > 0, "must be at least 1")
	c.demand("RETRY_MAX_ATTEMPTS", r.RetryMaxAttempts <= maxAttempts, "must be at most 100")
	switch {
	case c.problems.about("RETRY_SCHEDULE") || c.problems.about("RETRY_BASE_DELAY") || c.problems.about("RETRY_MAX_ATTEMPTS"):
		return
	case c.given["RETRY_SCHEDULE"] == "":
		r.RetrySchedule = scaled(r.RetryBaseDelay, r.RetryMaxAttempts)
		return
	}
	first, attempts := r.RetrySchedule[0], len(r.RetrySchedule)+1
	c.demand("RETRY_BASE_DELAY", c.given["RETRY_BASE_DELAY"] == "" || r.RetryBaseDelay == first,
		"contradicts RETRY_SCHEDULE, whose first wait is another; unset one of the two")
	c.demand("RETRY_MAX_ATTEMPTS", c.given["RETRY_MAX_ATTEMPTS"] == "" || r.RetryMaxAttempts == attempts,
		"contradicts RETRY_SCHEDULE, which makes one attempt more than it has waits; unset one of the two")
	r.RetryBaseDelay, r.RetryMaxAttempts = first, attempts
}

// scaled is the default schedule with another first wait, cut or lengthened to the
// number of attempts. A single attempt leaves one wait: a job that was inserted
// under another configuration may have more.
func scaled(first time.Duration, attempts int) []time.Duration {
	waits := make([]time.Duration, max(1, attempts-1))
	for i := range waits {
		waits[i] = first << min(i, 5)
	}
	return waits
}

func (o OrderEvents) check(c *checker) {
	address := o.OrderEventsURL.Reveal()
	if address != "" {
		fault := receiverFault(address, o.OrderEventsAllowPrivate)
		c.demand("ORDER_EVENTS_URL", fault == "", fault)
	}
	c.demand("ORDER_EVENTS_SECRETS", address == "" || len(o.OrderEventsSecrets) > 0, "is required when ORDER_EVENTS_URL is set")
	for _, s := range o.OrderEventsSecrets {
		key, isKey := strings.CutPrefix(s.Reveal(), "whsec_")
		raw, err := base64.StdEncoding.DecodeString(key)
		c.demand("ORDER_EVENTS_SECRETS", isKey && err == nil, "has a secret that isn't whsec_ and base64")
		// The sizes of the Standard Webhooks specification.
		c.demand("ORDER_EVENTS_SECRETS", len(raw) >= 24 && len(raw) <= 64, "has a secret that isn't 24 to 64 bytes before base64")
	}
}

// receiverFault is what is wrong with a URL that messages are sent to; empty when
// nothing is. It repeats nothing of the URL, which may hold a token.
func receiverFault(text string, allowPrivate bool) string {
	parsed, err := url.Parse(text)
	switch {
	case err != nil || parsed.Hostname() == "" || (parsed.Scheme != "https" && parsed.Scheme != "http"):
		return "must be a URL such as https://shop.example.com/webhooks/orders"
	case parsed.User != nil || parsed.Fragment != "":
		return "must be a URL without credentials or fragment"
	case parsed.Scheme == "http" && !allowPrivate:
		return "must be https; http needs ORDER_EVENTS_ALLOW_PRIVATE"
	}
	return ""
}

func (m Money) check(c *checker) {
	// Written as Mercado Pago writes it: it is compared as text.
	id, err := strconv.ParseUint(m.CollectorID, 10, 64)
	c.demand("MERCADOPAGO_COLLECTOR_ID", m.CollectorID == "" || err == nil && strconv.FormatUint(id, 10) == m.CollectorID,
		"must be an account number, digits only")
}

func (r Rescue) check(c *checker) {
	c.demand("JOB_TIMEOUT", r.JobTimeout > 0, "must be longer than 0s")
	c.demand("RESCUE_AFTER", r.RescueAfter > 0, "must be longer than 0s")
	c.demand("RESCUE_AFTER", c.problems.about("JOB_TIMEOUT") || r.RescueAfter > r.JobTimeout, "must be longer than JOB_TIMEOUT")
}

func (cfg Config) checkTokens(c *checker) {
	owner := map[string]string{cfg.OperatorPassword.Reveal(): "OPERATOR_PASSWORD"}
	for _, list := range []struct {
		variable string
		tokens   []Secret
	}{
		{"STATUS_TOKENS", cfg.StatusTokens}, {"PROCESS_QUEUE_TOKENS", cfg.ProcessQueueTokens},
		{"RECONCILE_TOKENS", cfg.ReconcileTokens}, {"ORDERS_TOKENS", cfg.OrdersTokens},
	} {
		for _, token := range list.tokens {
			value := token.Reveal()
			c.demand(list.variable, isVisibleASCII(value), "has a token with characters that a header cannot carry, such as spaces")
			fault := faultOf(value)
			c.demand(list.variable, fault == "", "has a token that "+fault)
			other := owner[value]
			c.demand(list.variable, other == "" || other == list.variable, "has a token that "+other+" has too")
			owner[value] = list.variable
		}
	}
}

// checkOperators demands one way to log in, and no more than one.
func (cfg Config) checkOperators(c *checker) {
	password, file := c.given["OPERATOR_PASSWORD"] != "", c.given["OPERATORS_FILE"] != ""
	switch {
	case c.problems.about("OPERATOR_PASSWORD") || c.problems.about("OPERATORS_FILE"):
	case password && file:
		c.demand("OPERATOR_PASSWORD", false, "is set beside OPERATORS_FILE; unset one of the two")
	case password:
		fault := faultOf(cfg.OperatorPassword.Reveal())
		c.demand("OPERATOR_PASSWORD", fault == "", fault)
	default:
		c.demand("OPERATOR_PASSWORD", file, "is required, or OPERATORS_FILE")
	}
}

// check demands a certificate with its key.
func (l Listener) check(c *checker) {
	cert, key := l.TLSCert.Reveal(), l.TLSKey.Reveal()
	c.demand("TLS_CERT", cert == "" || key != "", "is set without TLS_KEY")
	c.demand("TLS_KEY", key == "" || cert != "", "is set without TLS_CERT")
	if cert != "" && key != "" {
		_, err := tls.X509KeyPair([]byte(cert), []byte(key))
		c.demand("TLS_CERT", err == nil, "and TLS_KEY must be a certificate in PEM and its private key")
	}
}

// isVisibleASCII reports whether a header carries text unchanged, no
// matter who sends it and what is in between.
func isVisibleASCII(text string) bool {
	return !strings.ContainsFunc(text, func(r rune) bool { return r <= ' ' || r > '~' })
}
