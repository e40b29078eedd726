package dashboard

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/conciliar/conciliar/store"
)

func TestTimeline_IsInTheOrderOfWhatHappened(t *testing.T) {
	t.Parallel()
	at := func(minute int) time.Time { return time.Date(2026, 3, 1, 12, minute, 0, 0, time.UTC) }
	ended := at(5)
	e := store.EventDetail{
		Event:         store.Event{Origin: store.OriginWebhook, ReceivedAt: at(0), CompletedAt: &ended},
		AttemptErrors: []store.AttemptFailure{{Attempt: 1, At: at(1)}, {Attempt: 2, At: at(3)}},
		PaymentLogs:   []store.PaymentLog{{AppliedAt: ended}},
		OrderChanges:  []store.EventChange{{At: ended}},
		DeadLetter:    &store.DeadLetter{DiedAt: at(3)},
		Actions:       []store.OperatorAction{{At: at(4)}},
		Replays:       []store.ReplayedAs{{ReceivedAt: at(2)}},
	}
	var kinds []string
	for _, m := range timelineOf(e) {
		kinds = append(kinds, m.Kind)
	}
	require.Equal(t, []string{
		"received_webhook", "attempt_failed", "replayed", "attempt_failed", "died", "action", "payment_applied", "order_changed", "completed",
	}, kinds)
}
