package store

import (
	"context"
	"errors"
	"slices"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/shopspring/decimal"

	"github.com/conciliar/conciliar/store/order"
	"github.com/conciliar/conciliar/store/payout"
)

// releaseKinds are the anomalies of releases: the check opens and closes them.
var releaseKinds = []string{
	string(order.AnomalyReleasedDiffers), string(order.AnomalyNotReleased), string(order.AnomalyReleasedUnknown),
}

// releaseOverlap is how far a check goes back before the last one: what was committed
// meanwhile had begun before.
const releaseOverlap = 15 * time.Minute

// releaseSettings give the statement that looks for candidates the memory to join what
// a first import brings.
const releaseSettings = `SET LOCAL work_mem = '64MB'`

// A checkedRelease is a payment of which something came or went, or should have.
type checkedRelease struct {
	Source, PaymentID, CollectorID string
	Reference, Currency            string
	Status, StatusDetail           string
	Net                            decimal.NullDecimal
	Refunded                       decimal.Decimal
	ReleaseDate                    *time.Time
	ReleaseStatus                  string
	Released                       decimal.Decimal
	Rows                           int64
	Held                           decimal.Decimal
	Covered                        bool
	Known                          bool
}

// releasesSQL finds the payments whose release may not be what they say, or was not:
// of files that were finished, rows that they cover, and payments that changed since $1,
// and those with an open anomaly. What fits and has none is left out here already.
var releasesSQL = `
WITH files AS MATERIALIZED (
	SELECT id, source, collector_id, begin_at, end_at FROM report_files WHERE finished_at >= $1
), anomalous AS MATERIALIZED (
	SELECT DISTINCT source, payment_id FROM anomalies WHERE closed_at IS NULL AND kind = ANY ($2)
), candidates AS (
	SELECT m.source, m.payment_id FROM files f JOIN report_rows r ON r.file_id = f.id JOIN account_movements m ON m.id = r.movement_id
	WHERE m.payment_id IS NOT NULL
	UNION
	SELECT p.source, p.payment_id FROM files f JOIN payments p ON p.source = f.source AND p.collector_id = f.collector_id
	WHERE p.release_date BETWEEN (SELECT min(begin_at) FROM files) - $3::interval AND (SELECT max(end_at) FROM files)
	UNION
	SELECT source, payment_id FROM payments WHERE updated_at >= $1 AND release_date IS NOT NULL AND EXISTS (SELECT FROM report_files)
	UNION
	SELECT source, payment_id FROM anomalous
), covered AS MATERIALIZED (
	SELECT source, collector_id, range_agg(tstzrange(begin_at, end_at + interval '1 second')) AS span
	FROM report_files WHERE finished_at IS NOT NULL AND begin_at IS NOT NULL GROUP BY source, collector_id
), moved AS (
	SELECT m.source, m.payment_id, max(m.collector_id) AS collector_id, max(m.order_reference) AS reference, max(m.currency) AS currency,
	       coalesce(sum(m.credit - m.debit) FILTER (WHERE m.class = 'payment'), 0) AS released, count(*) FILTER (WHERE m.class = 'payment') AS rows,
	       coalesce(sum(m.credit - m.debit) FILTER (WHERE m.class IN ('reserve', 'dispute')), 0) AS held
	FROM candidates c JOIN account_movements m ON m.source = c.source AND m.payment_id = c.payment_id
	GROUP BY m.source, m.payment_id
)
SELECT c.source, c.payment_id, coalesce(p.collector_id, v.collector_id, ''), coalesce(p.order_reference, v.reference, ''), coalesce(p.currency, v.currency, ''),
       coalesce(p.status, ''), coalesce(p.status_detail, ''), p.net_amount, coalesce(p.refunded_amount, 0), p.release_date, coalesce(p.release_status, ''),
       coalesce(v.released, 0), coalesce(v.rows, 0), coalesce(v.held, 0),
       coalesce(s.span @> tstzrange(p.release_date, p.release_date + $3::interval), false), p.payment_id IS NOT NULL
FROM candidates c
LEFT JOIN payments p ON p.source = c.source AND p.payment_id = c.payment_id
LEFT JOIN moved v ON v.source = c.source AND v.payment_id = c.payment_id
LEFT JOIN covered s ON s.source = p.source AND s.collector_id = p.collector_id
WHERE p.payment_id IS NULL AND v.rows > 0
   OR v.rows > 0 AND v.currency = p.currency AND v.released <> p.net_amount
   OR coalesce(v.rows, 0) = 0 AND p.net_amount > 0 AND s.span @> tstzrange(p.release_date, p.release_date + $3::interval)
   OR EXISTS (SELECT FROM anomalous a WHERE a.source = c.source AND a.payment_id = c.payment_id)
ORDER BY c.source, c.payment_id`

// releaseLate is how long after its release date a payment's money may come.
const releaseLate = 72 * time.Hour

// CheckReleases holds what reports say was released against what the payments say, and
// opens and closes the anomalies of what differs. A payment that is released and not
// known is asked for.
func (s *Store) CheckReleases(ctx context.Context) error {
	var found []checkedRelease
	var began time.Time
	err := s.readSnapshot(ctx, func(tx pgx.Tx) error {
		for _, setting := range []string{releaseSettings, verifySettings[0]} {
			if _, err := tx.Exec(ctx, setting); err != nil {
				return err
			}
		}
		var since time.Time
		if err := tx.QueryRow(ctx, `SELECT now(), checked_until - $1::interval FROM release_checks`, releaseOverlap).Scan(&began, &since); err != nil {
			return err
		}
		var err error
		found, err = readAll[checkedRelease](ctx, tx, releasesSQL, since, releaseKinds, releaseLate)
		return err
	})
	if err != nil {
		return wrap(err, "releases")
	}
	for _, r := range found {
		if err := s.inTx(ctx, func(tx pgx.Tx) error { return s.checkRelease(ctx, tx, r) }); err != nil {
			return wrap(err, "the release of payment %s", r.PaymentID)
		}
	}
	_, err = s.pool.Exec(ctx, `UPDATE release_checks SET checked_until = greatest(checked_until, $1)`, began)
	return wrap(err, "releases")
}

// checkRelease opens and closes the anomalies of one payment's release.
func (s *Store) checkRelease(ctx context.Context, tx pgx.Tx, r checkedRelease) error {
	if err := lockPayment(ctx, tx, r.Source, r.PaymentID); err != nil {
		return err
	}
	references := referencesOf(r.Reference)
	if err := lockOrders(ctx, tx, references); err != nil {
		return err
	}
	sync := anomalySync{source: r.Source, paymentID: r.PaymentID, kinds: releaseKinds, closer: closedByReconciliation}
	kind, detail := r.judge()
	if kind != "" {
		sync.add(r.Reference, []order.Anomaly{{Kind: kind, PaymentID: r.PaymentID, Detail: detail}})
	}
	if kind == order.AnomalyReleasedUnknown {
		if err := s.askForReleased(ctx, tx, r); err != nil {
			return err
		}
	}
	changed, err := sync.run(ctx, tx)
	if err != nil || !changed {
		return err
	}
	return s.tellOrders(ctx, tx, settling{cause: causeReconciliation}, references, nil, true)
}

// judge says what is wrong with the release, and what a person needs to judge it.
func (r checkedRelease) judge() (order.AnomalyKind, map[string]string) {
	p := order.Payment{Status: order.PaymentStatus(r.Status), StatusDetail: r.StatusDetail}
	disputed := p.Status == order.PaymentInMediation
	difference, reason := payout.Release{
		Known: r.Known, Paid: p.Status == order.PaymentApproved || disputed || p.Reimbursed(), Disputed: disputed,
		Net: r.Net, Refunded: r.Refunded, Released: r.Released, Rows: r.Rows, Held: r.Held, Covered: r.Covered,
	}.Judge()
	if difference == payout.NoDifference {
		return "", nil
	}
	detail := map[string]string{"currency": r.Currency}
	if r.Net.Valid {
		detail["net"] = order.FormatAmount(r.Net.Decimal, r.Currency)
	}
	if r.Rows > 0 {
		detail["released"] = order.FormatAmount(r.Released, r.Currency)
	}
	if difference == payout.ReleasedDiffers {
		detail["difference"] = order.FormatAmount(r.Released.Sub(r.Net.Decimal), r.Currency)
	}
	if difference == payout.NotReleased {
		if r.ReleaseDate != nil {
			detail["release_date"] = r.ReleaseDate.UTC().Format(time.RFC3339)
		}
		if reason != "" {
			detail["reason"] = reason
		}
		if r.ReleaseStatus != "" {
			detail["release_status"] = r.ReleaseStatus
		}
	}
	return order.AnomalyKind(difference), detail
}

// errNoInbox is the error of a store that can make no events.
var errNoInbox = errors.New("this store cannot make events")

// askForReleased makes an event of a payment that only a report names, once.
func (s *Store) askForReleased(ctx context.Context, tx pgx.Tx, r checkedRelease) error {
	if _, err := strconv.ParseInt(r.PaymentID, 10, 64); err != nil {
		return nil //nolint:nilerr // what is no number is no payment's id, and can't be asked for
	}
	var asked bool
	if err := tx.QueryRow(ctx, `
		SELECT EXISTS (SELECT FROM anomalies WHERE kind = $1 AND source = $2 AND payment_id = $3)`,
		order.AnomalyReleasedUnknown, r.Source, r.PaymentID).Scan(&asked); err != nil || asked {
		return err
	}
	if s.insertJobs == nil || s.workOf == nil {
		return errNoInbox
	}
	event, err := s.eventAbout(r.Source, Ref{Topic: topicPayment, ID: r.PaymentID}, NewEvent{
		Origin: OriginReport, Payload: mustJSON(map[string]string{"payment_id": r.PaymentID}), Background: true,
	})
	if err != nil {
		return err
	}
	if slices.Contains(s.sellerIDs(), r.CollectorID) {
		event.CollectorID = r.CollectorID
	}
	_, err = s.insertEvents(ctx, tx, []NewEvent{event})
	return err
}
