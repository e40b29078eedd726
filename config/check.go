package config

import (
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/jackc/pgx/v5/pgxpool"
)

// minTokenLength is the least length of a bearer token, in characters.
const minTokenLength = 16

// A checker collects problems with values that could be read.
type checker struct {
	unreadable Problems
	found      Problems
}

// demand notes a problem with the variable unless ok, or unless it could not
// even be read.
func (c *checker) demand(variable string, ok bool, text string) {
	if !ok && !c.unreadable.about(variable) && !c.found.about(variable) {
		c.found = append(c.found, Problem{variable, text})
	}
}

func (d Database) check(unreadable Problems) Problems {
	c := checker{unreadable: unreadable}
	_, err := pgxpool.ParseConfig(d.DatabaseURL.Reveal())
	c.demand("DATABASE_URL", err == nil, "must be a PostgreSQL address such as postgres://user:password@host:5432/name")
	return c.found
}

func (cfg Config) check(unreadable Problems) Problems {
	c := checker{unreadable: unreadable, found: cfg.Database.check(unreadable)}
	for variable, d := range map[string]time.Duration{
		"RETRY_BASE_DELAY": cfg.RetryBaseDelay, "RETENTION": cfg.Retention,
	} {
		c.demand(variable, d > 0, "must be longer than 0s")
	}
	for variable, n := range map[string]int{
		"RETRY_MAX_ATTEMPTS": cfg.RetryMaxAttempts, "WORKERS": cfg.Workers, "PROVIDER_RATE_LIMIT": cfg.ProviderRateLimit,
		"API_RATE_LIMIT": cfg.APIRateLimit, "UNVERIFIED_RATE_LIMIT": cfg.UnverifiedRateLimit,
	} {
		c.demand(variable, n > 0, "must be at least 1")
	}
	// River keeps attempts as smallint and takes ten thousand workers at most.
	c.demand("RETRY_MAX_ATTEMPTS", cfg.RetryMaxAttempts <= 100, "must be at most 100")
	c.demand("WORKERS", cfg.Workers <= 1000, "must be at most 1000")
	// The longest step is 32 times as long, and must stay a duration.
	c.demand("RETRY_BASE_DELAY", cfg.RetryBaseDelay <= 24*time.Hour, "must be at most 24h")
	c.demand("SIGNATURE_TOLERANCE", cfg.SignatureTolerance >= 0, "must not be negative")
	cfg.Rescue.check(&c)
	c.demand("SOURCE_IP_CIDRS", cfg.SourceIPMode != "enforce" || len(cfg.SourceIPCIDRs) > 0, "is required when SOURCE_IP_MODE is enforce")
	cfg.Money.check(&c)
	c.demand("MERCADOPAGO_ACCESS_TOKEN", isVisibleASCII(cfg.AccessToken.Reveal()), "has characters that no token has, such as spaces")
	for _, s := range cfg.WebhookSecrets {
		c.demand("MERCADOPAGO_WEBHOOK_SECRETS", strings.TrimSpace(s.Reveal()) != "", "has a blank secret")
	}
	cfg.checkTokens(&c)
	return c.found
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
	c.demand("RESCUE_AFTER", c.unreadable.about("JOB_TIMEOUT") || r.RescueAfter > r.JobTimeout, "must be longer than JOB_TIMEOUT")
}

func (cfg Config) checkTokens(c *checker) {
	password := cfg.OperatorPassword.Reveal()
	c.demand("OPERATOR_PASSWORD", utf8.RuneCountInString(password) >= minTokenLength, "has fewer than 16 characters")
	owner := map[string]string{password: "OPERATOR_PASSWORD"}
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
			c.demand(list.variable, len(value) >= minTokenLength, "has a token of fewer than 16 characters")
			other := owner[value]
			c.demand(list.variable, other == "" || other == list.variable, "has a token that "+other+" has too")
			owner[value] = list.variable
		}
	}
}

// isVisibleASCII reports whether a header carries text unchanged, whoever
// sends it and whatever is between.
func isVisibleASCII(text string) bool {
	return !strings.ContainsFunc(text, func(r rune) bool { return r <= ' ' || r > '~' })
}
