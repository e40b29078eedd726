package store_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/conciliar/conciliar/store"
	"github.com/conciliar/conciliar/store/order"
)

// odd settles a payment without an order, and returns its anomaly.
func (b *bundle) odd(t *testing.T, number int, paymentID, reference string) store.Anomaly {
	t.Helper()
	a := b.startAttempt(t, b.accept(t, signed(number, paymentID)))
	_, err := b.Settle(t.Context(), a, fetched(paymentID, reference, order.PaymentApproved, "10", 1), complete(a))
	require.NoError(t, err)
	found, err := b.Anomalies(t.Context(), store.AnomalyFilter{PaymentID: paymentID}, store.Page{Limit: 1})
	require.NoError(t, err)
	require.Len(t, found.Items, 1)
	return found.Items[0]
}

func TestAnomalies_AreListedByWhatIsAskedFor(t *testing.T) {
	t.Parallel()
	b := setup(t)
	unknown, nameless := b.odd(t, 1, "77", "A-1"), b.odd(t, 2, "78", "")
	resolved, err := b.ResolveAnomaly(t.Context(), b.odd(t, 3, "79", "A-3").ID, note(t, "sold by phone"), ana)
	require.NoError(t, err)
	opened := time.Date(2026, 1, 2, 3, 0, 0, 0, time.UTC)
	b.exec(t, `UPDATE anomalies SET opened_at = $2 WHERE id = $1`, unknown.ID, opened)

	for name, c := range map[string]struct {
		filter store.AnomalyFilter
		want   []int64
	}{
		"all":     {store.AnomalyFilter{}, []int64{resolved.ID, nameless.ID, unknown.ID}},
		"open":    {store.AnomalyFilter{State: store.AnomalyOpen}, []int64{nameless.ID, unknown.ID}},
		"closed":  {store.AnomalyFilter{State: store.AnomalyClosed}, []int64{resolved.ID}},
		"kind":    {store.AnomalyFilter{Kind: "no_reference"}, []int64{nameless.ID}},
		"order":   {store.AnomalyFilter{Order: "A-1"}, []int64{unknown.ID}},
		"payment": {store.AnomalyFilter{PaymentID: "78"}, []int64{nameless.ID}},
		"since":   {store.AnomalyFilter{Since: opened.Add(time.Second)}, []int64{resolved.ID, nameless.ID}},
		"until":   {store.AnomalyFilter{Until: opened.Add(time.Second)}, []int64{unknown.ID}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var ids []int64
			for _, a := range pages(t, func(p store.Page) (store.List[store.Anomaly], error) { return b.Anomalies(t.Context(), c.filter, p) }) {
				ids = append(ids, a.ID)
			}
			require.Equal(t, c.want, ids)
		})
	}
	_, err = b.Anomalies(t.Context(), store.AnomalyFilter{State: "ajar"}, store.Page{Limit: 1})
	require.ErrorContains(t, err, "ajar")
}

func TestAnomaly_AResolvedOneStaysClosedOverTheSameFacts(t *testing.T) {
	t.Parallel()
	b := setup(t)
	odd := b.odd(t, 1, "77", "A-1")
	_, err := b.ResolveAnomaly(t.Context(), odd.ID, store.Note{}, ana)
	require.ErrorContains(t, err, "note")
	for _, nobody := range []string{"settlement", "reconciliation"} {
		_, err = b.ResolveAnomaly(t.Context(), odd.ID, note(t, "why"), store.Actor{Name: nobody})
		require.ErrorContains(t, err, "is nobody", "a person's word must not look like the ledger's")
	}

	resolved, err := b.ResolveAnomaly(t.Context(), odd.ID, note(t, "sold by phone"), ana)

	require.NoError(t, err)
	require.Equal(t, "a1b2c3d4", resolved.ClosedBy)
	require.Equal(t, "sold by phone", resolved.Note)
	require.NotNil(t, resolved.ClosedAt)
	require.Equal(t, []auditRow{byAna(store.ActionResolve, store.TargetAnomaly, odd.ID, 1, "sold by phone")}, b.actions(t))
	a := b.startAttempt(t, b.accept(t, signed(2, "77")))
	_, err = b.Settle(t.Context(), a, fetched("77", "A-1", order.PaymentApproved, "10", 1), complete(a))
	require.NoError(t, err)
	require.Empty(t, b.openAnomalies(t))

	_, err = b.ResolveAnomaly(t.Context(), 404, note(t, "why"), ana)
	require.ErrorIs(t, err, store.ErrAnomalyNotFound)
}

func TestAnomaly_IsResolvedOnce(t *testing.T) {
	t.Parallel()
	b := setup(t)
	odd := b.odd(t, 1, "77", "A-1")
	won := 0
	for _, err := range race(t, 6, func(ctx context.Context) error {
		_, err := b.ResolveAnomaly(ctx, odd.ID, note(t, "sold by phone"), ana)
		return err
	}) {
		if err == nil {
			won++
			continue
		}
		var state *store.StateError
		require.ErrorAs(t, err, &state)
		require.Equal(t, store.StateError{What: "anomaly", ID: odd.ID, State: store.AnomalyClosed}, *state)
	}
	require.Equal(t, 1, won)
	require.Len(t, b.actions(t), 1)
}
