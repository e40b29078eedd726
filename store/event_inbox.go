package store

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"sync"
	"time"
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
	// Writers is how many transactions may run side by side, 2 by default. One is enough
	// while it takes no longer than writerPatience.
	Writers int
	// Timeout bounds one transaction, 10 s by default.
	Timeout time.Duration
}

// writerPatience is how long what waits leaves the storage to the transaction before it:
// larger batches cost less an event. Behind a slow commit or a connection that is dead
// nobody waits longer.
const writerPatience = 20 * time.Millisecond

// An Inbox makes events durable. Events that wait at the same moment share one
// transaction and so one commit (a group commit); no event waits for company.
type Inbox struct {
	store   *Store
	opts    InboxOptions
	waiting chan *submission
	// turn is in it while no writer has it: who has it takes what waits.
	turn chan struct{}
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
	if store.jobForm == nil {
		return nil, errors.New("an inbox needs a store that inserts jobs")
	}
	opts.MaxBatch = cmp.Or(max(opts.MaxBatch, 0), 256)
	opts.MaxWaiting = cmp.Or(max(opts.MaxWaiting, 0), 8192)
	opts.Writers = cmp.Or(max(opts.Writers, 0), 2)
	opts.Timeout = cmp.Or(max(opts.Timeout, 0), 10*time.Second)
	in := &Inbox{store: store, opts: opts, waiting: make(chan *submission, opts.MaxWaiting), turn: make(chan struct{}, 1)}
	in.turn <- struct{}{}
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
	w := &inboxWriter{Inbox: in}
	batch := make([]*submission, 0, in.opts.MaxBatch)
	for {
		<-in.turn
		first, open := <-in.waiting
		if !open {
			in.turn <- struct{}{}
			return
		}
		batch = fill(append(batch[:0], first), in.waiting, in.opts.MaxBatch)
		next := sync.OnceFunc(func() { in.turn <- struct{}{} })
		impatient := time.AfterFunc(writerPatience, next)
		w.writeBatch(batch)
		impatient.Stop()
		next()
		clear(batch)
	}
}

// An inboxWriter writes batches, one after the other.
type inboxWriter struct {
	*Inbox

	// What follows is used again by each batch.
	events eventBatch
	sorted []*submission
}

// writeBatch writes the batch as one transaction. When it fails over the
// values of one of its events, each is tried alone: a bad event must not fail
// its neighbours.
func (w *inboxWriter) writeBatch(batch []*submission) {
	err := w.commit(batch)
	if err == nil {
		return
	}
	if len(batch) == 1 || !isDataError(err) {
		w.fail(batch, err)
		return
	}
	w.store.logger.Warn("inbox batch failed; its events are tried alone", "events", len(batch), "error", err)
	for _, sub := range batch {
		if err := w.commit([]*submission{sub}); err != nil {
			w.fail([]*submission{sub}, err)
		}
	}
}

// fail tells the callers of a batch that it was not written.
func (w *inboxWriter) fail(batch []*submission, err error) {
	w.store.acceptance.record(len(batch), err)
	for _, sub := range batch {
		sub.err = fmt.Errorf("event not accepted: %w", err)
		close(sub.done)
	}
}

// commit makes the events of a batch durable and tells their callers. When it fails
// nobody was told anything.
func (w *inboxWriter) commit(batch []*submission) error {
	ctx, cancel := context.WithTimeout(context.Background(), w.opts.Timeout)
	defer cancel()
	// Writers that insert the same keys in the same order cannot deadlock, and one
	// delivery that is in the batch twice stands side by side: the first goes in.
	w.sorted = append(w.sorted[:0], batch...)
	slices.SortStableFunc(w.sorted, (*submission).compare)
	w.events.clear()
	for i, sub := range w.sorted {
		if i > 0 && sub.repeats(w.sorted[i-1]) {
			continue
		}
		if err := w.events.add(ctx, w.store, w.store.pool, &sub.event); err != nil {
			return err
		}
	}
	receipts, err := w.events.insertAlone(ctx, w.store)
	if err != nil {
		return err
	}
	next := 0
	for i, sub := range w.sorted {
		if i > 0 && sub.repeats(w.sorted[i-1]) {
			sub.receipt = Receipt{QueueID: w.sorted[i-1].receipt.QueueID, Duplicate: true}
			continue
		}
		sub.receipt = receipts[next]
		next++
	}
	var vanished []*submission
	for _, sub := range w.sorted {
		if sub.receipt.QueueID == 0 {
			vanished = append(vanished, sub)
			continue
		}
		close(sub.done)
	}
	w.store.acceptance.record(len(batch)-len(vanished), nil)
	if len(vanished) > 0 {
		// Their first deliveries are in the archive now: they are new.
		w.writeBatch(vanished)
	}
	return nil
}

// compare orders submissions by what makes a delivery unique.
func (sub *submission) compare(other *submission) int {
	return cmp.Or(bytes.Compare(sub.event.Signature, other.event.Signature), cmp.Compare(sub.event.Source, other.event.Source))
}

// repeats reports that both are the same delivery.
func (sub *submission) repeats(other *submission) bool {
	return sub.event.Signature != nil && other.event.Signature != nil && sub.compare(other) == 0
}
