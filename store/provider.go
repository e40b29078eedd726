package store

import "time"

// A CircuitState says whether calls to a provider are let through.
type CircuitState string

// The states.
const (
	CircuitClosed   CircuitState = "closed"
	CircuitOpen     CircuitState = "open"
	CircuitHalfOpen CircuitState = "half_open"
)

// Why a circuit is not closed.
const (
	// ReasonUnavailable: the provider does not answer, or answers with errors.
	ReasonUnavailable = "unavailable"
	// ReasonShutOut: the provider answers and refuses our credentials.
	ReasonShutOut = "shut_out"
)

// A ProviderState is what is known of a provider as a whole.
type ProviderState struct {
	Circuit CircuitState `json:"circuit"`
	// Since is when the circuit changed last; nil when it never did.
	Since *time.Time `json:"since"`
	// Reason is ReasonUnavailable or ReasonShutOut; empty while closed.
	Reason string `json:"reason"`
}
