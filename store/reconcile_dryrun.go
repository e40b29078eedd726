package store

import (
	"context"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/conciliar/conciliar/store/order"
)

// The comparisons of a run, without a run: nothing is written. An open anomaly is
// no difference, and neither is what a person resolved.

// RegularWindow is the window that a regular run would have now.
func (s *Store) RegularWindow(ctx context.Context) (start, end time.Time, err error) {
	err = s.read(ctx, "window", func(tx pgx.Tx) error {
		var err error
		start, end, _, err = runWindow(ctx, tx, RunRequest{Scope: ScopeRegular})
		return err
	})
	return start, end, err
}

// BackfillWindow checks the dates of a backfill as StartRun does.
func (s *Store) BackfillWindow(ctx context.Context, since, until time.Time) (start, end time.Time, err error) {
	err = s.read(ctx, "window", func(tx pgx.Tx) error {
		var err error
		start, end, _, err = runWindow(ctx, tx, RunRequest{Scope: ScopeBackfill, Since: since, Until: until})
		return err
	})
	return start, end, err
}

// CheckStuck counts the events that nothing would bring to their end.
func (s *Store) CheckStuck(ctx context.Context) (n int64, err error) {
	err = s.read(ctx, "count stuck events", func(tx pgx.Tx) error {
		n, err = countStuck(ctx, tx)
		return err
	})
	return n, err
}

// CheckFound compares what the search of one account showed with what is held. A
// payment that waits in a dead letter is a difference here.
func (s *Store) CheckFound(ctx context.Context, account Account, found []FoundPayment) (differ []Difference, err error) {
	err = s.read(ctx, "compare what was found", func(tx pgx.Tx) error {
		if differ, _, err = compareSearch(ctx, tx, account, found, true); err != nil {
			return err
		}
		differ, err = unknownDifferences(ctx, tx, differ)
		return err
	})
	return differ, err
}

// A LedgerCheck is a walk through the comparison of the ledger with itself.
// The zero value begins; Done says that it came to its end.
type LedgerCheck struct {
	Done    bool
	started bool
	at      ledgerCursor
}

// CheckLedger compares the next batch of orders and payments that changed since
// the given time, and returns how many orders it looked at.
func (s *Store) CheckLedger(ctx context.Context, since time.Time, walk *LedgerCheck) (orders int64, differ []Difference, err error) {
	err = s.read(ctx, "compare the ledger", func(tx pgx.Tx) error {
		if !walk.started {
			walk.at = ledgerCursor{At: since}
			if err := tx.QueryRow(ctx, `SELECT now()`).Scan(&walk.at.Until); err != nil {
				return err
			}
			walk.started = true
		}
		b, err := s.compareBatch(ctx, tx, since, walk.at)
		if err != nil {
			return err
		}
		walk.at, walk.Done, orders = b.next, b.done, b.orders
		differ, err = unknownDifferences(ctx, tx, b.differ)
		return err
	})
	return orders, differ, err
}

// read runs fn in a transaction that can write nothing.
func (s *Store) read(ctx context.Context, doing string, fn func(tx pgx.Tx) error) error {
	err := pgx.BeginTxFunc(ctx, s.pool, pgx.TxOptions{AccessMode: pgx.ReadOnly}, fn)
	return wrap(err, "%s", doing)
}

// unknownDifferences drops what a run would not act on, or only to open an
// anomaly that is there already.
func unknownDifferences(ctx context.Context, tx pgx.Tx, differ []Difference) ([]Difference, error) {
	if len(differ) == 0 {
		return nil, nil
	}
	differ, err := knownFindings(ctx, tx, 0, differ)
	if err != nil {
		return nil, err
	}
	return slices.DeleteFunc(differ, func(d Difference) bool {
		if err != nil || d.Kind != FindingUnsettled {
			return false
		}
		var known bool
		known, err = isKnownAnomaly(ctx, tx, d)
		return known
	}), err
}

// isKnownAnomaly reports whether the difference has an open anomaly, or was
// resolved by a person over the same facts.
func isKnownAnomaly(ctx context.Context, tx pgx.Tx, d Difference) (known bool, err error) {
	err = tx.QueryRow(ctx, `
		SELECT EXISTS (SELECT FROM anomalies a
		               WHERE a.kind = $1 AND `+checked(`a.closed_at IS NULL`)+` AND a.source IS NOT DISTINCT FROM nullif($2, '')
		                 AND `+ofSame(`a`, `nullif($3, '')`, `nullif($4, '')`)+`)
		    OR EXISTS (`+resolvedUnsettled+`)`,
		order.AnomalyUnsettledDifference, d.Source, d.Reference, d.PaymentID, mustJSON(d.Detail),
		closedBySettlement, closedByReconciliation).Scan(&known)
	return known, err
}
