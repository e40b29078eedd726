package store

import (
	"context"
	"encoding/json"
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

// An anomalySync makes the open anomalies of some orders, and of one payment,
// equal to what the ledger yields now. An anomaly that a person resolved is not
// opened again over the same facts.
type anomalySync struct {
	source     string
	paymentID  string
	references []string
	yielded    []yieldedAnomaly
}

type yieldedAnomaly struct {
	Kind      order.AnomalyKind `json:"kind"`
	Reference *string           `json:"order_reference"`
	PaymentID *string           `json:"payment_id"`
	Source    *string           `json:"source"`
	Detail    map[string]string `json:"detail"`
}

func (y *anomalySync) add(reference string, found []order.Anomaly) {
	for _, a := range found {
		detail := a.Detail
		if detail == nil {
			detail = map[string]string{}
		}
		y.yielded = append(y.yielded, yieldedAnomaly{
			Kind: a.Kind, Reference: orNil(reference), PaymentID: orNil(a.PaymentID), Source: orNil(y.source), Detail: detail,
		})
	}
}

func (y *anomalySync) run(ctx context.Context, tx pgx.Tx) error {
	references := y.references
	if references == nil {
		references = []string{}
	}
	yielded := y.yielded
	if yielded == nil {
		yielded = []yieldedAnomaly{}
	}
	_, err := tx.Exec(ctx, `
		WITH yielded AS (
			SELECT kind, source, order_reference, payment_id, detail
			FROM jsonb_to_recordset($1::jsonb)
			     AS y (kind text, source text, order_reference text, payment_id text, detail jsonb)
		), closed AS (
			UPDATE anomalies a SET closed_at = now(), closed_by = $5
			WHERE a.closed_at IS NULL
			  AND a.kind NOT IN ('fraud_alert', 'unsettled_difference')
			  AND (a.order_reference = ANY ($2) OR (a.payment_id = $4 AND a.source = $3))
			  AND NOT EXISTS (SELECT FROM yielded y
			                  WHERE y.kind = a.kind
			                    AND y.order_reference IS NOT DISTINCT FROM a.order_reference
			                    AND y.payment_id IS NOT DISTINCT FROM a.payment_id)
		)
		INSERT INTO anomalies AS known (kind, source, order_reference, payment_id, detail)
		SELECT y.kind, y.source, y.order_reference, y.payment_id, y.detail
		FROM yielded y
		WHERE NOT EXISTS (SELECT FROM anomalies a
		                  WHERE a.closed_by <> $5
		                    AND a.kind = y.kind
		                    AND a.order_reference IS NOT DISTINCT FROM y.order_reference
		                    AND a.payment_id IS NOT DISTINCT FROM y.payment_id
		                    AND a.detail = y.detail)
		ON CONFLICT (kind, coalesce(order_reference, ''), coalesce(payment_id, '')) WHERE closed_at IS NULL
		DO UPDATE SET detail = excluded.detail WHERE known.detail <> excluded.detail`,
		mustJSON(yielded), references, y.source, y.paymentID, closedBySettlement)
	return err
}

func orNil(s string) *string {
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

func scanAnomaly(row pgx.CollectableRow) (Anomaly, error) {
	var a Anomaly
	err := row.Scan(&a.ID, &a.Kind, &a.Reference, &a.PaymentID, &a.Detail, &a.OpenedAt, &a.ClosedAt, &a.ClosedBy, &a.Note)
	return a, err
}
