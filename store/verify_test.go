package store_test

import (
	"context"
	"encoding/json"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/conciliar/conciliar/store"
	"github.com/conciliar/conciliar/store/order"
	"github.com/conciliar/conciliar/store/storetest/fixture"
)

var verifyOptions = store.VerifyOptions{RescueAfter: 2 * time.Minute, Limit: 10}

// A library is a database with an event in every state that there is, and which
// event it is.
type verifyFixture struct {
	*bundle
	settled, covered, archived, pending, running, retrying, held, dead, replayed, dismissed, reopened int64
}

func newVerifyFixture(t *testing.T) *verifyFixture {
	t.Helper()
	l := &verifyFixture{bundle: setup(t)}
	number := 0
	event := func(paymentID string) int64 {
		number++
		return l.accept(t, signed(number, paymentID))
	}
	settle := func(queueID int64, paymentID, reference string) {
		a := l.startAttempt(t, queueID)
		_, err := l.Settle(t.Context(), a, fetched(paymentID, reference, order.PaymentApproved, "150.05", 1), complete(a))
		require.NoError(t, err)
	}
	for _, reference := range []string{"A-1", "A-2", "A-3"} {
		_, err := l.RegisterOrder(t.Context(), reference, terms("150.05"))
		require.NoError(t, err)
	}
	l.sequence(t)
	late, early := l.writing(t, "A-1"), l.writing(t, "A-3")
	require.NoError(t, early.Commit(t.Context()))
	l.sequence(t)
	require.NoError(t, late.Commit(t.Context()))
	l.sequence(t)
	l.exec(t, `
		WITH a AS (INSERT INTO anomalies (kind, order_reference, flagged_order) VALUES ('unsettled_difference', 'A-3', 'A-3') RETURNING id, order_reference)
		INSERT INTO order_events (type, order_reference, cause, anomaly_id, body, created_at)
		SELECT 'order.flagged', order_reference, 'payment', id, '{}', now() FROM a`)
	l.settled, l.archived = event("1"), event("2")
	settle(l.settled, "1", "A-1")
	settle(l.archived, "2", "A-2")
	fixture.Archive(t, l.pool, l.archived)
	// One without an order.
	settle(event("3"), "3", "nobody's")
	l.covered = event("1")
	a := l.startAttempt(t, l.covered)
	require.NoError(t, l.Complete(t.Context(), a, store.OutcomeCovered, complete(a)))
	unhandled := signed(1000, "")
	unhandled.Work = store.WorkUnhandled
	l.accept(t, unhandled)

	l.pending, l.running, l.retrying, l.held = event("4"), event("4"), event("4"), event("4")
	l.startAttempt(t, l.running)
	l.exec(t, `UPDATE river_job SET state = 'retryable', attempt = 3 WHERE id = (SELECT job_id FROM webhook_queue WHERE id = $1)`, l.retrying)
	l.exec(t, `UPDATE river_job SET state = 'scheduled', metadata = '{"snoozes": 1}' WHERE id = (SELECT job_id FROM webhook_queue WHERE id = $1)`, l.held)
	var letter int64
	_, l.dead = l.bundle.deadLetter(t, 1001, "5")
	letter, l.replayed = l.bundle.deadLetter(t, 1002, "5")
	_, err := l.ReplayDeadLetter(t.Context(), letter, ana)
	require.NoError(t, err)
	letter, l.dismissed = l.bundle.deadLetter(t, 1003, "5")
	require.NoError(t, l.DismissDeadLetter(t.Context(), letter, note(t, "nothing"), ana))
	_, l.reopened = l.bundle.deadLetter(t, 1004, "5")
	l.exec(t, `UPDATE river_job SET state = 'available', finalized_at = NULL WHERE id = (SELECT job_id FROM webhook_queue WHERE id = $1)`, l.reopened)
	return l
}

// behind does what the triggers and the foreign keys would refuse or follow.
func (b *bundle) behind(t *testing.T, statement string, args ...any) {
	t.Helper()
	tx, err := b.pool.Begin(t.Context())
	require.NoError(t, err)
	_, err = tx.Exec(t.Context(), `SET LOCAL session_replication_role = replica`)
	require.NoError(t, err)
	tag, err := tx.Exec(t.Context(), statement, args...)
	require.NoError(t, err)
	require.Equal(t, int64(1), tag.RowsAffected())
	require.NoError(t, tx.Commit(t.Context()))
}

func TestVerify_FindsNothingInASoundLedger(t *testing.T) {
	t.Parallel()
	l := newVerifyFixture(t)
	report, err := l.Verify(t.Context(), verifyOptions)
	require.NoError(t, err)
	require.Empty(t, report.Violations)
	require.Equal(t, int64(13), report.Events)
	require.Equal(t, int64(1), report.Archived)
	require.Equal(t, int64(13), report.Jobs)
	require.Equal(t, int64(3), report.Payments)
	require.Equal(t, int64(3), report.Orders)
}

// Each row breaks one thing in a sound ledger, and nothing else is said to be.
func TestVerify_FindsWhatIsBroken(t *testing.T) {
	t.Parallel()
	const (
		jobOf = `(SELECT job_id FROM webhook_queue WHERE id = $1)`
		// ended ends an event as its triggers would, which are passed by.
		ended = `
			WITH ended AS (UPDATE webhook_queue SET completed_at = now(), outcome = 'unhandled' WHERE id = $1 RETURNING completed_at, id, outcome),
			     unlisted AS (DELETE FROM webhook_open WHERE queue_id = $1)
			INSERT INTO webhook_completed SELECT * FROM ended`
	)
	for what, c := range map[string]struct {
		invariant string
		// damage is done to the event.
		event  func(l *verifyFixture) int64
		damage string
	}{
		"an event lost its job": {
			"event_ends_once", func(l *verifyFixture) int64 { return l.pending }, `DELETE FROM river_job WHERE id = ` + jobOf,
		},
		"a death was not mirrored": {
			"event_ends_once", func(l *verifyFixture) int64 { return l.pending },
			`UPDATE river_job SET state = 'discarded', finalized_at = now() WHERE id = ` + jobOf,
		},
		"an event lost its dead letter": {
			"event_ends_once", func(l *verifyFixture) int64 { return l.dismissed }, `DELETE FROM webhook_dead_letter WHERE queue_id = $1`,
		},
		"a dead letter is reopened and its job is not": {
			"event_ends_once", func(l *verifyFixture) int64 { return l.dead }, `UPDATE webhook_dead_letter SET state = 'reopened' WHERE queue_id = $1`,
		},
		"a dead letter's job lives": {
			"event_ends_once", func(l *verifyFixture) int64 { return l.replayed },
			`UPDATE river_job SET state = 'available', finalized_at = NULL WHERE id = ` + jobOf,
		},
		"an event ended and its job did not": {
			"event_ends_once", func(l *verifyFixture) int64 { return l.running }, ended,
		},
		"an event ended and is a dead letter": {
			"event_ends_once", func(l *verifyFixture) int64 { return l.dead }, ended,
		},
		"an archived event has no end": {
			"event_ends_once", func(l *verifyFixture) int64 { return l.archived },
			`UPDATE webhook_archive SET completed_at = NULL, outcome = NULL WHERE id = $1`,
		},
		"an event without an end is not listed": {
			"event_listed", func(l *verifyFixture) int64 { return l.pending }, `DELETE FROM webhook_open WHERE queue_id = $1`,
		},
		"a dead letter's event is not listed": {
			"event_listed", func(l *verifyFixture) int64 { return l.dead }, `DELETE FROM webhook_open WHERE queue_id = $1`,
		},
		"an event is listed with another end": {
			"event_listed", func(l *verifyFixture) int64 { return l.settled },
			`UPDATE webhook_completed SET completed_at = completed_at - interval '1 second' WHERE queue_id = $1`,
		},
		"an event that has ended is listed as open, too": {
			"event_listed", func(l *verifyFixture) int64 { return l.settled }, `INSERT INTO webhook_open VALUES ($1)`,
		},
		"an archived event is listed": {
			"event_listed", func(l *verifyFixture) int64 { return l.archived }, `INSERT INTO webhook_completed SELECT completed_at, id, outcome FROM webhook_archive WHERE id = $1`,
		},
		"a job is about another event": {
			"job_of_its_event", func(l *verifyFixture) int64 { return l.pending },
			`UPDATE river_job SET args = '{"queue_id": 999}' WHERE id = ` + jobOf,
		},
		"a job is about nothing": {
			"job_of_its_event", func(l *verifyFixture) int64 { return l.settled }, `UPDATE river_job SET args = '{}' WHERE id = ` + jobOf,
		},
		"an event has a second job": {
			"job_of_its_event", func(l *verifyFixture) int64 { return l.pending },
			`INSERT INTO river_job (args, kind, max_attempts, state) SELECT args, kind, max_attempts, state FROM river_job WHERE id = ` + jobOf,
		},
		"a settled payment is not in the ledger": {
			"payment_known", func(l *verifyFixture) int64 { return l.settled }, `UPDATE webhook_queue SET resource_id = 'other' WHERE id = $1`,
		},
		"a covered payment is another source's": {
			"payment_known", func(l *verifyFixture) int64 { return l.covered }, `UPDATE webhook_queue SET source = 'other' WHERE id = $1`,
		},
		"an archived payment is not in the ledger": {
			"payment_known", func(l *verifyFixture) int64 { return l.archived }, `UPDATE webhook_archive SET resource_id = 'other' WHERE id = $1`,
		},
		"a payment changed and nothing was applied": {
			"payment_logged", func(l *verifyFixture) int64 { return l.settled },
			`UPDATE payments SET refunded_amount = 50 WHERE payment_id = (SELECT resource_id FROM webhook_queue WHERE id = $1)`,
		},
		"a payment lost its log": {
			"payment_logged", func(l *verifyFixture) int64 { return l.settled }, `DELETE FROM payment_logs WHERE queue_id = $1`,
		},
		"a payment went back to an older state": {
			"payment_logged", func(l *verifyFixture) int64 { return l.settled }, `
			INSERT INTO payment_logs (source, payment_id, order_reference, status, status_detail, amount, refunded_amount, currency, date_last_updated, queue_id)
			SELECT source, payment_id, order_reference, 'refunded', status_detail, amount, amount, currency, date_last_updated + interval '1 minute', queue_id
			FROM payment_logs WHERE queue_id = $1`,
		},
		"a state was applied twice": {
			"state_logged_once", func(l *verifyFixture) int64 { return l.settled }, `
			INSERT INTO payment_logs (source, payment_id, order_reference, status, status_detail, amount, refunded_amount, currency, date_last_updated, queue_id)
			SELECT source, payment_id, order_reference, status, status_detail, amount, refunded_amount, currency, date_last_updated, queue_id
			FROM payment_logs WHERE queue_id = $1`,
		},
		"a dead letter's event is gone": {
			"dead_letter_has_event", func(l *verifyFixture) int64 { return l.dead }, `WITH gone AS (DELETE FROM webhook_queue WHERE id = $1) DELETE FROM webhook_open WHERE queue_id = $1`,
		},
		"a job runs for ever": {
			"running_within_rescue", func(l *verifyFixture) int64 { return l.running },
			`UPDATE river_job SET attempted_at = now() - interval '4 minutes' WHERE id = ` + jobOf,
		},
		"a mark is beyond the sequence": {
			"sequence_ahead", func(l *verifyFixture) int64 { return l.settled }, `UPDATE payments SET fetch_mark = 1000000 + $1 WHERE payment_id = '1'`,
		},
		"an event is in the archive and in the queue": {
			"archive_disjoint", func(l *verifyFixture) int64 { return l.settled }, `INSERT INTO webhook_archive SELECT * FROM webhook_queue WHERE id = $1`,
		},
		"a change has no order event": {
			"change_told", func(l *verifyFixture) int64 { return l.settled }, `DELETE FROM order_events WHERE queue_id = $1 AND position IS NULL`,
		},
		"an order event has left the feed": {
			"feed_dense", func(*verifyFixture) int64 { return 2 }, `UPDATE order_events SET position = NULL WHERE position = $1`,
		},
		"an order event lost its body": {
			"feed_dense", func(*verifyFixture) int64 { return 2 }, `UPDATE order_events SET body = NULL WHERE position = $1`,
		},
		"an order's events stand in the wrong order": {
			"order_told_in_order", func(*verifyFixture) int64 { return 5 }, `UPDATE order_events SET order_reference = 'A-3' WHERE position = $1`,
		},
		"a refund stands still": {
			"refund_goes_on", func(l *verifyFixture) int64 { return l.settled }, `
			INSERT INTO refunds (id, source, payment_id, collector_id, order_reference, amount, currency, whole, requested_by, note, requested_at)
			SELECT gen_random_uuid(), source, resource_id, '1', 'A-1', 1, 'ARS', false, 'ana', 'why', now() - interval '1 hour' FROM webhook_queue WHERE id = $1`,
		},
		"a refund was not read back": {
			"refund_goes_on", func(l *verifyFixture) int64 { return l.settled }, `
			INSERT INTO refunds (id, source, payment_id, collector_id, order_reference, amount, currency, whole, requested_by, note, requested_at, state, sent_at, ended_at, provider_id)
			SELECT gen_random_uuid(), source, resource_id, '1', 'A-1', 1, 'ARS', false, 'ana', 'why', now(), 'done', now(), now(), '1' FROM webhook_queue WHERE id = $1`,
		},
		"more was refunded than paid": {
			"refunds_within_payment", func(l *verifyFixture) int64 { return l.settled }, `
			INSERT INTO refunds (id, source, payment_id, collector_id, order_reference, amount, currency, whole, requested_by, note, requested_at)
			SELECT gen_random_uuid(), source, resource_id, '1', 'A-1', 1000000, 'ARS', false, 'ana', 'why', now() FROM webhook_queue WHERE id = $1`,
		},
		"an anomaly lost its flag": {
			"flag_told", func(*verifyFixture) int64 { return 3 }, `UPDATE anomalies SET flagged_order = NULL WHERE order_reference = 'A-' || $1::bigint`,
		},
		"an order has the wrong status": {
			"order_folds", func(l *verifyFixture) int64 { return l.settled },
			`UPDATE orders SET status = 'pending' WHERE reference = (SELECT order_reference FROM payment_logs WHERE queue_id = $1)`,
		},
		"an order has the wrong money": {
			"order_folds", func(l *verifyFixture) int64 { return l.settled },
			`UPDATE orders SET paid_amount = 150.06 WHERE reference = (SELECT order_reference FROM payment_logs WHERE queue_id = $1)`,
		},
		"an order without a payment is paid": {
			"order_folds", func(*verifyFixture) int64 { return 3 }, `UPDATE orders SET status = 'paid' WHERE reference = 'A-' || $1::bigint`,
		},
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			l := newVerifyFixture(t)
			l.exec(t, `ALTER TABLE payment_logs DROP CONSTRAINT payment_logs_state_key`)
			l.behind(t, c.damage, c.event(l))

			report, err := l.Verify(t.Context(), verifyOptions)

			require.NoError(t, err)
			require.Len(t, report.Violations, 1, "%s", report.Violations)
			v := report.Violations[0]
			require.Equal(t, c.invariant, v.Invariant, "%s", v.Rows)
			require.NotEmpty(t, v.Meaning)
			require.Equal(t, int64(1), v.Total)
			require.Len(t, v.Rows, 1)
			require.True(t, json.Valid(v.Rows[0]))
		})
	}
}

// What is broken is counted to the end and listed as far as asked.
func TestVerify_BoundsItsRows(t *testing.T) {
	t.Parallel()
	b := setup(t)
	for i := range 12 {
		_, err := b.RegisterOrder(t.Context(), "A-"+strconv.Itoa(i), terms("1"))
		require.NoError(t, err)
		b.accept(t, signed(i, "1"))
	}
	b.exec(t, `UPDATE orders SET status = 'paid'`)
	b.exec(t, `TRUNCATE river_job`)

	report, err := b.Verify(t.Context(), store.VerifyOptions{RescueAfter: time.Minute, Limit: 5})

	require.NoError(t, err)
	require.Len(t, report.Violations, 2)
	for _, v := range report.Violations {
		require.Equal(t, int64(12), v.Total)
		require.Len(t, v.Rows, 5)
	}
	_, err = b.Verify(t.Context(), store.VerifyOptions{RescueAfter: time.Minute})
	require.Error(t, err)
}

// A ledger that moves all the time is sound at every moment.
func TestVerify_HoldsWhileEverythingMoves(t *testing.T) {
	t.Parallel()
	b := setup(t)
	in := b.inbox(t, store.InboxOptions{})
	const events, payments, workers = 60, 7, 4
	references := []string{"A-0", "A-1", "A-2"}
	done := make(chan error, workers)
	for w := range workers {
		go func() { done <- b.move(t.Context(), in, w, events, payments, references) }()
	}
	left, looked := workers, 0
	for left > 0 {
		report, err := b.Verify(t.Context(), verifyOptions)
		require.NoError(t, err)
		require.Empty(t, report.Violations)
		looked++
		select {
		case err := <-done:
			require.NoError(t, err)
			left--
		default:
		}
	}
	require.Greater(t, looked, 1)
	report, err := b.Verify(t.Context(), verifyOptions)
	require.NoError(t, err)
	require.Empty(t, report.Violations)
	require.Equal(t, int64(workers*events), report.Events+report.Archived)
}

// move takes events through everything that may become of them.
func (b *bundle) move(ctx context.Context, in *store.Inbox, worker, events, payments int, references []string) error {
	exec := func(statement string, args ...any) error {
		_, err := b.pool.Exec(ctx, statement, args...)
		return err
	}
	for i := range events {
		number := worker*events + i
		paymentID := strconv.Itoa(number % payments)
		receipt, err := in.Accept(ctx, signed(number, paymentID))
		if err != nil {
			return err
		}
		a, err := fixture.Fetch(ctx, b.pool, jobOfEvent, receipt.QueueID)
		if err != nil {
			return err
		}
		a.QueueID = receipt.QueueID
		reference := references[(number%payments)%len(references)]
		switch i % 6 {
		case 0:
			_, err = b.RegisterOrder(ctx, reference, terms("150.05"))
			if err == nil {
				err = b.Complete(ctx, a, store.OutcomeUnhandled, complete(a))
			}
		case 1:
			err = exec(`UPDATE river_job SET state = 'discarded', finalized_at = now() WHERE id = $1`, a.JobID)
		case 2:
			err = exec(`UPDATE river_job SET state = 'retryable' WHERE id = $1`, a.JobID)
		case 3:
			err = exec(`DELETE FROM river_job WHERE id = $1`, a.JobID)
		default:
			status := []order.PaymentStatus{order.PaymentPending, order.PaymentApproved, order.PaymentRefunded}[number%3]
			if _, err = b.Settle(ctx, a, fetched(paymentID, reference, status, "150.05", number), complete(a)); err == nil && i%6 == 5 {
				err = exec(`WITH moved AS (DELETE FROM webhook_queue WHERE id = $1 RETURNING *) INSERT INTO webhook_archive SELECT * FROM moved`, a.QueueID)
			}
		}
		if err != nil {
			return err
		}
	}
	return nil
}
