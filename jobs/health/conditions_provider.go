package health

import (
	"github.com/conciliar/conciliar/store"
)

// providerConditions are about the provider and the sellers.
func providerConditions() []Condition {
	return []Condition{
		{
			Code: "provider_credentials_rejected", Health: Unhealthy, Stops: stopsProcessing, Lasting: 1, Within: []string{"provider_recovering"},
			Reason: "The payment provider rejects our credentials; every event is held.",
			active: func(st store.Status, _ Moment) bool {
				return isOpen(st.Provider) && st.Provider.Reason == store.ReasonCredentialsRejected
			},
			detail: providerDetail,
			about:  aboutProvider,
		},
		{
			Code: "provider_outage", Health: Degraded, Stops: stopsProcessing, Lasting: 2, Within: []string{"provider_recovering"},
			Reason: "The payment provider is not answering; its circuit is open.",
			active: func(st store.Status, _ Moment) bool {
				return isOpen(st.Provider) && st.Provider.Reason != store.ReasonCredentialsRejected
			},
			detail: providerDetail,
			about:  aboutProvider,
		},
		{
			Code: "provider_recovering", Health: Degraded, Stops: stopsSome, Lasting: 1, Quiet: true,
			Reason: "The payment provider is being retried after an outage.",
			active: func(st store.Status, _ Moment) bool { return st.Provider.Circuit == store.CircuitHalfOpen },
			detail: providerDetail,
			about:  aboutProvider,
		},
		{
			Code: "seller_credentials_rejected", Health: Degraded, Stops: stopsSome, Lasting: 1, Each: "sellers",
			Reason: "The payment provider rejects a seller's credentials; that seller's events are held.",
			active: func(st store.Status, _ Moment) bool { return len(sellersWhere(st, rejectsCredentials)) > 0 },
			detail: func(st store.Status, _ Moment) details {
				return details{"sellers": sellersWhere(st, rejectsCredentials)}
			},
			about: func(st store.Status, _ Moment) About {
				return About{Names: namesOf(sellersWhere(st, rejectsCredentials))}
			},
		},
		{
			Code: "seller_outage", Health: Degraded, Stops: stopsSome, Lasting: 2, Each: "sellers",
			Reason: "The payment provider is not answering for a seller; that seller's events are held.",
			active: func(st store.Status, _ Moment) bool { return len(sellersWhere(st, isDown)) > 0 },
			detail: func(st store.Status, _ Moment) details { return details{"sellers": sellersWhere(st, isDown)} },
			about:  func(st store.Status, _ Moment) About { return About{Names: namesOf(sellersWhere(st, isDown))} },
		},
		{
			Code: "seller_deauthorized", Health: Degraded, Stops: stopsSome, Lasting: 1, Each: "sellers",
			Reason: "A seller has withdrawn its consent to be asked for.",
			active: func(st store.Status, _ Moment) bool { return len(sellersWhere(st, isDeauthorized)) > 0 },
			detail: func(st store.Status, _ Moment) details { return details{"sellers": sellersWhere(st, isDeauthorized)} },
			about:  func(st store.Status, _ Moment) About { return About{Names: namesOf(sellersWhere(st, isDeauthorized))} },
		},
	}
}

// isOpen reports whether the circuit keeps calls back; a state that is not known
// counts as one that does.
func isOpen(p store.ProviderState) bool {
	return p.Circuit != store.CircuitClosed && p.Circuit != store.CircuitHalfOpen
}

func providerDetail(st store.Status, _ Moment) details {
	return details{"circuit": st.Provider.Circuit, "since": st.Provider.Since, "held": st.Queue.Held}
}

// sellersWhere are the names of the sellers of which the condition holds, by account.
func sellersWhere(st store.Status, holds func(store.SellerStatus) bool) map[string]string {
	found := map[string]string{}
	for _, seller := range st.Sellers {
		if holds(seller) {
			found[seller.CollectorID] = seller.Name
		}
	}
	return found
}

func rejectsCredentials(s store.SellerStatus) bool {
	return s.Circuit != store.CircuitClosed && s.Reason == store.ReasonCredentialsRejected
}

func isDown(s store.SellerStatus) bool {
	return s.Circuit != store.CircuitClosed && s.Reason != store.ReasonCredentialsRejected
}

func isDeauthorized(s store.SellerStatus) bool { return s.DeauthorizedAt != nil }

func aboutProvider(st store.Status, _ Moment) About {
	return About{Since: st.Provider.Since, Waiting: st.Queue.Held}
}
