package verdict

import (
	"slices"
	"time"

	"github.com/shopspring/decimal"

	"github.com/conciliar/conciliar/store/order"
)

// A Tone is how good or bad a verdict is.
type Tone string

// The tones.
const (
	// Good: paid, and nothing is open.
	Good Tone = "good"
	// Info: it takes its course.
	Info Tone = "info"
	// Warn: a person must look.
	Warn Tone = "warn"
	// Bad: money is lost, or about to be.
	Bad Tone = "bad"
)

// A Said is a sentence: its code, which is stable, and what it speaks of. Fields that a
// sentence does not speak of are zero.
type Said struct {
	Code       string
	PaymentIDs []string
	Amount     decimal.NullDecimal
	Currency   string
	// Since is when it began or happened, Until when it ends.
	Since, Until time.Time
	// Count is how many, Failed how many of them have failed for good.
	Count, Failed int64
	// By is who did it, and Note why.
	By, Note string
	// Account is the account that was paid.
	Account string
	// ProviderOrderID is an order of the provider's, Reference another order's.
	ProviderOrderID, Reference string
	Status                     order.PaymentStatus
	// Detail is the provider's finer word for a payment's status, ErrorClass why an
	// event failed.
	Detail, ErrorClass string
}

// A LinkKind says what a link leads to.
type LinkKind string

// What links lead to. Those without an id lead to a list.
const (
	LinkEvent       LinkKind = "event"
	LinkDeadLetter  LinkKind = "dead_letter"
	LinkDeadLetters LinkKind = "dead_letters"
	LinkAnomaly     LinkKind = "anomaly"
	LinkRefused     LinkKind = "refused"
	LinkRefusals    LinkKind = "refusals"
	LinkHeld        LinkKind = "held"
	LinkQueue       LinkKind = "queue"
	LinkOrder       LinkKind = "order"
)

// A Link leads to where the act is done, or what it is about.
type Link struct {
	// Kind is empty for no link.
	Kind LinkKind
	ID   int64
	// Reference is that of LinkOrder, and the name of LinkQueue.
	Reference string
}

// A Verdict says why an order is as it is.
type Verdict struct {
	Said
	Tone Tone
	// More qualifies it, the weightiest first.
	More []Said
	// Act is what to do; its Code is empty where there is nothing.
	Act  Said
	Link Link
	// Decide is true where money came that a person must decide about.
	Decide bool
	// Missing is what the order waits for, and Surplus what is too much, in the order's
	// currency; both 0 where neither is so.
	Missing, Surplus decimal.Decimal
	// Payments says what each payment is to the order.
	Payments []Said
}

// worse is the worse of two tones.
func worse(a, b Tone) Tone {
	tones := []Tone{Good, Info, Warn, Bad}
	return tones[max(slices.Index(tones, a), slices.Index(tones, b))]
}

func idsOf(ids ...string) []string {
	return slices.DeleteFunc(ids, func(id string) bool { return id == "" })
}
