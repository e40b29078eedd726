package store_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/conciliar/conciliar/store"
	"github.com/conciliar/conciliar/store/storetest"
)

// Each failure as PostgreSQL and pgx really give it.
func TestFailureOf_KnowsThoseOfARealDatabase(t *testing.T) {
	t.Parallel()
	databaseURL := storetest.URL(t)
	config, err := pgxpool.ParseConfig(databaseURL)
	require.NoError(t, err)
	config.MaxConns = 1
	pool, err := pgxpool.NewWithConfig(t.Context(), config)
	require.NoError(t, err)
	defer pool.Close()
	exec := func(ctx context.Context, statements ...string) error {
		return pgx.BeginFunc(ctx, pool, func(tx pgx.Tx) error {
			for _, s := range statements {
				if _, err := tx.Exec(ctx, s); err != nil {
					return fmt.Errorf("wrapped: %w", err)
				}
			}
			return nil
		})
	}
	cases := map[store.DatabaseFailure][]error{
		store.DatabaseTimeout: {
			exec(t.Context(), `SET LOCAL statement_timeout = 20`, `SELECT pg_sleep(60)`),
			pgx.BeginFunc(t.Context(), pool, func(tx pgx.Tx) error {
				// Not before there is a connection: waiting for one is another failure.
				soon, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
				defer cancel()
				_, err := tx.Exec(soon, `SELECT pg_sleep(60)`)
				return err
			}),
		},
		store.DatabaseRefused: {exec(t.Context(), `INSERT INTO orders (reference, amount, currency) VALUES ('A', -1, 'ARS')`)},
		store.DatabaseError:   {exec(t.Context(), `SELECT nonsense`)},
		store.DatabaseUnavailable: {
			exec(t.Context(), `SELECT pg_terminate_backend(pg_backend_pid())`),
			exec(t.Context(), `SET TRANSACTION READ ONLY`, `INSERT INTO orders (reference, amount, currency) VALUES ('A', 1, 'ARS')`),
			connect(t, "postgres://127.0.0.1:1/none"),
		},
	}
	for want, errs := range cases {
		for _, err := range errs {
			got, ok := store.FailureOf(err)
			require.True(t, ok, "%v", err)
			require.Equal(t, want, got, "%v", err)
		}
	}

	held, err := pool.Acquire(t.Context())
	require.NoError(t, err)
	defer held.Release()
	waiting, stop := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer stop()
	busy, ok := store.FailureOf(exec(waiting, `SELECT 1`))
	require.True(t, ok)
	require.Equal(t, store.DatabaseBusy, busy, "the pool is used up")
}

func connect(t *testing.T, url string) error {
	t.Helper()
	_, err := pgx.Connect(t.Context(), url)
	require.Error(t, err)
	return err
}

// What no test can bring about, by PostgreSQL's codes.
func TestFailureOf_GoesByTheCode(t *testing.T) {
	t.Parallel()
	for code, want := range map[string]store.DatabaseFailure{
		"53100": store.DatabaseFull, "53200": store.DatabaseFull, "58030": store.DatabaseFull, "53300": store.DatabaseBusy,
		"57P01": store.DatabaseUnavailable, "57P03": store.DatabaseUnavailable, "08006": store.DatabaseUnavailable,
		"40001": store.DatabaseConflict, "40P01": store.DatabaseConflict, "55P03": store.DatabaseTimeout, "57014": store.DatabaseTimeout,
		"22003": store.DatabaseRefused, "23505": store.DatabaseRefused, "XX000": store.DatabaseError, "": store.DatabaseError,
	} {
		got, ok := store.FailureOf(fmt.Errorf("%w", &pgconn.PgError{Code: code}))
		require.True(t, ok)
		require.Equal(t, want, got, code)
	}
	for _, err := range []error{nil, errors.New("odd"), store.ErrStaleAttempt} {
		_, ok := store.FailureOf(err)
		require.False(t, ok)
	}
}
