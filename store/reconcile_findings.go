package store

import (
	"context"
	"encoding/json"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/conciliar/conciliar/store/order"
)

// closedByReconciliation marks an anomaly whose difference a run found gone.
const closedByReconciliation = "reconciliation"

// Found compares what an account's search showed with what is held, and keeps what differs:
// a payment that is missing or odd enters the inbox as an event at once, one that
// drifted is noted for the repair. cursor and position say where the search is
// now; asked are orders that were asked about, and not to be asked again today.
// news, which may be nil, is told how many differences the run did not know
// before cursor is kept.
func (st *RunStep) Found(ctx context.Context, account Account, found []FoundPayment, asked []string, cursor any, position time.Time, news func(int64)) error {
	return st.advance(ctx, "compare what was found", func(tx pgx.Tx) (progress, error) {
		p := progress{cursor: cursor, position: position, paymentsChecked: int64(len(found))}
		differ, equal, err := compareSearch(ctx, tx, account, found, false)
		if err != nil {
			return p, err
		}
		if err := p.closeUnsettled(ctx, tx, againstSearch, equal, nil); err != nil {
			return p, err
		}
		n, err := st.keep(ctx, tx, differ, &p)
		if err != nil {
			return p, err
		}
		if news != nil {
			news(n)
		}
		_, err = tx.Exec(ctx, `
			INSERT INTO webhook_reconciliation_inquiries (order_reference) SELECT unnest($1::text[])
			ON CONFLICT (order_reference) DO UPDATE SET asked_at = now()`, asked)
		return p, err
	})
}

// keep notes differences and counts them; it returns how many this run had not
// found before. A missing payment enters the inbox, and so does an odd one that
// nobody looked at. One without an id is only counted.
func (st *RunStep) keep(ctx context.Context, tx pgx.Tx, differ []Difference, p *progress) (int64, error) {
	differ, err := st.notFoundBefore(ctx, tx, differ)
	if err != nil || len(differ) == 0 {
		return 0, err
	}
	var events []NewEvent
	queueIDs := make([]*int64, len(differ))
	var entered []int
	for i, d := range differ {
		if d.Kind == FindingMissing || d.Kind == FindingOdd && !d.inHand && d.PaymentID != "" {
			events = append(events, st.eventAbout(d))
			entered = append(entered, i)
		}
	}
	if len(events) > 0 {
		receipts, err := st.store.insertEvents(ctx, tx, events)
		if err != nil {
			return 0, err
		}
		for k, i := range entered {
			queueIDs[i] = &receipts[k].QueueID
		}
	}
	for _, d := range differ {
		switch d.Kind {
		case FindingMissing:
			p.missingFound++
		case FindingDrift:
			p.driftFound++
		case FindingOdd:
			p.oddFound++
		case FindingUnsettled:
			if err := openUnsettled(ctx, tx, d); err != nil {
				return 0, err
			}
			p.anomalies = append(p.anomalies, d.Reference)
		}
	}
	return int64(len(differ)), st.insertFindings(ctx, tx, differ, queueIDs)
}

// eventAbout is the event that fetches a payment. It names the payment, and keeps
// nothing of what a search showed of its payer.
func (st *RunStep) eventAbout(d Difference) NewEvent {
	return NewEvent{
		Source: d.Source, Topic: topicPayment, Work: WorkPayment, ResourceID: d.PaymentID, Origin: OriginReconciliation,
		Payload: mustJSON(map[string]string{"payment_id": d.PaymentID}), LiveMode: d.liveMode,
		CollectorID: d.seller, Background: st.Run.Scope == ScopeBackfill,
	}
}

func (st *RunStep) insertFindings(ctx context.Context, tx pgx.Tx, differ []Difference, queueIDs []*int64) error {
	n := len(differ)
	kinds, sources, payments, references := make([]string, n), make([]string, n), make([]string, n), make([]string, n)
	details := make([]json.RawMessage, n)
	for i, d := range differ {
		kinds[i], sources[i], payments[i], references[i] = d.Kind, d.Source, d.PaymentID, d.Reference
		details[i] = mustJSON(d.Detail)
	}
	return execute(ctx, tx, `
		INSERT INTO webhook_reconciliation_findings (run_id, kind, source, payment_id, order_reference, queue_id, detail)
		SELECT $1, f.kind, nullif(f.source, ''), nullif(f.payment_id, ''), nullif(f.order_reference, ''), f.queue_id, f.detail
		FROM unnest($2::text[], $3::text[], $4::text[], $5::text[], $6::bigint[], $7::jsonb[])
		     AS f (kind, source, payment_id, order_reference, queue_id, detail)
		WHERE f.payment_id <> '' OR f.order_reference <> ''`,
		st.Run.ID, kinds, sources, payments, references, queueIDs, details)
}

// notFoundBefore drops what this run has found before, so that everything counts once,
// and marks as unsettled what was asked for before, and has not changed since.
func (st *RunStep) notFoundBefore(ctx context.Context, tx pgx.Tx, differ []Difference) ([]Difference, error) {
	if len(differ) == 0 {
		return nil, nil
	}
	differ, err := knownFindings(ctx, tx, st.Run.ID, differ)
	if err != nil {
		return nil, err
	}
	// The search may show one payment twice on a page.
	seen := map[[3]string]bool{}
	return slices.DeleteFunc(differ, func(d Difference) bool {
		key := [3]string{d.Source, d.PaymentID}
		if d.PaymentID == "" {
			key[2] = d.Reference
		}
		twice := seen[key]
		seen[key] = true
		return twice
	}), nil
}

// knownFindings drops what the run has found before. What an earlier run found in
// the same way, and asked for to the end, is unsettled unless our own row changed
// since; it is dropped when nothing follows from it.
func knownFindings(ctx context.Context, tx pgx.Tx, runID int64, differ []Difference) ([]Difference, error) {
	n := len(differ)
	sources, payments, references := make([]string, n), make([]string, n), make([]string, n)
	details := make([]json.RawMessage, n)
	for i, d := range differ {
		sources[i], payments[i], references[i], details[i] = d.Source, d.PaymentID, d.Reference, mustJSON(d.Detail)
	}
	rows, _ := tx.Query(ctx, `
		SELECT CASE WHEN d.payment_id <> '' THEN
		         EXISTS (SELECT FROM webhook_reconciliation_findings f
		                 WHERE f.run_id = $1 AND f.source = d.source AND f.payment_id = d.payment_id)
		       ELSE
		         EXISTS (SELECT FROM webhook_reconciliation_findings f
		                 WHERE f.run_id = $1 AND f.payment_id IS NULL AND f.order_reference = d.order_reference)
		       END,
		       EXISTS (SELECT FROM webhook_reconciliation_findings f
		               LEFT JOIN webhook_queue q ON q.id = f.queue_id
		               LEFT JOIN webhook_archive a ON a.id = f.queue_id
		               LEFT JOIN payments p ON p.source = f.source AND p.payment_id = f.payment_id
		               WHERE d.payment_id <> '' AND f.payment_id = d.payment_id AND f.source = d.source AND f.run_id <> $1
		                 AND f.kind IN ('missing', 'drift', 'odd') AND f.detail = d.detail
		                 AND coalesce(q.completed_at, a.completed_at) >= coalesce(p.updated_at, '-infinity'))
		FROM unnest($2::text[], $3::text[], $4::text[], $5::jsonb[]) WITH ORDINALITY
		     AS d (source, payment_id, order_reference, detail, n)
		ORDER BY d.n`, runID, sources, payments, references, details)
	var kept []Difference
	var found, asked bool
	i := 0
	_, err := pgx.ForEachRow(rows, []any{&found, &asked}, func() error {
		d := differ[i]
		i++
		switch {
		case asked && d.Kind == FindingOdd:
			// The payment's own page could be read.
			d.inHand = true
		case asked:
			d.Kind = FindingUnsettled
		}
		if !found && !(d.Kind == FindingUnsettled && asked && immaterial(d.Detail)) {
			kept = append(kept, d)
		}
		return nil
	})
	return kept, err
}

// openUnsettled opens the anomaly of a difference that nothing settles, unless a
// person resolved it over the same facts.
func openUnsettled(ctx context.Context, tx pgx.Tx, d Difference) error {
	return execute(ctx, tx, `
		INSERT INTO anomalies AS known (kind, source, order_reference, payment_id, detail)
		SELECT $1, nullif($2, ''), nullif($3, ''), nullif($4, ''), $5::jsonb
		WHERE NOT EXISTS (`+resolvedUnsettled+`)
		ON CONFLICT (kind, coalesce(order_reference, ''), coalesce(payment_id, '')) WHERE closed_at IS NULL
		DO UPDATE SET detail = excluded.detail WHERE known.detail <> excluded.detail`,
		order.AnomalyUnsettledDifference, d.Source, d.Reference, d.PaymentID, mustJSON(d.Detail),
		closedBySettlement, closedByReconciliation)
}

// resolvedUnsettled selects a person's word on a difference over the same facts.
var resolvedUnsettled = `
	SELECT FROM anomalies a
	WHERE a.kind = $1 AND a.closed_by NOT IN ($6, $7) AND a.detail = $5::jsonb AND ` + ofSame(`a`, `nullif($3, '')`, `nullif($4, '')`)

// closeUnsettled closes the anomalies of differences that are gone: of the
// payments, and of the orders as a whole, that were found equal.
func (p *progress) closeUnsettled(ctx context.Context, tx pgx.Tx, against string, payments, references []string) error {
	if len(payments) == 0 && len(references) == 0 {
		return nil
	}
	closed, err := readColumn[string](ctx, tx, `
		UPDATE anomalies SET closed_at = now(), closed_by = $1
		WHERE kind = $2 AND `+checked(`closed_at IS NULL`)+` AND detail ->> 'against' = $3
		  AND (payment_id = ANY ($4) OR (payment_id IS NULL AND order_reference = ANY ($5)))
		RETURNING coalesce(order_reference, '')`,
		closedByReconciliation, order.AnomalyUnsettledDifference, against, payments, references)
	p.anomalies = append(p.anomalies, closed...)
	return err
}
