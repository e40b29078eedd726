package api

import (
	"encoding/binary"
	"net/netip"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestLimiter_ForgetsNobodyWhoMatters(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	l := newLimiter[addressKey]("test", 1, 2)
	address := func(i int) addressKey {
		var b [4]byte
		binary.BigEndian.PutUint32(b[:], uint32(i))
		return keyOf(netip.AddrFrom4(b))
	}
	for i := range limiterKeys {
		_, ok := l.take(now, address(i))
		require.True(t, ok)
	}
	// No room: newcomers share one bucket, so that memory and calls stay bounded.
	for i := range 2 {
		_, ok := l.take(now, address(limiterKeys+i))
		require.True(t, ok)
	}
	wait, ok := l.take(now, address(limiterKeys+7))
	require.False(t, ok)
	require.Equal(t, time.Second, wait)
	require.Len(t, l.buckets, limiterKeys)

	// Whoever was there keeps a bucket of its own.
	_, ok = l.take(now, address(3))
	require.True(t, ok)
	_, ok = l.take(now, address(3))
	require.False(t, ok)

	// A second later all but the third are as good as new, and are forgotten.
	now = now.Add(time.Second)
	_, ok = l.take(now, address(limiterKeys+7))
	require.True(t, ok)
	require.Len(t, l.buckets, 2)
	_, ok = l.take(now, address(3))
	require.True(t, ok)
	_, ok = l.take(now, address(3))
	require.False(t, ok, "a bucket that is not full survives the sweep")
}

func TestLimiter_IsSweptOnceASecondWhenFull(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	l := newLimiter[int]("test", 1000, 1)
	for i := range limiterKeys {
		l.take(now, i)
	}
	l.take(now, -1) // sweeps, and finds nothing to forget
	swept := l.swept
	l.take(now.Add(999*time.Millisecond), -2)
	require.Equal(t, swept, l.swept)
	require.Len(t, l.buckets, limiterKeys)
	l.take(now.Add(time.Second), -3)
	require.Len(t, l.buckets, 1)
}

func TestAddressKey_AnIPv6NetworkIsOneKey(t *testing.T) {
	t.Parallel()
	key := func(s string) addressKey { return keyOf(netip.MustParseAddr(s)) }
	require.Equal(t, key("2001:db8::1"), key("2001:db8::ffff:ffff:ffff:ffff"))
	require.NotEqual(t, key("2001:db8::1"), key("2001:db8:0:1::1"))
	require.NotEqual(t, key("203.0.113.1"), key("203.0.113.2"))
	require.Equal(t, addressKey{}, keyOf(netip.Addr{}))
}

// take takes one call out of key's bucket. When there is none it returns how
// long until there is.
func (l *limiter[K]) take(now time.Time, key K) (wait time.Duration, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return take(l.bucket(now, key), now)
}
