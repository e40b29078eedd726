package store

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"
)

// ReceiverOrderEvents is who is told of orders.
const ReceiverOrderEvents = "order_events"

// States of a delivery.
const (
	// DeliveryPending: it is on its way, or waits for an earlier one of its stream.
	DeliveryPending = "pending"
	// DeliveryDelivered: the receiver has accepted it.
	DeliveryDelivered = "delivered"
	// DeliveryDead: it is not tried again, and nobody has dealt with that.
	DeliveryDead = "dead"
	// DeliveryReplayed and DeliveryDismissed: somebody has.
	DeliveryReplayed  = "replayed"
	DeliveryDismissed = "dismissed"
)

// DeliveryStates lists every state of a delivery.
func DeliveryStates() []string {
	return []string{DeliveryPending, DeliveryDelivered, DeliveryDead, DeliveryReplayed, DeliveryDismissed}
}

// Failure classes of deliveries that ended without an attempt's answer. The others
// come with their attempts.
const (
	deliveryWorkerDied = "worker_died"
	deliveryCancelled  = "cancelled"
)

// ErrDeliveryNotFound means that no delivery has that id.
var ErrDeliveryNotFound = noSuch("delivery", "not_found")

// A NewDelivery is a message that is to be sent.
type NewDelivery struct {
	Receiver string
	// Stream names what the message is about: messages of one stream arrive in the
	// order in which they were added.
	Stream string
	// MessageID is what the receiver knows repeats by.
	MessageID string
	// OrderEventID is the order event that is sent; nil for any other message, which
	// has Headers and a Body of its own. QueueID is the event that it comes from.
	OrderEventID *int64
	QueueID      *int64
	Headers      map[string]string
	Body         []byte
	// ReplayOf is the delivery that this one replays; nil for none.
	ReplayOf *int64
}

// A DeliveryJob is the job to insert for a delivery's next attempt.
type DeliveryJob struct {
	DeliveryID int64
	Receiver   string
	// Now is PostgreSQL's clock, and At when the job is due; Later is true when that is
	// not yet.
	Now, At time.Time
	Later   bool
}

// InsertDeliveries inserts the jobs of deliveries and returns their ids, in the same
// order. Any error rolls the transaction back.
type InsertDeliveries func(ctx context.Context, tx pgx.Tx, jobs []DeliveryJob) ([]int64, error)

// Forward hands a message to its receiver, ends the event that it comes from with the
// outcome and completes the event's job, all or nothing. A stale attempt changes
// nothing and gets ErrStaleAttempt.
func (s *Store) Forward(ctx context.Context, a Attempt, message NewDelivery, outcome string, complete CompleteJob) error {
	message.QueueID = &a.QueueID
	return s.end(ctx, a, outcome, complete, func(tx pgx.Tx) error {
		if err := knowReceiver(ctx, tx, message.Receiver); err != nil {
			return err
		}
		return s.addDeliveries(ctx, tx, message.Receiver, []NewDelivery{message})
	})
}

// knowReceiver makes the receiver known. One of order events is told nothing that
// happened before.
func knowReceiver(ctx context.Context, tx pgx.Tx, name string) error {
	_, err := tx.Exec(ctx, `
		INSERT INTO delivery_receivers (name, first_position, position) SELECT $1, position, position FROM order_feed
		ON CONFLICT (name) DO NOTHING`, name)
	return err
}

// addDeliveries adds deliveries of one receiver, in their order, and gives each stream
// that was empty a job.
func (s *Store) addDeliveries(ctx context.Context, tx pgx.Tx, receiver string, added []NewDelivery) error {
	if len(added) == 0 {
		return nil
	}
	streams := make([]string, len(added))
	messages := make([]string, len(added))
	orderEvents, queueIDs, replays := make([]*int64, len(added)), make([]*int64, len(added)), make([]*int64, len(added))
	headers, bodies := make([]*string, len(added)), make([][]byte, len(added))
	for i, d := range added {
		if d.Receiver != receiver {
			return fmt.Errorf("a delivery to %q among those to %q", d.Receiver, receiver)
		}
		streams[i], messages[i] = text(d.Stream), text(d.MessageID)
		orderEvents[i], queueIDs[i], replays[i], bodies[i] = d.OrderEventID, d.QueueID, d.ReplayOf, d.Body
		if d.Headers != nil {
			encoded, err := json.Marshal(d.Headers)
			if err != nil {
				return err
			}
			stored := string(encoded)
			headers[i] = &stored
		}
	}
	if err := lockStreams(ctx, tx, receiver, streams); err != nil {
		return err
	}
	_, err := tx.Exec(ctx, `
		INSERT INTO deliveries (receiver, stream, message_id, order_event_id, queue_id, headers, body, replay_of, next_attempt_at)
		SELECT $1, stream, message_id, order_event_id, queue_id, headers, body, replay_of, clock_timestamp()
		FROM unnest($2::text[], $3::text[], $4::bigint[], $5::bigint[], $6::jsonb[], $7::bytea[], $8::bigint[])
		     WITH ORDINALITY AS added (stream, message_id, order_event_id, queue_id, headers, body, replay_of, n)
		ORDER BY n`, receiver, streams, messages, orderEvents, queueIDs, headers, bodies, replays)
	if err != nil {
		return err
	}
	return s.enqueueHeads(ctx, tx, receiver, streams)
}

// lockSeedStream is the class of the advisory locks under which a stream's first
// pending delivery is decided on: who adds one and who ends one must see each other.
const lockSeedStream = 5

// lockStreams locks streams of a receiver until the transaction ends.
func lockStreams(ctx context.Context, tx pgx.Tx, receiver string, streams []string) error {
	sorted := slices.Clone(streams)
	slices.Sort(sorted)
	// A row at a time in their order, so that no two transactions wait for each other.
	_, err := tx.Exec(ctx, `
		SELECT pg_advisory_xact_lock(hashtextextended($1 || '/' || stream, $3)) FROM unnest($2::text[]) stream`,
		receiver, slices.Compact(sorted), lockSeedStream)
	return err
}

// enqueueHeads gives the first pending delivery of each stream a job, unless it has
// one or the receiver is stopped. The caller holds the streams' locks. Each stream is
// looked up by itself: all that is pending of a receiver may be sorted otherwise.
func (s *Store) enqueueHeads(ctx context.Context, tx pgx.Tx, receiver string, streams []string) error {
	heads, err := readAll[DeliveryJob](ctx, tx, `
		SELECT h.id, $1, c.now, CASE WHEN c.due THEN c.now ELSE h.next_attempt_at END, NOT c.due
		FROM (SELECT DISTINCT stream FROM unnest($2::text[]) AS stream) s,
		     LATERAL (SELECT id, job_id, next_attempt_at FROM deliveries
		              WHERE receiver = $1 AND stream = s.stream AND state = 'pending' ORDER BY id LIMIT 1) h,
		     LATERAL (SELECT clock_timestamp() AS now, `+due("h.next_attempt_at", deliveryAhead)+` AS due) c
		WHERE h.job_id IS NULL AND NOT EXISTS (SELECT FROM delivery_receivers WHERE name = $1 AND stopped_at IS NOT NULL)
		ORDER BY h.id`, receiver, streams)
	if err != nil || len(heads) == 0 {
		return err
	}
	if s.insertDeliveries == nil {
		// A process that inserts no jobs leaves that to the sweep of one that does.
		_, err := tx.Exec(ctx, `UPDATE delivery_receivers SET parked = true WHERE name = $1 AND NOT parked`, receiver)
		return err
	}
	jobIDs, err := s.insertDeliveries(ctx, tx, heads)
	if err != nil {
		return err
	}
	deliveryIDs := make([]int64, len(heads))
	for i, head := range heads {
		deliveryIDs[i] = head.DeliveryID
	}
	_, err = tx.Exec(ctx, `
		UPDATE deliveries d SET job_id = made.job_id
		FROM unnest($1::bigint[], $2::bigint[]) AS made (id, job_id) WHERE d.id = made.id`, deliveryIDs, jobIDs)
	return err
}
