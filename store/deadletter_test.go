package store_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/conciliar/conciliar/store"
)

func TestDeadLetters_AreListedByWhatIsAskedFor(t *testing.T) {
	t.Parallel()
	b := setup(t)
	open, _ := b.deadLetter(t, 1, "77")
	dismissed, _ := b.deadLetter(t, 2, "78")
	require.NoError(t, b.DismissDeadLetter(t.Context(), dismissed, note(t, "seen"), ana))
	deleted := b.accept(t, signed(3, "79"))
	b.exec(t, `UPDATE webhook_queue SET topic = 'claim' WHERE id = $1`, deleted)
	b.exec(t, `DELETE FROM river_job WHERE id = (SELECT job_id FROM webhook_queue WHERE id = $1)`, deleted)
	var gone int64
	require.NoError(t, b.pool.QueryRow(t.Context(), `SELECT id FROM webhook_dead_letter WHERE queue_id = $1`, deleted).Scan(&gone))
	died := time.Date(2026, 1, 2, 3, 0, 0, 0, time.UTC)
	b.exec(t, `UPDATE webhook_dead_letter SET died_at = $2 WHERE id = $1`, open, died)

	for name, c := range map[string]struct {
		filter store.DeadLetterFilter
		want   []int64
	}{
		"all":     {store.DeadLetterFilter{}, []int64{gone, dismissed, open}},
		"open":    {store.DeadLetterFilter{State: store.DeadLetterOpen}, []int64{gone, open}},
		"reason":  {store.DeadLetterFilter{Reason: "deleted"}, []int64{gone}},
		"class":   {store.DeadLetterFilter{ErrorClass: "forbidden"}, []int64{dismissed, open}},
		"topic":   {store.DeadLetterFilter{Topic: "payment"}, []int64{dismissed, open}},
		"since":   {store.DeadLetterFilter{Since: died.Add(time.Second)}, []int64{gone, dismissed}},
		"until":   {store.DeadLetterFilter{Until: died.Add(time.Second)}, []int64{open}},
		"nothing": {store.DeadLetterFilter{Topic: "none"}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var ids []int64
			for _, d := range pages(t, func(p store.Page) (store.List[store.DeadLetter], error) {
				return b.DeadLetters(t.Context(), c.filter, p)
			}) {
				ids = append(ids, d.ID)
			}
			require.Equal(t, c.want, ids)
		})
	}
}

func TestDeadLetter_ShowsWhatWasTriedAndDone(t *testing.T) {
	t.Parallel()
	b := setup(t)
	letter, event := b.deadLetter(t, 1, "77")
	replay, err := b.ReplayDeadLetter(t.Context(), letter, ana)
	require.NoError(t, err)

	d, err := b.DeadLetter(t.Context(), letter)

	require.NoError(t, err)
	require.Equal(t, event, d.QueueID)
	require.Equal(t, store.DeadLetterReplayed, d.State)
	require.Equal(t, "retries_exhausted", d.Reason)
	require.Equal(t, "forbidden", d.ErrorClass)
	require.Equal(t, "forbidden: barred", d.Error)
	require.Equal(t, 2, d.Attempts)
	require.Equal(t, 1, d.Deaths)
	require.Len(t, d.Errors, 2)
	require.Equal(t, "timeout", d.Errors[0].ErrorClass)
	require.JSONEq(t, `{"data":{"id":"77"}}`, d.Payload.Data)
	require.Equal(t, replay.QueueID, d.Replays[0].QueueID)
	require.Equal(t, store.ActionReplay, d.Actions[0].Action)
	require.Equal(t, "203.0.113.7", *d.Actions[0].RemoteIP)

	_, err = b.DeadLetter(t.Context(), 404)
	require.ErrorIs(t, err, store.ErrDeadLetterNotFound)
}

func TestDismissDeadLetter_NeedsANoteAndIsAudited(t *testing.T) {
	t.Parallel()
	b := setup(t)
	letter, event := b.deadLetter(t, 1, "77")

	require.ErrorContains(t, b.DismissDeadLetter(t.Context(), letter, store.Note{}, ana), "note")
	require.NoError(t, b.DismissDeadLetter(t.Context(), letter, note(t, "paid in cash"), ana))

	d, err := b.DeadLetter(t.Context(), letter)
	require.NoError(t, err)
	require.Equal(t, store.DeadLetterDismissed, d.State)
	require.Equal(t, "paid in cash", d.Note)
	require.Equal(t, []auditRow{byAna(store.ActionDismiss, store.TargetDeadLetter, letter, 1, "paid in cash", event)}, b.actions(t))
	require.Len(t, b.event(t, event).Actions, 1)

	var state *store.StateError
	require.ErrorAs(t, b.DismissDeadLetter(t.Context(), letter, note(t, "again"), ana), &state)
	require.Equal(t, store.DeadLetterDismissed, state.State)
	require.ErrorIs(t, b.DismissDeadLetter(t.Context(), 404, note(t, "why"), ana), store.ErrDeadLetterNotFound)
	require.Len(t, b.actions(t), 1)
}

// The names that callers filter by are those that the schema allows.
func TestDeadLetter_TheKnownWordsAreTheSchemas(t *testing.T) {
	t.Parallel()
	b := setup(t)
	for constraint, words := range map[string][]string{
		"webhook_dead_letter_state_known":  store.DeadLetterStates(),
		"webhook_dead_letter_reason_known": store.DeadLetterReasons(),
		"webhook_queue_origin_known":       store.EventOrigins(),
	} {
		var allowed []string
		require.NoError(t, b.pool.QueryRow(t.Context(), `
			SELECT array_agg(w[1]) FROM pg_constraint c, regexp_matches(pg_get_constraintdef(c.oid), '''([a-z_]+)''', 'g') AS w
			WHERE conname = $1 AND conrelid <> 'webhook_archive'::regclass`, constraint).Scan(&allowed))
		require.ElementsMatch(t, allowed, words, constraint)
	}
}
