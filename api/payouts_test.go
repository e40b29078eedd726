package api_test

import (
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/conciliar/conciliar/api"
	"github.com/conciliar/conciliar/store/storetest/fixture"
)

var january = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

func TestPayouts_AreListedWithWhatMakesThemUp(t *testing.T) {
	t.Parallel()
	b := setup(t, setupOptions{})
	at := func(hours int) time.Time { return january.Add(time.Duration(hours) * time.Hour) }
	fixture.ImportReport(t, b.store, "10", january,
		fixture.Movement("payment", "77", "92.31", at(1)), fixture.Movement("refund", "77", "-2.31", at(2)),
		fixture.Movement("payout", "900/a", "-95", at(3)), fixture.Movement("payout", "901", "-7", at(4)))

	for query, want := range map[string][]string{
		"": {"901", "900/a"}, "?state=explained": {"900/a"}, "?state=open": {"901"}, "?currency=BRL": nil,
		"?until=2026-01-02T07:04:05Z": {"900/a"}, "?since=2026-01-02T07:04:05Z": {"901"},
	} {
		var ids []string
		for _, p := range walk[api.PayoutDocument](t, b, "/api/payouts"+query) {
			ids = append(ids, p.ID)
		}
		require.Equal(t, want, ids, query)
	}
	requireProblem(t, b.do(t, get("/api/payouts?state=lost")), http.StatusBadRequest, "invalid_parameter")
	requireProblem(t, b.do(t, get("/api/payouts/404")), http.StatusNotFound, "payout_not_found")

	type page = struct {
		api.PayoutDocument

		Parts     []api.PayoutPartDocument `json:"parts"`
		Movements struct {
			Items      []api.MovementDocument `json:"items"`
			NextCursor *string                `json:"next_cursor"`
		} `json:"movements"`
	}
	first := answered[page](t, b, get("/api/payouts/900%2Fa?limit=1"), http.StatusOK)
	require.Equal(t, "95.00", first.Amount)
	require.Equal(t, "10.00", *first.OpeningBalance)
	require.Equal(t, "5.00", *first.BalanceKept)
	require.Equal(t, []api.PayoutPartDocument{{"payment", "payment", 1, "92.31"}, {"refund", "refund", 1, "-2.31"}}, first.Parts)
	require.Equal(t, "2.31", first.Movements.Items[0].Debit)
	second := answered[page](t, b, get("/api/payouts/900%2Fa?limit=1&cursor="+*first.Movements.NextCursor), http.StatusOK)
	require.Equal(t, "77", *second.Movements.Items[0].PaymentID)
	require.Equal(t, "92.31", second.Movements.Items[0].Credit)
	require.Nil(t, second.Movements.NextCursor)
	requireProblem(t, b.do(t, get("/api/payouts/901?cursor=abc")), http.StatusBadRequest, "invalid_parameter")
	open := answered[page](t, b, get("/api/payouts/901"), http.StatusOK)
	require.Equal(t, "2.00", open.UnexplainedAmount)
}
