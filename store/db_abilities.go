package store

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

// lockSeedTrial is the class of the advisory locks by which it is tried whether they
// lock.
const lockSeedTrial = 5

const (
	// abilityLimit bounds the trials.
	abilityLimit = 10 * time.Second
	// notificationLimit is how long a notification may take to arrive.
	notificationLimit = 3 * time.Second
)

// An ability is something that the service rests on, and that a database may lack which
// only speaks PostgreSQL's protocol.
type ability struct {
	// lacks is what is said of a database without it.
	lacks string
	// direct is true for what needs a session of its own.
	direct bool
	// works tries it with two sessions, and leaves nothing behind that another trial in
	// them could meet, and nothing at all once both are closed.
	works func(ctx context.Context, one, other *pgx.Conn) (bool, error)
}

// abilities are tried in this order.
var abilities = []ability{
	{"advisory locks of a session hold nobody off", true, sessionLocks},
	{"what is sent by NOTIFY does not reach who listens", true, notifications},
	{"advisory locks of a transaction hold nobody off", false, transactionLocks},
	{"FOR UPDATE SKIP LOCKED gives one row to two transactions", false, skipsLocked},
	{"transactions are not of the isolation that they ask for", false, isolation},
}

// CheckAbilities tries what the service rests on, and fails with what the database
// lacks.
func (s *Store) CheckAbilities(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, abilityLimit)
	defer cancel()
	poolOf := func(a ability) *pgxpool.Pool {
		if a.direct {
			return s.direct
		}
		return s.pool
	}
	for rest := abilities; len(rest) > 0; {
		pool, same := poolOf(rest[0]), 1
		for same < len(rest) && poolOf(rest[same]) == pool {
			same++
		}
		if err := tryAbilities(ctx, pool, rest[:same]); err != nil {
			return err
		}
		rest = rest[same:]
	}
	return nil
}

// tryAbilities makes two sessions for the trials: the pool may have no second one.
func tryAbilities(ctx context.Context, pool *pgxpool.Pool, trials []ability) error {
	one, err := connectLike(ctx, pool.Config())
	if err != nil {
		return fmt.Errorf("try what the database can do: %w", err)
	}
	defer hangUp(ctx, one)
	other, err := connectLike(ctx, pool.Config())
	if err != nil {
		return fmt.Errorf("try what the database can do: %w", err)
	}
	defer hangUp(ctx, other)
	for _, a := range trials {
		works, err := a.works(ctx, one, other)
		if err != nil {
			return fmt.Errorf("try whether %s: %w", a.lacks, err)
		}
		if !works {
			return fmt.Errorf("the database is not PostgreSQL in what the service rests on: %s; use PostgreSQL 14 to 18", a.lacks)
		}
	}
	return nil
}

// connectLike connects as a pool does, outside of it.
func connectLike(ctx context.Context, pool *pgxpool.Config) (*pgx.Conn, error) {
	config := pool.ConnConfig.Copy()
	if pool.BeforeConnect != nil { // the password may have changed
		if err := pool.BeforeConnect(ctx, config); err != nil {
			return nil, err
		}
	}
	conn, err := pgx.ConnectConfig(ctx, config)
	if err != nil || pool.AfterConnect == nil {
		return conn, err
	}
	if err := pool.AfterConnect(ctx, conn); err != nil {
		hangUp(ctx, conn)
		return nil, err
	}
	return conn, nil
}

func sessionLocks(ctx context.Context, one, other *pgx.Conn) (bool, error) {
	key := rand.Text()
	if _, err := one.Exec(ctx, `SELECT pg_advisory_lock(hashtextextended($1, $2))`, key, lockSeedTrial); err != nil {
		return false, err
	}
	var got bool
	err := other.QueryRow(ctx, `SELECT pg_try_advisory_lock(hashtextextended($1, $2))`, key, lockSeedTrial).Scan(&got)
	return !got, err
}

func transactionLocks(ctx context.Context, one, other *pgx.Conn) (works bool, err error) {
	key := rand.Text()
	err = inTwo(ctx, one, other, func(first, second pgx.Tx) error {
		if _, err := first.Exec(ctx, `SELECT pg_advisory_xact_lock(hashtextextended($1, $2))`, key, lockSeedTrial); err != nil {
			return err
		}
		var got bool
		err := second.QueryRow(ctx, `SELECT pg_try_advisory_xact_lock(hashtextextended($1, $2))`, key, lockSeedTrial).Scan(&got)
		works = !got
		return err
	})
	return works, err
}

func notifications(ctx context.Context, one, other *pgx.Conn) (bool, error) {
	channel := "conciliar_trial_" + rand.Text()
	if _, err := one.Exec(ctx, `LISTEN `+pgx.Identifier{channel}.Sanitize()); err != nil {
		return false, err
	}
	if _, err := other.Exec(ctx, `SELECT pg_notify($1, '')`, channel); err != nil {
		return false, err
	}
	waiting, cancel := context.WithTimeout(ctx, notificationLimit)
	defer cancel()
	_, err := one.WaitForNotification(waiting)
	if err != nil && waiting.Err() != nil && ctx.Err() == nil {
		return false, nil
	}
	return err == nil, err
}

// skipsLocked tries a row that every database of ours has. When somebody else has
// locked it, both transactions pass it over, which shows the same.
func skipsLocked(ctx context.Context, one, other *pgx.Conn) (works bool, err error) {
	const lock = `SELECT FROM books FOR UPDATE SKIP LOCKED`
	err = inTwo(ctx, one, other, func(first, second pgx.Tx) error {
		mine, err := first.Exec(ctx, lock)
		if err != nil {
			return err
		}
		theirs, err := second.Exec(ctx, lock)
		works = mine.RowsAffected() == 0 || theirs.RowsAffected() == 0
		return err
	})
	return works, err
}

func isolation(ctx context.Context, one, other *pgx.Conn) (works bool, err error) {
	err = inTwo(ctx, one, other, func(first, _ pgx.Tx) error {
		var level string
		err := first.QueryRow(ctx, `SELECT current_setting('transaction_isolation')`).Scan(&level)
		works = level == "read committed"
		return err
	})
	return works, err
}

// inTwo runs fn with a transaction of each session, as the service begins them, and
// rolls both back.
func inTwo(ctx context.Context, one, other *pgx.Conn, fn func(first, second pgx.Tx) error) error {
	first, err := one.BeginTx(ctx, durableTx)
	if err != nil {
		return err
	}
	second, err := other.BeginTx(ctx, durableTx)
	if err != nil {
		return errors.Join(err, first.Rollback(ctx))
	}
	return errors.Join(fn(first, second), second.Rollback(ctx), first.Rollback(ctx))
}
