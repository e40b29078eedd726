package store

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"
)

// An Outage is a time in which a provider could not be asked.
type Outage struct {
	ID     int64  `json:"id"`
	Source string `json:"source"`
	// CollectorID is the seller whose account could not be asked for; empty for the
	// main one.
	CollectorID string `json:"collector_id,omitempty"`
	// Reason is ReasonUnavailable or ReasonCredentialsRejected, as the latest look found it.
	Reason string `json:"reason"`
	// FirstFailureAt begins the streak of failures that opened the circuit.
	FirstFailureAt time.Time `json:"first_failure_at"`
	OpenedAt       time.Time `json:"opened_at"`
	// ClosedAt is nil while it goes on.
	ClosedAt *time.Time `json:"closed_at"`
	// ReleasedAt is when the last event that waited it out had been let go.
	ReleasedAt *time.Time `json:"released_at"`
	// HeldReleased counts the events that waited it out, DeadLettersReplayed
	// those that had died of it.
	HeldReleased        int64 `json:"held_released"`
	DeadLettersReplayed int64 `json:"dead_letters_replayed"`
}

const outageColumns = `id, source, reason, first_failure_at, opened_at, closed_at, released_at, held_released, dead_letters_replayed`

func scanOutage(row pgx.CollectableRow) (Outage, error) {
	var o Outage
	var name string
	err := row.Scan(&o.ID, &name, &o.Reason, &o.FirstFailureAt, &o.OpenedAt, &o.ClosedAt, &o.ReleasedAt, &o.HeldReleased, &o.DeadLettersReplayed)
	account := AccountNamed(name)
	o.Source, o.CollectorID = account.Source, account.CollectorID
	toUTC(&o.FirstFailureAt, &o.OpenedAt, o.ClosedAt, o.ReleasedAt)
	return o, err
}

// Outages returns the outages that touch [since, until), oldest first.
func (s *Store) Outages(ctx context.Context, since, until time.Time) ([]Outage, error) {
	rows, _ := s.pool.Query(ctx, `
		SELECT `+outageColumns+` FROM provider_outages
		WHERE opened_at < $2 AND (closed_at IS NULL OR closed_at > $1)
		ORDER BY opened_at, id`, since, until)
	outages, err := pgx.CollectRows(rows, scanOutage)
	return outages, wrap(err, "outages")
}

// WaitingResources returns up to limit payments that events of an account wait
// for, held, failed or at work, because the end of an attempt is written a little
// after it: the newest and, where there are more, others on each call. Whatever
// is wrong with one of them is not to be taken for the provider's. What an
// unsigned hint asks for is not among them: anybody may choose it.
func (s *Store) WaitingResources(ctx context.Context, account Account, limit int) ([]string, error) {
	from, err := readValue[int64](ctx, s.pool, `
		SELECT coalesce(floor(first + random() * (last - first + 1)), 0)::bigint
		FROM (SELECT min(queue_id) AS first, max(queue_id) AS last FROM webhook_open) span`)
	if err != nil {
		return nil, fmt.Errorf("waiting payments: %w", err)
	}
	waiting := `
		SELECT v.resource_id FROM ` + openStatus + `
		WHERE v.work = '` + WorkPayment + `' AND v.status IN ('held', 'failed', 'processing') AND v.resource_id <> ''
		  AND EXISTS (SELECT FROM webhook_queue q WHERE q.id = v.id AND ` + accountName("q", "$4") + ` = $1 AND NOT (` + isHint + `))`
	var ids []string
	for _, part := range []struct {
		query string
		from  int64
		limit int
	}{
		{waiting + ` AND o.queue_id >= $2 ORDER BY o.queue_id DESC LIMIT $3`, 0, 1},
		{waiting + ` AND o.queue_id >= $2 ORDER BY o.queue_id LIMIT $3`, from, limit},
		{waiting + ` AND o.queue_id >= $2 ORDER BY o.queue_id LIMIT $3`, 0, limit},
	} {
		found, err := readColumn[string](ctx, s.pool, part.query, account.String(), part.from, part.limit, s.sellerIDs())
		if err != nil {
			return nil, fmt.Errorf("waiting payments: %w", err)
		}
		for _, id := range found {
			if len(ids) < limit && !slices.Contains(ids, id) {
				ids = append(ids, id)
			}
		}
		if len(ids) == limit {
			break
		}
	}
	return ids, nil
}

// knownSpan is how many of the latest entries of the payment log are looked
// through for payments that nothing waits for.
const knownSpan = 100

// KnownPayments returns up to limit payments of an account that could be read, the
// latest first, without those that an open event asks for: whatever is wrong with
// one of these, the others need not have it.
func (s *Store) KnownPayments(ctx context.Context, account Account, limit int) ([]string, error) {
	ids, err := readColumn[string](ctx, s.pool, `
		SELECT p.payment_id
		FROM (SELECT l.payment_id, max(l.id) AS latest
		      FROM (SELECT id, payment_id FROM payment_logs WHERE source = $1 ORDER BY id DESC LIMIT $2) l
		      GROUP BY l.payment_id) p
		WHERE NOT EXISTS (SELECT FROM `+openAbout("$1", "p.payment_id")+`)
		  AND EXISTS (SELECT FROM payments k WHERE k.source = $1 AND k.payment_id = p.payment_id AND `+accountName("k", "$4")+` = $5)
		ORDER BY p.latest DESC LIMIT $3`, account.Source, knownSpan, limit, s.sellerIDs(), account.String())
	return ids, wrap(err, "known payments")
}
