package store

import (
	"context"
	"errors"
	"math/bits"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
)

const (
	// inTxTries bounds how often one call tries its transaction again at once. A
	// deadlock's victim succeeds as soon as the other side has committed, and a
	// broken connection is replaced by a new one. What takes longer, such as a
	// restart of PostgreSQL, is for the caller: a caller that waits for an answer must
	// not wait for that.
	inTxTries = 5
	// inTxPause is how long the second try waits at most, the third twice as
	// long, and so on.
	inTxPause = 5 * time.Millisecond
)

// durableTx begins every transaction that changes the ledger. What we answer for
// must be on disk, and on a synchronous standby's where there is one, whatever the
// server, the database or the role says of synchronous_commit: off and local, which does
// not wait for that standby, are raised to on, in the round trip of BEGIN (PostgreSQL
// documentation, 20.5.1, synchronous_commit). Without synchronous_standby_names local and
// on are the same, so nobody has to ask which it is. The rest stays as its owner wants
// it: remote_write and remote_apply survive a promotion as well. READ COMMITTED is what
// the transactions are written for: a statement after a lock sees what the lock's last
// holder committed.
var durableTx = pgx.TxOptions{BeginQuery: `BEGIN ISOLATION LEVEL READ COMMITTED; ` + durableSQL}

// durableSQL makes the commit of the transaction that it is part of durable.
const durableSQL = `SELECT set_config('synchronous_commit', 'on', true) WHERE current_setting('synchronous_commit') IN ('off', 'local')`

// plainPlansSQL has the statements of its transaction planned for whatever arrays they get,
// each to find some rows among all, one by one and by an index. A plan that was made while
// a table was small, or before it was analyzed, would read all of it from then on. And one
// for the arrays of one call always looks cheaper than one for any, so each call would be
// planned, which takes longer than it runs. To compile a plan takes longest.
const plainPlansSQL = `SELECT set_config('enable_seqscan', 'off', true), set_config('enable_hashjoin', 'off', true), set_config('enable_mergejoin', 'off', true),
	set_config('enable_material', 'off', true), set_config('plan_cache_mode', 'force_generic_plan', true), set_config('jit', 'off', true)`

// groupTx begins a transaction that ends several events. What it can't lock for a moment
// is settled alone.
var groupTx = pgx.TxOptions{BeginQuery: durableTx.BeginQuery + `; SELECT set_config('lock_timeout', '500ms', true); ` + plainPlansSQL}

// A plansKey is where a connection counts the rows that its plans were for.
const plansKey = "conciliar.plans"

// renewPlans adds to a batch, whose transaction is about so many rows, what has the
// session's plans made once more, if it was about eight times as many as when they were
// made. Of tables that were empty then any index looks as good as any other, and
// until they are analyzed nothing else tells PostgreSQL that they have grown, its own
// plans for foreign keys included.
func renewPlans(b *pgx.Batch, conn *pgx.Conn, rows int) {
	data := conn.PgConn().CustomData()
	before, _ := data[plansKey].(int)
	after := before + rows
	data[plansKey] = after
	if bits.Len(uint(before))/3 != bits.Len(uint(after))/3 {
		b.Queue(`DISCARD PLANS`)
	}
}

// inTx runs fn in a transaction and commits it. It tries again at once what
// cannot have happened: a transaction that PostgreSQL broke up to resolve a
// conflict, and one whose connection broke before its COMMIT was sent. So fn must
// have no effect outside of it. A COMMIT whose answer was lost may have
// happened, and is an error.
func (s *Store) inTx(ctx context.Context, fn func(tx pgx.Tx) error) error {
	return s.tryTx(ctx, durableTx, fn, false)
}

// inFencedTx is inTx for a transaction that begins by making sure that it was not
// done before, as those do that begin with lockAttempt and end the job. It is
// tried again even when it may have been committed; the second try then finds the
// fence.
func (s *Store) inFencedTx(ctx context.Context, fn func(tx pgx.Tx) error) error {
	return s.tryTx(ctx, durableTx, fn, true)
}

func (s *Store) tryTx(ctx context.Context, options pgx.TxOptions, fn func(tx pgx.Tx) error, fenced bool) error {
	return s.repeat(ctx, func() (again bool, err error) { return s.onceTx(ctx, options, fn, fenced) })
}

// onConn runs fn on a connection, and tries it again as inFencedTx does. fn is one
// statement, a transaction of its own that may be done twice.
func (s *Store) onConn(ctx context.Context, fn func(conn *pgxpool.Conn) error) error {
	return s.repeat(ctx, func() (again bool, err error) {
		conn, err := s.pool.Acquire(ctx)
		if err != nil {
			return true, err
		}
		defer conn.Release()
		if err = fn(conn); err == nil {
			return false, nil
		}
		return s.replaced(err) || isConflict(err) || isBroken(err) || conn.Conn().IsClosed(), err
	})
}

// repeat tries once until it succeeds or should not be tried again.
func (s *Store) repeat(ctx context.Context, once func() (again bool, err error)) error {
	for try := 1; ; try++ {
		again, err := once()
		if err == nil || !again || try == inTxTries || ctx.Err() != nil {
			return err
		}
		s.logger.DebugContext(ctx, "transaction tried again", "try", try, "error", err)
		pause := time.NewTimer(time.Duration(try) * rand.N(inTxPause)) //nolint:gosec // spreads load, guards nothing
		select {
		case <-pause.C:
		case <-ctx.Done():
			pause.Stop()
			return ctx.Err()
		}
	}
}

// A ledgerTx is a transaction of inTx.
type ledgerTx struct {
	pgx.Tx
	// told is true when it wrote order events.
	told bool
}

// onceTx tries the transaction once, and says whether it may be tried again.
func (s *Store) onceTx(ctx context.Context, options pgx.TxOptions, fn func(tx pgx.Tx) error, fenced bool) (again bool, err error) {
	defer func() { again = s.replaced(err) || again }()
	begun, err := s.pool.BeginTx(ctx, options)
	if err != nil {
		return true, err
	}
	tx := &ledgerTx{Tx: begun}
	// Without effect once the transaction has ended.
	defer func() { _ = tx.Rollback(ctx) }()
	if err := fn(tx); err != nil {
		// The COMMIT was not sent, so nothing has happened, whatever broke.
		return isConflict(err) || isBroken(err) || tx.Conn().IsClosed(), err
	}
	err = tx.Commit(ctx)
	switch {
	case err == nil:
		if tx.told {
			s.orderEvents.ring()
		}
		return false, nil
	case isRefused(err):
		return isConflict(err), err
	}
	// pgconn.SafeToRetry is not a witness here: it is true of a COMMIT that was sent
	// and whose connection closed instead of an answer.
	return fenced, err
}

// replaced reports that what was the primary is none any more, or that the tables were
// replaced, and has every connection opened again: each has it from before.
func (s *Store) replaced(err error) bool {
	if !isReadOnly(err) && !isStalePlan(err) {
		return false
	}
	s.pool.Reset()
	return true
}

// isConflict reports what a second try resolves: a serialization failure or a
// deadlock (PostgreSQL documentation, appendix A, class 40), or a duplicate
// whose first delivery went to the archive meanwhile.
func isConflict(err error) bool {
	return errors.Is(err, errDuplicateVanished) || hasCode(err, "40001", "40P01")
}

// isBroken reports that the session was ended and not the statement: by a shutdown
// or a crash of the server (57P01, 57P02), or after it was idle (57P05, 25P03).
func isBroken(err error) bool { return hasCode(err, "57P01", "57P02", "57P05", "25P03") }

// isReadOnly reports that the server takes no writes: after a failover the old
// primary may still answer.
func isReadOnly(err error) bool { return hasCode(err, "25006") }

// isStalePlan reports that a statement that was prepared does not fit the tables any
// more, which a dump restored under the running service does (0A000), or that the
// server does not know it, which is a pooler's doing (26000). It was not executed.
func isStalePlan(err error) bool {
	var answer *pgconn.PgError
	return errors.As(err, &answer) &&
		(answer.Code == "26000" || answer.Code == "0A000" && answer.Message == "cached plan must not change result type")
}

// isRefused reports that the server answered a COMMIT by failing it. The end of a
// session is no such answer: it may come after the COMMIT was done.
func isRefused(err error) bool {
	if answer, ok := errors.AsType[*pgconn.PgError](err); ok {
		return answer.SeverityUnlocalized == "ERROR"
	}
	return errors.Is(err, pgx.ErrTxCommitRollback)
}

// isDataError reports an error that lies in the values of one statement, and
// so would come again: class 22 (data exception), 23 (integrity constraint)
// and 54 (program limit exceeded).
func isDataError(err error) bool {
	var pgErr *pgconn.PgError
	if !errors.As(err, &pgErr) || len(pgErr.Code) != 5 {
		return false
	}
	switch pgErr.Code[:2] {
	case "22", "23", "54":
		return true
	}
	return false
}

func hasCode(err error, codes ...string) bool {
	answer, ok := errors.AsType[*pgconn.PgError](err)
	return ok && slices.Contains(codes, answer.Code)
}
