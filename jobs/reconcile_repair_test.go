package jobs_test

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/conciliar/conciliar/jobs"
	"github.com/conciliar/conciliar/jobs/provider"
	"github.com/conciliar/conciliar/jobs/provider/mercadopago"
	"github.com/conciliar/conciliar/jobs/provider/mercadopago/simulator"
	"github.com/conciliar/conciliar/store"
	"github.com/conciliar/conciliar/store/order"
)

// settled makes an order of 100 ARS that was paid, by a notification. A payment
// that is old is not in the window of a regular run.
func (w *world) settled(t *testing.T, reference string, old bool) (paymentID string) {
	t.Helper()
	w.register(t, reference)
	spec := simulator.PaymentSpec{Reference: reference, Amount: money("100"), Status: simulator.Approved, StatusDetail: "accredited"}
	if old {
		spec.CreatedAt = time.Now().Add(-90 * 24 * time.Hour)
	}
	paymentID = w.sim.CreatePayment(spec)
	w.notify(t, paymentID)
	return paymentID
}

func TestReconcile_RepairsWhatWasTamperedWith(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		old       bool
		statement string
		want      found
	}{
		"an order's status":            {false, `UPDATE orders SET status = 'pending'`, found{drift: 1}},
		"an order's money":             {true, `UPDATE orders SET paid_amount = 99.99`, found{drift: 1}},
		"an order's terms":             {true, `UPDATE orders SET status = 'partially_paid', amount = 100.00`, found{drift: 1}},
		"a payment's amount":           {false, `UPDATE payments SET amount = 250`, found{drift: 1}},
		"an old payment's amount":      {true, `UPDATE payments SET amount = 250`, found{drift: 1}},
		"a payment's refund":           {false, `UPDATE payments SET refunded_amount = 100`, found{drift: 1}},
		"an old payment's currency":    {true, `UPDATE payments SET currency = 'USD'`, found{drift: 1}},
		"an old payment's status":      {true, `UPDATE payments SET status = 'refunded'`, found{drift: 1}},
		"an old payment's order":       {true, `UPDATE payments SET order_reference = 'another'`, found{drift: 2}},
		"an old payment without order": {true, `UPDATE payments SET order_reference = NULL`, found{drift: 2}},
		"a date that is to come":       {true, `UPDATE payments SET status = 'refunded', date_last_updated = now() + interval '1 year'`, found{drift: 1}},
		"a payment's status goes back": {false, `UPDATE payments SET status = 'pending'`, found{missing: 1}},
		"a payment's date goes back":   {false, `UPDATE payments SET status = 'pending', date_last_updated = '2020-01-01'`, found{missing: 1}},
		"order and payment alike": {true, `WITH p AS (UPDATE payments SET status = 'refunded', refunded_amount = 100)
			UPDATE orders SET status = 'refunded', refunded_amount = 100`, found{drift: 1}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, worldSpec{})
			w.start(t)
			id := w.settled(t, "order", c.old)
			require.Equal(t, found{}, foundBy(w.reconcile(t)))
			was := look[string](t, w, `SELECT to_jsonb(p) - 'updated_at' - 'fetched_at' - 'cost_read_at' - 'fetch_mark' FROM payments p WHERE payment_id = $1`, id)
			for range 2 {
				w.exec(t, c.statement)
				require.Equal(t, c.want, foundBy(w.reconcile(t)), "also when it comes again")
				w.requireTruth(t)
				require.Equal(t, was, look[string](t, w, `SELECT to_jsonb(p) - 'updated_at' - 'fetched_at' - 'cost_read_at' - 'fetch_mark' FROM payments p WHERE payment_id = $1`, id))
				require.Equal(t, found{}, foundBy(w.reconcile(t)))
			}
			require.Zero(t, look[int](t, w, `SELECT count(*) FROM anomalies`))
			require.Equal(t, 1, look[int](t, w, `SELECT count(*) FROM payment_logs`), "no state was applied twice")
			require.Zero(t, look[int](t, w, `
				SELECT count(*) FROM order_logs WHERE cause = 'repair' AND (status, paid_amount) IS DISTINCT FROM ('paid', 100)`),
				"a repair leads nowhere but to the truth")
		})
	}
}

func TestReconcile_SaysWhatItRepaired(t *testing.T) {
	t.Parallel()
	w := newWorld(t, worldSpec{})
	w.start(t)
	w.settled(t, "order", true)
	w.exec(t, `UPDATE orders SET status = 'pending', paid_amount = 0`)
	run := w.reconcile(t)
	o, err := w.Order(t.Context(), "order")
	require.NoError(t, err)
	require.Equal(t, "repair", o.Timeline[len(o.Timeline)-1].Cause)
	require.JSONEq(t,
		`{"against": "payments", "held_status": "pending", "settled_status": "paid", "held_paid_amount": "0", "settled_paid_amount": "100"}`,
		look[string](t, w, `SELECT detail FROM webhook_reconciliation_findings WHERE run_id = $1`, run.ID))
}

func TestReconcile_StopsBeforeItChangesTooMuch(t *testing.T) {
	t.Parallel()
	w := newWorld(t, worldSpec{})
	w.start(t)
	for i := range 51 {
		reference := fmt.Sprintf("order-%02d", i)
		w.register(t, reference)
		w.pay(reference)
	}
	require.Equal(t, found{missing: 51}, foundBy(w.reconcile(t)), "what is missing is not capped")
	w.exec(t, `UPDATE orders SET paid_amount = 1`)
	run := w.ended(t, w.begin(t).ID)
	require.Equal(t, store.RunStoppedByCap, run.Status)
	require.Equal(t, int64(51), run.DriftFound)
	require.Contains(t, *run.Error, "51 differences")
	require.NotNil(t, run.FinishedAt)
	require.Equal(t, 51, look[int](t, w, `SELECT count(*) FROM orders WHERE paid_amount = 1`), "nothing was repaired")

	// What the payments themselves show counts as well, and waits as well.
	w.exec(t, `UPDATE orders SET paid_amount = 100`)
	w.exec(t, `UPDATE payments SET amount = 101`)
	run = w.ended(t, w.begin(t).ID)
	require.Equal(t, store.RunStoppedByCap, run.Status)
	require.Equal(t, int64(51), run.DriftFound)
	require.Equal(t, 51, look[int](t, w, `SELECT count(*) FROM payments WHERE amount = 101`))
	require.Equal(t, 51, look[int](t, w, `SELECT count(*) FROM webhook_queue`), "no event was made")

	// Among enough orders it is no more than can happen.
	w.exec(t, `INSERT INTO orders (reference, amount, currency, settled_at, fold_version, created_at)
		SELECT 'other-' || n, 1, 'ARS', now(), $1, now() - interval '1 year' FROM generate_series(1, 1000) n`, order.FoldVersion)
	run = w.reconcile(t)
	require.Equal(t, found{drift: 51}, foundBy(run))
	require.Zero(t, look[int](t, w, `SELECT count(*) FROM payments WHERE amount = 101`))
	require.Equal(t, found{}, foundBy(w.reconcile(t)))
}

// contrary is a Mercado Pago whose search contradicts what it says of a payment.
type contrary struct {
	*mercadopago.Client
	lies atomic.Bool
	lie  func(*provider.Payment)
}

func (c *contrary) SearchPayments(ctx context.Context, q provider.SearchQuery) (provider.SearchPage, error) {
	page, err := c.Client.SearchPayments(ctx, q)
	if c.lies.Load() {
		for i := range page.Payments {
			c.lie(&page.Payments[i])
		}
	}
	return page, err
}

// newContraryWorld is a world with one settled order whose payment the search
// shows as lie makes it.
func newContraryWorld(t *testing.T, lie func(*provider.Payment)) (*world, *contrary) {
	t.Helper()
	w := newWorld(t, worldSpec{})
	c := &contrary{Client: w.client, lie: lie}
	w.deps.Searches = map[string]jobs.PaymentSearcher{mercadopago.Source: c}
	w.start(t)
	w.settled(t, "order", false)
	c.lies.Store(true)
	return w, c
}

func TestReconcile_ADifferenceThatStaysIsAnAnomaly(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		lie   func(*provider.Payment)
		first found
	}{
		"other facts": {func(p *provider.Payment) { p.Refunded = money("5") }, found{drift: 1}},
		"later facts": {func(p *provider.Payment) {
			p.Status, p.UpdatedAt = "charged_back", p.UpdatedAt.Add(time.Second)
		}, found{missing: 1}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w, mp := newContraryWorld(t, c.lie)
			const open = `SELECT coalesce(array_agg(kind ORDER BY kind), '{}') FROM anomalies WHERE closed_at IS NULL`
			require.Equal(t, c.first, foundBy(w.reconcile(t)), "it is asked for once")
			require.Empty(t, look[[]string](t, w, open))
			for range 2 {
				require.Equal(t, found{}, foundBy(w.reconcile(t)), "it counts no more")
				require.Equal(t, []string{"unsettled_difference"}, look[[]string](t, w, open))
				w.requireTruth(t)
			}
			mp.lies.Store(false)
			require.Equal(t, found{}, foundBy(w.reconcile(t)))
			require.Empty(t, look[[]string](t, w, open), "the difference is gone")
			require.Equal(t, []string{"order.flagged", "order.cleared"}, look[[]string](t, w, `
				SELECT array_agg(type ORDER BY id) FROM order_events
				WHERE cause = 'reconciliation' AND body #>> '{data,anomaly,kind}' = 'unsettled_difference'`))

			// A person's word on the same facts holds.
			mp.lies.Store(true)
			w.reconcile(t)
			w.exec(t, `UPDATE anomalies SET closed_at = now(), closed_by = 'operator' WHERE closed_at IS NULL`)
			require.Equal(t, found{}, foundBy(w.reconcile(t)))
			require.Empty(t, look[[]string](t, w, open))
		})
	}
}

// A settlement of the order does not close what a reconciliation opened.
func TestReconcile_ItsAnomalyOutlivesSettlements(t *testing.T) {
	t.Parallel()
	w, _ := newContraryWorld(t, func(p *provider.Payment) { p.Refunded = money("5") })
	w.reconcile(t)
	w.reconcile(t)
	_, err := w.RegisterOrder(t.Context(), "order", order.Terms{Amount: money("100"), Currency: "ARS"})
	require.NoError(t, err)
	require.Equal(t, 1, look[int](t, w, `SELECT count(*) FROM anomalies WHERE closed_at IS NULL AND kind = 'unsettled_difference'`))
}

// A search that dates a payment otherwise than the payment itself does makes no
// noise: it is asked for once, and that is all.
func TestReconcile_ADateIsNoDifference(t *testing.T) {
	t.Parallel()
	w, _ := newContraryWorld(t, func(p *provider.Payment) { p.UpdatedAt = p.UpdatedAt.Add(time.Second) })
	require.Equal(t, found{missing: 1}, foundBy(w.reconcile(t)))
	require.Equal(t, found{}, foundBy(w.reconcile(t)))
	require.Zero(t, look[int](t, w, `SELECT count(*) FROM anomalies`))
}

// withoutTrigger runs a statement that the mirror of dead letters does not see:
// what it would take for an event to get stuck.
func (w *world) withoutTrigger(t *testing.T, statement string, args ...any) {
	t.Helper()
	require.NoError(t, pgx.BeginFunc(t.Context(), w.pool, func(tx pgx.Tx) error {
		if _, err := tx.Exec(t.Context(), `SET LOCAL session_replication_role = replica`); err != nil {
			return err
		}
		_, err := tx.Exec(t.Context(), statement, args...)
		return err
	}))
}

func TestReconcile_PutsStuckEventsBack(t *testing.T) {
	t.Parallel()
	for name, statement := range map[string]string{
		"the job is gone":               `DELETE FROM river_job WHERE kind = 'webhook_payment'`,
		"the job completed by itself":   `UPDATE river_job SET state = 'completed', finalized_at = now() WHERE kind = 'webhook_payment'`,
		"the job died without a letter": `UPDATE river_job SET state = 'discarded', finalized_at = now() WHERE kind = 'webhook_payment'`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, worldSpec{})
			w.register(t, "order", "young")
			ids := []string{w.pay("order"), w.pay("young")}
			for _, id := range ids {
				require.True(t, w.sim.Notify(t.Context(), id).Acknowledged())
			}
			w.withoutTrigger(t, statement)
			w.exec(t, `UPDATE webhook_queue SET received_at = now() - interval '61 seconds' WHERE resource_id = $1`, ids[0])
			w.start(t)
			run := w.reconcile(t)
			require.Equal(t, found{stuck: 1}, foundBy(run), "an event of less than a minute is left alone")
			o, err := w.Order(t.Context(), "order")
			require.NoError(t, err)
			require.Equal(t, order.StatusPaid, o.Status)
			require.Equal(t, found{}, foundBy(w.reconcile(t)))
			require.Equal(t, 1, look[int](t, w, `SELECT count(*) FROM webhook_queue WHERE completed_at IS NULL`))
			require.Zero(t, look[int](t, w, `SELECT count(*) FROM webhook_dead_letter`))
		})
	}
}

// An event whose dead letter was reopened and whose job then vanished is stuck;
// one whose dead letter is open is not.
func TestReconcile_ADeadLetterIsNotStuck(t *testing.T) {
	t.Parallel()
	w := newWorld(t, worldSpec{})
	w.register(t, "order")
	require.True(t, w.sim.Notify(t.Context(), w.pay("order")).Acknowledged())
	w.exec(t, `UPDATE webhook_queue SET received_at = now() - interval '1 hour'`)
	w.exec(t, `DELETE FROM river_job WHERE kind = 'webhook_payment'`)
	require.Equal(t, "open", look[string](t, w, `SELECT state FROM webhook_dead_letter`))
	w.start(t)
	require.Equal(t, found{}, foundBy(w.reconcile(t)))
	w.exec(t, `UPDATE webhook_dead_letter SET state = 'reopened'`)
	require.Equal(t, found{stuck: 1}, foundBy(w.reconcile(t)))
	w.requireTruth(t)
}

func TestReconcile_CountsRetriesThatAreDue(t *testing.T) {
	t.Parallel()
	w := newWorld(t, worldSpec{})
	require.True(t, w.sim.Notify(t.Context(), w.pay("order")).Acknowledged())
	// A queue that nobody works keeps the retry waiting.
	w.exec(t, `UPDATE river_job SET queue = 'elsewhere', state = 'retryable', attempt = 2, scheduled_at = now() - interval '1 second'`)
	w.start(t)
	run := w.reconcile(t)
	require.Equal(t, int64(1), run.RetriesDue)
	require.Equal(t, found{}, foundBy(run), "an event that waits for its next attempt is in other hands")
}

func TestReconcile_ArchivesWhatIsOld(t *testing.T) {
	t.Parallel()
	w := newWorld(t, worldSpec{})
	w.start(t)
	for _, reference := range []string{"old", "dead", "young"} {
		w.settled(t, reference, false)
	}
	const byOrder = `(SELECT queue_id FROM payment_logs WHERE order_reference = $1)`
	w.exec(t, `UPDATE webhook_queue SET completed_at = now() - interval '8 days', attempts = 3, remote_ip = '192.0.2.1',
		attempt_errors = '[{"error": "timeout: late"}]', resource = '\x00', live_mode = true, replay_of = 1
		WHERE id IN `+byOrder, "old")
	w.exec(t, `UPDATE webhook_queue SET completed_at = now() - interval '8 days' WHERE id IN `+byOrder, "dead")
	w.exec(t, `INSERT INTO webhook_dead_letter (queue_id, reason, state) SELECT id, 'deleted', 'reopened' FROM webhook_queue WHERE id IN `+byOrder, "dead")
	was := look[string](t, w, `SELECT to_jsonb(q) FROM webhook_queue q WHERE id IN `+byOrder, "old")

	run := w.reconcile(t)
	require.Equal(t, int64(1), run.Archived)
	require.JSONEq(t, was, look[string](t, w, `SELECT to_jsonb(a) FROM webhook_archive a`), "every column went along")
	require.Equal(t, 2, look[int](t, w, `SELECT count(*) FROM webhook_queue`))
	require.Zero(t, w.reconcile(t).Archived)
}

// The archive has every column that an event has.
func TestArchive_HasTheColumnsOfTheQueue(t *testing.T) {
	t.Parallel()
	w := newWorld(t, worldSpec{})
	const columns = `SELECT array_agg(column_name || ' ' || data_type ORDER BY ordinal_position) FROM information_schema.columns
		WHERE table_schema = current_schema() AND table_name = $1`
	require.Equal(t, look[[]string](t, w, columns, "webhook_queue"), look[[]string](t, w, columns, "webhook_archive"))
}
