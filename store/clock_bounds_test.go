package store_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/conciliar/conciliar/store"
	"github.com/conciliar/conciliar/store/order"
	"github.com/conciliar/conciliar/store/storetest"
	"github.com/conciliar/conciliar/store/storetest/fixture"
)

// What our own times put off is not put off by a clock that was a day, or ten, ahead
// when it wrote them.
func TestClockBounds_LooksAreMade(t *testing.T) {
	t.Parallel()
	b := setup(t, orders)
	b.register(t, "A-1", "100", "ARS")
	b.told(t, b.inbox(t, store.InboxOptions{}), 1, ordered("PAY1", "A-1", order.PaymentApproved, "100", 1))
	for ahead, want := range map[string]int{"0": 0, "1 day": 1} {
		b.exec(t, `UPDATE payment_aliases SET next_look_at = now() + interval '1 minute' + $1::interval`, ahead)
		n, err := b.LookAgain(t.Context(), []time.Duration{time.Minute, 2 * time.Minute}, 10)
		require.NoError(t, err)
		require.Equal(t, want, n, ahead)
	}
}

func TestClockBounds_DeliveriesAreMade(t *testing.T) {
	t.Parallel()
	b := telling(t, storetest.Pool(t))
	b.happen(t, "A-1")
	b.fanOut(t)
	for ahead, state := range map[string]string{"1 day": "scheduled", "10 days": "available"} {
		b.exec(t, `DELETE FROM river_job WHERE kind = 'delivery'`)
		b.exec(t, `UPDATE deliveries SET next_attempt_at = now() + $1::interval`, ahead)
		require.NoError(t, b.SweepDeliveries(t.Context(), true))
		require.Equal(t, 1, b.count(t, `SELECT count(*) FROM river_job WHERE kind = 'delivery' AND state = $1::river_job_state`, state), ahead)
	}
}

func TestClockBounds_ReportsAreReadAndAskedFor(t *testing.T) {
	t.Parallel()
	b := setup(t)
	ctx := t.Context()
	now := time.Now()
	require.NoError(t, b.ReportsListed(ctx, mainAccount, []store.ListedReport{{Name: "r.csv"}}))
	require.NoError(t, b.ReportNotBooked(ctx, mainAccount, "r.csv", "cannot be read"))
	next, err := b.NextReport(ctx, mainAccount, []string{}, false)
	require.NoError(t, err)
	require.Nil(t, next)
	b.exec(t, `UPDATE report_downloads SET next_try_at = next_try_at + interval '1 day'`)
	next, err = b.NextReport(ctx, mainAccount, []string{}, false)
	require.NoError(t, err)
	require.NotNil(t, next)

	require.NoError(t, b.WantReports(ctx, mainAccount, now, []store.ReportPeriod{{Begin: now.Add(-24 * time.Hour), End: now}}))
	for _, ahead := range []string{"", "0", "1 day"} {
		if ahead != "" {
			b.exec(t, `UPDATE report_requests SET claimed_at = now() + $1::interval`, ahead)
		}
		claimed, err := b.ClaimReportRequest(ctx, mainAccount, now)
		require.NoError(t, err)
		require.Equal(t, ahead == "0", claimed == nil, ahead)
	}
}

func TestClockBounds_RunsStartAndSeeEverything(t *testing.T) {
	t.Parallel()
	b := setupRuns(t)
	ctx := t.Context()
	run, _ := b.startRun(t, regular)
	b.finish(t, run, store.RunSucceeded, 5*time.Hour)
	b.exec(t, `UPDATE webhook_reconciliation_logs SET finished_at = now() - interval '5 hours'`)
	b.exec(t, `INSERT INTO webhook_reconciliation_logs (trigger, status, scope, window_start, window_end, finished_at)
		VALUES ('start', 'succeeded', 'regular', now() + interval '23 hours', now() + interval '1 day', now() + interval '1 day')`)

	last, now, err := b.LastSuccess(ctx)
	require.NoError(t, err)
	require.WithinDuration(t, now.Add(-5*time.Hour), *last, time.Minute)
	st, err := b.Status(ctx)
	require.NoError(t, err)
	require.WithinDuration(t, *last, *st.LastSuccessAt, time.Minute)
	start, end, err := b.RegularWindow(ctx)
	require.NoError(t, err)
	require.WithinDuration(t, end.Add(-7*time.Hour), start, time.Minute, "when the run that was ahead ended nobody knows")

	seller := store.Account{Source: mp, CollectorID: "2001"}
	require.NoError(t, b.KeepSellers(ctx, mp, []store.Seller{{CollectorID: "2001", TokenSHA256: []byte{1}}}, true))
	b.exec(t, `UPDATE sellers SET searched_until = now() + interval '1 day'`)
	run, _ = b.startRun(t, regular)
	step, _ := b.openStep(t, run)
	begin, err := step.AccountWindow(ctx, seller)
	require.NoError(t, err)
	require.WithinDuration(t, run.WindowEnd.Add(-72*time.Hour), begin, time.Minute)
	require.NoError(t, step.NoteUnseen(ctx, store.SearchedRange{Account: seller, Begin: begin, End: *run.WindowEnd}, nil))
	require.Equal(t, 1, b.count(t, `SELECT count(*) FROM sellers WHERE searched_until <= now()`))
}

func TestClockBounds_RunsLookAtWhatWasMadeAndAskedLater(t *testing.T) {
	t.Parallel()
	b := setupRuns(t)
	ctx := t.Context()
	unpaid := func() int {
		found, err := b.UnpaidOrders(ctx, store.UnpaidOrder{}, 10)
		require.NoError(t, err)
		return len(found)
	}
	fixture.Register(t, b.Store, "A-1", "10")
	require.Zero(t, unpaid(), "it may yet be paid")
	b.exec(t, `UPDATE orders SET created_at = now() + interval '1 day'`)
	require.Equal(t, 1, unpaid())
	b.exec(t, `INSERT INTO webhook_reconciliation_inquiries (order_reference) VALUES ('A-1')`)
	require.Zero(t, unpaid(), "it was asked about today")
	b.exec(t, `UPDATE webhook_reconciliation_inquiries SET asked_at = now() + interval '1 day'`)
	require.Equal(t, 1, unpaid())

	b.accept(t, signed(1, "77"))
	b.exec(t, `DELETE FROM river_job WHERE kind LIKE 'webhook\_%'`)
	b.exec(t, `UPDATE webhook_dead_letter SET state = 'reopened'`)
	for ahead, want := range map[string]int64{"0": 0, "1 day": 1} {
		b.exec(t, `UPDATE webhook_queue SET received_at = now() + $1::interval`, ahead)
		run, _ := b.startRun(t, regular)
		step, _ := b.openStep(t, run)
		_, err := step.RequeueStuck(ctx)
		require.NoError(t, err)
		run, err = b.Run(ctx, run.ID)
		require.NoError(t, err)
		require.Equal(t, want, run.StuckRequeued, ahead)
		b.finish(t, run, store.RunSucceeded, 0)
		b.exec(t, `DELETE FROM river_job WHERE kind LIKE 'webhook\_%'`)
		b.exec(t, `UPDATE webhook_dead_letter SET state = 'reopened'`)
	}
}
