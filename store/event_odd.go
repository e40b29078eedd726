package store

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"
)

// An OddPayment is a payment whose answer could not be booked, as the event that
// fetched it found it.
type OddPayment struct {
	// QueueID is that event, and DeadLetterID its dead letter.
	QueueID      int64
	DeadLetterID int64
	Source       string
	PaymentID    string
	// Class is the dead letter's error class.
	Class string
	// Fields are what could not be read, and Problem says why, without their
	// values.
	Fields  []string
	Problem string
	// FetchedAt is when the answer came.
	FetchedAt time.Time
}

// An OddAnswer is a provider's answer about a payment that can't be booked.
type OddAnswer struct {
	Source string
	// Reference is the order's as far as it could be read; empty when it couldn't.
	Reference string
	Fields    []string
	Problem   string
	Raw       []byte
}

// KeepOdd keeps the answer of an attempt that can't book it, for the person who
// will look at the dead letter or the order. A stale attempt keeps nothing, and
// nothing is kept of a forgotten payer's answer but what is odd about it.
func (s *Store) KeepOdd(ctx context.Context, a Attempt, odd OddAnswer) error {
	hashes, err := s.payerHashes(ctx, s.pool, odd.Source, odd.Raw)
	if err != nil {
		return wrap(err, "keep the answer for event %d", a.QueueID)
	}
	return wrap(execute(ctx, s.pool, `
		WITH kept AS (
			UPDATE webhook_queue q SET resource = CASE WHEN NOT `+forgottenSQL("q.source", "q.resource_id", "$9::bytea[]")+` THEN $2::bytea END
			WHERE id = $1 AND completed_at IS NULL
			  AND EXISTS (SELECT FROM river_job WHERE `+runsAttempt("$3", "$4", "$5")+`)
			RETURNING id, source, resource_id
		)
		INSERT INTO odd_payments (queue_id, source, payment_id, order_reference, fields, problem)
		SELECT id, source, resource_id, nullif($6, ''), $7, $8 FROM kept
		ON CONFLICT (queue_id) DO UPDATE SET order_reference = excluded.order_reference, fields = excluded.fields,
			problem = excluded.problem, fetched_at = excluded.fetched_at`,
		a.QueueID, odd.Raw, a.JobID, a.Number, a.At, text(odd.Reference), odd.Fields, text(odd.Problem), hashes), "keep the answer for event %d", a.QueueID)
}

// openOddPayments selects the odd payments o, with their open dead letters d, that
// were not booked since. open is that the state of d is open.
func openOddPayments(open string) string {
	return `odd_payments o
	JOIN webhook_dead_letter d ON d.queue_id = o.queue_id AND ` + open + `
	LEFT JOIN payments p ON p.source = o.source AND p.payment_id = o.payment_id AND p.fetched_at > o.fetched_at
	WHERE p.payment_id IS NULL`
}

// queueOddPayments adds to a batch what reads the payments that could not be booked and of
// whose rows o the condition holds: each once, as it was fetched last, unless it was
// booked since or a person put its dead letter away.
func queueOddPayments(b *pgx.Batch, to *[]OddPayment, condition string, args ...any) {
	queueRows(b, to, rowTo[OddPayment], `
		SELECT * FROM (
			SELECT DISTINCT ON (o.source, o.payment_id)
			       o.queue_id, d.id, o.source, o.payment_id, d.error_class, o.fields, o.problem, o.fetched_at
			FROM `+openOddPayments(checked(`d.state = 'open'`))+` AND `+condition+`
			ORDER BY o.source, o.payment_id, o.fetched_at DESC
		) latest ORDER BY fetched_at, queue_id`, args...)
}
