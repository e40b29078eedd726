package store

import (
	"context"
	"errors"
	"io"
	"net"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/puddle/v2"
)

// A DatabaseFailure says what an error of the database means to the caller.
type DatabaseFailure string

// The failures. After each of them nothing was changed.
const (
	// DatabaseUnavailable: no connection, or it broke; the database starts,
	// stops, or is a standby that takes no writes.
	DatabaseUnavailable DatabaseFailure = "database_unavailable"
	// DatabaseBusy: no connection was free in time, of this process or of the
	// server.
	DatabaseBusy DatabaseFailure = "database_busy"
	// DatabaseTimeout: a statement took longer than it may, or a lock.
	DatabaseTimeout DatabaseFailure = "database_timeout"
	// DatabaseConflict: transactions got in each other's way, also when tried
	// again at once.
	DatabaseConflict DatabaseFailure = "database_conflict"
	// DatabaseFull: the disk is full, or another resource is used up.
	DatabaseFull DatabaseFailure = "database_full"
	// DatabaseRefused: what was to be written breaks a rule of the schema.
	DatabaseRefused DatabaseFailure = "database_refused"
	// DatabaseError: anything else.
	DatabaseError DatabaseFailure = "database_error"
)

// DatabaseFailures lists every failure.
func DatabaseFailures() []DatabaseFailure {
	return []DatabaseFailure{
		DatabaseUnavailable, DatabaseBusy, DatabaseTimeout, DatabaseConflict, DatabaseFull, DatabaseRefused, DatabaseError,
	}
}

// FailureOf says which failure of the database an error of a Store's method
// is, and false when it is none. The codes are those of PostgreSQL's
// documentation, appendix A.
func FailureOf(err error) (DatabaseFailure, bool) {
	var answered *pgconn.PgError
	var unconnected *pgconn.ConnectError
	var broken net.Error
	switch {
	case err == nil:
		return "", false
	case errors.As(err, &answered):
		failure := failureOfCode(answered.Code)
		if failure == DatabaseError && errors.As(err, &unconnected) {
			failure = DatabaseUnavailable // whatever it was, there is no connection
		}
		return failure, true
	case errors.Is(err, puddle.ErrClosedPool):
		return DatabaseUnavailable, true
	case pgconn.Timeout(err):
		return DatabaseTimeout, true
	case errors.As(err, &unconnected):
		return DatabaseUnavailable, true
	case errors.Is(err, context.DeadlineExceeded):
		// pgx marks what ran out of time on a connection, as above. Bare, it is
		// the wait for one.
		return DatabaseBusy, true
	case errors.As(err, &broken), errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, net.ErrClosed),
		pgconn.SafeToRetry(err):
		return DatabaseUnavailable, true
	}
	return "", false
}

func failureOfCode(code string) DatabaseFailure {
	switch code {
	case "57014", "55P03", "25P03", "25P04": // cancelled by a timeout, lock not available, idle or transaction too long
		return DatabaseTimeout
	case "57P01", "57P02", "57P03", "57P05", "25006": // shutting down, crashed, starting, idle for too long, read-only
		return DatabaseUnavailable
	case "53300": // too many connections
		return DatabaseBusy
	}
	if len(code) != 5 {
		return DatabaseError
	}
	switch code[:2] {
	case "08": // connection
		return DatabaseUnavailable
	case "40": // transaction rollback
		return DatabaseConflict
	case "53", "58": // insufficient resources; the system's errors, input and output among them
		return DatabaseFull
	case "22", "23": // data, integrity
		return DatabaseRefused
	}
	return DatabaseError
}
