package jobs

// FraudAlertArgs are the arguments of the job that fetches the payment that a fraud
// alert names, settles it and warns of its order. Its worker is a payment's; it is
// never covered by another's fetch, since no fetch can tell what it tells.
type FraudAlertArgs struct{ eventRef }

// Kind is the job's name in the database; see PaymentArgs.Kind for its prefix.
func (FraudAlertArgs) Kind() string { return "webhook_fraud_alert" }
