package dashboard

import (
	"slices"
	"time"

	"github.com/conciliar/conciliar/store"
)

// A moment is one entry of an event's timeline. Only what belongs to its kind is
// set.
type moment struct {
	At time.Time
	// Kind is its word, below moment in the catalogues; Tone its colour.
	Kind, Tone string

	Failure *store.AttemptFailure
	Log     *store.PaymentLog
	Change  *store.EventChange
	Letter  *store.DeadLetter
	Action  *store.OperatorAction
	Replay  *store.ReplayedAs
}

// timelineOf is what happened to an event, the oldest first. What happened at
// one moment keeps the order in which the work does it.
func timelineOf(e store.EventDetail) []moment {
	moments := []moment{{At: e.ReceivedAt, Kind: "received_" + e.Origin, Tone: "info"}}
	for i := range e.AttemptErrors {
		moments = append(moments, moment{At: e.AttemptErrors[i].At, Kind: "attempt_failed", Tone: "warn", Failure: &e.AttemptErrors[i]})
	}
	for i := range e.PaymentLogs {
		l := &e.PaymentLogs[i]
		moments = append(moments, moment{At: l.AppliedAt, Kind: "payment_applied", Tone: "good", Log: l})
	}
	for i := range e.OrderChanges {
		o := &e.OrderChanges[i]
		moments = append(moments, moment{At: o.At, Kind: "order_changed", Tone: "good", Change: o})
	}
	if e.CompletedAt != nil {
		moments = append(moments, moment{At: *e.CompletedAt, Kind: "completed", Tone: "good"})
	}
	if e.DeadLetter != nil {
		moments = append(moments, moment{At: e.DeadLetter.DiedAt, Kind: "died", Tone: "bad", Letter: e.DeadLetter})
	}
	for i := range e.Actions {
		moments = append(moments, moment{At: e.Actions[i].At, Kind: "action", Tone: "info", Action: &e.Actions[i]})
	}
	for i := range e.Replays {
		moments = append(moments, moment{At: e.Replays[i].ReceivedAt, Kind: "replayed", Tone: "info", Replay: &e.Replays[i]})
	}
	slices.SortStableFunc(moments, func(a, b moment) int { return a.At.Compare(b.At) })
	return moments
}

// IsLive reports what the delivery says of itself; ask LiveMode first whether it
// says anything.
func (v eventView) IsLive() bool { return v.LiveMode != nil && *v.LiveMode }
