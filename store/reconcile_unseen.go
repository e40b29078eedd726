package store

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"
)

// Why a search did not show what it should have.
const (
	// UnseenCounted: the provider counts more payments than it shows, each time
	// that it is asked.
	UnseenCounted = "counted"
	// UnseenBeyondCap: more payments changed at one instant than a search pages
	// through, in any order and by any status.
	UnseenBeyondCap = "beyond_cap"
	// UnseenUnstable: each reading of the range showed others.
	UnseenUnstable = "unstable"
	// UnseenRefused: the provider refused the search, however narrow.
	UnseenRefused = "refused"
	// UnseenBound: the run had asked as often as it may.
	UnseenBound = "call_limit"
)

// UnseenReasons lists every reason.
func UnseenReasons() []string {
	return []string{UnseenCounted, UnseenBeyondCap, UnseenUnstable, UnseenRefused, UnseenBound}
}

const (
	// unseenFor is how long what was unseen is read again.
	unseenFor = 7 * 24 * time.Hour
	// unseenPerRun is how many ranges one run reads again at most.
	unseenPerRun = 10
)

// An UnseenRange is a part of a search that was not seen whole.
type UnseenRange struct {
	// ID is 0 for one that no run has noted yet.
	ID int64 `json:"id,omitempty"`
	// Begin and End bound when the payments last changed, both included.
	Begin time.Time `json:"begin"`
	End   time.Time `json:"end"`
	// Reason is one of the Unseen constants.
	Reason string `json:"reason"`
	// Payments is how many are missing at least.
	Payments int `json:"payments"`
}

// A SearchedRange is what came of a walk through an account's search.
type SearchedRange struct {
	Account Account
	// Begin and End bound the walk, both included.
	Begin, End time.Time
	// Again is the range of an earlier run that was read once more; nil in the
	// run's own window.
	Again *UnseenRange
	// Unseen is what was not shown.
	Unseen []UnseenRange
}

// NoteUnseen keeps what a walk did not see, and counts it. A range that was read
// again is seen when nothing of it is left, and otherwise keeps what is. In a
// run's window, a backfill's too, every range of an earlier run is seen where
// nothing was missed. cursor says where the search is now.
func (st *RunStep) NoteUnseen(ctx context.Context, r SearchedRange, cursor any) error {
	return st.advance(ctx, "note what was unseen", func(tx pgx.Tx) (progress, error) {
		p := progress{cursor: cursor}
		if r.Again != nil {
			left, reason := 0, r.Again.Reason
			for _, u := range r.Unseen {
				left, reason = left+u.Payments, u.Reason
			}
			_, err := tx.Exec(ctx, `
				UPDATE webhook_reconciliation_unseen SET
					read_at = now(), reason = $3, payments = coalesce(nullif($2::bigint, 0), payments),
					seen_at = CASE WHEN $2 = 0 THEN now() END
				WHERE id = $1`, r.Again.ID, left, reason)
			return p, err
		}
		if err := st.noteSearched(ctx, tx, r.Account); err != nil {
			return p, err
		}
		begins, ends := make([]time.Time, len(r.Unseen)), make([]time.Time, len(r.Unseen))
		for i, u := range r.Unseen {
			begins[i], ends[i] = u.Begin, u.End
		}
		_, err := tx.Exec(ctx, `
			UPDATE webhook_reconciliation_unseen u SET read_at = now(), seen_at = now()
			WHERE source = $1 AND seen_at IS NULL AND begin_at >= $2 AND end_at <= $3
			  AND NOT EXISTS (SELECT FROM unnest($4::timestamptz[], $5::timestamptz[]) AS missed (begin_at, end_at)
			                  WHERE missed.begin_at <= u.end_at AND missed.end_at >= u.begin_at)`,
			r.Account.String(), r.Begin, r.End, begins, ends)
		if err != nil {
			return p, err
		}
		for _, u := range r.Unseen {
			p.unseen += int64(u.Payments)
			// An hour later the same instants are in the window again.
			_, err := tx.Exec(ctx, `
				INSERT INTO webhook_reconciliation_unseen (run_id, source, begin_at, end_at, reason, payments)
				SELECT $1, $2, $3, $4, $5, $6
				WHERE NOT EXISTS (
					SELECT FROM webhook_reconciliation_unseen u
					WHERE u.source = $2 AND u.seen_at IS NULL AND u.reason = $5 AND u.begin_at <= $3 AND u.end_at >= $4)`,
				st.Run.ID, r.Account.String(), u.Begin, u.End, u.Reason, u.Payments)
			if err != nil {
				return p, err
			}
		}
		return p, nil
	})
}

// UnseenRanges returns what earlier runs did not see of an account's search and this
// one is to read again, those that wait longest first.
func (st *RunStep) UnseenRanges(ctx context.Context, account Account) ([]UnseenRange, error) {
	return readAll[UnseenRange](ctx, st.store.pool, `
		SELECT id, begin_at, end_at, reason, payments FROM webhook_reconciliation_unseen
		WHERE source = $1 AND seen_at IS NULL AND run_id <> $2 AND found_at > now() - $3::interval
		ORDER BY read_at, id LIMIT $4`, account.String(), st.Run.ID, unseenFor, unseenPerRun)
}
