package main

import (
	"context"
	"crypto/tls"
	"errors"
	"slices"
	"sync/atomic"

	"github.com/conciliar/conciliar/api"
	"github.com/conciliar/conciliar/api/dashboard"
	"github.com/conciliar/conciliar/config"
	"github.com/conciliar/conciliar/jobs"
	"github.com/conciliar/conciliar/jobs/provider/mercadopago"
)

// reloadable are the variables that a running process takes over from their files.
var reloadable = []string{
	"DATABASE_URL", "DATABASE_DIRECT_URL", "MERCADOPAGO_ACCESS_TOKEN", "MERCADOPAGO_WEBHOOK_SECRETS", "STATUS_TOKENS", "PROCESS_QUEUE_TOKENS", "RECONCILE_TOKENS",
	"ORDERS_TOKENS", "OPERATOR_PASSWORD", "OPERATORS_FILE", "TLS_CERT", "TLS_KEY", "ALERT_WEBHOOK_URL",
	"ORDER_EVENTS_URL", "ORDER_EVENTS_SECRETS", "ORDER_EVENTS_ALLOW_PRIVATE",
}

// secretUsers are the parts of a process that hold secrets. Those that a role lacks
// are nil.
type secretUsers struct {
	database atomic.Pointer[config.Database]
	handler  *api.Handler
	verifier *mercadopago.Verifier
	client   *mercadopago.Client
	// judge refuses an access token of another account than the ledger; nil where the
	// account is configured.
	judge       func(token string) error
	token       string
	alerts      *jobs.AlertSender
	deliveries  *deliveries
	certificate atomic.Pointer[tls.Certificate]
}

// use gives each part its secrets. A part that can't take them keeps those it has.
func (s *secretUsers) use(cfg config.Config) error {
	s.database.Store(&cfg.Database)
	problems := []error{s.handler.Admit(tokensOf(cfg), operatorsOf(cfg))}
	if s.verifier != nil {
		problems = append(problems, s.verifier.UseSecrets(config.Reveal(cfg.WebhookSecrets)))
	}
	if s.client != nil {
		problems = append(problems, s.useAccessToken(cfg.AccessToken.Reveal()), s.alerts.UseURL(cfg.AlertWebhookURL.Reveal()))
	}
	if s.deliveries != nil {
		problems = append(problems, s.deliveries.use(cfg))
	}
	if s.certificate.Load() != nil {
		problems = append(problems, s.useCertificate(cfg))
	}
	return errors.Join(problems...)
}

// useAccessToken takes over another token, unless it is another account's: the service
// would not have started with that.
func (s *secretUsers) useAccessToken(token string) error {
	if s.judge != nil && token != s.token {
		if err := s.judge(token); err != nil {
			return err
		}
	}
	s.token = token
	return s.client.UseAccessToken(token)
}

// useCertificate is for the connections from now on; those that are open go on.
func (s *secretUsers) useCertificate(cfg config.Config) error {
	certificate, err := tls.X509KeyPair([]byte(cfg.TLSCert.Reveal()), []byte(cfg.TLSKey.Reveal()))
	if err != nil {
		return errors.New("TLS_CERT and TLS_KEY must be a certificate in PEM and its private key; the listener keeps the one it has")
	}
	s.certificate.Store(&certificate)
	return nil
}

// present is the certificate of a new connection.
func (s *secretUsers) present(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	return s.certificate.Load(), nil
}

// watchSettings reads the whole configuration, and again whenever a file that it
// names changes.
func watchSettings(environ []string) (*config.Watched[config.Config], error) {
	return config.Watch("settings", func(read config.ReadFile) (config.Config, error) { return config.LoadWith(environ, read) })
}

// followSettings has the process take over what changes in its settings.
func (a *app) followSettings(settings *config.Watched[config.Config]) {
	before := settings.Value()
	settings.OnChange(func(cfg config.Config) {
		var taken, left []string
		for _, name := range config.Differing(before, cfg) {
			if slices.Contains(reloadable, name) {
				taken = append(taken, name)
				continue
			}
			left = append(left, name)
		}
		before = cfg
		if err := a.secrets.use(cfg); err != nil {
			a.logger.Error("settings were not taken over whole", "error", err)
		}
		a.logger.Info("settings taken over", "variables", taken)
		if len(left) > 0 {
			a.logger.Warn("restart to use what changed", "variables", left)
		}
	})
	a.watched = append(a.watched, settings)
}

// followFiles keeps all that is watched current until ctx is done.
func (a *app) followFiles(ctx context.Context) {
	config.KeepCurrent(ctx, a.hangups, func(name string, err error) {
		if err != nil {
			a.logger.Error(name+" cannot be used as they are now; the previous ones stay in use", "error", err)
		}
	}, a.watched...)
}

func tokensOf(cfg config.Config) api.Tokens {
	return api.Tokens{
		Status: config.Reveal(cfg.StatusTokens), ProcessQueue: config.Reveal(cfg.ProcessQueueTokens),
		Reconcile: config.Reveal(cfg.ReconcileTokens), Orders: config.Reveal(cfg.OrdersTokens),
	}
}

// sharedOperator is the one operator of OPERATOR_PASSWORD.
const sharedOperator = "operator"

// operatorsOf are who may log in.
func operatorsOf(cfg config.Config) []api.Operator {
	if password := cfg.OperatorPassword.Reveal(); password != "" {
		return []api.Operator{{Name: sharedOperator, Role: dashboard.RoleAdmin, Password: password}}
	}
	operators := make([]api.Operator, len(cfg.Operators.All))
	for i, o := range cfg.Operators.All {
		operators[i] = api.Operator{Name: o.Name, Role: dashboard.Role(o.Role), Hash: o.Hash.Reveal()}
	}
	return operators
}
