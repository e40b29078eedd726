// Package storetest gives tests a real PostgreSQL: a transaction on a migrated
// database, or a migrated database of their own.
//
// The server is the one that ServerEnv names, or else a private one that the
// test binary starts at first need and that ends with it. Without a database a
// test fails; it is never skipped.
package storetest

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

// ServerEnv names a throw-away server for a whole run of tests, as the URL of
// one of its databases with a role that may create more.
const ServerEnv = "CONCILIAR_TEST_DATABASE_URL"

// Schema is the schema of the tables in migrated databases: the default one.
const Schema = "conciliar"

// patience bounds one piece of housekeeping, so that a leaked connection fails
// a test and doesn't hang it.
const patience = 30 * time.Second

// Pool returns a pool on a migrated database that belongs to the test alone. It
// is dropped when the test ends.
func Pool(tb testing.TB) *pgxpool.Pool {
	tb.Helper()
	return Open(tb, URL(tb))
}

// Open returns a pool on a database whose sessions look in our schema alone, as the
// service's do. It is closed when the test ends.
func Open(tb testing.TB, address string) *pgxpool.Pool {
	tb.Helper()
	pool, err := pgxpool.New(tb.Context(), inSchema(address))
	if err != nil {
		tb.Fatalf("storetest: %v", err)
	}
	tb.Cleanup(func() {
		closed := make(chan struct{})
		go func() {
			pool.Close()
			close(closed)
		}()
		select {
		case <-closed:
		case <-time.After(patience):
			tb.Errorf("storetest: %d connections were not given back to the pool", pool.Stat().AcquiredConns())
		}
	})
	return pool
}

// URL returns the address of a migrated database that belongs to the test
// alone, for code that opens its own connections. It is dropped when the test
// ends.
func URL(tb testing.TB) string {
	tb.Helper()
	s := running(tb)
	template, err := s.template(tb.Context())
	if err != nil {
		tb.Fatalf("storetest: %v", err)
	}
	return s.database(tb, template)
}

// Copy returns the address of a copy of a database as it is, as a backup's restore
// makes one. Nobody may be connected to that database. The copy is dropped when the test
// ends.
func Copy(tb testing.TB, address string) string {
	tb.Helper()
	parsed, err := parseAddress(address)
	if err != nil {
		tb.Fatalf("storetest: %v", err)
	}
	return running(tb).database(tb, strings.TrimPrefix(parsed.Path, "/"))
}

// EmptyURL returns the address of a database without a schema, for tests of
// the migrations. It is dropped when the test ends.
func EmptyURL(tb testing.TB) string {
	tb.Helper()
	// template0 holds nothing that somebody may have added to a server.
	return running(tb).database(tb, "template0")
}

// Tx returns a transaction on a migrated database, rolled back when the test
// ends. The database is shared by every test: one that waits for another's
// lock, or listens for notifications, needs a Pool. The transaction cannot be
// committed; Begin on it makes a nested one that can.
func Tx(tb testing.TB) pgx.Tx {
	tb.Helper()
	pool, err := running(tb).shared(tb.Context())
	if err != nil {
		tb.Fatalf("storetest: %v", err)
	}
	tx, err := pool.Begin(tb.Context())
	if err != nil {
		tb.Fatalf("storetest: begin: %v", err)
	}
	tb.Cleanup(func() {
		ctx, cancel := afterwards(tb)
		defer cancel()
		if err := tx.Rollback(ctx); err != nil && !errors.Is(err, pgx.ErrTxClosed) {
			tb.Errorf("storetest: roll back: %v", err)
		}
	})
	return uncommitted{tx}
}

// uncommitted is a transaction that leaves nothing behind.
type uncommitted struct{ pgx.Tx }

var errCommit = errors.New("this transaction is rolled back when the test ends; Begin on it makes one that can be committed")

// Commit fails: what a test wrote would be seen by all others.
func (uncommitted) Commit(context.Context) error { return errCommit }

// database clones a template under a name of its own.
func (s *server) database(tb testing.TB, template string) string {
	tb.Helper()
	name := "conciliar_test_" + strings.ToLower(rand.Text())
	if err := s.create(tb.Context(), name, template); err != nil {
		tb.Fatalf("storetest: create a database: %v", err)
	}
	tb.Cleanup(func() {
		ctx, cancel := afterwards(tb)
		defer cancel()
		if _, err := s.admin.Exec(ctx, "DROP DATABASE "+name+" WITH (FORCE)"); err != nil {
			tb.Errorf("storetest: drop a database: %v", err)
		}
	})
	return s.url(name)
}

// url is the address of another database of the same server.
func (s *server) url(database string) string {
	u := *s.address
	u.Path = "/" + database
	return u.String()
}

// inSchema has the sessions of an address look in our schema alone.
func inSchema(address string) string {
	u, err := url.Parse(address)
	if err != nil {
		return address // connecting will say why it cannot be read
	}
	query := u.Query()
	query.Set("search_path", Schema)
	u.RawQuery = query.Encode()
	return u.String()
}

// afterwards is a context for what comes after a test, when its own is over.
func afterwards(tb testing.TB) (context.Context, context.CancelFunc) {
	tb.Helper()
	return context.WithTimeout(context.WithoutCancel(tb.Context()), patience)
}

// parseAddress accepts the URL form only: the name of the database has to be
// replaced in it.
func parseAddress(raw string) (*url.URL, error) {
	u, err := url.Parse(raw)
	if err != nil || (u.Scheme != "postgres" && u.Scheme != "postgresql") || u.Host == "" {
		return nil, fmt.Errorf("%s is not a URL of the form postgres://user:password@host:port/database", ServerEnv)
	}
	return u, nil
}
