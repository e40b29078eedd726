package health_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/conciliar/conciliar/jobs/health"
	"github.com/conciliar/conciliar/store"
)

func TestDecide_ClosesWhatNoReleaseKnows(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	begin := now.Add(-time.Hour)
	book := func(watched, abandoned bool, told *time.Time) store.AlertBook {
		b := store.AlertBook{Watches: map[string]store.AlertWatch{}, Open: map[string]store.Alert{
			"bygone": {ID: 7, Code: "bygone", OpenedAt: begin, LastSentAt: told},
		}}
		if watched {
			b.Watches["bygone"] = store.AlertWatch{Code: "bygone", Active: true, Since: begin, Evaluations: 60, Abandoned: abandoned}
		}
		return b
	}
	for name, c := range map[string]struct {
		book            store.AlertBook
		silent          bool
		closed, noticed bool
		forgotten       []string
	}{
		"another release evaluates it":             {book: book(true, false, &begin)},
		"nobody evaluates it":                      {book: book(true, true, &begin), closed: true, noticed: true, forgotten: []string{"bygone"}},
		"nobody evaluates it, and it was not told": {book: book(true, true, nil), closed: true, forgotten: []string{"bygone"}},
		"nobody ever watched it":                   {book: book(false, false, &begin), closed: true, noticed: true},
		"there is nowhere to send to":              {book: book(true, true, &begin), silent: true, closed: true, forgotten: []string{"bygone"}},
	} {
		st := store.Status{Provider: store.ProviderState{Circuit: store.CircuitClosed}}
		changes, notices := health.Decide(c.book, st, health.Moment{Now: now}, !c.silent)
		require.Equal(t, c.forgotten, changes.Forgotten, name)
		require.Len(t, changes.Watches, len(health.Conditions()), name)
		if !c.closed {
			require.Empty(t, changes.Alerts, name)
			require.Empty(t, notices, name)
			continue
		}
		require.Len(t, changes.Alerts, 1, name)
		require.EqualValues(t, 7, changes.Alerts[0].ID, name)
		require.Equal(t, now, *changes.Alerts[0].ClosedAt, name)
		require.Equal(t, c.noticed, len(notices) == 1, name)
		if c.noticed {
			require.Equal(t, health.NoticeEnded, notices[0].State, name)
			require.Equal(t, health.Level(""), notices[0].Health, name)
		}
	}
}

// A watch of a release that was rolled back must not make its condition old news
// when the release comes again.
func TestDecide_ForgetsAWatchWithoutAnAlert(t *testing.T) {
	t.Parallel()
	book := store.AlertBook{Watches: map[string]store.AlertWatch{
		"bygone": {Code: "bygone", Abandoned: true}, "a_neighbour": {Code: "a_neighbour"}, "queue_stalled": {Code: "queue_stalled", Abandoned: true},
	}}
	changes, notices := health.Decide(book, store.Status{Provider: store.ProviderState{Circuit: store.CircuitClosed}}, health.Moment{Now: time.Now()}, true)
	require.Equal(t, []string{"bygone"}, changes.Forgotten)
	require.Empty(t, changes.Alerts)
	require.Empty(t, notices)
}

// A second fraud alert must not wait for the reminder of the first.
func TestDecide_TellsAtOnceOfEachSubjectOfAnOpenAlert(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	book := store.AlertBook{Watches: map[string]store.AlertWatch{}, Open: map[string]store.Alert{}}
	pass := func(payments ...string) []health.Notice {
		t.Helper()
		now = now.Add(time.Minute)
		st := store.Status{Provider: store.ProviderState{Circuit: store.CircuitClosed}}
		st.Anomalies.ByKind = map[string]int64{"fraud_alert": int64(len(payments))}
		for _, id := range payments {
			st.Signals.FraudAlerts = append(st.Signals.FraudAlerts, store.FraudAlert{PaymentID: id, Reference: "A-" + id})
		}
		changes, notices := health.Decide(book, st, health.Moment{Now: now}, true)
		for _, w := range changes.Watches {
			book.Watches[w.Code] = w
		}
		for _, a := range changes.Alerts {
			book.Open[a.Code] = a
		}
		return notices
	}
	require.Equal(t, health.NoticeBegan, pass("1")[0].State)
	require.Empty(t, pass("1"))

	told := pass("1", "2")
	require.Len(t, told, 1)
	require.Equal(t, health.NoticeReminder, told[0].State)
	require.JSONEq(t, `{"open": 2, "orders_by_payment": {"1": "A-1", "2": "A-2"}}`, string(told[0].Detail))
	require.Empty(t, pass("1", "2"))
	require.Empty(t, pass("2"), "what leaves is told at the end")
	require.Len(t, pass("1", "2"), 1, "and is new when it comes again")
}
