package store

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

// lockSeedProcess is the class of the advisory locks by which working processes
// say that they live.
const lockSeedProcess = 4

const (
	// holdTimeout bounds each thing that a Hold does with its connection.
	holdTimeout = 5 * time.Second
	// holdLook is how often a Hold makes sure that its connection still works.
	holdLook = 5 * time.Second
	// holdPause is how long a Hold waits before it connects again.
	holdPause = 250 * time.Millisecond
)

// A ProcessLock is a process's word that it lives: a session lock on the process's id,
// on a connection of its own. PostgreSQL takes it back when the process dies,
// however it dies. A connection that breaks is made again and the lock taken
// under the same id; what others may have taken from the process meanwhile was
// taken by an attempt's fence, and costs time and nothing else.
type ProcessLock struct {
	id      string
	pool    *pgxpool.Config
	logger  *slog.Logger
	stop    context.CancelFunc
	keeping sync.WaitGroup
}

// LockProcess takes the lock of the process that calls itself id, which must be unique
// to it. The context bounds only the taking; Release gives the lock back.
func (s *Store) LockProcess(ctx context.Context, id string) (*ProcessLock, error) {
	h := &ProcessLock{id: id, pool: s.direct.Config(), logger: s.logger}
	conn, err := h.take(ctx)
	if err != nil {
		return nil, fmt.Errorf("say that this process lives: %w", err)
	}
	life, stop := context.WithCancel(context.WithoutCancel(ctx))
	h.stop = stop
	h.keeping.Go(func() { h.keep(life, conn) })
	return h, nil
}

// Release gives the lock back.
func (h *ProcessLock) Release() {
	h.stop()
	h.keeping.Wait()
}

// take connects and takes the lock.
func (h *ProcessLock) take(ctx context.Context) (*pgx.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, holdTimeout)
	defer cancel()
	conn, err := connectLike(ctx, h.pool)
	if err != nil {
		return nil, err
	}
	// A host that is gone without a word has its lock taken back by PostgreSQL as
	// soon as it doesn't answer for half a minute; by default it would be hours.
	_, err = conn.Exec(ctx, `
		SELECT set_config('tcp_keepalives_idle', '10', false), set_config('tcp_keepalives_interval', '5', false),
		       set_config('tcp_keepalives_count', '4', false), pg_advisory_lock(hashtextextended($1, $2))`, h.id, lockSeedProcess)
	if err != nil {
		hangUp(ctx, conn)
		return nil, err
	}
	return conn, nil
}

// keep watches the connection, and makes a new one when it breaks.
func (h *ProcessLock) keep(ctx context.Context, conn *pgx.Conn) {
	for {
		err := watch(ctx, conn)
		hangUp(ctx, conn)
		if ctx.Err() != nil {
			return
		}
		h.logger.WarnContext(ctx, "the connection that says this process lives broke; another is made", "error", err)
		for {
			if conn, err = h.take(ctx); err == nil {
				break
			}
			pause := time.NewTimer(holdPause)
			select {
			case <-pause.C:
			case <-ctx.Done():
				pause.Stop()
				return
			}
		}
	}
}

// watch returns when the connection is broken, or ctx is done.
func watch(ctx context.Context, conn *pgx.Conn) error {
	for {
		// Nothing is listened to: this reads, so that a connection which the
		// server closes is known at once.
		look, cancel := context.WithTimeout(ctx, holdLook)
		_, err := conn.WaitForNotification(look)
		cancel()
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err != nil && (conn.IsClosed() || !errors.Is(err, context.DeadlineExceeded)) {
			return err
		}
		ping, cancel := context.WithTimeout(ctx, holdTimeout)
		err = conn.Ping(ping)
		cancel()
		if err != nil {
			return err
		}
	}
}

func hangUp(ctx context.Context, conn *pgx.Conn) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), holdTimeout)
	defer cancel()
	_ = conn.Close(ctx)
}
