package store_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/conciliar/conciliar/store"
)

func TestDismissMany_TakesNoneThatCameAfterTheCount(t *testing.T) {
	t.Parallel()
	b := setup(t)
	first, e1 := b.deadLetter(t, 1, "77")
	second, e2 := b.deadLetter(t, 2, "78")
	other, _ := b.deadLetter(t, 3, "79")
	b.exec(t, `UPDATE webhook_dead_letter SET error_class = 'timeout' WHERE id = $1`, other)
	filter := store.DeadLetterFilter{ErrorClass: "forbidden"}
	matching, err := b.MatchingDeadLetters(t.Context(), filter)
	require.NoError(t, err)
	require.EqualValues(t, 2, matching.Count)
	later, _ := b.deadLetter(t, 4, "80")

	filter.Until = matching.At
	done, err := b.DismissDeadLetters(t.Context(), filter, matching.Count, note(t, "not ours"), ana)
	require.NoError(t, err)
	require.Equal(t, store.ManyDone{Done: 2}, done)
	for letter, state := range map[int64]string{first: "dismissed", second: "dismissed", other: "open", later: "open"} {
		require.Equal(t, state, b.letterState(t, letter))
	}
	require.Equal(t, []auditRow{byAna(store.ActionDismiss, store.TargetDeadLetter, 0, 2, "not ours", e1, e2)}, b.actions(t))
	for _, event := range []int64{e1, e2} {
		detail, err := b.Event(t.Context(), event)
		require.NoError(t, err)
		require.Len(t, detail.Actions, 1, "each event knows of it")
	}

	done, err = b.DismissDeadLetters(t.Context(), filter, matching.Count, note(t, "not ours"), ana)
	require.NoError(t, err)
	require.Zero(t, done.Done, "a second press does nothing")
	require.Len(t, b.actions(t), 1)

	done, err = b.DismissDeadLetters(t.Context(), store.DeadLetterFilter{}, 1, note(t, "one"), ana)
	require.NoError(t, err)
	require.Equal(t, store.ManyDone{Done: 1, Remaining: 1}, done)
	_, err = b.DismissDeadLetters(t.Context(), store.DeadLetterFilter{State: "open"}, 0, note(t, "x"), ana)
	require.ErrorContains(t, err, "takes no state")
	_, err = b.DismissDeadLetters(t.Context(), store.DeadLetterFilter{}, 0, store.Note{}, ana)
	require.ErrorIs(t, err, store.ErrNote)
}

func TestReopen_TakesADismissalBack(t *testing.T) {
	t.Parallel()
	b := setup(t)
	letter, event := b.deadLetter(t, 1, "77")
	var conflict *store.StateError
	require.ErrorAs(t, b.ReopenDeadLetter(t.Context(), letter, ana), &conflict)
	require.NoError(t, b.DismissDeadLetter(t.Context(), letter, note(t, "by hand"), ana))
	require.NoError(t, b.ReopenDeadLetter(t.Context(), letter, ana))
	require.Equal(t, store.DeadLetterOpen, b.letterState(t, letter))
	require.ErrorAs(t, b.ReopenDeadLetter(t.Context(), letter, ana), &conflict)
	require.ErrorIs(t, b.ReopenDeadLetter(t.Context(), 999, ana), store.ErrDeadLetterNotFound)
	require.Equal(t, byAna(store.ActionReopen, store.TargetDeadLetter, letter, 1, "", event), b.actions(t)[1])
}

func TestResolveMany_ClosesWhatTheFilterSelects(t *testing.T) {
	t.Parallel()
	b := setup(t)
	for i, reference := range []string{"o-1", "o-2", "o-3"} {
		b.register(t, reference, "1000", "ARS")
		b.pay(t, i+1, reference, "1.5")
	}
	matching, err := b.MatchingAnomalies(t.Context(), store.AnomalyFilter{Kind: "underpaid"})
	require.NoError(t, err)
	require.EqualValues(t, 3, matching.Count)
	filter := store.AnomalyFilter{Kind: "underpaid", Until: matching.At}
	done, err := b.ResolveAnomalies(t.Context(), filter, 2, note(t, "paid in cash"), ana)
	require.NoError(t, err)
	require.Equal(t, store.ManyDone{Done: 2, Remaining: 1}, done)
	closed, err := b.Anomalies(t.Context(), store.AnomalyFilter{State: store.AnomalyClosed}, store.Page{Limit: 5})
	require.NoError(t, err)
	require.Len(t, closed.Items, 2)
	require.Equal(t, "paid in cash", closed.Items[0].Note)
	require.Equal(t, ana.Name, closed.Items[0].ClosedBy)
	require.Len(t, b.actions(t), 2)
	var cleared int
	require.NoError(t, b.pool.QueryRow(t.Context(), `SELECT count(*) FROM order_events WHERE type = 'order.cleared'`).Scan(&cleared))
	require.Equal(t, 2, cleared, "the shop is told")

	id := closed.Items[0].ID
	require.NoError(t, b.ReopenAnomaly(t.Context(), id, ana))
	var conflict *store.StateError
	require.ErrorAs(t, b.ReopenAnomaly(t.Context(), id, ana), &conflict)
	require.ErrorIs(t, b.ReopenAnomaly(t.Context(), 999, ana), store.ErrAnomalyNotFound)
	b.exec(t, `UPDATE anomalies SET closed_at = now(), closed_by = 'settlement' WHERE id = $1`, id)
	require.ErrorAs(t, b.ReopenAnomaly(t.Context(), id, ana), &conflict, "the difference went away")
	_, err = b.ResolveAnomalies(t.Context(), store.AnomalyFilter{State: "open"}, 0, note(t, "x"), ana)
	require.ErrorContains(t, err, "takes no state")
}
