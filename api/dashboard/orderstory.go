package dashboard

import (
	"slices"
	"time"

	"github.com/conciliar/conciliar/store"
)

// An episode is one entry of an order's timeline. One of its parts is set.
type episode struct {
	At time.Time
	// Tone is its colour.
	Tone string

	Change *store.OrderChange
	Log    *store.LoggedPayment
	Event  *store.Event
	// Opened and Closed are an anomaly at its beginning and at its end.
	Opened, Closed *store.Anomaly
}

// storyOf is all that happened to an order and its payments, the newest first. What
// happened at one moment stands in the order in which one thing leads to the next.
func storyOf(f store.OrderFacts, logs []store.LoggedPayment) []episode {
	var story []episode
	for i := range f.Events {
		e := &f.Events[i]
		story = append(story, episode{At: e.ReceivedAt, Tone: badges["event_status"][e.Status], Event: e})
	}
	for i := range logs {
		l := &logs[i]
		story = append(story, episode{At: l.AppliedAt, Tone: badges["payment_status"][l.Status], Log: l})
	}
	if f.Order != nil {
		for i := range f.Order.Timeline {
			c := &f.Order.Timeline[i]
			story = append(story, episode{At: c.At, Tone: badges["order_status"][string(c.Status)], Change: c})
		}
	}
	for i := range f.Anomalies {
		a := &f.Anomalies[i]
		story = append(story, episode{At: a.OpenedAt, Tone: "warn", Opened: a})
		if a.ClosedAt != nil {
			story = append(story, episode{At: *a.ClosedAt, Tone: "good", Closed: a})
		}
	}
	slices.SortStableFunc(story, func(a, b episode) int { return a.At.Compare(b.At) })
	slices.Reverse(story)
	return story
}
