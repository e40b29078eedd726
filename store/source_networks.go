package store

import (
	"cmp"
	"context"
	"log/slog"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
)

const (
	// learnedKept is how many networks are kept; those not seen for longest make
	// room. A provider calls from a few dozen.
	learnedKept = 256
	// learnedWaiting is how many networks wait for their write at once.
	learnedWaiting = 1024
	// learnedEvery is how often what was learned is written.
	learnedEvery = 10 * time.Second
	// learnedTimeout bounds one write.
	learnedTimeout = 5 * time.Second
	// Bits of a network: what one owner is commonly given.
	learnedBits4 = 24
	learnedBits6 = 48
)

// A LearnedSource is a network that validly signed webhooks came from.
type LearnedSource struct {
	Source string `json:"source"`
	// Network is a /24 of IPv4 or a /48 of IPv6.
	Network netip.Prefix `json:"network"`
	// Deliveries counts events; a delivery that came again is not counted, as
	// whoever has seen one can send it again.
	Deliveries  int64     `json:"deliveries"`
	FirstSeenAt time.Time `json:"first_seen_at"`
	LastSeenAt  time.Time `json:"last_seen_at"`
}

type learnedKey struct {
	source  string
	network netip.Prefix
}

// A SourceLog learns where signed webhooks come from, off the request's path:
// Learn counts in memory and never waits for the database. What was counted is
// written every ten seconds; a crash loses that much of a statistic.
type SourceLog struct {
	store   *Store
	logger  *slog.Logger
	mu      sync.Mutex
	counts  map[learnedKey]int64
	dropped atomic.Int64
	stop    context.CancelFunc
	done    sync.WaitGroup
}

// NewSourceLog starts a log on store. Close stops it.
func NewSourceLog(store *Store) *SourceLog {
	ctx, stop := context.WithCancel(context.Background())
	l := &SourceLog{store: store, logger: store.logger, counts: map[learnedKey]int64{}, stop: stop}
	l.done.Go(func() { l.run(ctx) })
	return l
}

// NetworkOf is the network that an address is learned as; not valid for an
// address that is none.
func NetworkOf(addr netip.Addr) netip.Prefix {
	addr = addr.Unmap().WithZone("")
	bits := learnedBits6
	if addr.Is4() {
		bits = learnedBits4
	}
	network, err := addr.Prefix(bits)
	if err != nil {
		return netip.Prefix{}
	}
	return network
}

// Learn counts one validly signed event from addr.
func (l *SourceLog) Learn(source string, addr netip.Addr) {
	key := learnedKey{source, NetworkOf(addr)}
	if !key.network.IsValid() {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if _, known := l.counts[key]; !known && len(l.counts) >= learnedWaiting {
		l.dropped.Add(1)
		return
	}
	l.counts[key]++
}

// Dropped is how many events were not counted, because too many networks came
// at once or their write failed.
func (l *SourceLog) Dropped() int64 { return l.dropped.Load() }

// Close writes what was counted and stops.
func (l *SourceLog) Close() {
	l.stop()
	l.done.Wait()
}

func (l *SourceLog) run(ctx context.Context) {
	every := time.Tick(learnedEvery)
	for {
		select {
		case <-every:
			l.Flush(ctx)
		case <-ctx.Done():
			l.Flush(ctx)
			return
		}
	}
}

// Flush writes what was counted. A stop that comes meanwhile does not undo it.
func (l *SourceLog) Flush(ctx context.Context) {
	l.mu.Lock()
	counts := l.counts
	l.counts = map[learnedKey]int64{}
	l.mu.Unlock()
	if len(counts) == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), learnedTimeout)
	defer cancel()
	if err := l.store.learnSources(ctx, counts); err != nil {
		for _, n := range counts {
			l.dropped.Add(n)
		}
		l.logger.WarnContext(ctx, "source networks not recorded", "error", err)
	}
}

// learnSources adds the counts up, in one order, so that two processes do not
// wait for each other, and makes room.
func (s *Store) learnSources(ctx context.Context, counts map[learnedKey]int64) error {
	keys := make([]learnedKey, 0, len(counts))
	for key := range counts {
		keys = append(keys, key)
	}
	slices.SortFunc(keys, func(a, b learnedKey) int {
		return cmp.Or(cmp.Compare(a.source, b.source), cmp.Compare(a.network.String(), b.network.String()))
	})
	sources, networks, deliveries := make([]string, len(keys)), make([]string, len(keys)), make([]int64, len(keys))
	for i, key := range keys {
		sources[i], networks[i], deliveries[i] = key.source, key.network.String(), counts[key]
	}
	err := s.inTx(ctx, func(tx pgx.Tx) error {
		_, err := tx.Exec(ctx, `
			INSERT INTO webhook_learned_sources AS known (source, network, deliveries)
			SELECT source, network::cidr, deliveries FROM unnest($1::text[], $2::text[], $3::bigint[]) AS t (source, network, deliveries)
			ON CONFLICT (source, network) DO UPDATE
			SET deliveries = known.deliveries + excluded.deliveries, last_seen_at = greatest(known.last_seen_at, excluded.last_seen_at)`,
			sources, networks, deliveries)
		if err != nil {
			return err
		}
		return execute(ctx, tx, `
			DELETE FROM webhook_learned_sources WHERE (source, network) IN (
				SELECT source, network FROM webhook_learned_sources
				ORDER BY last_seen_at DESC, deliveries DESC, source, network OFFSET $1)`, learnedKept)
	})
	return wrap(err, "learn sources")
}

// LearnedSources returns the networks that signed webhooks came from, the
// busiest first: 256 at most.
func (s *Store) LearnedSources(ctx context.Context) ([]LearnedSource, error) {
	found, err := readAll[LearnedSource](ctx, s.pool, `
		SELECT source, network, deliveries, first_seen_at, last_seen_at FROM webhook_learned_sources
		ORDER BY deliveries DESC, source, network LIMIT $1`, learnedKept)
	return found, wrap(err, "learned sources")
}
