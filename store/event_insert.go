package store

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
)

// insertEventsSQL inserts events and draws the ids of their jobs, all in one
// statement: a round trip costs more than the rows. An event that ends at once
// gets no job. What is about a forgotten payer keeps no body: the one of an event
// with a job goes when the event ends.
var insertEventsSQL = `
WITH input AS MATERIALIZED (
    SELECT nextval(pg_get_serial_sequence('webhook_queue', 'id')) AS id,
           CASE WHEN e.outcome IS NULL THEN nextval('river_job_id_seq') END AS job_id,
           ` + forgottenSQL("e.source", "e.resource_id", `SELECT h.hash FROM unnest($18::int[], $19::bytea[]) AS h (n, hash) WHERE h.n = e.n`) + ` AS forgotten,
           e.*
    FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::bytea[], $7::text[], $8::text[],
                $9::text[], $10::boolean[], $11::boolean[], $12::bytea[], $13::text[], $14::bigint[], $15::text[], $16::timestamptz[], $17::text[])
         WITH ORDINALITY AS e (source, topic, action, resource_id, origin, payload, query, request_id,
                remote_ip, live_mode, signed, signature, outcome, replay_of, work, notified_at, collector_id, n)
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
)
SELECT input.id, input.job_id, inserted.received_at
FROM input LEFT JOIN inserted USING (id)
ORDER BY input.n`

// insertEvents inserts events and their jobs in tx and returns their receipts
// in the same order. No two of them may have the same source and signature.
func (s *Store) insertEvents(ctx context.Context, tx pgx.Tx, events []NewEvent) ([]Receipt, error) {
	n := len(events)
	var (
		source, topic, action, resource = make([]string, n), make([]string, n), make([]string, n), make([]string, n)
		origin, query, request          = make([]string, n), make([]string, n), make([]string, n)
		payload, signature              = make([][]byte, n), make([][]byte, n)
		remote, outcome                 = make([]*string, n), make([]*string, n)
		live                            = make([]*bool, n)
		signed                          = make([]bool, n)
		replayOf                        = make([]*int64, n)
		notified                        = make([]*time.Time, n)
		work, collector                 = make([]string, n), make([]string, n)
		hashOf                          []int
		hashes                          [][]byte
	)
	for i, ev := range events {
		if err := ev.checkWork(); err != nil {
			return nil, err
		}
		work[i], collector[i] = ev.Work, text(ev.CollectorID)
		source[i], topic[i], action[i], resource[i] = ev.Source, text(ev.Topic), text(ev.Action), text(ev.ResourceID)
		origin[i], query[i], request[i] = ev.Origin, text(ev.Query), text(ev.RequestID)
		payload[i], signature[i] = ev.Payload, ev.Signature
		if payload[i] == nil {
			payload[i] = []byte{}
		}
		live[i], signed[i] = ev.LiveMode, ev.Signed
		if ev.RemoteIP.IsValid() {
			address := ev.RemoteIP.WithZone("").String()
			remote[i] = &address
		}
		if ended := OutcomeAtOnce(ev.Work); ended != "" {
			outcome[i] = &ended
		}
		if !ev.NotifiedAt.IsZero() {
			notified[i] = &events[i].NotifiedAt
		}
		if ev.ReplayOf != 0 {
			replayOf[i] = &ev.ReplayOf
		}
		named, err := s.payerHashes(ctx, tx, ev.Source, ev.Payload, unescaped(ev.Query))
		if err != nil {
			return nil, err
		}
		for _, hash := range named {
			hashOf, hashes = append(hashOf, i+1), append(hashes, hash)
		}
	}
	rows, _ := tx.Query(ctx, insertEventsSQL, source, topic, action, resource, origin, payload, query, request,
		remote, live, signed, signature, outcome, replayOf, work, notified, collector, hashOf, hashes)
	receipts := make([]Receipt, 0, n)
	jobs := make([]Job, 0, n)
	var lost []int
	var id int64
	var jobID *int64
	var receivedAt *time.Time
	_, err := pgx.ForEachRow(rows, []any{&id, &jobID, &receivedAt}, func() error {
		i := len(receipts)
		receipts = append(receipts, Receipt{QueueID: id})
		switch {
		case receivedAt == nil:
			lost = append(lost, i)
		case jobID != nil:
			jobs = append(jobs, Job{
				ID: *jobID, QueueID: id, Work: events[i].Work, At: *receivedAt, Origin: events[i].Origin, Background: events[i].Background,
				Hint: events[i].Origin == OriginWebhook && !events[i].Signed, Trace: events[i].Trace,
			})
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	if err := s.resolveDuplicates(ctx, tx, events, receipts, lost); err != nil {
		return nil, err
	}
	if len(jobs) > 0 {
		if err := s.insertJobs(ctx, tx, jobs); err != nil {
			return nil, err
		}
	}
	return receipts, nil
}

// errDuplicateVanished means that an event lost to another and the other is
// gone, moved to the archive between two statements. Trying again inserts it.
var errDuplicateVanished = errors.New("the first delivery was archived meanwhile")

// resolveDuplicates finds the first delivery of each event that lost. It is a
// statement of its own: the one that lost to a concurrent transaction cannot
// see that transaction's row.
func (s *Store) resolveDuplicates(ctx context.Context, tx pgx.Tx, events []NewEvent, receipts []Receipt, lost []int) error {
	if len(lost) == 0 {
		return nil
	}
	source, signature := make([]string, len(lost)), make([][]byte, len(lost))
	for k, i := range lost {
		source[k], signature[k] = events[i].Source, events[i].Signature
	}
	rows, _ := tx.Query(ctx, `
		SELECT e.n, q.id
		FROM unnest($1::text[], $2::bytea[]) WITH ORDINALITY AS e (source, signature, n)
		JOIN webhook_queue q ON q.source = e.source AND q.signature = e.signature`, source, signature)
	found := 0
	var n int
	var id int64
	if _, err := pgx.ForEachRow(rows, []any{&n, &id}, func() error {
		receipts[lost[n-1]] = Receipt{QueueID: id, Duplicate: true}
		found++
		return nil
	}); err != nil {
		return err
	}
	if found != len(lost) {
		return fmt.Errorf("%d of %d duplicates: %w", len(lost)-found, len(lost), errDuplicateVanished)
	}
	return nil
}
