package store

import "time"

// An invariant is one that SQL can tell.
type invariant struct {
	Invariant

	// broken selects the rows that break it. Its first column orders them, all of
	// them are shown, and $1 is not its own: args are its $2 and on.
	broken string
	args   func(VerifyOptions) []any
}

// Jobs in these states will run by themselves.
const liveStates = `('available', 'pending', 'retryable', 'running', 'scheduled')`

// rescueSlack is how much longer than the time to a rescue a job may run: River
// looks for such jobs every 30 s only.
const rescueSlack = time.Minute

// lostJobsFound is within what time a delivery whose job is gone gets another.
const lostJobsFound = 3 * time.Minute

// staleChain selects whether the payouts of the account of a movement m are about to be
// explained.
const staleChain = `SELECT FROM account_chains c
	WHERE c.source = m.source AND c.collector_id = m.collector_id AND c.currency = m.currency AND c.stale_from IS NOT NULL`

// invariants are those that SQL can tell; Go tells the others.
var invariants = []invariant{
	{
		Invariant: Invariant{"event_ends_once", "an event has exactly one of: an outcome, a job that lives, a dead letter"},
		// A reopened dead letter is not an end: the job lives again. A replayed or
		// dismissed one is: another event, or a person, took over.
		broken: `
			SELECT q.id AS queue_id, q.completed_at, q.outcome, q.job_id, j.state AS job_state, d.state AS dead_letter_state
			FROM webhook_queue q
			LEFT JOIN river_job j ON j.id = q.job_id
			LEFT JOIN webhook_dead_letter d ON d.queue_id = q.id
			WHERE (q.completed_at IS NOT NULL)::int
			    + coalesce((j.state IN ` + liveStates + `)::int, 0)
			    + coalesce((d.state <> 'reopened')::int, 0) <> 1
			UNION ALL
			SELECT a.id, a.completed_at, a.outcome, a.job_id, NULL, NULL FROM webhook_archive a WHERE a.completed_at IS NULL`,
	},
	{
		Invariant: Invariant{"event_listed", "the lists of open and of completed events have each event of the queue once, as it is"},
		broken: `
			SELECT coalesce(q.id, l.queue_id) AS queue_id, q.completed_at, q.outcome, l.queue_id IS NOT NULL AS listed, l.completed_at AS listed_completed_at, l.outcome AS listed_outcome
			FROM webhook_queue q
			FULL JOIN (SELECT queue_id, NULL::timestamptz AS completed_at, NULL::text AS outcome FROM webhook_open
			           UNION ALL
			           SELECT queue_id, completed_at, outcome FROM webhook_completed) l ON l.queue_id = q.id
			WHERE q.id IS NULL OR l.queue_id IS NULL OR q.completed_at IS DISTINCT FROM l.completed_at OR q.outcome IS DISTINCT FROM l.outcome`,
	},
	{
		Invariant: Invariant{"job_of_its_event", "a job and its event refer to each other, and every live event job has its event"},
		broken: `
			SELECT j.id AS job_id, j.kind, j.state AS job_state, j.args ->> 'queue_id' AS names_queue_id, q.id AS queue_id
			FROM river_job j LEFT JOIN webhook_queue q ON q.job_id = j.id
			WHERE (q.id IS NOT NULL AND j.args ->> 'queue_id' IS DISTINCT FROM q.id::text)
			   OR (q.id IS NULL AND j.kind LIKE 'webhook\_%' AND j.state IN ` + liveStates + `)`,
	},
	{
		Invariant: Invariant{"payment_known", "the payment of an event that settles one and ended as settled, unchanged or covered is in the ledger"},
		broken: `
			SELECT e.id AS queue_id, e.outcome, e.source, e.resource_id AS payment_id
			FROM (SELECT id, work, outcome, source, resource_id FROM webhook_queue
			      UNION ALL
			      SELECT id, work, outcome, source, resource_id FROM webhook_archive) e
			WHERE e.work = '` + WorkPayment + `' AND e.outcome IN ('` + OutcomeSettled + `', '` + OutcomeUnchanged + `', '` + OutcomeCovered + `')
			  AND NOT EXISTS (SELECT FROM payments p WHERE p.source = e.source AND p.payment_id = e.resource_id)`,
	},
	{
		Invariant: Invariant{"payment_logged", "a payment is in a state that was applied, and in the latest of those"},
		broken: `
			SELECT p.payment_id, p.source, p.order_reference, p.status, p.status_detail, p.amount, p.refunded_amount, p.date_last_updated
			FROM payments p WHERE NOT EXISTS (` + logOfState + `)
			UNION
			SELECT p.payment_id, p.source, p.order_reference, p.status, p.status_detail, p.amount, p.refunded_amount, p.date_last_updated
			FROM payments p WHERE EXISTS (` + logOfLater + `)`,
	},
	{
		Invariant: Invariant{"state_logged_once", "each state of a payment was applied once"},
		broken: `
			SELECT l.payment_id, l.source, l.status, l.status_detail, l.amount, l.refunded_amount, coalesce(l.date_last_updated, l.changed_at) AS date_last_updated, count(*) AS logs
			FROM payment_logs l
			GROUP BY l.source, l.payment_id, l.status, l.status_detail, l.amount, l.refunded_amount, coalesce(l.date_last_updated, l.changed_at)
			HAVING count(*) > 1`,
	},
	{
		Invariant: Invariant{"alias_of_a_payment", "a payment inside an order of the provider's that was found is in the ledger, and is not looked for any more"},
		broken: `
			SELECT a.alias, a.source, a.provider_order_id, a.payment_id, a.next_look_at
			FROM payment_aliases a
			WHERE a.payment_id IS NOT NULL
			  AND (a.next_look_at IS NOT NULL
			       OR NOT a.numbered AND NOT EXISTS (SELECT FROM payments p WHERE p.source = a.source AND p.payment_id = a.payment_id))`,
	},
	{
		Invariant: Invariant{"movement_booked_once", "each row of a money report is one movement, and rows that are equal in all that tells them apart are counted through"},
		// A movement outlives the files that have it.
		broken: `
			SELECT min(m.id) AS movement_id, m.source, m.collector_id, m.currency, m.happened_at, m.source_id, m.record_type, m.description,
			       m.credit, m.debit, count(*) AS movements, max(m.ordinal) AS highest
			FROM account_movements m
			GROUP BY m.source, m.collector_id, m.currency, m.happened_at, m.source_id, m.record_type, m.description, m.credit, m.debit
			HAVING count(*) <> max(m.ordinal)
			UNION ALL
			SELECT NULL, f.source, f.collector_id, NULL, NULL, f.name, NULL, NULL, NULL, NULL, count(r.movement_id), f.rows_booked
			FROM report_files f LEFT JOIN report_rows r ON r.file_id = f.id
			WHERE f.emptied_at IS NULL
			GROUP BY f.id HAVING count(r.movement_id) > f.rows_booked`,
	},
	{
		Invariant: Invariant{"payout_adds_up", "what a payout began with, its movements and what is unexplained are its amount and the balance that it kept"},
		broken: `
			SELECT p.id AS payout_id, p.currency, p.amount, p.opening_balance, sum(m.credit - m.debit) AS moved, p.unexplained_amount, p.balance_kept
			FROM payouts p LEFT JOIN account_movements m ON m.payout_id = p.id AND m.id <> p.movement_id
			WHERE p.balance_kept IS NOT NULL
			GROUP BY p.id
			HAVING p.opening_balance + coalesce(sum(m.credit - m.debit), 0) + p.unexplained_amount <> p.amount + p.balance_kept
			UNION ALL
			SELECT coalesce(p.id, m.source_id), m.currency, m.debit - m.credit, NULL, NULL, NULL, NULL
			FROM account_movements m LEFT JOIN payouts p ON p.movement_id = m.id
			WHERE m.class = 'payout' AND (p.id IS NULL OR p.id IS DISTINCT FROM m.payout_id OR p.amount <> m.debit - m.credit)
			  AND NOT EXISTS (` + staleChain + `)`,
	},
	{
		Invariant: Invariant{"balance_carried_over", "a payout begins with the balance that the one before it kept"},
		broken: `
			SELECT p.id AS payout_id, p.currency, p.opening_balance, p.before AS kept_before
			FROM (SELECT p.id, p.currency, p.opening_balance, lag(p.balance_kept) OVER (
			             PARTITION BY p.source, p.collector_id, p.currency
			             ORDER BY m.happened_at, m.place, m.source_id, m.record_type, m.description, m.credit, m.debit, m.ordinal) AS before
			      FROM payouts p JOIN account_movements m ON m.id = p.movement_id
			      WHERE NOT EXISTS (` + staleChain + `)) p
			WHERE p.before IS NOT NULL AND p.opening_balance IS DISTINCT FROM p.before`,
	},
	{
		Invariant: Invariant{"dead_letter_has_event", "every dead letter has its event in the queue"},
		broken: `
			SELECT d.id AS dead_letter_id, d.queue_id, d.state, d.reason
			FROM webhook_dead_letter d
			WHERE NOT EXISTS (SELECT FROM webhook_queue q WHERE q.id = d.queue_id)`,
	},
	{
		Invariant: Invariant{"running_within_rescue", "no job runs longer than `RESCUE_AFTER` allows"},
		broken: `
			SELECT j.id AS job_id, j.kind, j.attempt, j.attempted_at, j.attempted_by[cardinality(j.attempted_by)] AS attempted_by
			FROM river_job j
			WHERE j.state = 'running' AND j.attempted_at < now() - make_interval(secs => $2)`,
		args: func(o VerifyOptions) []any { return []any{(o.RescueAfter + rescueSlack).Seconds()} },
	},
	{
		Invariant: Invariant{"archive_disjoint", "no event is both in the queue and in the archive"},
		broken:    `SELECT q.id AS queue_id, q.completed_at, a.completed_at AS archived_completed_at FROM webhook_queue q JOIN webhook_archive a ON a.id = q.id`,
	},
	{
		Invariant: Invariant{"sequence_ahead", "the next event's id is above every stored id and mark"},
		broken:    `SELECT last_value AS drawn, stored FROM webhook_queue_id_seq, (SELECT ` + highestID + ` AS stored) highest WHERE stored > last_value`,
	},
	{
		Invariant: Invariant{"times_passed", "no time is ahead of PostgreSQL's clock by more than its rule"},
		broken:    allTimesAhead,
	},
	{
		Invariant: Invariant{"change_told", "a change of an order has its order event"},
		broken: `
			SELECT l.id AS order_log_id, l.order_reference, l.cause, l.changed_at
			FROM order_logs l
			WHERE l.told AND l.changed_at > now() - make_interval(secs => $2) AND NOT EXISTS (SELECT FROM order_events e WHERE e.order_log_id = l.id)`,
		// A transaction is older than the event that it writes.
		args: func(VerifyOptions) []any { return []any{(orderEventsKept - 24*time.Hour).Seconds()} },
	},
	{
		Invariant: Invariant{"feed_dense", "the feed has one order event, with its body, at each position up to its last"},
		broken: `
			SELECT f.position, f.pruned, f.position - f.pruned AS expected, count(e.position) AS events, count(e.body) AS bodies, max(e.position) AS last
			FROM order_feed f LEFT JOIN order_events e ON e.position > f.pruned
			GROUP BY f.position, f.pruned
			HAVING count(e.position) <> f.position - f.pruned OR count(e.body) <> count(e.position) OR max(e.position) > f.position`,
	},
	{
		Invariant: Invariant{"order_told_in_order", "the order events of an order stand in the feed by their ids"},
		broken: `
			SELECT order_event_id, order_reference, position, before FROM (
				SELECT id AS order_event_id, order_reference, position,
				       lag(coalesce(position, 9223372036854775807)) OVER (PARTITION BY order_reference ORDER BY id) AS before
				FROM order_events) e
			WHERE position < before`,
	},
	{
		// A receiver that was started again, or a job that was lost, may be this far
		// behind until the next sweep.
		Invariant: Invariant{"delivery_goes_on", "a delivery has ended, or has a job that lives, an earlier one before it in its stream, or a receiver that is stopped"},
		broken: `
			SELECT d.id AS delivery_id, d.receiver, d.stream, d.job_id, j.state AS job_state, d.next_attempt_at
			FROM (SELECT DISTINCT ON (receiver, stream) id, receiver, stream, job_id, next_attempt_at, updated_at
			      FROM deliveries WHERE state = 'pending' ORDER BY receiver, stream, id) d
			JOIN delivery_receivers r ON r.name = d.receiver
			LEFT JOIN river_job j ON j.id = d.job_id
			WHERE r.stopped_at IS NULL AND NOT r.parked AND d.updated_at < now() - make_interval(secs => $2)
			  AND coalesce(j.state NOT IN ` + liveStates + `, true)`,
		args: func(VerifyOptions) []any { return []any{lostJobsFound.Seconds()} },
	},
	{
		Invariant: Invariant{"delivered_in_order", "a delivery has a job only when no earlier one of its stream is pending"},
		broken: `
			SELECT d.id AS delivery_id, d.receiver, d.stream, d.job_id
			FROM (SELECT id, receiver, stream, job_id, row_number() OVER (PARTITION BY receiver, stream ORDER BY id) AS place
			      FROM deliveries WHERE state = 'pending') d
			WHERE d.place > 1 AND d.job_id IS NOT NULL`,
	},
	{
		Invariant: Invariant{"forwarded_has_delivery", "an event that was forwarded has its delivery"},
		broken: `
			SELECT q.id AS queue_id, q.source, q.completed_at FROM webhook_queue q
			WHERE q.outcome = '` + OutcomeForwarded + `' AND q.completed_at > now() - make_interval(secs => $2)
			  AND NOT EXISTS (SELECT FROM deliveries d WHERE d.queue_id = q.id)`,
		args: func(VerifyOptions) []any { return []any{(deliveriesKept - 24*time.Hour).Seconds()} },
	},
	{
		Invariant: Invariant{"order_event_delivered", "an order event of the feed up to a receiver's position has its delivery, unless it is older than the receiver"},
		broken: `
			SELECT e.id AS order_event_id, e.position, e.created_at
			FROM order_events e JOIN delivery_receivers r ON r.name = '` + ReceiverOrderEvents + `'
			WHERE e.position > r.first_position AND e.position <= r.position AND e.created_at >= r.since AND e.created_at > now() - make_interval(secs => $2)
			  AND NOT EXISTS (SELECT FROM deliveries d WHERE d.receiver = r.name AND d.order_event_id = e.id)`,
		args: func(VerifyOptions) []any { return []any{(deliveriesKept - 24*time.Hour).Seconds()} },
	},
	{
		// A job that was lost is given again by the next sweep.
		Invariant: Invariant{"refund_goes_on", "a refund has ended, and the event that reads it back is there, or has a job that lives"},
		broken: `
			SELECT r.number AS refund, r.id::text AS refund_id, r.state, r.job_id, j.state AS job_state, r.queue_id
			FROM refunds r LEFT JOIN river_job j ON j.id = r.job_id
			WHERE CASE WHEN r.ended_at IS NULL
			      THEN r.requested_at < now() - make_interval(secs => $2) AND coalesce(j.state NOT IN ` + liveStates + `, true)
			      ELSE r.queue_id IS NULL
			        OR NOT EXISTS (SELECT FROM webhook_queue q WHERE q.id = r.queue_id) AND NOT EXISTS (SELECT FROM webhook_archive q WHERE q.id = r.queue_id) END`,
		args: func(VerifyOptions) []any { return []any{lostJobsFound.Seconds()} },
	},
	{
		Invariant: Invariant{"refunds_within_payment", "the refunds of a payment that were made or may be are no more than it"},
		broken: `
			SELECT min(r.number) AS refund, r.source, r.payment_id, p.amount, sum(r.amount) AS refunds
			FROM refunds r LEFT JOIN payments p ON p.source = r.source AND p.payment_id = r.payment_id
			WHERE r.state <> 'failed'
			GROUP BY r.source, r.payment_id, p.amount
			HAVING sum(r.amount) > coalesce(p.amount, 0)`,
	},
	{
		Invariant: Invariant{"flag_told", "an open anomaly of an order is flagged as its last order event about it says"},
		broken: `
			SELECT e.anomaly_id, e.id AS order_event_id, e.type, e.order_reference, a.flagged_order
			FROM (SELECT DISTINCT ON (anomaly_id) id, anomaly_id, type, order_reference FROM order_events WHERE anomaly_id IS NOT NULL
			      ORDER BY anomaly_id, id DESC) e
			LEFT JOIN anomalies a ON a.id = e.anomaly_id
			WHERE CASE e.type
			      WHEN '` + OrderCleared + `' THEN a.flagged_order = e.order_reference
			      ELSE a.closed_at IS NULL AND a.order_reference = e.order_reference AND a.flagged_order IS DISTINCT FROM e.order_reference END`,
	},
}
