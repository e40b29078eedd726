// Package health reads the service's facts: how healthy it is, which conditions
// are active, which alerts open and close, and what there is to tell about them.
// It is pure: it asks no database and no clock.
package health
