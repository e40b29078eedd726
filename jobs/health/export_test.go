package health

import "github.com/conciliar/conciliar/store"

// SilentHours is what webhooks_silent holds by.
func SilentHours(g store.Signals) int { return silentHours(g) }
