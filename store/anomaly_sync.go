package store

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/conciliar/conciliar/store/order"
)

// closedBySettlement marks an anomaly that closed by itself: the ledger no
// longer yield it.
const closedBySettlement = "settlement"

// An Anomaly is money that does not fit.
type Anomaly struct {
	ID        int64             `json:"id"`
	Kind      order.AnomalyKind `json:"kind"`
	Reference string            `json:"order_reference,omitempty"`
	PaymentID string            `json:"payment_id,omitempty"`
	Detail    json.RawMessage   `json:"detail"`
	OpenedAt  time.Time         `json:"opened_at"`
	ClosedAt  *time.Time        `json:"closed_at,omitempty"`
	ClosedBy  string            `json:"closed_by,omitempty"`
	Note      string            `json:"note,omitempty"`
}

// ByPerson reports whether a person closed it.
func (a Anomaly) ByPerson() bool {
	return a.ClosedAt != nil && a.ClosedBy != closedBySettlement && a.ClosedBy != closedByReconciliation
}

// An anomalySync makes the open anomalies of some orders, and of some payments,
// equal to what the ledger yields now. An anomaly that a person resolved is not
// opened again over the same facts.
type anomalySync struct {
	source     string
	paymentIDs []string
	references []string
	yielded    []yieldedAnomaly
	// paid are the orders among the references that are paid.
	paid []string
	// kinds are those that close when nothing yields them, foldedKinds when nil, and
	// closer is who closes them; empty for a settlement.
	kinds  []string
	closer string
	// upgrade is true when what is yielded follows from newer rules than what is
	// there: an anomaly that a person resolved stays resolved though it is told in
	// other words.
	upgrade bool
}

type yieldedAnomaly struct {
	Kind      order.AnomalyKind `json:"kind"`
	Reference *string           `json:"order_reference"`
	PaymentID *string           `json:"payment_id"`
	Source    *string           `json:"source"`
	Detail    map[string]string `json:"detail"`
	// Key finds payments that may have meant an order; only an unknown order has it.
	Key *string `json:"reference_key"`
}

// addOrder adds what an order's settlement yields.
func (y *anomalySync) addOrder(reference string, known knownOrder, settled order.Settlement) {
	y.add(reference, settled.Anomalies)
	y.upgrade = y.upgrade || known.settled && !known.folded
	if settled.Status == order.StatusPaid {
		y.paid = append(y.paid, reference)
	}
}

func (y *anomalySync) add(reference string, found []order.Anomaly) {
	for _, a := range found {
		detail := a.Detail
		if detail == nil {
			detail = map[string]string{}
		}
		yielded := yieldedAnomaly{
			Kind: a.Kind, Reference: orNil(reference), PaymentID: orNil(a.PaymentID), Source: orNil(y.source), Detail: detail,
		}
		if a.Kind == order.AnomalyUnknownOrder {
			yielded.Key = orNil(order.ReferenceKey(reference))
		}
		y.yielded = append(y.yielded, yielded)
	}
}

// run reports whether any anomaly was opened, closed or told in other words.
func (y *anomalySync) run(ctx context.Context, tx pgx.Tx) (changed bool, err error) {
	references := emptyIfNil(y.references)
	yielded := y.yielded
	if yielded == nil {
		yielded = []yieldedAnomaly{}
	}
	kinds := y.kinds
	if kinds == nil {
		kinds = foldedKinds
	}
	err = tx.QueryRow(ctx, `
		WITH yielded AS (
			SELECT kind, source, order_reference, payment_id, detail, reference_key
			FROM jsonb_to_recordset($1::jsonb)
			     AS y (kind text, source text, order_reference text, payment_id text, detail jsonb, reference_key text)
		), reworded AS (
			UPDATE anomalies a SET detail = y.detail
			FROM yielded y, LATERAL (SELECT max(l.id) AS id FROM anomalies l WHERE l.kind = y.kind AND `+ofSame(`l`, `y.order_reference`, `y.payment_id`)+`) last
			WHERE $8 AND a.closed_by NOT IN ($5, $9) AND a.id = last.id
			RETURNING a.kind, a.order_reference, a.payment_id
		), closed AS (
			UPDATE anomalies a SET closed_at = now(), closed_by = $5
			WHERE `+checked(`a.closed_at IS NULL`)+`
			  AND (a.kind = ANY ($6) OR a.kind = 'payment_moved' AND a.order_reference = ANY ($7))
			  AND (a.order_reference = ANY ($2) OR (a.payment_id = ANY ($4) AND a.source = $3))
			  AND NOT EXISTS (SELECT FROM yielded y
			                  WHERE y.kind = a.kind
			                    AND y.order_reference IS NOT DISTINCT FROM a.order_reference
			                    AND y.payment_id IS NOT DISTINCT FROM a.payment_id)
			RETURNING a.id
		), opened AS (
		INSERT INTO anomalies AS known (kind, source, order_reference, payment_id, detail, reference_key)
		SELECT y.kind, y.source, y.order_reference, y.payment_id, y.detail, y.reference_key
		FROM yielded y
		WHERE NOT EXISTS (SELECT FROM anomalies a
		                  WHERE a.closed_by <> $5 AND a.kind = y.kind AND a.detail = y.detail
		                    AND `+ofSame(`a`, `y.order_reference`, `y.payment_id`)+` OFFSET 0)
		  AND NOT EXISTS (SELECT FROM reworded r
		                  WHERE r.kind = y.kind
		                    AND r.order_reference IS NOT DISTINCT FROM y.order_reference
		                    AND r.payment_id IS NOT DISTINCT FROM y.payment_id)
		ON CONFLICT (kind, coalesce(order_reference, ''), coalesce(payment_id, '')) WHERE closed_at IS NULL
		DO UPDATE SET detail = excluded.detail, reference_key = excluded.reference_key WHERE known.detail <> excluded.detail
		RETURNING known.id)
		SELECT EXISTS (SELECT FROM closed) OR EXISTS (SELECT FROM opened)`,
		mustJSON(yielded), references, y.source, emptyIfNil(y.paymentIDs), cmp.Or(y.closer, closedBySettlement), kinds, emptyIfNil(y.paid), y.upgrade,
		closedByReconciliation).Scan(&changed)
	return changed, err
}

// ofSame is true of a row a of anomalies about the same order and payment, either of which
// may be NULL. Not both are, so that the row is found by an index of one of them: IS NOT
// DISTINCT FROM finds none.
func ofSame(a, reference, paymentID string) string {
	return fmt.Sprintf(`(%[1]s.order_reference = %[2]s OR %[1]s.payment_id = %[3]s)
		AND %[1]s.order_reference IS NOT DISTINCT FROM %[2]s AND %[1]s.payment_id IS NOT DISTINCT FROM %[3]s`, a, reference, paymentID)
}

// foldedKinds are the kinds of anomaly that close once nothing yields them.
var foldedKinds = func() (kinds []string) {
	for _, kind := range order.AnomalyKinds() {
		if kind.IsFolded() {
			kinds = append(kinds, string(kind))
		}
	}
	return kinds
}()

func emptyIfNil(texts []string) []string {
	if texts == nil {
		return []string{}
	}
	return texts
}

func orNil[T ~string](s T) *T {
	if s == "" {
		return nil
	}
	return &s
}

// mustJSON marshals a value whose type cannot fail to marshal.
func mustJSON(v any) json.RawMessage {
	b, err := json.Marshal(v)
	if err != nil {
		panic("store: " + err.Error())
	}
	return b
}

const anomalyColumns = `id, kind, coalesce(order_reference, ''), coalesce(payment_id, ''), detail,
	opened_at, closed_at, coalesce(closed_by, ''), coalesce(note, '')`
