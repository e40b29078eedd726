package store

import (
	"bytes"
	"cmp"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
)

// Origins of an event.
const (
	OriginWebhook        = "webhook"
	OriginReconciliation = "reconciliation"
	OriginReplay         = "replay"
	// OriginFollow: what another event named.
	OriginFollow = "follow"
	// OriginReport: a payment that a money report names.
	OriginReport = "report"
)

// A NewEvent is an event that is not in the ledger yet.
type NewEvent struct {
	Source     string
	Topic      string
	Action     string
	ResourceID string
	// Work is what it asks for. One that asks for nothing ends at once, without a
	// job: see OutcomeAtOnce.
	Work string
	// Origin is one of EventOrigins.
	Origin string
	// Payload is the body as received, any bytes.
	Payload []byte
	// Query and RequestID are the call's, as text that PostgreSQL can hold.
	Query     string
	RequestID string
	// RemoteIP is the sender's address; the zero Addr when unknown.
	RemoteIP netip.Addr
	LiveMode *bool
	// NotifiedAt is when the notification says that it was made: a hint. Zero when
	// it says nothing.
	NotifiedAt time.Time
	// CollectorID is the account that it is about, as it says or as is known: a hint.
	// Empty when nothing is said.
	CollectorID string
	Signed      bool
	// Signature makes a signed delivery unique within its source; nil for an
	// event that is never a duplicate.
	Signature []byte
	// ReplayOf is the event that this one replays, 0 for none.
	ReplayOf int64
	// Background is true for an event that has time: every other passes it.
	Background bool
	// Trace is the traceparent of the call that brought it (W3C Trace Context);
	// empty when nobody traces it.
	Trace string

	// emptied is true for what replays an event whose body was emptied.
	emptied bool
}

// A Receipt says that an event is durable.
type Receipt struct {
	QueueID int64
	// Duplicate is true when the delivery had been accepted before; QueueID is
	// then the first one's.
	Duplicate bool
}

// ErrInboxFull means that more events wait to be written than the inbox holds.
var ErrInboxFull = newPlainError(Unavailable, "overloaded", "the inbox is full", "Too many deliveries wait to be written.")

// ErrInboxClosed means that the process is stopping.
var ErrInboxClosed = newPlainError(Unavailable, "shutting_down", "the inbox is closed", "The service is stopping.")

// InboxOptions bound an Inbox. Zero values take the defaults.
type InboxOptions struct {
	// MaxBatch is how many events one transaction takes, 256 by default.
	MaxBatch int
	// MaxWaiting is how many events may wait for a transaction, 8192 by default.
	MaxWaiting int
	// Writers is how many transactions run side by side, 2 by default: while
	// one waits for its commit the next is being written.
	Writers int
	// Timeout bounds one transaction, 10 s by default.
	Timeout time.Duration
}

// An Inbox makes events durable. Events that wait at the same moment share one
// transaction and so one commit (a group commit); no event waits for company.
type Inbox struct {
	store   *Store
	opts    InboxOptions
	waiting chan *submission
	// mu guards closed: Accept holds it for reading while it submits.
	mu      sync.RWMutex
	closed  bool
	writers sync.WaitGroup
}

type submission struct {
	event   NewEvent
	done    chan struct{}
	receipt Receipt
	err     error
}

// NewInbox starts an inbox on store. Close stops it.
func NewInbox(store *Store, opts InboxOptions) (*Inbox, error) {
	if store.insertJobs == nil {
		return nil, errors.New("an inbox needs a store that inserts jobs")
	}
	opts.MaxBatch = cmp.Or(max(opts.MaxBatch, 0), 256)
	opts.MaxWaiting = cmp.Or(max(opts.MaxWaiting, 0), 8192)
	opts.Writers = cmp.Or(max(opts.Writers, 0), 2)
	opts.Timeout = cmp.Or(max(opts.Timeout, 0), 10*time.Second)
	in := &Inbox{store: store, opts: opts, waiting: make(chan *submission, opts.MaxWaiting)}
	for range opts.Writers {
		in.writers.Go(in.write)
	}
	return in, nil
}

// Accept makes ev durable and returns its receipt after the commit. The error
// is ErrInboxFull, ErrInboxClosed, the context's, or the database's; after any
// of them the event may still become durable, and a sender that delivers again
// is answered as a duplicate.
func (in *Inbox) Accept(ctx context.Context, ev NewEvent) (Receipt, error) {
	if err := ev.checkWork(); err != nil {
		return Receipt{}, fmt.Errorf("event not accepted: %w", err)
	}
	sub := &submission{event: ev, done: make(chan struct{})}
	if err := in.submit(sub); err != nil {
		return Receipt{}, err
	}
	select {
	case <-sub.done:
		return sub.receipt, sub.err
	case <-ctx.Done():
		return Receipt{}, ctx.Err()
	}
}

func (in *Inbox) submit(sub *submission) error {
	in.mu.RLock()
	defer in.mu.RUnlock()
	if in.closed {
		return ErrInboxClosed
	}
	select {
	case in.waiting <- sub:
		return nil
	default:
		in.store.acceptance.record(1, ErrInboxFull)
		return ErrInboxFull
	}
}

// Close stops accepting, writes what waits and returns when it is written.
func (in *Inbox) Close() {
	in.mu.Lock()
	if !in.closed {
		in.closed = true
		close(in.waiting)
	}
	in.mu.Unlock()
	in.writers.Wait()
}

// write takes whatever waits, as one batch, until the inbox is closed.
func (in *Inbox) write() {
	batch := make([]*submission, 0, in.opts.MaxBatch)
	for sub := range in.waiting {
		batch = append(batch[:0], sub)
	gather:
		for len(batch) < in.opts.MaxBatch {
			select {
			case next, ok := <-in.waiting:
				if !ok {
					break gather
				}
				batch = append(batch, next)
			default:
				break gather
			}
		}
		in.writeBatch(batch)
		clear(batch)
	}
}

// writeBatch writes the batch as one transaction. When it fails over the
// values of one of its events, each is tried alone: a bad event must not fail
// its neighbours.
func (in *Inbox) writeBatch(batch []*submission) {
	err := in.commit(batch)
	if err == nil {
		in.store.acceptance.record(len(batch), nil)
		return
	}
	if len(batch) == 1 || !isDataError(err) {
		in.store.acceptance.record(len(batch), err)
		for _, sub := range batch {
			sub.fail(err)
		}
		return
	}
	in.store.logger.Warn("inbox batch failed; its events are tried alone", "events", len(batch), "error", err)
	for _, sub := range batch {
		err := in.commit([]*submission{sub})
		in.store.acceptance.record(1, err)
		if err != nil {
			sub.fail(err)
		}
	}
}

func (in *Inbox) commit(batch []*submission) error {
	ctx, cancel := context.WithTimeout(context.Background(), in.opts.Timeout)
	defer cancel()

	// One delivery may be in the batch twice: the first goes in, the others
	// share its receipt.
	first := make(map[string]*submission, len(batch))
	events := make([]*submission, 0, len(batch))
	for _, sub := range batch {
		if sub.event.Signature != nil {
			key := sub.event.key()
			if first[key] != nil {
				continue
			}
			first[key] = sub
		}
		events = append(events, sub)
	}
	// Writers that insert the same keys in the same order cannot deadlock.
	slices.SortStableFunc(events, func(a, b *submission) int {
		return bytes.Compare(a.event.Signature, b.event.Signature)
	})

	var receipts []Receipt
	err := in.store.inTx(ctx, func(tx pgx.Tx) error {
		batchEvents := make([]NewEvent, len(events))
		for i, sub := range events {
			batchEvents[i] = sub.event
		}
		var err error
		receipts, err = in.store.insertEvents(ctx, tx, batchEvents)
		return err
	})
	if err != nil {
		return err
	}
	for i, sub := range events {
		sub.receipt = receipts[i]
	}
	for _, sub := range batch {
		if sub.event.Signature != nil {
			if f := first[sub.event.key()]; f != sub {
				sub.receipt = Receipt{QueueID: f.receipt.QueueID, Duplicate: true}
			}
		}
		close(sub.done)
	}
	return nil
}

func (sub *submission) fail(err error) {
	sub.err = fmt.Errorf("event not accepted: %w", err)
	close(sub.done)
}

func (ev NewEvent) key() string { return ev.Source + "/" + hex.EncodeToString(ev.Signature) }
