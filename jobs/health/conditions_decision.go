package health

import (
	"time"

	"github.com/conciliar/conciliar/store"
	"github.com/conciliar/conciliar/store/order"
)

// decisionConditions are about what waits for a person.
func decisionConditions() []Condition {
	return []Condition{
		{
			Code: "fraud_alert_open", Health: Degraded, Stops: Decision, Lasting: 1, Each: "orders_by_payment",
			Reason: "The provider warns of fraud: do not ship these orders.",
			active: func(st store.Status, _ Moment) bool { return fraudAlerts(st) > 0 },
			detail: func(st store.Status, _ Moment) details {
				orders := details{}
				for _, alert := range st.Signals.FraudAlerts {
					orders[alert.PaymentID] = alert.Reference
				}
				return details{"open": fraudAlerts(st), "orders_by_payment": orders}
			},
			about: func(st store.Status, _ Moment) About { return About{Count: fraudAlerts(st)} },
		},
		{
			Code: "chargeback_documents_urgent", Health: Degraded, Stops: Decision, Lasting: 1, Each: "chargebacks",
			Reason: "Documents about a chargeback must be sent within a day.",
			active: func(st store.Status, m Moment) bool { return len(documentsDue(st, m, 0, documentsUrgent)) > 0 },
			detail: func(st store.Status, m Moment) details {
				return details{"chargebacks": documentsDue(st, m, 0, documentsUrgent)}
			},
			about: func(st store.Status, m Moment) About {
				return About{Count: int64(len(documentsDue(st, m, 0, documentsUrgent)))}
			},
		},
		{
			Code: "chargeback_documents_due", Health: Degraded, Stops: Decision, Lasting: 1, Each: "chargebacks", Within: []string{"chargeback_documents_urgent"},
			Reason: "Documents about a chargeback must be sent within three days.",
			active: func(st store.Status, m Moment) bool {
				return len(documentsDue(st, m, documentsUrgent, documentsSoon)) > 0
			},
			detail: func(st store.Status, m Moment) details {
				return details{"chargebacks": documentsDue(st, m, documentsUrgent, documentsSoon)}
			},
			about: func(st store.Status, m Moment) About {
				return About{Count: int64(len(documentsDue(st, m, documentsUrgent, documentsSoon)))}
			},
		},
		{
			// Nobody need decide anything yet: they are sent or looked for again.
			Code: "refunds_unresolved", Health: Degraded, Stops: stopsSome, Lasting: 1,
			Reason: "Refunds have been open for more than 15 minutes: whether their money went back is not known, or they wait.",
			active: func(st store.Status, _ Moment) bool { return len(st.Signals.RefundsOpen) > 0 },
			detail: func(st store.Status, _ Moment) details { return details{"by_state": st.Signals.RefundsOpen} },
			about: func(st store.Status, _ Moment) About {
				return About{Count: sumOf(st.Signals.RefundsOpen), Since: st.Signals.RefundsOpenSince}
			},
		},
		{
			Code: "dead_letters_open", Health: Degraded, Stops: Decision, Lasting: 1,
			Reason: "Dead letters are open.",
			active: func(st store.Status, _ Moment) bool { return st.DeadLetters.Open > 0 },
			detail: func(st store.Status, _ Moment) details {
				return details{"open": st.DeadLetters.Open, "by_reason": st.DeadLetters.ByReason}
			},
			about: func(st store.Status, _ Moment) About {
				return About{Count: st.DeadLetters.Open, Since: st.Signals.Decisions.OldestAt}
			},
		},
		{
			// Beside the dead letters that they are: these don't end by a replay, and
			// no message tells of one more dead letter.
			Code: "odd_payments_open", Health: Degraded, Stops: Decision, Lasting: 1,
			Reason: "Payments cannot be booked: something in the provider's answer is missing or not understood.",
			active: func(st store.Status, _ Moment) bool { return st.Signals.OddPayments > 0 },
			detail: func(st store.Status, _ Moment) details { return details{"open": st.Signals.OddPayments} },
			about:  func(st store.Status, _ Moment) About { return About{Count: st.Signals.OddPayments} },
		},
		counted(Condition{
			// All kinds but those that have a condition of their own, or that a shop
			// which is paid by other ways as well has all the time.
			Code: "anomalies_open", Health: Degraded, Stops: Decision, Lasting: 2,
			Reason: "Anomalies are open: payments and orders do not match.",
		}, "by_kind", misfits),
		counted(Condition{
			Code: "delivery_dead_letters_open", Health: Degraded, Stops: Decision, Lasting: 1, Each: "by_receiver",
			Reason: "Messages were not accepted by their receiver and are not sent again.",
		}, "by_receiver", deadDeliveries),
	}
}

// misfits are the open anomalies that speak of money which is not where it
// should be. An order that is not known yet may be on its way, and money that a
// dispute or a block holds back is where it should be.
func misfits(st store.Status) map[string]int64 {
	found := map[string]int64{}
	for kind, n := range st.Anomalies.ByKind {
		switch order.AnomalyKind(kind) {
		case order.AnomalyNoReference, order.AnomalyWrongMode, order.AnomalyFraudAlert:
			continue
		case order.AnomalyUnknownOrder:
			n -= st.Signals.UnknownOrdersFresh
		case order.AnomalyNotReleased:
			n -= st.Signals.ReleasesHeld
		default: // it counts, also one of a newer release
		}
		if n > 0 {
			found[kind] = n
		}
	}
	return found
}

func fraudAlerts(st store.Status) int64 { return st.Anomalies.ByKind[string(order.AnomalyFraudAlert)] }

// documentsDue are the chargebacks whose documents are taken for longer than after
// and for at most until from now on. One whose deadline was not said may be due soon.
func documentsDue(st store.Status, m Moment, after, until time.Duration) details {
	due := details{}
	for _, c := range st.Signals.Chargebacks {
		left, deadline := documentsSoon, "unknown"
		if c.Deadline != nil {
			left, deadline = c.Deadline.Sub(m.Now), c.Deadline.UTC().Format(time.RFC3339)
		}
		if left > after && left <= until {
			due[c.ID] = details{"deadline": deadline, "payment_id": c.PaymentID, "order_reference": c.Reference}
		}
	}
	return due
}

// deadDeliveries counts the dead letters of each receiver that has some.
func deadDeliveries(st store.Status) map[string]int64 {
	found := map[string]int64{}
	for _, r := range st.Receivers {
		if r.Dead > 0 {
			found[r.Name] = r.Dead
		}
	}
	return found
}
