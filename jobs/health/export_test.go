package health

import "github.com/conciliar/conciliar/store"

// SilentHours is what decides about no_webhooks_received.
func SilentHours(g store.Signals) int { return silentHours(g) }
