package store

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/conciliar/conciliar/store/order"
)

// Types of order events that are not an order's status.
const (
	OrderRegistered = "order.registered"
	OrderAmended    = "order.amended"
	OrderCancelled  = "order.cancelled"
	OrderFlagged    = "order.flagged"
	OrderCleared    = "order.cleared"
)

// orderTypePrefix and an order's status are the type of the event that tells of it.
const orderTypePrefix = "order."

// OrderEventTypes lists every type of order event.
func OrderEventTypes() []string {
	types := []string{OrderRegistered, OrderAmended, OrderFlagged, OrderCleared}
	for _, status := range order.Statuses() {
		types = append(types, orderTypePrefix+string(status))
	}
	slices.Sort(types)
	return types
}

// orderEventsKept is how long an order event is kept.
const orderEventsKept = 400 * 24 * time.Hour

// Causes of order events.
const (
	CauseMerchant       = "merchant"
	CausePayment        = "payment"
	CauseReconciliation = "reconciliation"
	CauseRepair         = "repair"
	CauseOperator       = "operator"
	CauseSQL            = "sql"
)

// OrderEventCauses lists every cause of an order event.
func OrderEventCauses() []string {
	return []string{CauseMerchant, CausePayment, CauseReconciliation, CauseRepair, CauseOperator, CauseSQL}
}

// An orderNews is what an event is to tell of an order.
type orderNews struct {
	reference, kind string
	// cause is the event's, empty where it follows from why the order was settled.
	cause string
	// previous is the order's status before; nil for an order that was not there.
	previous *order.Status
	// logID is the entry of the order's timeline; 0 for an anomaly's, and anomaly nil
	// for every other.
	logID   int64
	anomaly *Anomaly
}

// newsOf is what a settlement that is logged tells of an order: first what was done to
// it, then how it stands, if that has changed. sqlDid is what plain SQL had done before.
// The fold of an upgrade tells nothing.
func newsOf(reference string, known knownOrder, settled order.Settlement, why settling, sqlDid string) []orderNews {
	if why.cause == causeUpgrade && sqlDid == "" {
		return nil
	}
	var news []orderNews
	previous, moves := &known.status, known.moves(settled)
	if !known.stored {
		previous = nil
	}
	add := func(kind, cause string) {
		news = append(news, orderNews{reference: reference, kind: kind, cause: cause, previous: previous})
	}
	did := func(what, cause string) {
		isNew := what == causeRegistered && (!known.stored || cause == CauseSQL)
		if isNew {
			previous = nil
		}
		add(orderTypePrefix+what, cause)
		if isNew {
			pending := order.StatusPending
			previous, moves = &pending, settled.Status != pending
		}
	}
	if sqlDid != "" {
		did(sqlDid, CauseSQL)
	}
	switch {
	case why.actor == actorSQL:
		did(why.cause, CauseSQL)
	case why.act, !known.stored && why.cause == causeRegistered:
		did(why.cause, CauseMerchant)
	}
	status := orderTypePrefix + string(settled.Status)
	if last := len(news) - 1; moves && (last < 0 || news[last].kind != status) {
		add(status, "")
	}
	return news
}

// eventCause is the cause of the events of a settlement that an event of the given
// origin led to.
func (w settling) eventCause(origin string) string {
	switch w.cause {
	case causeRegistered, causeAmended, causeCancelled:
		if w.actor == actorSQL {
			return CauseSQL
		}
		return CauseMerchant
	case causeRepair:
		return CauseRepair
	case causeReconciliation:
		return CauseReconciliation
	case causeOperator:
		return CauseOperator
	case causeUpgrade: // of an order that plain SQL had changed
		return CauseSQL
	}
	if origin == OriginReconciliation {
		return CauseReconciliation
	}
	return CausePayment
}

// tellOrders writes the events of what a transaction did to orders, whose locks the
// caller holds: their news, and what became of their anomalies if anything did.
func (s *Store) tellOrders(ctx context.Context, tx pgx.Tx, why settling, references []string, news []orderNews, anomalies bool) error {
	if anomalies || len(news) > 0 {
		flags, err := flagsOf(ctx, tx, references)
		if err != nil {
			return err
		}
		if why.cause != causeUpgrade {
			news = append(news, flags...)
		}
	}
	for _, reference := range references {
		var ofOrder []orderNews
		for _, n := range news {
			if n.reference == reference {
				ofOrder = append(ofOrder, n)
			}
		}
		if len(ofOrder) == 0 {
			continue
		}
		if err := writeOrderEvents(ctx, tx, why, reference, ofOrder); err != nil {
			return err
		}
		if l, ok := tx.(*ledgerTx); ok {
			l.told = true
		}
	}
	return nil
}

// tellAnomalies locks the orders and tells what became of their anomalies. It is for
// what opens or closes some and settles nothing. References may be of no order.
func (s *Store) tellAnomalies(ctx context.Context, tx pgx.Tx, why settling, references ...string) error {
	references = referencesOf(references...)
	if len(references) == 0 {
		return nil
	}
	if err := lockOrders(ctx, tx, references); err != nil {
		return err
	}
	return s.tellOrders(ctx, tx, why, references, nil, true)
}

// flagsOf has the ledger say of which anomalies the orders are flagged, and returns
// what is new about that: closed ones first. An order is flagged once it is settled,
// and then with all that it has.
func flagsOf(ctx context.Context, tx pgx.Tx, references []string) ([]orderNews, error) {
	rows, err := tx.Query(ctx, `
		WITH flags AS (
			SELECT a.id, a.flagged_order AS before,
			       CASE WHEN a.closed_at IS NULL AND EXISTS (SELECT FROM order_logs l WHERE l.order_reference = a.order_reference OFFSET 0)
			            THEN a.order_reference END AS after
			FROM anomalies a WHERE a.order_reference = ANY ($1) OR a.flagged_order = ANY ($1)
		), changed AS (
			UPDATE anomalies a SET flagged_order = f.after FROM flags f WHERE a.id = f.id AND f.before IS DISTINCT FROM f.after
			RETURNING f.before, f.after, a.*
		)
		SELECT coalesce(before, ''), coalesce(after, ''), `+anomalyColumns+` FROM changed ORDER BY id`, references)
	if err != nil {
		return nil, err
	}
	var cleared, flagged []orderNews
	_, err = pgx.CollectRows(rows, func(row pgx.CollectableRow) (struct{}, error) {
		var before, after string
		var a Anomaly
		err := row.Scan(&before, &after, &a.ID, &a.Kind, &a.Reference, &a.PaymentID, &a.Detail, &a.OpenedAt, &a.ClosedAt, &a.ClosedBy, &a.Note)
		if before != "" {
			cleared = append(cleared, orderNews{reference: before, kind: OrderCleared, anomaly: &a})
		}
		if after != "" {
			flagged = append(flagged, orderNews{reference: after, kind: OrderFlagged, anomaly: &a})
		}
		return struct{}{}, err
	})
	return append(cleared, flagged...), err
}

// An orderEventBody is an order event as it is sent.
type orderEventBody struct {
	Type      string         `json:"type"`
	Timestamp time.Time      `json:"timestamp"`
	Data      orderEventData `json:"data"`
}

type orderEventData struct {
	Order json.RawMessage `json:"order"`
	// PreviousStatus is the order's status before; null for an order that was not there.
	PreviousStatus *order.Status `json:"previous_status"`
	Cause          string        `json:"cause"`
	QueueID        *int64        `json:"queue_id"`
	// Anomaly is what was opened or closed; the other types have none.
	Anomaly *toldAnomalyDocument `json:"anomaly,omitempty"`
}

type toldAnomalyDocument struct {
	anomalyDocument

	ClosedAt *time.Time `json:"closed_at"`
}

// writeOrderEvents writes events of one order, whose lock the caller holds, with the
// order as it is now.
func writeOrderEvents(ctx context.Context, tx pgx.Tx, why settling, reference string, news []orderNews) error {
	var o Order
	var origin string
	var now time.Time
	var batch pgx.Batch
	batch.Queue(`
		SELECT clock_timestamp(), coalesce((SELECT origin FROM webhook_queue WHERE id = $1), '')`, why.queueID).
		QueryRow(func(row pgx.Row) error { return row.Scan(&now, &origin) })
	queueOrder(&batch, reference, &o)
	if err := tx.SendBatch(ctx, &batch).Close(); err != nil {
		return err
	}
	events, err := orderEventsOf(why, origin, now, o, news)
	if err != nil {
		return err
	}
	_, err = insertOrderEvents.exec(ctx, tx, events)
	return err
}

// orderEventsOf are the events that tell the news of an order as it is now, through an
// event of the given origin.
func orderEventsOf(why settling, origin string, now time.Time, o Order, news []orderNews) ([]orderEventRow, error) {
	document, err := plainJSON(NewOrderDocument(o))
	if err != nil {
		return nil, err
	}
	events := make([]orderEventRow, len(news))
	for i, told := range news {
		body := orderEventBody{Type: told.kind, Timestamp: now.UTC(), Data: orderEventData{
			Order: document, Cause: cmp.Or(told.cause, why.eventCause(origin)), QueueID: idOrNull(why.queueID),
		}}
		if a := told.anomaly; a != nil {
			told.previous = &o.Status
			body.Data.Anomaly = &toldAnomalyDocument{newAnomalyDocument(*a), said(deref(a.ClosedAt))}
		}
		body.Data.PreviousStatus = told.previous
		raw, err := plainJSON(body)
		if err != nil {
			return nil, err
		}
		events[i] = orderEventRow{orderNews: told, cause: body.Data.Cause, queueID: why.queueID, body: raw, at: now}
	}
	return events, nil
}

// plainJSON encodes a value as answers are encoded, without the escapes of HTML.
func plainJSON(v any) (json.RawMessage, error) {
	var out bytes.Buffer
	enc := json.NewEncoder(&out)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return nil, err
	}
	return bytes.TrimSuffix(out.Bytes(), []byte("\n")), nil
}
