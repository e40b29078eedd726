package store

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/shopspring/decimal"

	"github.com/conciliar/conciliar/store/order"
)

// OrderFacts is all that is known under a reference, whether an order is registered
// with it or not: what says why the order is as it is, and what may still change it.
type OrderFacts struct {
	// At is the moment of the snapshot, by PostgreSQL's clock.
	At        time.Time
	Reference string
	// Order is nil where none is registered.
	Order *Order
	// Payments are those that name the reference, and Rules say which of them count.
	Payments []OrderPayment
	Rules    order.Rules
	// Events are the newest about it, and all that have no end.
	Events []Event
	// Anomalies are all of it, closed ones included, the newest first.
	Anomalies []Anomaly
	// Dismissals say who gave which dead letter up, by its id.
	Dismissals map[int64]Dismissal
	// Near are payments that name no order and may mean this one, and NearOrders the
	// open orders that payments of a reference without an order may mean.
	Near       []NearPayment
	NearOrders []string
	// Provider is what is known of the provider as the order's account asks it.
	Provider ProviderState
	// Machine says which parts of the service do their work, and Intake what becomes of
	// deliveries.
	Machine Machine
	Intake  Intake
	// Unread is what came since the order did and is not known to be about which order.
	Unread Unread
	// Refused are deliveries that name one of its payments and were refused since that
	// was fetched, the newest first.
	Refused []RefusedNews
}

// A Dismissal is a dead letter that a person gave up.
type Dismissal struct {
	By   string
	At   time.Time
	Note string
}

// A NearPayment is a payment whose reference differs from an order's by its writing
// only.
type NearPayment struct {
	PaymentID, Reference string
	Amount               decimal.NullDecimal
	Currency             string
	AnomalyID            int64
}

// Unread counts events about payments that were not fetched yet: nobody knows of which
// orders they are. What comes and goes within seconds is not counted, unless the queue is
// paused: then it stays.
type Unread struct {
	// Waiting are not done yet, Failed have failed for good.
	Waiting, Failed int64
	// Since is when the oldest of them came.
	Since *time.Time
}

// A RefusedNews is a refused delivery about a payment.
type RefusedNews struct {
	ID        int64
	PaymentID string
	At        time.Time
}

const (
	// factEvents is how many of the newest events of an order are read, and factRows how
	// many of anything else.
	factEvents, factRows = 50, 200
	// unreadLooked is how many events without an end are looked at for the unread.
	unreadLooked = 1000
	// unreadBefore is how long before its order a payment may have been made.
	unreadBefore = time.Hour
	// unreadAfter is from which age on an event that waits is counted; while its queue is
	// paused any is.
	unreadAfter = 30 * time.Second
)

// OrderFacts reads all that is known under a reference.
func (s *Store) OrderFacts(ctx context.Context, reference string) (OrderFacts, error) {
	f := OrderFacts{Reference: reference, Rules: s.rulesNow()}
	// Before the order: an event that ends meanwhile is then taken to be open, and not
	// an old state to be the latest.
	if err := s.readFactEvents(ctx, &f); err != nil {
		return f, err
	}
	err := s.readSnapshot(ctx, func(tx pgx.Tx) error {
		o, err := readOrder(ctx, tx, reference)
		switch {
		case err == nil:
			f.Order, f.Payments = &o, o.Payments
		case errors.Is(err, ErrOrderNotFound):
			if f.Payments, err = unregistered(ctx, tx, reference); err != nil {
				return err
			}
		default:
			return err
		}
		var b pgx.Batch
		queueFacts(&b, &f)
		if err := tx.SendBatch(ctx, &b).Close(); err != nil {
			return err
		}
		var g Signals
		if err := errors.Join(readMachine(ctx, tx, &g), s.readIntake(ctx, tx, &g)); err != nil {
			return err
		}
		f.Machine, f.Intake = g.Machine, g.Intake
		if f.Order != nil {
			return nil
		}
		f.NearOrders, err = nearOrders(ctx, tx, order.ReferenceKey(reference))
		return err
	})
	return f, wrap(err, "what is known of order %q", reference)
}

// unregistered are the payments that name an order which is not registered.
func unregistered(ctx context.Context, tx pgx.Tx, reference string) ([]OrderPayment, error) {
	rows, _ := tx.Query(ctx, `
		SELECT `+paymentColumns+`, `+toldColumnNames+`, `+releasesOf(`payments`)+`, source FROM payments
		WHERE order_reference = $1 ORDER BY created_at, payment_id LIMIT $2`, reference, factRows)
	return pgx.CollectRows(rows, func(row pgx.CollectableRow) (OrderPayment, error) { return scanToldPayment(row) })
}

func (s *Store) readFactEvents(ctx context.Context, f *OrderFacts) error {
	for _, filter := range []EventFilter{{Order: f.Reference}, {Order: f.Reference, Open: true}} {
		limit := factEvents
		if filter.Open {
			limit = factRows
		}
		found, err := s.Events(ctx, filter, Page{Limit: limit})
		if err != nil {
			return err
		}
		f.Events = append(f.Events, found.Items...)
	}
	slices.SortStableFunc(f.Events, func(a, b Event) int { return cmp.Compare(b.QueueID, a.QueueID) })
	f.Events = slices.CompactFunc(f.Events, func(a, b Event) bool { return a.QueueID == b.QueueID })
	return nil
}

// queueFacts adds to a batch what reads the facts beside the order.
func queueFacts(b *pgx.Batch, f *OrderFacts) {
	reference, account, since := f.Reference, "", time.Time{}
	if f.Order != nil {
		account, since = f.Order.Terms.CollectorID, f.Order.CreatedAt.Add(-unreadBefore)
	}
	queueRows(b, &f.Anomalies, rowTo[Anomaly], `
		SELECT `+anomalyColumns+` FROM anomalies WHERE order_reference = $1 ORDER BY id DESC LIMIT $2`, reference, factRows)
	queueDismissals(b, f)
	queueRows(b, &f.Near, rowTo[NearPayment], `
		SELECT coalesce(a.payment_id, ''), a.order_reference, p.amount, coalesce(p.currency, ''), a.id
		FROM anomalies a LEFT JOIN payments p ON p.source = a.source AND p.payment_id = a.payment_id
		WHERE a.reference_key = $1 AND `+checked(`a.closed_at IS NULL`)+` AND a.order_reference <> $2 AND $1 <> '' ORDER BY a.id LIMIT $3`,
		order.ReferenceKey(reference), reference, mostNearOrders)

	f.Provider = ProviderState{Circuit: CircuitClosed}
	queueRows(b, &[]struct{}{}, func(row pgx.CollectableRow) (none struct{}, err error) {
		var name string
		err = row.Scan(&name, &f.Provider.Circuit, &f.Provider.Since, &f.Provider.Reason)
		f.Provider.named(name)
		toUTC(f.Provider.Since)
		return none, err
	}, `
		SELECT source, circuit, since, reason FROM provider_state
		WHERE CASE WHEN $1 = '' THEN position('/' IN source) = 0 ELSE source LIKE '%/' || $1 END
		ORDER BY array_position(ARRAY['open', 'half_open', 'closed'], circuit), since DESC LIMIT 1`, account)
	b.Queue(`SELECT now()`).QueryRow(func(row pgx.Row) error {
		err := row.Scan(&f.At)
		toUTC(&f.At)
		return err
	})
	queueUnread(b, f, since)
	queueRefused(b, f)
}

// queueDismissals adds what reads who gave up the events of the facts.
func queueDismissals(b *pgx.Batch, f *OrderFacts) {
	var letters []int64
	for _, e := range f.Events {
		if e.DeadLetterState != nil && *e.DeadLetterState == DeadLetterDismissed {
			letters = append(letters, *e.DeadLetterID)
		}
	}
	f.Dismissals = map[int64]Dismissal{}
	if len(letters) == 0 {
		return
	}
	b.Queue(`
		SELECT d.id, d.note, coalesce(a.actor, ''), coalesce(a.acted_at, d.died_at)
		FROM webhook_dead_letter d LEFT JOIN LATERAL (
			SELECT actor, acted_at FROM operator_actions
			WHERE target_kind = '`+TargetDeadLetter+`' AND target_id = d.id AND action = '`+ActionDismiss+`' ORDER BY id DESC LIMIT 1) a ON true
		WHERE d.id = ANY ($1)`, letters).Query(func(rows pgx.Rows) error {
		var id int64
		var d Dismissal
		_, err := pgx.ForEachRow(rows, []any{&id, &d.Note, &d.By, &d.At}, func() error {
			toUTC(&d.At)
			f.Dismissals[id] = d
			return nil
		})
		return err
	})
}

// queueUnread adds what counts the unread since then.
func queueUnread(b *pgx.Batch, f *OrderFacts, since time.Time) {
	u := &f.Unread
	b.Queue(`
		SELECT count(*) FILTER (WHERE status <> 'dead_letter'), count(*) FILTER (WHERE status = 'dead_letter'), min(received_at)
		FROM (SELECT v.status, q.received_at FROM `+openStatus+` JOIN webhook_queue q ON q.id = o.queue_id
		      WHERE q.work IN ('`+WorkPayment+`', '`+WorkFollow+`', '`+WorkFraudAlert+`') AND NOT (`+isHint+`)
		        AND q.received_at >= $1
		        AND CASE v.status WHEN 'dead_letter' THEN coalesce(v.dead_letter_state, '`+DeadLetterOpen+`') = '`+DeadLetterOpen+`'
		                          WHEN 'held' THEN true WHEN 'failed' THEN true
		                          ELSE q.received_at < now() - make_interval(secs => $2) OR EXISTS (
		                              SELECT FROM river_job j JOIN river_queue p ON p.name = j.queue WHERE j.id = q.job_id AND p.paused_at IS NOT NULL) END
		        AND NOT EXISTS (SELECT FROM payments p WHERE p.source = q.source AND p.payment_id = q.resource_id)
		        AND NOT EXISTS (SELECT FROM odd_payments WHERE queue_id = q.id AND order_reference IS NOT NULL)
		      ORDER BY o.queue_id DESC LIMIT $3) unread`, since, unreadAfter.Seconds(), unreadLooked).QueryRow(func(row pgx.Row) error {
		err := row.Scan(&u.Waiting, &u.Failed, &u.Since)
		toUTC(u.Since)
		return err
	})
}

// queueRefused adds what finds the refused that name payments of the order.
func queueRefused(b *pgx.Batch, f *OrderFacts) {
	ids, fetched := make([]string, len(f.Payments)), make([]time.Time, len(f.Payments))
	for i, p := range f.Payments {
		ids[i], fetched[i] = p.ID, p.FetchedAt
	}
	queueRows(b, &f.Refused, rowTo[RefusedNews], `
		SELECT r.id, p.id, r.refused_at FROM webhook_refused r
		JOIN unnest($1::text[], $2::timestamptz[]) AS p (id, fetched_at) ON r.refused_at > p.fetched_at AND r.query ~ ('(^|[^0-9])' || p.id || '([^0-9]|$)')
		WHERE p.id ~ '^[0-9]+$' AND r.x_signature <> '' ORDER BY r.id DESC LIMIT $3`, ids, fetched, factRows)
}
