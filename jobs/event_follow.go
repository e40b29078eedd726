package jobs

// FollowArgs are the arguments of the job that fetches what an event names, and
// makes events of what that names. Its worker is a payment's; the kind is one of
// its own so that a process which cannot follow leaves it to one that can.
type FollowArgs struct{ eventRef }

// Kind is the job's name in the database; see PaymentArgs.Kind for its prefix.
func (FollowArgs) Kind() string { return "webhook_follow" }
