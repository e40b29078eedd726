package store

import (
	"context"
	"errors"
	"maps"
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

const (
	// releasePage is how many payments are looked for at a time: a first import may
	// bring any number that nobody knows, and their ids are all that is kept of them.
	releasePage = 50_000
	// releaseBatch is how many payments are held against the reports in one transaction.
	releaseBatch = 200
)

// A checkedRelease is a payment of which something came or went, or should have.
type checkedRelease struct {
	PaymentID, CollectorID string
	Reference, Currency    string
	Status, StatusDetail   string
	Net                    decimal.NullDecimal
	Refunded               decimal.Decimal
	ReleaseDate            *time.Time
	ReleaseStatus          string
	Released               decimal.Decimal
	Rows                   int64
	Held                   decimal.Decimal
	Covered                bool
	Known                  bool
}

// releaseFacts are what the payments of the table candidates say of their release, and
// what reports say. $1 is for how long a release may be late.
const releaseFacts = `covered AS MATERIALIZED (
	SELECT source, collector_id, range_agg(tstzrange(begin_at, end_at + interval '1 second')) AS span
	FROM report_files WHERE finished_at IS NOT NULL AND begin_at IS NOT NULL GROUP BY source, collector_id
), moved AS (
	SELECT m.source, m.payment_id, max(m.collector_id) AS collector_id, max(m.order_reference) AS reference, max(m.currency) AS currency,
	       coalesce(sum(m.credit - m.debit) FILTER (WHERE m.class = 'payment'), 0) AS released, count(*) FILTER (WHERE m.class = 'payment') AS rows,
	       coalesce(sum(m.credit - m.debit) FILTER (WHERE m.class IN ('reserve', 'dispute')), 0) AS held
	FROM candidates c JOIN account_movements m ON m.source = c.source AND m.payment_id = c.payment_id
	GROUP BY m.source, m.payment_id
), facts AS (
	SELECT c.source, c.payment_id, coalesce(p.collector_id, v.collector_id, '') AS collector_id,
	       coalesce(p.order_reference, v.reference, '') AS reference, coalesce(p.currency, v.currency, '') AS currency,
	       coalesce(p.status, '') AS status, coalesce(p.status_detail, '') AS status_detail, p.net_amount AS net,
	       coalesce(p.refunded_amount, 0) AS refunded, p.release_date, coalesce(p.release_status, '') AS release_status,
	       coalesce(v.released, 0) AS released, coalesce(v.rows, 0) AS rows, coalesce(v.held, 0) AS held,
	       coalesce(s.span @> tstzrange(p.release_date, p.release_date + $1::interval), false) AS covered,
	       p.payment_id IS NOT NULL AS known, v.currency = p.currency AS same_currency
	FROM candidates c
	LEFT JOIN payments p ON p.source = c.source AND p.payment_id = c.payment_id
	LEFT JOIN moved v ON v.source = c.source AND v.payment_id = c.payment_id
	LEFT JOIN covered s ON s.source = p.source AND s.collector_id = p.collector_id
)`

// suspectReleasesSQL finds the payments whose release may not be what they say, or was
// not: of files that were finished, rows that they cover, and payments that changed since
// $2, and those with an open anomaly of the kinds $3. What fits and has none is left out
// here already. They come in the order of their ids, those of a page after the payment
// $5 of the source $4.
const suspectReleasesSQL = `
WITH files AS MATERIALIZED (
	SELECT id, source, collector_id, begin_at, end_at FROM report_files WHERE finished_at >= $2
), anomalous AS MATERIALIZED (
	SELECT DISTINCT source, payment_id FROM anomalies WHERE closed_at IS NULL AND kind = ANY ($3)
), candidates AS (
	SELECT m.source, m.payment_id FROM files f JOIN report_rows r ON r.file_id = f.id JOIN account_movements m ON m.id = r.movement_id
	WHERE m.payment_id IS NOT NULL
	UNION
	SELECT p.source, p.payment_id FROM files f JOIN payments p ON p.source = f.source AND p.collector_id = f.collector_id
	WHERE p.release_date BETWEEN (SELECT min(begin_at) FROM files) - $1::interval AND (SELECT max(end_at) FROM files)
	UNION
	SELECT source, payment_id FROM payments WHERE updated_at >= $2 AND release_date IS NOT NULL AND EXISTS (SELECT FROM report_files)
	UNION
	SELECT source, payment_id FROM anomalous
), ` + releaseFacts + `
SELECT source, payment_id FROM facts f
WHERE (source, payment_id) > ($4, $5)
  AND (NOT known AND rows > 0
    OR rows > 0 AND same_currency AND released <> net
    OR rows = 0 AND net > 0 AND covered
    OR EXISTS (SELECT FROM anomalous a WHERE a.source = f.source AND a.payment_id = f.payment_id))
ORDER BY source, payment_id LIMIT $6`

// A releaseSuspect is a payment whose release has to be looked at.
type releaseSuspect struct {
	Source, PaymentID string
}

// releasesSQL reads the facts of the payments $3 of the source $2.
const releasesSQL = `
WITH candidates AS (SELECT $2::text AS source, unnest($3::text[]) AS payment_id), ` + releaseFacts + `
SELECT payment_id, collector_id, reference, currency, status, status_detail, net, refunded, release_date, release_status,
       released, rows, held, covered, known
FROM facts ORDER BY payment_id`

// releaseLate is how long after its release date a payment's money may come.
const releaseLate = 72 * time.Hour

// CheckReleases holds what reports say was released against what the payments say, and
// opens and closes the anomalies of what differs. A payment that is released and not
// known is asked for.
func (s *Store) CheckReleases(ctx context.Context) error {
	return s.checkReleasesBy(ctx, releasePage)
}

// checkReleasesBy checks the releases, page payments at a time.
func (s *Store) checkReleasesBy(ctx context.Context, page int) error {
	var began, since time.Time
	err := s.pool.QueryRow(ctx, `SELECT now(), checked_until - $1::interval FROM release_checks`, releaseOverlap).Scan(&began, &since)
	if err != nil {
		return wrap(err, "releases")
	}
	var last releaseSuspect
	for {
		suspects, err := s.suspectReleases(ctx, since, last, page)
		if err != nil {
			return wrap(err, "releases")
		}
		for rest := suspects; len(rest) > 0; {
			source := rest[0].Source
			var ids []string
			for len(rest) > 0 && rest[0].Source == source && len(ids) < releaseBatch {
				ids, rest = append(ids, rest[0].PaymentID), rest[1:]
			}
			if err := s.inTx(ctx, func(tx pgx.Tx) error { return s.checkReleases(ctx, tx, source, ids) }); err != nil {
				return wrap(err, "the releases of payments %s to %s", ids[0], ids[len(ids)-1])
			}
		}
		if len(suspects) < page {
			break
		}
		last = suspects[len(suspects)-1]
	}
	_, err = s.pool.Exec(ctx, `UPDATE release_checks SET checked_until = greatest(checked_until, $1)`, began)
	return wrap(err, "releases")
}

// suspectReleases finds payments of those that changed since a time, from the one after
// a payment on.
func (s *Store) suspectReleases(ctx context.Context, since time.Time, after releaseSuspect, page int) (found []releaseSuspect, err error) {
	err = s.readSnapshot(ctx, func(tx pgx.Tx) error {
		for _, setting := range []string{releaseSettings, verifySettings[0]} {
			if _, err := tx.Exec(ctx, setting); err != nil {
				return err
			}
		}
		found, err = readAll[releaseSuspect](ctx, tx, suspectReleasesSQL, releaseLate, since, releaseKinds, after.Source, after.PaymentID, page)
		return err
	})
	return found, err
}

// checkReleases opens and closes the anomalies of some payments' releases. Locks are
// taken in the order of every settlement: payments, then orders, each sorted.
func (s *Store) checkReleases(ctx context.Context, tx pgx.Tx, source string, ids []string) error {
	if err := lockPayments(ctx, tx, source, ids); err != nil {
		return err
	}
	found, err := readAll[checkedRelease](ctx, tx, releasesSQL, releaseLate, source, ids)
	if err != nil {
		return err
	}
	var references []string
	var unknown []checkedRelease
	sync := anomalySync{source: source, paymentIDs: ids, kinds: releaseKinds, closer: closedByReconciliation}
	for _, r := range found {
		references = append(references, r.Reference)
		kind, detail := r.judge()
		if kind != "" {
			sync.add(r.Reference, []order.Anomaly{{Kind: kind, PaymentID: r.PaymentID, Detail: detail}})
		}
		if kind == order.AnomalyReleasedUnknown {
			unknown = append(unknown, r)
		}
	}
	references = referencesOf(references...)
	if err := lockNames(ctx, tx, lockSeedOrder, references); err != nil {
		return err
	}
	if err := s.askForReleased(ctx, tx, source, unknown); err != nil {
		return err
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

// askForReleased makes an event of each payment that only reports name, once.
func (s *Store) askForReleased(ctx context.Context, tx pgx.Tx, source string, unknown []checkedRelease) error {
	collectors := map[string]string{}
	for _, r := range unknown {
		// What is not a number is not a payment's id, and can't be asked for.
		if _, err := strconv.ParseInt(r.PaymentID, 10, 64); err == nil {
			collectors[r.PaymentID] = r.CollectorID
		}
	}
	if len(collectors) == 0 {
		return nil
	}
	asked, err := readColumn[string](ctx, tx, `SELECT payment_id FROM anomalies WHERE kind = $1 AND source = $2 AND payment_id = ANY ($3)`,
		order.AnomalyReleasedUnknown, source, slices.Collect(maps.Keys(collectors)))
	if err != nil {
		return err
	}
	for _, id := range asked {
		delete(collectors, id)
	}
	if len(collectors) > 0 && (s.jobForm == nil || s.workOf == nil) {
		return errNoInbox
	}
	sellers := s.sellerIDs()
	var events []NewEvent
	for _, id := range slices.Sorted(maps.Keys(collectors)) {
		event, err := s.eventAbout(source, Ref{Topic: topicPayment, ID: id}, NewEvent{
			Origin: OriginReport, Payload: mustJSON(map[string]string{"payment_id": id}), Background: true,
		})
		if err != nil {
			return err
		}
		if slices.Contains(sellers, collectors[id]) {
			event.CollectorID = collectors[id]
		}
		events = append(events, event)
	}
	_, err = s.insertEvents(ctx, tx, events)
	return err
}
