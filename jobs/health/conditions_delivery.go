package health

import (
	"cmp"

	"github.com/conciliar/conciliar/store"
)

// deliveryConditions are about what goes out.
func deliveryConditions() []Condition {
	return []Condition{
		named(Condition{
			Code: "delivery_receiver_stopped", Health: Degraded, Stops: tellsNobody, Lasting: 1, Each: "receivers",
			Reason: "A receiver of our messages is stopped; its messages wait.",
		}, "receivers", receiversStopped),
		named(Condition{
			Code: "deliveries_failing", Health: Degraded, Stops: tellsNobody, Lasting: 2, Each: "receivers",
			Reason: "A receiver of our messages has not accepted one for more than 10 minutes.",
		}, "receivers", receiversFailing),
	}
}

// receiversStopped are the receivers that are stopped and why.
func receiversStopped(st store.Status) map[string]string {
	found := map[string]string{}
	for _, r := range st.Receivers {
		if r.StoppedAt != nil {
			found[r.Name] = r.StopReason
		}
	}
	return found
}

// receiversFailing are the receivers for which something waits too long, and why it was
// not accepted; "waiting" where it was never tried.
func receiversFailing(st store.Status) map[string]string {
	found := map[string]string{}
	for _, r := range st.Receivers {
		if r.StoppedAt == nil && r.Age(st.Signals.At) > deliveryLate {
			found[r.Name] = cmp.Or(r.Class, "waiting")
		}
	}
	return found
}
