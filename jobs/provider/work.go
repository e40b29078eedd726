package provider

// A Work says what an event asks of us. A topic is the provider's word and there
// are many; a work is ours and there are few, each with one kind of job or with
// none. Works are stored with events: added, never renamed.
type Work string

const (
	// Keep: nothing but to keep it.
	Keep Work = "keep"
	// Test: nothing; it is the provider's own test.
	Test Work = "test"
	// Unhandled: it is about money, and this release cannot settle it. The event
	// is kept, and a replay by a release that can will settle it.
	Unhandled Work = "unhandled"
	// Settle: fetch the payment named by ResourceID and settle its order.
	Settle Work = "payment"
	// Follow: fetch what ResourceID names, and then what that names.
	Follow Work = "follow"
	// Authorization: keep whether a seller lets us ask for its payments.
	Authorization Work = "authorization"
	// Forward: send it on to where its source says.
	Forward Work = "forward"
	// FraudAlert: as Settle, and the payment's order is not to be shipped.
	FraudAlert Work = "fraud_alert"
)
