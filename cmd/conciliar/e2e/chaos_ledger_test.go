//go:build chaos

package e2e

import (
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/conciliar/conciliar/jobs/provider/mercadopago/simulator"
)

// outcomes are what one run of a scenario came to.
type outcomes struct {
	report   simulator.Report
	events   int
	recovery time.Duration
	lost     []string
	doubled  []string
}

// closeLedger holds all that the service wrote against Mercado Pago's own ledger
// and against what it acknowledged, and fails over each row that is lost or
// counts twice.
func (s *stage) closeLedger() {
	s.t.Helper()
	o := &s.outcome
	o.events = s.count(`SELECT (SELECT count(*) FROM webhook_queue) + (SELECT count(*) FROM webhook_archive)`)
	s.ordersAsPaid()
	s.lost(`SELECT format('event %s was acknowledged and is not there', id) FROM unnest($1::bigint[]) id
		WHERE NOT EXISTS (SELECT FROM webhook_queue q WHERE q.id = id.id) AND NOT EXISTS (SELECT FROM webhook_archive a WHERE a.id = id.id)`, o.report.QueueIDs)
	s.lost(`SELECT format('event %s has no end: %s', id, status) FROM webhook_queue_status
		WHERE completed_at IS NULL AND dead_letter_id IS NULL`)
	s.lost(`SELECT format('event %s has ended and its job is %s', q.id, j.state) FROM webhook_queue q JOIN river_job j ON j.id = q.job_id
		WHERE q.completed_at IS NOT NULL AND j.state <> 'completed'`)
	s.lost(`SELECT format('event %s died (%s) and is %s', queue_id, error, state) FROM webhook_dead_letter
		ORDER BY id OFFSET $1`, s.mayDie)
	s.doubled(`SELECT format('a delivery is %s events', count(*)) FROM webhook_queue WHERE signature IS NOT NULL
		GROUP BY source, signature HAVING count(*) > 1`)
	s.doubled(`SELECT format('event %s is in the queue and in the archive', id) FROM webhook_queue JOIN webhook_archive USING (id)`)
	s.doubled(`SELECT format('payment %s is %s by %s log rows', payment_id, status, count(*)) FROM payment_logs
		GROUP BY source, payment_id, status, status_detail, amount, refunded_amount, date_last_updated HAVING count(*) > 1`)
	s.doubled(`SELECT format('event %s has %s dead letters', queue_id, count(*)) FROM webhook_dead_letter GROUP BY queue_id HAVING count(*) > 1`)
	s.doubled(`SELECT format('anomaly %s of order %s is open %s times', kind, order_reference, count(*)) FROM anomalies WHERE closed_at IS NULL
		GROUP BY kind, order_reference, payment_id HAVING count(*) > 1`)
	s.doubled(`SELECT format('runs %s and %s of one scope went on at once', a.id, b.id) FROM webhook_reconciliation_logs a
		JOIN webhook_reconciliation_logs b ON a.id < b.id AND a.scope = b.scope
		WHERE tstzrange(a.started_at, a.finished_at) && tstzrange(b.started_at, b.finished_at) AND a.window_end > a.window_start`)
	if !s.archives && s.count(`SELECT count(*) FROM webhook_archive`) > 0 {
		o.lost = append(o.lost, "young events are in the archive")
	}
	s.statesAsTold()
	s.verified()
	require.Empty(s.t, o.lost, "lost: %s", strings.Join(o.lost, "; "))
	require.Empty(s.t, o.doubled, "doubled: %s", strings.Join(o.doubled, "; "))
}

// ordersAsPaid compares every order with Mercado Pago's ledger.
func (s *stage) ordersAsPaid() {
	s.t.Helper()
	for _, truth := range s.sim.Truth() {
		var status, paid, refunded string
		err := s.pool.QueryRow(s.t.Context(), `SELECT status, trim_scale(paid_amount)::text, trim_scale(refunded_amount)::text
			FROM orders WHERE reference = $1`, truth.Reference).Scan(&status, &paid, &refunded)
		require.NoError(s.t, err, truth.Reference)
		is := fmt.Sprintf("%s, %s paid, %s refunded", status, paid, refunded)
		want := fmt.Sprintf("%s, %s paid, %s refunded", truth.Status, truth.Paid.Normalize(), truth.Refunded.Normalize())
		if is != want {
			s.outcome.lost = append(s.outcome.lost, fmt.Sprintf("order %s (%s) is %s; Mercado Pago says %s", truth.Reference, truth.Lifecycle, is, want))
		}
	}
}

// statesAsTold holds the payment logs against what Mercado Pago really told.
func (s *stage) statesAsTold() {
	s.t.Helper()
	told := map[string]bool{}
	for _, truth := range s.sim.Truth() {
		for _, state := range truth.States {
			if state.Served > 0 {
				told[stateKey(state.ID, state.Status, state.StatusDetail, state.Refunded.String(), state.DateLastUpdated)] = true
			}
		}
	}
	rows, err := s.pool.Query(s.t.Context(), `SELECT payment_id, status, status_detail, trim_scale(refunded_amount)::text, date_last_updated FROM payment_logs`)
	require.NoError(s.t, err)
	var id, status, detail, refunded string
	var at time.Time
	_, err = pgx.ForEachRow(rows, []any{&id, &status, &detail, &refunded, &at}, func() error {
		if key := stateKey(id, status, detail, refunded, at); !told[key] {
			s.outcome.doubled = append(s.outcome.doubled, "a state was applied that Mercado Pago never told: "+key)
		}
		return nil
	})
	require.NoError(s.t, err)
}

func (s *stage) lost(query string, args ...any) {
	s.t.Helper()
	s.outcome.lost = append(s.outcome.lost, s.findings(query, args...)...)
}

func (s *stage) doubled(query string, args ...any) {
	s.t.Helper()
	s.outcome.doubled = append(s.outcome.doubled, s.findings(query, args...)...)
}

func (s *stage) findings(query string, args ...any) []string {
	s.t.Helper()
	rows, err := s.pool.Query(s.t.Context(), query, args...)
	require.NoError(s.t, err)
	found, err := pgx.CollectRows(rows, pgx.RowTo[string])
	require.NoError(s.t, err)
	return found
}

// verified lets the product's own `verify` look at the database.
func (s *stage) verified() {
	s.t.Helper()
	got := execute(s.t, s.environ, "verify", "--json")
	if s.ahead && strings.Count(got.out, `"invariant": `) == strings.Count(got.out, `"invariant": "times_passed"`) {
		return // a clock that was ahead left its times, and nothing else is wrong
	}
	if got.code != exitDone {
		s.outcome.lost = append(s.outcome.lost, fmt.Sprintf("conciliar verify exits %d: %s%s", got.code, got.out, got.err))
	}
}
