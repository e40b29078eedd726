package api

import (
	"fmt"
	"math"
	"net/netip"
	"strconv"
	"sync"
	"time"

	"github.com/gin-gonic/gin"
	"golang.org/x/time/rate"
)

const (
	// Bursts as multiples of the rate.
	apiBurst        = 5
	unverifiedBurst = 10
	// limiterKeys is how many callers one limiter tells apart at once. Those
	// beyond share one bucket.
	limiterKeys = 16384
	// sweepAtMost is how often a full limiter looks for callers to forget.
	sweepAtMost = time.Second
)

// A limiter holds a token bucket for each caller, in bounded memory.
type limiter[K comparable] struct {
	rate  rate.Limit
	burst int
	// name and policy are what the headers say.
	name, policy string

	mu      sync.Mutex
	buckets map[K]*rate.Limiter
	// crowd is the bucket of everyone who finds no room.
	crowd *rate.Limiter
	swept time.Time
}

// newLimiter allows perSecond calls a second and burst times that at once.
func newLimiter[K comparable](name string, perSecond, burst int) *limiter[K] {
	l := &limiter[K]{
		rate: rate.Limit(perSecond), burst: perSecond * burst, name: name,
		policy:  fmt.Sprintf(`"%s";q=%d;w=%d`, name, perSecond*burst, burst),
		buckets: map[K]*rate.Limiter{},
	}
	l.crowd = rate.NewLimiter(l.rate, l.burst)
	return l
}

func take(bucket *rate.Limiter, now time.Time) (wait time.Duration, ok bool) {
	r := bucket.ReserveN(now, 1)
	if wait = r.DelayFrom(now); wait > 0 {
		r.CancelAt(now)
		return wait, false
	}
	return 0, true
}

// bucket returns key's bucket. A full bucket is as good as none, so forgetting
// it changes nothing.
func (l *limiter[K]) bucket(now time.Time, key K) *rate.Limiter {
	if known, ok := l.buckets[key]; ok {
		return known
	}
	if len(l.buckets) >= limiterKeys {
		if now.Sub(l.swept) >= sweepAtMost {
			l.swept = now
			for k, b := range l.buckets {
				if b.TokensAt(now) >= float64(l.burst) {
					delete(l.buckets, k)
				}
			}
		}
		if len(l.buckets) >= limiterKeys {
			return l.crowd
		}
	}
	b := rate.NewLimiter(l.rate, l.burst)
	l.buckets[key] = b
	return b
}

// charge is chargeFor where calls are in order but may be too many.
func (l *limiter[K]) charge(c *gin.Context, now time.Time, key K) error {
	return l.chargeFor(c, now, key, "The limit of calls is reached.")
}

// chargeFor takes one call out of key's bucket and tells the caller, by the
// fields of draft-ietf-httpapi-ratelimit-headers-10: q calls in w seconds are
// allowed, r are left, and in t seconds all of them will be. detail is what a
// caller is told beyond the limit.
func (l *limiter[K]) chargeFor(c *gin.Context, now time.Time, key K, detail string) error {
	l.mu.Lock()
	bucket := l.bucket(now, key)
	wait, ok := take(bucket, now)
	left := max(0, bucket.TokensAt(now))
	l.mu.Unlock()

	full := int64(math.Ceil((float64(l.burst) - left) / float64(l.rate)))
	h := c.Writer.Header()
	h["Ratelimit-Policy"] = []string{l.policy}
	h["Ratelimit"] = []string{`"` + l.name + `";r=` + strconv.FormatInt(int64(left), 10) + `;t=` + strconv.FormatInt(full, 10)}
	if !ok {
		return tooMany(detail, wait)
	}
	return nil
}

func tooMany(detail string, wait time.Duration) *problem {
	return newProblem(problemRateLimited, detail).after(wait)
}

// An addressKey is what one caller can hold of the address space: an IPv4
// address, or an IPv6 network of 64 bits, as every host has a whole one.
type addressKey netip.Addr

func keyOf(addr netip.Addr) addressKey {
	if addr.Is6() {
		if network, err := addr.WithZone("").Prefix(64); err == nil {
			return addressKey(network.Addr())
		}
	}
	return addressKey(addr)
}
