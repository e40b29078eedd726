package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/conciliar/conciliar/config"
	"github.com/conciliar/conciliar/store"
)

// checkPooler is the name of the check of what is between us and PostgreSQL.
const checkPooler = "pooler"

const (
	// sessionWait is how long one session of a pooler's is waited for.
	sessionWait = 5 * time.Second
	// fewestSessions is how many the service works with at all: one for a writer of the
	// inbox, one for River, one for the rest.
	fewestSessions = 3
	// sessionsForCommands are left to an operator's commands where the service could
	// take all that a pooler has.
	sessionsForCommands = 2
)

// rolesSettings are those that the service does not work without where a pooler in
// transaction mode keeps us from setting them: names mean what they should, and a
// statement after a lock sees what the lock's last holder committed.
var rolesSettings = []string{"default_transaction_isolation", "search_path"}

// refusesSettings reports that who answered takes no settings at the start of a
// session, as PgBouncer does.
func refusesSettings(err error) bool {
	var answer *pgconn.PgError
	return errors.As(err, &answer) && answer.Code == "08P01" && strings.Contains(answer.Message, "unsupported startup parameter")
}

// throughPooler connects through a pooler: in session mode each session is set up after
// it has begun; in transaction mode it can't be, and nothing may rest on a session.
func (o *opening) throughPooler(ctx context.Context, database config.Database, variable, address string) (*pgxpool.Pool, error) {
	probe := o.ConnConfig.Copy()
	if o.BeforeConnect != nil {
		if err := o.BeforeConnect(ctx, probe); err != nil {
			return nil, err
		}
	}
	pooler, err := store.PoolerOf(ctx, probe)
	if err != nil {
		return nil, &unreachableError{err}
	}
	*o.pooler = pooler
	if pooler == store.PoolerTransaction {
		if o.direct {
			return nil, givesSessionsAway(database)
		}
		return o.throughTransactions(ctx, variable, address)
	}
	o.ConnConfig.ConnectTimeout = sessionWait
	o.AfterConnect = func(ctx context.Context, conn *pgx.Conn) error {
		ctx, cancel := context.WithTimeout(ctx, sessionWait)
		defer cancel()
		return store.ApplySettings(ctx, conn, o.settings)
	}
	if !o.measured {
		o.found(ok(checkPooler, "A pooler in session mode."))
	} else if err := o.measure(ctx); err != nil {
		return nil, err
	}
	return connectPool(ctx, o.Config)
}

// givesSessionsAway says that what needs a session of its own finds none.
func givesSessionsAway(database config.Database) error {
	text := "leads through a pooler in transaction mode"
	if database.DatabaseDirectURL.Reveal() == "" {
		text = "is needed, as DATABASE_URL " + text
	}
	return config.Problems{{Variable: directURL, Text: text + ": set it to PostgreSQL's own address, or to a pool in session mode"}}
}

// measure asks for as many sessions as the process may have, at once, and makes the
// pool smaller where the pooler has fewer: what waits for a session that never comes
// stands still.
func (o *opening) measure(ctx context.Context) error {
	wanted, beside := o.MaxConns+o.beside, o.beside+sessionsForCommands
	got := sessionsOf(ctx, o.Config, wanted)
	switch {
	case got == wanted:
		o.found(ok(checkPooler, "A pooler in session mode; it has the %d sessions that are wanted.", wanted))
		return nil
	case got-beside < fewestSessions:
		return fmt.Errorf("the pooler has %d sessions for us, and %d are the least: raise its pool size", got, fewestSessions+beside)
	}
	o.found(poolTooSmall(fmt.Sprintf("The pooler has %d sessions for us", got), int(wanted), "raise its pool size (default_pool_size of PgBouncer), or lower WORKERS"))
	o.MaxConns = got - beside
	return nil
}

// sessionsOf is how many sessions are to be had at once, up to as many as are wanted.
func sessionsOf(ctx context.Context, cfg *pgxpool.Config, wanted int32) (got int32) {
	cfg = cfg.Copy()
	cfg.MaxConns = wanted
	pool, err := pgxpool.NewWithConfig(ctx, cfg)
	if err != nil {
		return 0
	}
	defer pool.Close()
	ctx, cancel := context.WithTimeout(ctx, sessionWait)
	defer cancel()
	came := make(chan *pgxpool.Conn)
	for range wanted {
		go func() {
			conn, err := pool.Acquire(ctx)
			if err != nil {
				conn = nil
			}
			came <- conn
		}()
	}
	var conns []*pgxpool.Conn
	for range wanted {
		if conn := <-came; conn != nil {
			conns = append(conns, conn)
		}
	}
	for _, conn := range conns {
		conn.Release()
	}
	return int32(len(conns)) //nolint:gosec // at most wanted
}

// throughTransactions connects through a pooler in transaction mode.
func (o *opening) throughTransactions(ctx context.Context, variable, address string) (*pgxpool.Pool, error) {
	if !strings.Contains(address, "default_query_exec_mode") {
		// Nothing is named, and what a statement takes and gives is asked once.
		o.ConnConfig.DefaultQueryExecMode = pgx.QueryExecModeCacheDescribe
	}
	pool, err := connectPool(ctx, o.Config)
	if err != nil {
		return nil, err
	}
	err = pool.AcquireFunc(ctx, func(conn *pgxpool.Conn) error {
		differing, err := store.DifferingSettings(ctx, conn.Conn(), o.settings)
		if err != nil {
			return err
		}
		if len(differing) == 0 {
			o.found(ok(checkPooler, "A pooler in transaction mode; its sessions are set up as they should."))
			return nil
		}
		do, err := store.RoleSettings(ctx, conn.Conn(), o.settings, differing)
		if err != nil {
			return err
		}
		lack := missingSettings{variable, differing, do}
		if slices.ContainsFunc(differing, func(name string) bool { return slices.Contains(rolesSettings, name) }) {
			return &lack
		}
		o.found(lack.finding())
		return nil
	})
	if err != nil {
		pool.Close()
		return nil, err
	}
	return pool, nil
}

// missingSettings are those that a pooler in transaction mode can't be given and that
// the role lacks.
type missingSettings struct {
	variable string
	names    []string
	do       string
}

func (m *missingSettings) Error() string {
	return fmt.Sprintf("%s leads through a pooler in transaction mode, whose sessions lack %s: run %s and have the pooler connect again (RECONNECT of PgBouncer)",
		m.variable, strings.Join(m.names, ", "), m.do)
}

func (m *missingSettings) finding() finding {
	return finding{checkPooler, stateWarn, fmt.Sprintf("%s leads through a pooler in transaction mode, whose sessions lack %s.", m.variable, strings.Join(m.names, ", ")),
		"Run " + m.do + " and have the pooler connect again (RECONNECT of PgBouncer)."}
}

// poolTooSmall says that fewer connections are to be had than wanted.
func poolTooSmall(says string, wanted int, do string) finding {
	return finding{checkPooler, stateWarn, fmt.Sprintf("%s, and %d are wanted: attempts wait for each other.", says, wanted), strings.ToUpper(do[:1]) + do[1:] + "."}
}
