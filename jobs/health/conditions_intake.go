package health

import (
	"github.com/conciliar/conciliar/store"
)

// intakeConditions are about what becomes of deliveries.
func intakeConditions() []Condition {
	return []Condition{
		{
			Code: "webhooks_not_accepted", Health: Unhealthy, Stops: stopsArrivals, Lasting: 1,
			Reason: "Webhooks are answered 503: they cannot be made durable.",
			active: func(st store.Status, _ Moment) bool { return st.Signals.NotAccepted > 0 || st.Signals.NotAccepting },
			detail: func(st store.Status, _ Moment) details { return details{"not_accepted": st.Signals.NotAccepted} },
			about:  func(st store.Status, _ Moment) About { return About{Count: st.Signals.NotAccepted} },
		},
		{
			// Whatever their number: a small shop gets few. A message waits some minutes for
			// one that is accepted, since anybody can send one that is not.
			Code: "webhooks_all_refused", Health: Unhealthy, Stops: stopsArrivals, Lasting: 5,
			Reason: "Webhooks are refused, and none has been accepted since.",
			active: func(st store.Status, _ Moment) bool { return st.Signals.Intake.Refused > 0 },
			detail: func(st store.Status, _ Moment) details {
				in := st.Signals.Intake
				return details{"refused": in.Refused, "refused_since": in.RefusedSince, "accepted_at": in.AcceptedAt}
			},
			about: func(st store.Status, _ Moment) About {
				return About{Count: st.Signals.Intake.Refused, Since: st.Signals.Intake.RefusedSince}
			},
		},
		{
			Code: "signature_failures_rising", Health: Degraded, Stops: stopsSome, Lasting: 2, Within: []string{"webhooks_all_refused"},
			Reason: "More webhooks fail signature verification than before.",
			active: func(st store.Status, _ Moment) bool {
				return refusalsRiseIn(st.Signals) && st.Signals.Intake.Refused == 0
			},
			detail: func(st store.Status, _ Moment) details {
				return details{"refused_15m": st.Signals.RefusedLately, "refused_day_before": st.Signals.RefusedBefore}
			},
			about: func(st store.Status, _ Moment) About { return About{Count: st.Signals.RefusedLately} },
		},
		{
			Code: "topic_never_verified", Health: Degraded, Stops: stopsSome, Lasting: 2, Each: "refused_24h",
			Reason: "Webhooks of a topic are refused by signature, and none of that topic is ever verified.",
			active: func(st store.Status, _ Moment) bool {
				return len(st.Signals.Arrivals.Unverified) > 0 && st.Signals.Intake.Refused == 0
			},
			detail: func(st store.Status, _ Moment) details { return details{"refused_24h": st.Signals.Arrivals.Unverified} },
			about:  func(st store.Status, _ Moment) About { return About{Names: keysOf(st.Signals.Arrivals.Unverified)} },
		},
		{
			Code: "webhooks_never_received", Health: Degraded, Stops: stopsSome, Lasting: 2,
			Reason: "No webhook was ever accepted, although reconciliations find payments.",
			active: func(st store.Status, _ Moment) bool {
				return st.Signals.Intake.FoundByRuns && st.Signals.Intake.Refused == 0
			},
			detail: func(store.Status, Moment) details { return details{"accepted": 0} },
		},
		{
			Code: "no_webhooks_received", Health: Degraded, Stops: stopsSome, Lasting: 2,
			Reason: "No webhooks for hours, at a time of day that usually has some.",
			active: func(st store.Status, _ Moment) bool {
				return silentHours(st.Signals) > 0 && st.Signals.Intake.Refused == 0
			},
			detail: func(st store.Status, _ Moment) details {
				return details{"silent_hours": silentHours(st.Signals)}
			},
		},
		{
			Code: "money_topic_unhandled", Health: Degraded, Stops: stopsSome, Lasting: 2, Each: "events_24h",
			Reason: "Events about money ended without effect in the last 24 hours.",
			active: func(st store.Status, _ Moment) bool { return len(st.Signals.Arrivals.Unhandled) > 0 },
			detail: func(st store.Status, _ Moment) details { return details{"events_24h": st.Signals.Arrivals.Unhandled} },
			about:  func(st store.Status, _ Moment) About { return About{Names: keysOf(st.Signals.Arrivals.Unhandled)} },
		},
		{
			// Deliveries are counted with a delay of minutes, refusals at once.
			Code: "channel_silent", Health: Degraded, Stops: warns, Lasting: 5,
			Reason: "Only one of the provider's two channels arrives.",
			active: func(st store.Status, _ Moment) bool { return silentChannel(st.Signals.Arrivals) != "" },
			detail: func(st store.Status, _ Moment) details {
				a := st.Signals.Arrivals
				return details{"silent": silentChannel(a), "webhooks_24h": a.Webhooks, "ipn_24h": a.IPN}
			},
		},
	}
}

// refusalsRiseIn reports whether signatures are refused more than before, or
// more than they are accepted: a wrong secret refuses all of them, and after a
// day there is nothing better to compare with.
func refusalsRiseIn(g store.Signals) bool {
	if g.RefusedLately < refusalsJudged {
		return false
	}
	return g.RefusedLately*quartersOfADay >= refusalsRise*g.RefusedBefore || g.RefusedLately >= g.AcceptedLately
}

// silentChannel is the channel of which nothing came for a day while the other one
// did; empty when there is none. IPN proves nothing, so that alone it is never
// enough; Webhooks alone are, unless IPN had come along until then.
func silentChannel(a store.Arrivals24h) string {
	switch {
	case a.Webhooks == 0 && a.IPN >= channelJudged:
		return store.ChannelWebhooks
	case a.IPN == 0 && a.Webhooks >= channelJudged && a.IPNBefore >= channelJudged:
		return store.ChannelIPN
	}
	return ""
}
