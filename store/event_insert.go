package store

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

// An insertion is an event that is to be inserted, and its job.
type insertion struct {
	*NewEvent

	// ended is how it ends at once, upon which it has no job.
	ended string
	job   JobForm
}

// insertedColumns are those of an event, and of its job but for ids and times.
var insertedColumns = append([]column[insertion]{
	value("source", "text", func(i insertion) string { return i.Source }),
	value("topic", "text", func(i insertion) string { return text(i.Topic) }),
	value("action", "text", func(i insertion) string { return text(i.Action) }),
	value("resource_id", "text", func(i insertion) string { return text(i.ResourceID) }),
	value("work", "text", func(i insertion) string { return i.Work }),
	value("origin", "text", func(i insertion) string { return i.Origin }),
	value("payload", "bytea", func(i insertion) []byte { return notNil(i.Payload) }),
	value("query", "text", func(i insertion) string { return text(i.Query) }),
	value("request_id", "text", func(i insertion) string { return text(i.RequestID) }),
	value("remote_ip", "text", func(i insertion) *string { return nullable(i.RemoteIP.IsValid(), i.RemoteIP.WithZone("").String) }),
	value("live_mode", "boolean", func(i insertion) *bool { return i.LiveMode }),
	value("notified_at", "timestamptz", func(i insertion) *time.Time { return nullable(!i.NotifiedAt.IsZero(), i.NotifiedAt.UTC) }),
	value("collector_id", "text", func(i insertion) string { return text(i.CollectorID) }),
	value("signed", "boolean", func(i insertion) bool { return i.Signed }),
	value("signature", "bytea", func(i insertion) []byte { return i.Signature }),
	value("replay_of", "bigint", func(i insertion) *int64 { return nullable(i.ReplayOf != 0, func() int64 { return i.ReplayOf }) }),
	value("outcome", "text", func(i insertion) *string { return nullable(i.ended != "", func() string { return i.ended }) }),
}, jobColumns(func(i insertion) JobForm { return i.job })...)

// notNil is the bytes, which PostgreSQL would take for NULL when they are nil.
func notNil(bytes []byte) []byte {
	if bytes == nil {
		return []byte{}
	}
	return bytes
}

func nullable[T any](there bool, value func() T) *T {
	if !there {
		return nil
	}
	v := value()
	return &v
}

// insertEvents inserts events and their jobs and tells the workers, all in one
// statement: a round trip costs more than the rows. Alone it is a transaction of its
// own, so it makes its commit durable as durableTx does; it reads nothing that another
// isolation would show it differently. An event that ends at once gets no job. What is
// about a forgotten payer keeps no body: the one of an event with a job goes when the
// event ends. Its own parameters are the hashes of payers that events name, each after
// the event's place, and the queues to tell of.
var insertEvents = writeRows(insertedColumns, 3, func(x string) string {
	return `
WITH durably AS MATERIALIZED (
    ` + durableSQL + `
), input AS MATERIALIZED (
    SELECT (SELECT count(*) FROM durably), nextval('webhook_queue_id_seq') AS id,
           CASE WHEN x.outcome IS NULL THEN nextval('river_job_id_seq') END AS job_id,
           ` + forgottenSQL("x.source", "x.resource_id", `SELECT h.hash FROM unnest($1::int[], $2::bytea[]) AS h (n, hash) WHERE h.n = x.n`) + ` AS forgotten,
           x.*
    FROM ` + x + `
), inserted AS (
    INSERT INTO webhook_queue (id, job_id, source, topic, action, resource_id, origin, payload, query, request_id,
                remote_ip, live_mode, signed, signature, outcome, completed_at, replay_of, work, notified_at, collector_id,
                forgotten, emptied_at)
    SELECT id, job_id, source, topic, action, resource_id, origin, CASE WHEN empty THEN '' ELSE payload END, query, request_id,
           CASE WHEN NOT empty THEN remote_ip::inet END, live_mode, signed, signature, outcome, CASE WHEN outcome IS NOT NULL THEN now() END,
           replay_of, work, notified_at, collector_id, forgotten, CASE WHEN empty THEN now() END
    FROM input, LATERAL (SELECT forgotten AND outcome IS NOT NULL) AS ended (empty)
    ORDER BY n
    ON CONFLICT (source, signature) WHERE signature IS NOT NULL DO NOTHING
    RETURNING id, received_at
), jobs AS (
    ` + insertJobsInto + `
    SELECT input.job_id, jsonb_build_object('queue_id', input.id), kind, queue, max_attempts, priority, metadata, received_at, received_at, 'available', '{}'
    FROM input JOIN inserted USING (id)
    WHERE job_id IS NOT NULL
    ORDER BY n
)
SELECT input.id, inserted.id IS NOT NULL, ` + notifySQL("$3") + `
FROM input LEFT JOIN inserted USING (id)
ORDER BY input.n`
})

// An eventBatch is events that are inserted together. No two of them may have the same
// source and signature.
type eventBatch struct {
	rows []insertion
	// places and hashes are the payers that the events name: the event's place, from 1,
	// and the payer's hash.
	places []int
	hashes [][]byte
}

// add appends an event. q reads what is not known yet.
func (b *eventBatch) add(ctx context.Context, s *Store, q querier, ev *NewEvent) error {
	if err := ev.checkWork(); err != nil {
		return err
	}
	row := insertion{NewEvent: ev, ended: OutcomeAtOnce(ev.Work)}
	if row.ended == "" {
		var err error
		if row.job, err = s.jobForm(jobOf(ev)); err != nil {
			return err
		}
	}
	named, err := s.payerHashes(ctx, q, ev.Source, ev.Payload, unescaped(ev.Query))
	if err != nil {
		return err
	}
	b.rows = append(b.rows, row)
	for _, hash := range named {
		b.places, b.hashes = append(b.places, len(b.rows)), append(b.hashes, hash)
	}
	return nil
}

// clear empties the batch, and holds on to no event.
func (b *eventBatch) clear() {
	clear(b.rows)
	b.rows, b.places, b.hashes = b.rows[:0], b.places[:0], b.hashes[:0]
}

// insert inserts the events and returns their receipts in the same
// order. lost are those that lost to another delivery of the same event; their
// receipts are empty.
func (b *eventBatch) insert(ctx context.Context, s *Store, q querier) (receipts []Receipt, lost []int, err error) {
	queues := make([]string, len(b.rows))
	for i, row := range b.rows {
		queues[i] = row.job.Queue
	}
	sql, args := insertEvents.of(b.rows, b.places, b.hashes, s.notices.due(queues, time.Now()))
	rows, _ := q.Query(ctx, sql, args...)
	receipts = make([]Receipt, 0, len(b.rows))
	var id int64
	var inserted bool
	_, err = pgx.ForEachRow(rows, []any{&id, &inserted, nil}, func() error {
		if !inserted {
			lost, id = append(lost, len(receipts)), 0
		}
		receipts = append(receipts, Receipt{QueueID: id})
		return nil
	})
	return receipts, lost, err
}

// insertEvents inserts events and their jobs in tx and returns their receipts
// in the same order. No two of them may have the same source and signature.
func (s *Store) insertEvents(ctx context.Context, tx pgx.Tx, events []NewEvent) ([]Receipt, error) {
	if len(events) == 0 {
		return nil, nil
	}
	var batch eventBatch
	for i := range events {
		if err := batch.add(ctx, s, tx, &events[i]); err != nil {
			return nil, err
		}
	}
	receipts, lost, err := batch.insert(ctx, s, tx)
	if err != nil {
		return nil, err
	}
	found, err := batch.resolveDuplicates(ctx, tx, receipts, lost)
	if err == nil && found < len(lost) {
		err = fmt.Errorf("%d of %d duplicates: %w", len(lost)-found, len(lost), errDuplicateVanished)
	}
	return receipts, err
}

// errDuplicateVanished means that an event lost to another and the other is
// gone, moved to the archive between two statements. Trying again inserts it.
var errDuplicateVanished = errors.New("the first delivery was archived meanwhile")

// resolveDuplicates finds the first delivery of each event that lost, and returns how
// many it found: the others are in the archive by now. It is a statement of its own:
// the one that lost to a concurrent transaction cannot see that transaction's row.
func (b *eventBatch) resolveDuplicates(ctx context.Context, q querier, receipts []Receipt, lost []int) (found int, err error) {
	if len(lost) == 0 {
		return 0, nil
	}
	source, signature := make([]string, len(lost)), make([][]byte, len(lost))
	for k, i := range lost {
		source[k], signature[k] = b.rows[i].Source, b.rows[i].Signature
	}
	rows, _ := q.Query(ctx, `
		SELECT e.n, q.id
		FROM unnest($1::text[], $2::bytea[]) WITH ORDINALITY AS e (source, signature, n)
		JOIN webhook_queue q ON q.source = e.source AND q.signature = e.signature`, source, signature)
	var n int
	var id int64
	_, err = pgx.ForEachRow(rows, []any{&n, &id}, func() error {
		receipts[lost[n-1]] = Receipt{QueueID: id, Duplicate: true}
		found++
		return nil
	})
	return found, err
}

// insertAlone inserts the events in a transaction of their own: one
// statement, and so one trip. It tries again at once what a conflict or a broken
// connection ended, though the events may be committed then: a signed one is there
// once all the same and only counts as a duplicate, and the sender of one without a
// signature would have sent it again. An empty receipt is that of an event whose first
// delivery was archived meanwhile.
func (b *eventBatch) insertAlone(ctx context.Context, s *Store) (receipts []Receipt, err error) {
	var lost []int
	err = s.onConn(ctx, func(conn *pgxpool.Conn) error {
		receipts, lost, err = b.insert(ctx, s, conn)
		return err
	})
	if err != nil || len(lost) == 0 {
		return receipts, err
	}
	return receipts, s.onConn(ctx, func(conn *pgxpool.Conn) error {
		_, err := b.resolveDuplicates(ctx, conn, receipts, lost)
		return err
	})
}
