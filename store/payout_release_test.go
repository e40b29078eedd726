package store_test

import (
	"strconv"
	"testing"
	"time"

	"github.com/shopspring/decimal"
	"github.com/stretchr/testify/require"

	"github.com/conciliar/conciliar/store"
	"github.com/conciliar/conciliar/store/order"
	"github.com/conciliar/conciliar/store/storetest/fixture"
)

// setupReleases is a store that can ask for what a report names.
func setupReleases(t *testing.T) *bundle {
	t.Helper()
	return setup(t, func(o *store.Options) {
		o.WorkOf = func(string, string, string) (string, bool) { return store.WorkPayment, true }
	})
}

// releasing is an approved payment of which so much is left, to be released on a day.
func releasing(id, reference, net string, release time.Time) store.FetchedPayment {
	p := fetched(id, reference, order.PaymentApproved, "100", 1)
	p.Cost.Net, p.Cost.ReleaseDate = decimal.NewNullDecimal(money(net)), release
	return p
}

func (b *bundle) releases(t *testing.T) []string {
	t.Helper()
	require.NoError(t, b.CheckReleases(t.Context()))
	rows, err := b.pool.Query(t.Context(), `
		SELECT concat_ws(' ', kind, payment_id, order_reference, (SELECT string_agg(key || '=' || value, ' ' ORDER BY key) FROM jsonb_each_text(detail)))
		FROM anomalies WHERE closed_at IS NULL AND kind IN ('released_differs', 'not_released', 'released_unknown') ORDER BY 1`)
	require.NoError(t, err)
	defer rows.Close()
	var lines []string
	for rows.Next() {
		var line string
		require.NoError(t, rows.Scan(&line))
		lines = append(lines, line)
	}
	require.NoError(t, rows.Err())
	return lines
}

func (b *bundle) bookPayment(t *testing.T, number int, p store.FetchedPayment) {
	t.Helper()
	fixture.Settle(t, b.Store, b.pool, fixture.Accept(t, b.Store, signed(number, p.Payment.ID)), p)
}

func TestCheckReleases_AnotherAmountIsSaidUntilTheRestComes(t *testing.T) {
	t.Parallel()
	b := setupReleases(t)
	fixture.Register(t, b.Store, "A-1", "100")
	b.bookPayment(t, 1, releasing("77", "A-1", "92.31", hour(1)))
	b.bookPayment(t, 2, releasing("78", "A-1", "92.31", hour(1)))
	fixture.ImportReport(t, b.Store, "0", hour(0), fixture.Movement("payment", "77", "90", hour(1)), fixture.Movement("payment", "78", "92.31", hour(1)))

	require.Equal(t, []string{"released_differs 77 A-1 currency=ARS difference=-2.31 net=92.31 released=90.00"}, b.releases(t))
	require.Equal(t, 1, b.count(t, `SELECT count(*) FROM order_events WHERE type = 'order.flagged' AND order_reference = 'A-1' AND body::text LIKE '%released_differs%'`))

	fixture.ImportReport(t, b.Store, "182.31", hour(2), fixture.Movement("payment", "77", "2.31", hour(3)))
	require.Empty(t, b.releases(t))
	require.Equal(t, 1, b.count(t, `SELECT count(*) FROM anomalies WHERE kind = 'released_differs' AND closed_by = 'reconciliation'`))
}

// What is not released is said once a report would show it, and why where that is known.
func TestCheckReleases_MoneyThatDoesNotComeIsSaid(t *testing.T) {
	t.Parallel()
	b := setupReleases(t)
	b.bookPayment(t, 1, releasing("77", "A-1", "92.31", hour(24)))
	b.bookPayment(t, 2, releasing("78", "A-2", "92.31", hour(24)))
	disputed := releasing("79", "A-3", "92.31", hour(24))
	disputed.Payment.Status = order.PaymentInMediation
	b.bookPayment(t, 3, disputed)
	foreign := releasing("80", "A-4", "92.31", hour(24))
	foreign.Payment.CollectorID = "2"
	b.bookPayment(t, 4, foreign)
	fixture.ImportReport(t, b.Store, "0", hour(0), fixture.Movement("payment", "9", "1", hour(24)))
	require.Equal(t, []string{"released_unknown 9 currency=ARS released=1.00"}, b.releases(t))

	fixture.ImportReport(t, b.Store, "1", hour(24), fixture.Movement("reserve", "78", "-92.31", hour(30)), fixture.Movement("other", "5", "1", hour(97)))

	const date = "release_date=2026-01-03T03:04:05Z"
	require.Equal(t, []string{
		"not_released 77 A-1 currency=ARS net=92.31 " + date,
		"not_released 78 A-2 currency=ARS net=92.31 reason=block " + date,
		"not_released 79 A-3 currency=ARS net=92.31 reason=dispute " + date,
		"released_unknown 9 currency=ARS released=1.00",
	}, b.releases(t))

	fixture.ImportReport(t, b.Store, "0", hour(98), fixture.Movement("payment", "77", "92.31", hour(99)))
	refunded := releasing("79", "A-3", "92.31", hour(24))
	refunded.Payment.Status, refunded.Payment.UpdatedAt = order.PaymentRefunded, hour(90)
	b.bookPayment(t, 5, refunded)
	require.Equal(t, []string{
		"not_released 78 A-2 currency=ARS net=92.31 reason=block " + date,
		"released_unknown 9 currency=ARS released=1.00",
	}, b.releases(t))
}

// A day between two reports may have the release.
func TestCheckReleases_ADayThatNoReportCoversSaysNothing(t *testing.T) {
	t.Parallel()
	b := setupReleases(t)
	b.bookPayment(t, 1, releasing("77", "A-1", "92.31", hour(24)))
	fixture.ImportReport(t, b.Store, "0", hour(0), fixture.Movement("other", "", "1", hour(30)))
	fixture.ImportReport(t, b.Store, "1", hour(60), fixture.Movement("other", "", "1", hour(200)))
	require.Empty(t, b.releases(t))
	fixture.ImportReport(t, b.Store, "1", hour(29), fixture.Movement("other", "", "2", hour(60)))
	require.Len(t, b.releases(t), 1)
}

// However many they are, each is asked for once, a batch in one transaction.
func TestCheckReleases_TakesAnyNumber(t *testing.T) {
	t.Parallel()
	b := setupReleases(t)
	var movements []store.Movement
	for i := range 450 {
		movements = append(movements, fixture.Movement("payment", strconv.Itoa(1000+i), "1", hour(1)))
	}
	fixture.ImportReport(t, b.Store, "0", hour(0), movements...)
	b.bookPayment(t, 1, releasing("1449", "A-1", "2", hour(1)))

	for range 2 {
		found := b.releases(t)
		require.Len(t, found, 450)
		require.Equal(t, "released_differs 1449 A-1 currency=ARS difference=-1.00 net=2.00 released=1.00", found[0])
		require.Equal(t, 449, b.count(t, `SELECT count(DISTINCT resource_id) FROM webhook_queue WHERE origin = 'report'`))
		require.Equal(t, 449, b.count(t, `SELECT count(*) FROM webhook_queue WHERE origin = 'report' AND job_id IS NOT NULL`))
	}
	require.LessOrEqual(t, b.count(t, `SELECT count(DISTINCT xmin::text) FROM anomalies WHERE kind LIKE 'released%'`), 3)
}

// Pages end where they end: none of their payments is passed over, the last of a page
// that is full neither.
func TestCheckReleases_LooksThroughPagesToTheirEnd(t *testing.T) {
	t.Parallel()
	for _, page := range []int{1, 5, 7, 20, 50} {
		b := setupReleases(t)
		var movements []store.Movement
		for i := range 20 {
			movements = append(movements, fixture.Movement("payment", strconv.Itoa(1000+i), "1", hour(1)))
		}
		fixture.ImportReport(t, b.Store, "0", hour(0), movements...)
		require.NoError(t, b.CheckReleasesBy(t.Context(), page))
		require.Equal(t, 20, b.count(t, `SELECT count(*) FROM anomalies WHERE kind = 'released_unknown'`), "pages of %d", page)
	}
}

// A payment that only a report names is asked for once, and is known when it comes.
func TestCheckReleases_AnUnknownPaymentIsAskedFor(t *testing.T) {
	t.Parallel()
	b := setupReleases(t)
	fixture.ImportReport(t, b.Store, "0", hour(0), fixture.Movement("payment", "77", "92.31", hour(1)), fixture.Movement("payment", "no-number", "1", hour(1)))

	for range 2 {
		require.Len(t, b.releases(t), 2)
		require.Equal(t, 1, b.count(t, `SELECT count(*) FROM webhook_queue WHERE origin = 'report' AND resource_id = '77' AND topic = 'payment' AND job_id IS NOT NULL`))
	}
	queueID := int64(b.count(t, `SELECT id FROM webhook_queue WHERE origin = 'report'`))
	fixture.Settle(t, b.Store, b.pool, queueID, releasing("77", "A-1", "92.31", hour(1)))

	require.Equal(t, []string{"released_unknown no-number currency=ARS released=1.00"}, b.releases(t))
}
