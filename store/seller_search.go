package store

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"
)

// AccountWindow is where this run's search of an account begins: where the run's
// window does and, for a seller, where the last search of its account ended, if that
// was before. So what a run could not see of a seller a later one does, and the other
// accounts' windows move on.
func (st *RunStep) AccountWindow(ctx context.Context, account Account) (begin time.Time, err error) {
	begin = *st.Run.WindowStart
	if account.CollectorID == "" || st.Run.Scope != ScopeRegular {
		return begin, nil
	}
	// A seller that was never searched is looked at as the main account at first.
	err = st.store.pool.QueryRow(ctx, `
		SELECT least($1, greatest(coalesce((
		           SELECT searched_until - $4::interval FROM sellers WHERE source = $2 AND collector_id = $3 AND `+passed("searched_until")+`),
		           $5::timestamptz - $6::interval), now() - $7::interval))`,
		begin, account.Source, account.CollectorID, windowOverlap, *st.Run.WindowEnd, deepWindow, searchReach).Scan(&begin)
	return begin.UTC(), err
}

// SkipSeller notes with the run that it did not see a seller's payments, and why; the
// run goes on with cursor.
func (st *RunStep) SkipSeller(ctx context.Context, account Account, why string, cursor any) error {
	return st.advance(ctx, "skip a seller", func(tx pgx.Tx) (progress, error) {
		_, err := tx.Exec(ctx, `
			UPDATE webhook_reconciliation_logs SET note = CASE WHEN note = '' THEN '' ELSE note || '; ' END || $2
			WHERE id = $1`, st.Run.ID, text("seller "+account.CollectorID+" was not searched: "+why))
		return progress{cursor: cursor}, err
	})
}

// noteSearched keeps that a regular run has been through a seller's window.
func (st *RunStep) noteSearched(ctx context.Context, tx pgx.Tx, account Account) error {
	if account.CollectorID == "" || st.Run.Scope != ScopeRegular {
		return nil
	}
	return execute(ctx, tx, `
		UPDATE sellers SET searched_until = greatest(CASE WHEN `+passed("searched_until")+` THEN searched_until END, $3) WHERE source = $1 AND collector_id = $2`,
		account.Source, account.CollectorID, *st.Run.WindowEnd)
}
