package main

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/conciliar/conciliar/jobs/health"
	"github.com/conciliar/conciliar/jobs/provider/mercadopago"
	"github.com/conciliar/conciliar/store"
)

// checkTopics says whether what arrives is verified, has its effect, and comes by
// both channels that Mercado Pago has, as the conditions judge it.
func checkTopics(ctx context.Context, storage *store.Store) finding {
	const name = "topics"
	st, err := storage.Status(ctx)
	if err != nil {
		return finding{name, stateFail, "The status cannot be read: " + err.Error() + ".", "Check that the database's user may read every table."}
	}
	found := ok(name, "Webhooks of each topic that arrives are verified and have their effect.")
	_, conditions := health.Judge(st, health.Moment{Now: st.Signals.At})
	arrivals := st.Signals.Arrivals
	for _, c := range conditions {
		var about string
		switch c.Code {
		case "topic_never_verified":
			about = countsOf(arrivals.Unverified)
			if slices.ContainsFunc(slices.Collect(maps.Keys(arrivals.Unverified)), mercadopago.UnverifiableInTests) {
				about += "; for orders with test credentials this is a known fault of Mercado Pago's, and reconciliations settle them"
			}
		case "money_topic_unhandled":
			about = countsOf(arrivals.Unhandled)
		case "channel_silent":
			about = fmt.Sprintf("in the last 24 hours %d Webhooks and %d IPN", arrivals.Webhooks, arrivals.IPN)
		default:
			continue
		}
		if found.State == stateOK {
			found = finding{Check: name, State: stateWarn}
		}
		found.Says = strings.TrimSpace(found.Says + " " + strings.TrimSuffix(c.Reason, ".") + " (" + about + ").")
		found.Do = strings.TrimSpace(found.Do + " See docs/playbooks/" + c.Code + ".md.")
	}
	return found
}

// countsOf writes counts by name, in the names' order.
func countsOf(counts map[string]int64) string {
	var parts []string
	for _, name := range slices.Sorted(maps.Keys(counts)) {
		parts = append(parts, fmt.Sprintf("%s: %d", name, counts[name]))
	}
	return strings.Join(parts, ", ")
}
