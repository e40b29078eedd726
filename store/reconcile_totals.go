package store

import (
	"context"

	"github.com/jackc/pgx/v5"
)

// RunTotals are sums over all reconciliations that ended.
type RunTotals struct {
	// ByStatus counts runs by how they ended; each status is there.
	ByStatus map[string]int64
	// Found sums up what runs found, by missing, drift, odd and stuck; each is there.
	Found map[string]int64
}

// RunTotals returns the sums over all reconciliations that ended.
func (s *Store) RunTotals(ctx context.Context) (RunTotals, error) {
	totals := RunTotals{
		ByStatus: map[string]int64{RunSucceeded: 0, RunFailed: 0, RunStoppedByCap: 0},
		Found:    map[string]int64{FindingMissing: 0, FindingDrift: 0, FindingOdd: 0, FindingStuck: 0},
	}
	rows, _ := s.pool.Query(ctx, `
		SELECT status, count(*), sum(missing_found)::bigint, sum(drift_found)::bigint, sum(odd_found)::bigint, sum(stuck_requeued)::bigint
		FROM webhook_reconciliation_logs WHERE finished_at IS NOT NULL GROUP BY status`)
	var status string
	var n, missing, drift, odd, stuck int64
	_, err := pgx.ForEachRow(rows, []any{&status, &n, &missing, &drift, &odd, &stuck}, func() error {
		totals.ByStatus[status] = n
		totals.Found[FindingMissing] += missing
		totals.Found[FindingDrift] += drift
		totals.Found[FindingOdd] += odd
		totals.Found[FindingStuck] += stuck
		return nil
	})
	return totals, wrap(err, "totals of runs")
}
