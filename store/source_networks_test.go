package store_test

import (
	"context"
	"fmt"
	"net/netip"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/conciliar/conciliar/store"
)

func TestSourceNetworks_AreLearnedFromAddresses(t *testing.T) {
	t.Parallel()
	b := setup(t)
	one, other := store.NewSourceLog(b.Store), store.NewSourceLog(b.Store)
	t.Cleanup(one.Close)
	for _, addr := range []string{"198.51.100.1", "198.51.100.254", "::ffff:198.51.100.7", "2001:db8:1:2::1", "2001:db8:1:ffff::1%eth0", "203.0.113.9"} {
		one.Learn("mercadopago", netip.MustParseAddr(addr))
	}
	one.Learn("mercadopago", netip.Addr{})
	other.Learn("mercadopago", netip.MustParseAddr("198.51.100.99"))
	one.Flush(t.Context())
	// A process that stops loses nothing of what it has counted.
	other.Close()

	found, err := b.LearnedSources(t.Context())
	require.NoError(t, err)
	counts := map[string]int64{}
	for _, l := range found {
		require.Equal(t, "mercadopago", l.Source)
		require.False(t, l.LastSeenAt.Before(l.FirstSeenAt))
		counts[l.Network.String()] = l.Deliveries
	}
	require.Equal(t, map[string]int64{"198.51.100.0/24": 4, "2001:db8:1::/48": 2, "203.0.113.0/24": 1}, counts)
	require.Equal(t, "198.51.100.0/24", found[0].Network.String(), "the busiest first")
}

func TestSourceNetworks_AreBounded(t *testing.T) {
	t.Parallel()
	b := setup(t)
	l := store.NewSourceLog(b.Store)
	t.Cleanup(l.Close)
	learn := func(first, n int) {
		for i := range n {
			l.Learn("mercadopago", netip.AddrFrom4([4]byte{byte(first), byte(i >> 8), byte(i), 1}))
		}
	}
	learn(1, 1030)
	require.EqualValues(t, 6, l.Dropped(), "memory is bounded")
	l.Flush(t.Context())
	learn(2, 3)
	l.Flush(t.Context())
	found, err := b.LearnedSources(t.Context())
	require.NoError(t, err)
	require.Len(t, found, 256)
	newest := 0
	for _, f := range found {
		if f.Network.Addr().As4()[0] == 2 {
			newest++
		}
	}
	require.Equal(t, 3, newest, "what was seen last stays")
}

// A statistic that cannot be written is counted as lost, and holds nobody up.
func TestSourceNetworks_ThatCannotBeWrittenDelayNothing(t *testing.T) {
	t.Parallel()
	b := setup(t)
	l := store.NewSourceLog(b.Store)
	b.pool.Close()
	l.Learn("mercadopago", netip.MustParseAddr("198.51.100.1"))
	l.Close()
	require.EqualValues(t, 1, l.Dropped())
}

func TestSourceNetworks_AreLearnedByProcessesAtOnce(t *testing.T) {
	t.Parallel()
	b := setup(t)
	const processes, networks, rounds = 4, 20, 5
	var all sync.WaitGroup
	for range processes {
		l := store.NewSourceLog(b.Store)
		t.Cleanup(l.Close)
		all.Go(func() {
			for range rounds {
				for i := range networks {
					l.Learn("mercadopago", netip.MustParseAddr(fmt.Sprintf("10.0.%d.1", i)))
				}
				l.Flush(context.WithoutCancel(t.Context()))
			}
		})
	}
	all.Wait()
	found, err := b.LearnedSources(t.Context())
	require.NoError(t, err)
	require.Len(t, found, networks)
	for _, f := range found {
		require.EqualValues(t, processes*rounds, f.Deliveries)
	}
}
