package store

import (
	"context"
	"encoding/json"
	"time"
)

// FindingKinds lists every kind of finding.
func FindingKinds() []string {
	return []string{FindingMissing, FindingDrift, FindingOdd, FindingUnsettled, FindingStuck}
}

// What became of a finding.
const (
	// FindingRepaired: what differed was put right, and the event over it, if one was
	// made, has ended.
	FindingRepaired = "repaired"
	// FindingWaiting: its event has no end yet, or the run has not come to it.
	FindingWaiting = "waiting"
	// FindingFailed: its event is a dead letter.
	FindingFailed = "failed"
	// FindingLeft: nothing was done. It is for a person, or the run stopped before.
	FindingLeft = "left"
)

// FindingStates lists every state of a finding.
func FindingStates() []string {
	return []string{FindingRepaired, FindingWaiting, FindingFailed, FindingLeft}
}

// A Finding is one difference that a run found, and what became of it.
type Finding struct {
	ID    int64  `json:"id"`
	RunID int64  `json:"run_id"`
	Kind  string `json:"kind"`
	State string `json:"state"`
	// Source and PaymentID are nil where it is about no payment, and OrderReference where
	// it names no order.
	Source         *string `json:"source"`
	PaymentID      *string `json:"payment_id"`
	OrderReference *string `json:"order_reference"`
	// QueueID is the event that was made over it, or that was put back in the queue; nil
	// where there is none. EventStatus, Outcome and DeadLetterID are its.
	QueueID      *int64  `json:"queue_id"`
	EventStatus  *string `json:"event_status"`
	Outcome      *string `json:"outcome"`
	DeadLetterID *int64  `json:"dead_letter_id"`
	// Detail holds what differs: "against" says what it was held against, and for each
	// field its values, such as held_status and found_status.
	Detail  json.RawMessage `json:"detail"`
	FoundAt time.Time       `json:"found_at"`
	// RepairedAt is when the ledger itself was put right; nil where it was not.
	RepairedAt *time.Time `json:"repaired_at"`
}

// A FindingFilter selects what a run found; an empty field selects all.
type FindingFilter struct {
	RunID       int64
	Kind, State string
}

// findingsFrom has the findings with what became of each. An event that was replayed
// stands for its newest replay.
const findingsFrom = ` FROM (
	SELECT f.id, f.run_id, f.kind,
	       CASE WHEN f.kind = 'unsettled' THEN '` + FindingLeft + `'
	            WHEN e.status = 'completed' THEN '` + FindingRepaired + `'
	            WHEN e.status = 'dead_letter' THEN '` + FindingFailed + `'
	            WHEN e.status IS NOT NULL THEN '` + FindingWaiting + `'
	            WHEN f.repaired_at IS NOT NULL THEN '` + FindingRepaired + `'
	            WHEN f.kind = 'drift' AND r.status = '` + RunRunning + `' THEN '` + FindingWaiting + `'
	            ELSE '` + FindingLeft + `' END AS state,
	       f.source, f.payment_id, f.order_reference, coalesce(e.id, f.queue_id), e.status, e.outcome, e.dead_letter_id,
	       f.detail, f.found_at, f.repaired_at
	FROM webhook_reconciliation_findings f JOIN webhook_reconciliation_logs r ON r.id = f.run_id
	LEFT JOIN LATERAL (
		SELECT * FROM (
			SELECT q.id, v.status, q.outcome, v.dead_letter_id, 1 AS place FROM webhook_queue q JOIN webhook_queue_status v ON v.id = q.id WHERE q.id = f.queue_id
			UNION ALL SELECT a.id, 'completed', a.outcome, NULL, 1 FROM webhook_archive a WHERE a.id = f.queue_id
			UNION ALL SELECT q.id, v.status, q.outcome, v.dead_letter_id, 0 FROM webhook_queue q JOIN webhook_queue_status v ON v.id = q.id WHERE q.replay_of = f.queue_id
			UNION ALL SELECT a.id, 'completed', a.outcome, NULL, 0 FROM webhook_archive a WHERE a.replay_of = f.queue_id
		) known ORDER BY place, id DESC LIMIT 1
	) e ON true) f`

// Findings returns one page of what the filter selects of what a run found, the newest
// first.
func (s *Store) Findings(ctx context.Context, filter FindingFilter, page Page) (List[Finding], error) {
	var c conditions
	c.add("run_id = ?", filter.RunID)
	c.equal("kind", filter.Kind)
	c.equal("state", filter.State)
	return readPage(ctx, s, "findings", `SELECT *`+findingsFrom, "id", c, page, rowTo[Finding], func(f Finding) int64 { return f.ID })
}

// A FindingCount is how many of a run's findings are of a kind and in a state.
type FindingCount struct {
	Kind, State string
	Count       int64
}

// countedFindings is how many findings of a run are counted at most.
const countedFindings = 10_000

// CountFindings counts what a run found, by kind and state. All is false where that is
// more than is counted: then the newest are.
func (s *Store) CountFindings(ctx context.Context, runID int64) (counts []FindingCount, all bool, err error) {
	counts, err = readAll[FindingCount](ctx, s.pool, `
		SELECT kind, state, count(*) FROM (SELECT kind, state`+findingsFrom+` WHERE run_id = $1 ORDER BY id DESC LIMIT $2) newest
		GROUP BY kind, state ORDER BY kind, state`, runID, countedFindings)
	var n int64
	for _, c := range counts {
		n += c.Count
	}
	return counts, n < countedFindings, wrap(err, "findings of run %d", runID)
}

// A RunUnseen is a range of a search that a run did not see whole.
type RunUnseen struct {
	UnseenRange

	// Source is the account that was searched, ReadAt when the range was read last, and
	// SeenAt since when it is seen; nil while it is not.
	Source string     `json:"source"`
	ReadAt time.Time  `json:"read_at"`
	SeenAt *time.Time `json:"seen_at"`
}

// Unseen returns one page of what a run did not see.
func (s *Store) Unseen(ctx context.Context, runID int64, page Page) (List[RunUnseen], error) {
	var c conditions
	c.add("run_id = ?", runID)
	return readPage(ctx, s, "unseen ranges", `
		SELECT id, begin_at, end_at, reason, payments, source, read_at, seen_at FROM webhook_reconciliation_unseen`,
		"id", c, page, rowTo[RunUnseen], func(u RunUnseen) int64 { return u.ID })
}
