package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/conciliar/conciliar/api"
	"github.com/conciliar/conciliar/config"
	"github.com/conciliar/conciliar/jobs"
	"github.com/conciliar/conciliar/jobs/provider"
	"github.com/conciliar/conciliar/jobs/provider/mercadopago"
	"github.com/conciliar/conciliar/migrations"
	"github.com/conciliar/conciliar/store"
	"github.com/conciliar/conciliar/store/order"
)

const (
	// clockFail is how much clocks may differ until the check fails; see also
	// jobs.ClockWarn.
	clockFail = time.Minute
	// checkLimit bounds one check.
	checkLimit = 15 * time.Second
	// unheard is after how long without a webhook it is said.
	unheard = 24 * time.Hour
)

func ok(check, format string, args ...any) finding {
	return finding{Check: check, State: stateOK, Says: fmt.Sprintf(format, args...)}
}

// check runs every check. Those that need a database are left out when there
// is none: its own line says why.
func check(ctx context.Context, cfg config.Config, logger *slog.Logger) []finding {
	found := []finding{ok("configuration", "Valid; signing secrets: %d.", len(cfg.WebhookSecrets))}
	found = append(found, weakSettings(cfg, time.Now())...)
	inDatabase, kept := checkDatabase(ctx, cfg, logger)
	found = append(append(found, inDatabase...), checkProvider(ctx, cfg, kept)...)
	return append(append(append(found, checkSellers(ctx, cfg)...), checkSenders(cfg)...), checkReceiver(ctx, cfg.OrderEvents)...)
}

// checkDatabase also returns the account that the records belong to, empty while it
// isn't known; nil when they can't be read.
func checkDatabase(ctx context.Context, cfg config.Config, logger *slog.Logger) (_ []finding, kept *string) {
	ctx, cancel := context.WithTimeout(ctx, checkLimit)
	defer cancel()
	unreachable := func(err error) ([]finding, *string) {
		return []finding{{"database", stateFail, "The database cannot be reached: " + reason(err) + ".", "Check DATABASE_URL, and that PostgreSQL runs and lets this machine in."}}, nil
	}
	pool, direct, way, err := openAsService(ctx, cfg.Database)
	var lacking *missingSettings
	var misconfigured config.Problems
	switch {
	case errors.As(err, &lacking):
		found := lacking.finding()
		found.State = stateFail
		return []finding{found}, nil
	case errors.As(err, &misconfigured):
		return []finding{{checkPooler, stateFail, misconfigured.Error() + ".", "See docs/postgresql.md."}}, nil
	case err != nil:
		return unreachable(err)
	}
	defer pool.Close()
	defer direct.Close()
	inserter, err := jobs.NewInserter(pool, jobsConfig(cfg, logger))
	if err != nil {
		return unreachable(err)
	}
	storage, err := store.New(pool, store.Options{
		Rules: order.Rules{Mode: order.ModeAny}, UnknownOrder: store.UnknownOrderWait, Providers: []string{mercadopago.Source}, FormJob: inserter.Form, Direct: direct, Logger: logger,
	})
	if err != nil {
		return unreachable(err)
	}
	asked := time.Now()
	server, err := storage.Server(ctx)
	if err != nil {
		return unreachable(err)
	}
	took := time.Since(asked)
	found := []finding{ok("database", "PostgreSQL %s answers.", server.Name)}
	if server.Version < migrations.OldestPostgreSQL {
		found[0] = finding{"database", stateFail, fmt.Sprintf("PostgreSQL %s is too old.", server.Name), "Use PostgreSQL 14 or newer."}
	}
	found = append(append(found, way...), durabilityFinding(server))
	found = append(found, clockFinding("clock", "PostgreSQL's", asked.Add(took/2).Sub(server.Now), took))
	if err := requireSchema(ctx, pool); err != nil {
		return append(found, schemaFinding(err)), nil
	}
	account, err := storage.LoadAccount(ctx)
	if err != nil {
		return unreachable(err)
	}
	found = append(found, ok("schema", "Current, in %s.", cfg.DatabaseSchema), abilitiesFinding(storage.CheckAbilities(ctx)), acceptanceFinding(storage.TryAccept(ctx)))
	if gap, err := storage.SequenceGap(ctx); err != nil {
		return unreachable(err)
	} else if gap != nil {
		found = append(found, finding{"sequence", stateFail, fmt.Sprintf("The sequence of events stands at %d, below the stored %d: webhooks would be refused.", gap.Drawn, gap.Stored),
			"Start the service: it moves the sequence ahead."})
	}
	ahead, err := storage.TimesAhead(ctx)
	if err != nil {
		return unreachable(err)
	}
	found = append(found, timesFinding(ahead))
	found = append(found, liveModeFinding(ctx, storage, cfg.LiveMode)...)
	return append(found, checkArrivals(ctx, storage), checkTopics(ctx, storage), checkSources(ctx, storage, cfg)), &account
}

// openAsService connects as serve does, and says what the way to the database is like.
func openAsService(ctx context.Context, database config.Database) (pool, direct *pgxpool.Pool, way []finding, err error) {
	var pooler store.Pooler
	pool, err = openPool(ctx, database, 2, sessionSettings, noting(&pooler), telling(func(f finding) { way = append(way, f) }))
	if err != nil || database.DatabaseDirectURL.Reveal() == "" && pooler != store.PoolerTransaction {
		return pool, pool, way, err
	}
	direct, err = openDirect(ctx, database, 2, sessionSettings)
	if err != nil {
		pool.Close()
		return nil, nil, nil, err
	}
	return pool, direct, way, nil
}

// schemaFinding says what is wrong with the schema.
func schemaFinding(err error) finding {
	const name = "schema"
	var misplaced config.Problems
	if errors.As(err, &misplaced) {
		return finding{name, stateFail, "DATABASE_SCHEMA " + misplaced[0].Text + ".", "See docs/upgrade.md, \"Moving an installation\"."}
	}
	return finding{name, stateFail, "Not this release's schema: " + err.Error() + ".", "Run 'conciliar migrate'."}
}

// durabilityFinding judges what the database's owner set of how safely commits are
// kept. Our own demand synchronous_commit where it is off or local.
func durabilityFinding(set store.Server) finding {
	const name = "durability"
	switch {
	case set.Fsync != "on" || set.FullPageWrites != "on":
		return finding{name, stateWarn, fmt.Sprintf("fsync is %s, full_page_writes is %s, synchronous_commit is %s: a crash of the machine may lose or corrupt acknowledged webhooks.",
			set.Fsync, set.FullPageWrites, set.SynchronousCommit),
			"Set fsync and full_page_writes to on in postgresql.conf."}
	case set.SynchronousCommit == "off":
		return finding{name, stateWarn, "synchronous_commit is off. Conciliar's own commits wait for the disk all the same; orders that you insert by SQL may be lost in a crash.",
			"Reset synchronous_commit for the database and the role (ALTER DATABASE, ALTER ROLE), or set it to on in the sessions that write orders."}
	case set.SynchronousCommit == "local" && set.HasStandby:
		return finding{name, stateWarn, "synchronous_commit is local, though there is a synchronous standby. Conciliar's own commits wait for the standby all the same; orders that you insert by SQL may be lost in a failover.",
			"Reset synchronous_commit for the database and the role (ALTER DATABASE, ALTER ROLE), or set it to on in the sessions that write orders."}
	}
	return ok(name, "fsync is on, full_page_writes is on, synchronous_commit is %s.", set.SynchronousCommit)
}

// timesFinding judges the stored times that are ahead of PostgreSQL's clock.
func timesFinding(ahead []store.TimeAhead) finding {
	const name = "times"
	if len(ahead) == 0 {
		return ok(name, "No stored time is ahead of PostgreSQL's clock.")
	}
	columns := make([]string, len(ahead))
	for i, t := range ahead {
		columns[i] = fmt.Sprintf("%s (%d, up to %s)", t.StoredIn, t.Rows, t.Furthest.Format(time.RFC3339))
	}
	return finding{name, stateWarn, "Stored times are ahead of PostgreSQL's clock: " + strings.Join(columns, ", ") + ".", "See docs/playbooks/clock_set_back.md."}
}

// abilitiesFinding judges the trial of what the service rests on.
func abilitiesFinding(err error) finding {
	const name = "abilities"
	if err != nil {
		return finding{name, stateFail, "The service would not start: " + err.Error() + ".", "See docs/postgresql.md."}
	}
	return ok(name, "Locks, notifications and transactions work as PostgreSQL's.")
}

// acceptanceFinding judges the insert of an event that was rolled back.
func acceptanceFinding(err error) finding {
	const name = "acceptance"
	if err != nil {
		return finding{name, stateFail, "A webhook would be answered 503: " + reason(err) + ".", "See docs/playbooks/webhooks_not_accepted.md."}
	}
	return ok(name, "A webhook would be made durable.")
}

// reason is why the database cannot be reached, on one line: the innermost error
// says it, and what pgx puts around it repeats the address for each attempt.
func reason(err error) string {
	if known, ok := errors.AsType[*unreachableError](err); ok {
		err = known.err
	}
	var answered *pgconn.PgError
	var lookup *net.DNSError
	var dial *net.OpError
	switch {
	case errors.As(err, &answered):
		return answered.Message
	case errors.As(err, &lookup):
		return lookup.Error()
	case errors.As(err, &dial):
		return dial.Error()
	}
	return strings.Join(strings.Fields(err.Error()), " ")
}

// clockFinding judges how far this machine's clock is ahead of another, known
// to within slack.
func clockFinding(check, whose string, ahead, slack time.Duration) finding {
	off := max(0, ahead.Abs()-slack)
	switch {
	case off > clockFail:
		return finding{check, stateFail, fmt.Sprintf("This machine's clock differs from %s by %s.", whose, ahead.Abs().Round(time.Second)), "Set the clocks (NTP)."}
	case off > jobs.ClockWarn:
		return finding{check, stateWarn, fmt.Sprintf("This machine's clock differs from %s by %s.", whose, ahead.Abs().Round(time.Second)), "Set the clocks (NTP)."}
	}
	return ok(check, "Agrees with %s.", whose)
}

func checkArrivals(ctx context.Context, storage *store.Store) finding {
	const name = "webhooks"
	arrived, err := storage.Arrivals(ctx)
	if err != nil {
		return finding{name, stateFail, "Arrivals cannot be read: " + err.Error() + ".", "Check that the database's user may read every table."}
	}
	last := "No webhook accepted yet."
	if arrived.LastAt != nil {
		last = "Last webhook accepted at " + arrived.LastAt.Format(time.RFC3339) + "."
	}
	switch {
	case arrived.Refused24h > 0:
		return finding{name, stateWarn, fmt.Sprintf("%s %d refused in the last 24 hours, the last for %s.", last, arrived.Refused24h, arrived.LastReason),
			fmt.Sprintf("Run 'conciliar doctor --signature %d'.", arrived.LastRefusedID)}
	case arrived.LastAt == nil:
		return finding{name, stateWarn, last, "Point \"Your integrations > Webhooks\" at https://your.host" + api.WebhookPath + ", and send a test from there."}
	case time.Since(*arrived.LastAt) > unheard:
		return finding{name, stateWarn, last, "If you had payments since, check the address in \"Your integrations > Webhooks\" and any proxy in between."}
	}
	return ok(name, "%s None refused in the last 24 hours.", last)
}

func checkSources(ctx context.Context, storage *store.Store, cfg config.Config) finding {
	const name = "sources"
	learned, err := storage.LearnedSources(ctx)
	if err != nil {
		return finding{name, stateFail, "Sources cannot be read: " + err.Error() + ".", "Check that the database's user may read every table."}
	}
	report := api.NewSourceReport(api.SourceIPMode(cfg.SourceIPMode), cfg.SourceIPCIDRs, learned)
	if len(report.Items) == 0 {
		return ok(name, "SOURCE_IP_MODE is %s; no networks learned yet.", cfg.SourceIPMode)
	}
	seen, unlisted := make([]string, len(report.Items)), 0
	for i, item := range report.Items {
		seen[i] = fmt.Sprintf("%s (%d)", item.Network, item.Deliveries)
		if !item.Listed {
			unlisted++
		}
	}
	found := ok(name, "SOURCE_IP_MODE is %s; signed webhooks came from %s.", cfg.SourceIPMode, strings.Join(seen, ", "))
	if unlisted > 0 {
		found.Do = "To allow only these: SOURCE_IP_CIDRS=" + report.SourceIPCIDRs + " and, once complete, SOURCE_IP_MODE=enforce."
	}
	return found
}

// A dated carries calls and remembers the date of the last answer, whatever it
// was.
type dated struct {
	mu   sync.Mutex
	date time.Time
	took time.Duration
}

func (d *dated) RoundTrip(r *http.Request) (*http.Response, error) {
	asked := time.Now()
	resp, err := http.DefaultTransport.RoundTrip(r)
	if err != nil {
		return resp, err
	}
	if date, err := http.ParseTime(resp.Header.Get("Date")); err == nil {
		d.mu.Lock()
		d.date, d.took = date, time.Since(asked)
		d.mu.Unlock()
	}
	return resp, nil
}

// checkProvider asks Mercado Pago who we are and what time it is. kept is the account
// that the records belong to, nil when they can't be read.
func checkProvider(ctx context.Context, cfg config.Config, kept *string) []finding {
	ctx, cancel := context.WithTimeout(ctx, checkLimit)
	defer cancel()
	var answers dated
	client, err := mercadopago.NewClient(mercadopago.Config{
		BaseURL: cfg.BaseURL.String(), AccessToken: cfg.AccessToken.Reveal(), UserAgent: "conciliar/" + version, Transport: &answers,
	})
	if err != nil {
		return []finding{{"credentials", stateFail, err.Error() + ".", "Check MERCADOPAGO_BASE_URL and MERCADOPAGO_ACCESS_TOKEN."}}
	}
	account, err := client.Account(ctx)
	var found []finding
	if err != nil {
		found = []finding{credentialsFailed(err)}
	} else {
		found = []finding{ok("credentials", "The access token is valid; account %s.", account)}
	}
	switch {
	case kept != nil:
		found = append(found, collectorFinding(cfg.CollectorID, *kept, account))
	case account != "":
		found = append(found, collectorFinding(cfg.CollectorID, "", account))
	}
	if !answers.date.IsZero() {
		// Its date is cut to whole seconds.
		ahead := time.Since(answers.date) - time.Second/2
		found = append(found, clockFinding("provider clock", "Mercado Pago's", ahead, answers.took+time.Second))
	}
	return found
}

// checkCredentials is the name of the check of the access token.
const checkCredentials = "credentials"

func credentialsFailed(err error) finding {
	if failure, ok := errors.AsType[*provider.Error](err); ok {
		if found, known := credentialsRefused(failure); known {
			return found
		}
		if failure.StatusCode == 0 && failure.Err != nil {
			err = failure.Err // without our word for it
		}
	}
	return finding{checkCredentials, stateFail, "Mercado Pago cannot be reached: " + err.Error() + ".", "Check that this machine reaches MERCADOPAGO_BASE_URL. Webhooks are kept meanwhile."}
}

// credentialsRefused says what an answer means that speaks of the access token
// or of the rate of calls, for the person who runs a command.
func credentialsRefused(failure *provider.Error) (finding, bool) {
	switch failure.Kind {
	case provider.Unauthorized, provider.Forbidden:
		return finding{checkCredentials, stateFail, "Mercado Pago does not accept the access token.", "Set MERCADOPAGO_ACCESS_TOKEN to the one of \"Your integrations > Credentials\"."}, true
	case provider.RateLimited:
		return finding{checkCredentials, stateWarn, "Mercado Pago asks us to call less often.", "Lower PROVIDER_RATE_LIMIT."}, true
	default: // no answer, or none that speaks of us
		return finding{}, false
	}
}

// collectorFinding judges whose payments pay orders: the account that is configured,
// else the one that the records belong to, else that of the access token. Those that
// aren't known are empty.
func collectorFinding(configured, kept, account string) finding {
	const name = "collector"
	switch paid := cmp.Or(configured, kept, account); {
	case paid == "":
		return finding{name, stateWarn, "Our account is not known: payments to other accounts would pay orders.",
			"Set MERCADOPAGO_COLLECTOR_ID if Mercado Pago does not tell whose the access token is."}
	case configured == "" && account != "" && paid != account:
		return finding{name, stateFail, "The access token is of account " + account + ", and these records belong to account " + kept + ": the service does not start.",
			"Correct MERCADOPAGO_ACCESS_TOKEN: " + otherAccountHint + "."}
	case account != "" && paid != account:
		return finding{name, stateFail, "MERCADOPAGO_COLLECTOR_ID is " + configured + " and the access token is account " + account + "'s: no payment would pay an order.",
			"Set MERCADOPAGO_COLLECTOR_ID=" + account + ", or use the other account's token."}
	case configured != "" && account != "":
		return ok(name, "MERCADOPAGO_COLLECTOR_ID is the access token's account.")
	case account != "":
		return ok(name, "Only payments to the access token's account, %s, pay orders.", account)
	default:
		return ok(name, "Only payments to account %s pay orders.", paid)
	}
}
