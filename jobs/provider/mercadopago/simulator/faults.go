package simulator

import (
	"errors"
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"time"
)

// Faults is what goes wrong. Shares are between 0 and 1. Whether a
// payment, a notification or a call has a fault is drawn from the seed and from
// which one it is, so that a seed gives the same faults in every run.
type Faults struct {
	// Duplicates is how often each notification of Run is sent once more, as a
	// redelivery: with its own x-request-id, ts, signature and body id.
	Duplicates int
	// ExactReplays is the share of notifications that are also sent again byte
	// for byte.
	ExactReplays float64
	// Disorder shuffles the order of sending within a window.
	Disorder bool
	// Drop is the share of notifications that are never sent.
	Drop float64
	// LateShare is the share of notifications that are sent LateBy later.
	LateShare float64
	LateBy    time.Duration
	// DropAnswer is the share of sends whose connection is cut after the
	// request was written, half of them once an answer begins to arrive. The
	// notification is then sent again, as Mercado Pago would. These sends open
	// a connection of their own, beside Config.HTTPClient. The answer to a
	// notification's last try is never dropped.
	DropAnswer float64
	// Latency is added to each API answer.
	Latency time.Duration
	// NotFoundFirst is the share of payments whose first GET answers 404.
	NotFoundFirst float64
	// RateLimited is the share of GETs and searches answered 429, with
	// Retry-After in seconds and as an HTTP date by turns.
	RateLimited float64
	// Errors5xx is the share of GETs and searches answered 500.
	Errors5xx float64
	// SearchLag is how long after a change the search still shows what was
	// before it. A GET shows it at once.
	SearchLag time.Duration
	// SearchCountOff is added to the count that each page of a search names; a
	// count is never below 0.
	SearchCountOff int
	// UnstablePages makes every page of a search look at the payments again, so
	// that a payment that changes between two pages is repeated or missed, and
	// payments of the same millisecond have no fixed order. Without it a
	// search's first page fixes what its further pages show.
	UnstablePages bool
}

// check returns what is wrong with f.
func (f Faults) check() []error {
	var problems []error
	for _, share := range []struct {
		name  string
		value float64
	}{
		{"ExactReplays", f.ExactReplays},
		{"Drop", f.Drop},
		{"LateShare", f.LateShare},
		{"DropAnswer", f.DropAnswer},
		{"NotFoundFirst", f.NotFoundFirst},
		{"RateLimited", f.RateLimited},
		{"Errors5xx", f.Errors5xx},
	} {
		if !isShare(share.value) {
			problems = append(problems, fmt.Errorf("share %s is %v, not between 0 and 1", share.name, share.value))
		}
	}
	if f.RateLimited+f.Errors5xx > 1 {
		problems = append(problems, errors.New("shares RateLimited and Errors5xx are more than 1 together"))
	}
	if f.Duplicates < 0 {
		problems = append(problems, errors.New("negative Duplicates"))
	}
	if f.LateBy < 0 || f.Latency < 0 || f.SearchLag < 0 {
		problems = append(problems, errors.New("negative LateBy, Latency or SearchLag"))
	}
	return problems
}

// isShare reports whether a number is between 0 and 1. NaN is not.
func isShare(n float64) bool { return n >= 0 && n <= 1 }

// A purpose keeps the draws for different ends apart.
type purpose uint64

const (
	forID purpose = iota + 1
	forOrder
	forPayment
	forHidden
	forCall
	forSearch
	forTies
	forInterleaving
	forDisorder
	forNotification
	forDelivery
	forEnvelope
	forMerchantOrder
	forResource
	forOrderID
	forOrderLooks
	forOrderSearch
	forOrderPaging
	forOrderNotification
	forMovement
	forReport
)

// draws returns the generator that belongs to a purpose and to what the keys
// name. The same seed, purpose and keys always give the same draws, whatever
// was drawn before and by whom.
func draws(seed uint64, p purpose, keys ...uint64) *rand.Rand {
	state := mix(seed ^ uint64(p)<<56)
	for _, key := range keys {
		state = mix(state ^ key)
	}
	return rand.New(rand.NewPCG(state, uint64(p))) //nolint:gosec // chance for tests, nothing secret
}

// mix spreads every bit of x over all bits of the result (the finalizer of
// SplitMix64), so that neighbouring keys give unrelated generators.
func mix(x uint64) uint64 {
	x += 0x9e3779b97f4a7c15
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

// keyOf turns a text into a key for draws.
func keyOf(text string) uint64 {
	h := fnv.New64a()
	_, _ = h.Write([]byte(text)) // never fails
	return h.Sum64()
}

// firstID is the id below a seed's first payment. Payment ids have twelve
// digits, like those of recent payments, and each seed has a million of its
// own.
func firstID(seed uint64) int64 {
	const millions = 800_000
	return 130_000_000_000 + draws(seed, forID).Int64N(millions)*1_000_000
}
