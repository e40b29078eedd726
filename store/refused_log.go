package store

import (
	"context"
	"log/slog"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/time/rate"
)

// The ring of refused deliveries.
const (
	// refusedKept is how many rows the ring keeps, and refusedFor how long.
	refusedKept = 10_000
	refusedFor  = 7 * 24 * time.Hour
	// refusedPerSecond bounds the writes: a flood of bad calls must not become
	// a flood of transactions.
	refusedPerSecond = 50
	// refusedBody is how many bytes of a body are kept.
	refusedBody = 64 << 10
	// refusedWaiting is how many refusals wait for their write.
	refusedWaiting = 256
	// refusedTimeout bounds one write.
	refusedTimeout = time.Second
	// refusedPruneEvery is how many writes pass between two prunings.
	refusedPruneEvery = 100
)

// A Refused is a delivery that was not accepted. Of its headers only the two
// that the signature needs are kept.
type Refused struct {
	Source     string
	Reason     string
	Method     string
	Query      string
	XSignature string
	XRequestID string
	// Topic is the topic that it names, where that is one that its source has, and
	// Channel how it came; empty when not known.
	Topic, Channel string
	RemoteIP       netip.Addr
	// BodyBytes is the body's length as far as it was read; Body holds at most
	// 64 KiB of it.
	BodyBytes int64
	Body      []byte
}

// A RefusedLog records refused deliveries off the request's path: Record never
// waits. What comes faster than it may be written is counted and dropped.
type RefusedLog struct {
	store   *Store
	logger  *slog.Logger
	waiting chan Refused
	dropped atomic.Int64
	stop    context.CancelFunc
	done    sync.WaitGroup
}

// NewRefusedLog starts a log on store. Close stops it.
func NewRefusedLog(store *Store) *RefusedLog {
	ctx, stop := context.WithCancel(context.Background())
	l := &RefusedLog{store: store, logger: store.logger, waiting: make(chan Refused, refusedWaiting), stop: stop}
	l.done.Go(func() { l.run(ctx) })
	return l
}

// Record keeps r if there is room for it, and returns at once.
func (l *RefusedLog) Record(r Refused) {
	if len(r.Body) > refusedBody {
		r.Body = r.Body[:refusedBody]
	}
	select {
	case l.waiting <- r:
	default:
		l.dropped.Add(1)
	}
}

// Dropped is how many refusals were not recorded because too many came at once.
func (l *RefusedLog) Dropped() int64 { return l.dropped.Load() }

// Close writes what waits, as far as a second allows, and stops.
func (l *RefusedLog) Close() {
	l.stop()
	l.done.Wait()
}

func (l *RefusedLog) run(ctx context.Context) {
	limit := rate.NewLimiter(refusedPerSecond, refusedPerSecond)
	for written := 0; ; written++ {
		select {
		case r := <-l.waiting:
			if limit.Wait(ctx) != nil {
				l.drain(r)
				return
			}
			l.write(ctx, r)
		case <-ctx.Done():
			l.drain()
			return
		}
		if written%refusedPruneEvery == 0 {
			l.prune(ctx)
		}
	}
}

// drain writes what waits when the process stops, for a second at most.
func (l *RefusedLog) drain(first ...Refused) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	for _, r := range first {
		l.write(ctx, r)
	}
	for {
		select {
		case r := <-l.waiting:
			if ctx.Err() != nil {
				l.dropped.Add(1)
				continue
			}
			l.write(ctx, r)
		default:
			return
		}
	}
}

// write writes one refusal. A stop that comes meanwhile does not undo it.
func (l *RefusedLog) write(ctx context.Context, r Refused) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), refusedTimeout)
	defer cancel()
	if err := l.store.InsertRefused(ctx, r); err != nil {
		l.dropped.Add(1)
		l.logger.WarnContext(ctx, "refused delivery not recorded", "reason", r.Reason, "error", err)
	}
}

func (l *RefusedLog) prune(ctx context.Context) {
	if err := l.store.PruneRefused(ctx, refusedKept); err != nil && ctx.Err() == nil {
		l.logger.WarnContext(ctx, "refused deliveries not pruned", "error", err)
	}
}

// InsertRefused records one refused delivery.
func (s *Store) InsertRefused(ctx context.Context, r Refused) error {
	var remote *string
	if r.RemoteIP.IsValid() {
		address := r.RemoteIP.WithZone("").String()
		remote = &address
	}
	body := r.Body
	if body == nil {
		body = []byte{}
	}
	query := unescaped(r.Query)
	hashes, err := s.payerHashes(ctx, s.pool, r.Source, body, query)
	if err != nil {
		return wrap(err, "record refused delivery")
	}
	// Of a forgotten payer neither the body is kept nor who sent it, and no query that
	// may name the payer.
	return wrap(execute(ctx, s.pool, `
		INSERT INTO webhook_refused (source, reason, method, query, x_signature, x_request_id, remote_ip, body_bytes, body, topic, channel)
		SELECT $1, $2, $3, CASE WHEN EXISTS (SELECT FROM forgotten_payers WHERE hash = ANY ($11::bytea[])) THEN '' ELSE $4 END, $5, $6,
		       CASE WHEN NOT forgotten THEN $7::inet END, $8, CASE WHEN forgotten THEN '' ELSE $9::bytea END, $12, $13
		FROM (SELECT `+forgottenSQL("$1", "ANY ($10::text[])", "$11::bytea[]")+`) AS f (forgotten)`,
		r.Source, r.Reason, r.Method, text(r.Query), text(r.XSignature), text(r.XRequestID), remote, r.BodyBytes, body, numbersIn(query), hashes,
		text(r.Topic), text(r.Channel)), "record refused delivery")
}

const pruneRefusedSQL = `
	DELETE FROM webhook_refused
	WHERE id <= (SELECT coalesce(max(id), 0) - $1 FROM webhook_refused)
	   OR refused_at < now() - make_interval(secs => $2)`

// PruneRefused removes refused deliveries beyond the newest keep ones, and
// those older than seven days.
func (s *Store) PruneRefused(ctx context.Context, keep int) error {
	return wrap(execute(ctx, s.pool, pruneRefusedSQL, keep, refusedFor.Seconds()), "prune refused deliveries")
}
