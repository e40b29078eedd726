package store

import (
	"context"
	"slices"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/conciliar/conciliar/store/order"
)

const (
	// lookFor is how long a payment that only an order has shown is looked for, and
	// looksPerRun for how many of them one run looks at most.
	lookFor     = 30 * 24 * time.Hour
	looksPerRun = 500
	// lookBatch is how many are looked for in one transaction.
	lookBatch = 100
)

// A FoundOrder is an order of the provider's as its search shows it.
type FoundOrder struct {
	// Account is the account whose search showed it.
	Account Account
	Order   Ref
	// UpdatedNanos is when it changed last, in nanoseconds since 1970; 0 when not said.
	UpdatedNanos int64
	// Payments are its payments. What went back may be missing in what it says.
	Payments []OrderedPayment
	// Unreadable is true where its payments can't be read.
	Unreadable bool
	Raw        []byte
}

// FoundOrders compares orders that a search of the provider's showed with what is
// known of them. One that is not known, or has changed since, enters the inbox as an
// event at once, unless an event is about it or the ledger has all of its payments.
// cursor says where the search is now.
func (st *RunStep) FoundOrders(ctx context.Context, found []FoundOrder, cursor any) error {
	return st.advance(ctx, "compare orders", func(tx pgx.Tx) (progress, error) {
		p := progress{cursor: cursor}
		for _, f := range found {
			p.paymentsChecked += int64(len(f.Payments))
		}
		changed, err := unknownOrders(ctx, tx, found)
		if err != nil {
			return p, err
		}
		for _, f := range changed {
			if err := st.keepOrder(ctx, tx, f, &p); err != nil {
				return p, err
			}
		}
		return p, nil
	})
}

// keepOrder makes an event of an order that changed and notes its payments as missing,
// unless the run has done so.
func (st *RunStep) keepOrder(ctx context.Context, tx pgx.Tx, f FoundOrder, p *progress) error {
	differ := f.differences()
	ids := make([]string, len(differ))
	for i, d := range differ {
		ids[i] = d.PaymentID
	}
	found, err := readValue[bool](ctx, tx, `
		SELECT EXISTS (SELECT FROM webhook_reconciliation_findings WHERE run_id = $1 AND source = $2 AND payment_id = ANY ($3))`,
		st.Run.ID, f.Account.Source, ids)
	if err != nil || found {
		return err
	}
	event, err := st.store.eventAbout(f.Account.Source, f.Order, NewEvent{
		Origin: OriginReconciliation, CollectorID: f.Account.CollectorID, RequestID: followsRun(st.Run.ID), Payload: f.Raw, Background: st.Run.Scope == ScopeBackfill,
	})
	if err != nil {
		return err
	}
	receipts, err := st.store.insertEvents(ctx, tx, []NewEvent{event})
	if err != nil {
		return err
	}
	p.missingFound += int64(len(differ))
	return st.insertFindings(ctx, tx, differ, slices.Repeat([]*int64{&receipts[0].QueueID}, len(differ)))
}

// followsRun is the request id of the run's events that others follow, which those
// bear too.
func followsRun(id int64) string { return "run-" + strconv.FormatInt(id, 10) }

// differences are what is not known of an order: each of its payments, under the
// order's id of it, and the order itself where those can't be read.
func (f FoundOrder) differences() []Difference {
	if f.Unreadable || len(f.Payments) == 0 {
		return []Difference{{Kind: FindingMissing, Source: f.Account.Source, PaymentID: f.Order.ID,
			Detail: map[string]string{"against": againstOrders, "provider_order_id": f.Order.ID}}}
	}
	differ := make([]Difference, len(f.Payments))
	for i, p := range f.Payments {
		differ[i] = Difference{
			Kind: FindingMissing, Source: f.Account.Source, PaymentID: p.Payment.ID, Reference: p.Reference,
			Detail: map[string]string{"against": againstOrders, "provider_order_id": f.Order.ID, "found_status": p.Said},
		}
	}
	return differ
}

// CheckOrders compares orders that a search of the provider's showed with what is
// known of them, and writes nothing.
func (s *Store) CheckOrders(ctx context.Context, found []FoundOrder) (differ []Difference, err error) {
	err = s.read(ctx, "compare orders", func(tx pgx.Tx) error {
		differ = nil
		changed, err := unknownOrders(ctx, tx, found)
		for _, f := range changed {
			differ = append(differ, f.differences()...)
		}
		return err
	})
	return differ, err
}

// unknownOrders are those of the orders found that are not known as they are shown.
func unknownOrders(ctx context.Context, tx pgx.Tx, found []FoundOrder) ([]FoundOrder, error) {
	n := len(found)
	sources, ids := make([]string, n), make([]string, n)
	for i, f := range found {
		sources[i], ids[i] = f.Account.Source, f.Order.ID
	}
	// One statement, so that an event which ends meanwhile is seen either without its
	// end or with what it brought.
	rows, _ := tx.Query(ctx, `
		SELECT f.n,
		       EXISTS (`+openEventOf+`)
		       OR EXISTS (SELECT FROM `+openAbout("a.source", "a.provider_order_id")+` JOIN webhook_dead_letter d ON d.queue_id = q.id
		                  WHERE d.state IN ('open', 'dismissed')
		                    AND (d.reason IN ('permanent_failure', 'cancelled') OR d.died_at > now() - interval '1 day')),
		       (SELECT coalesce(jsonb_object_agg(k.alias, k.order_updated_nanos), '{}') FROM payment_aliases k
		        WHERE k.source = a.source AND k.provider_order_id = a.provider_order_id)
		FROM unnest($1::text[], $2::text[]) WITH ORDINALITY AS f (source, id, n),
		     LATERAL (SELECT f.source, f.id) AS a (source, provider_order_id)
		ORDER BY f.n`, sources, ids)
	var changed []FoundOrder
	var i int
	var inHand bool
	var known map[string]int64
	_, err := pgx.ForEachRow(rows, []any{&i, &inHand, &known}, func() error {
		if f := found[i-1]; !inHand && !f.isKnown(known) {
			changed = append(changed, f)
		}
		known = nil
		return nil
	})
	if err != nil {
		return nil, err
	}
	kept := changed[:0]
	for _, f := range changed {
		accounted, err := f.accountedFor(ctx, tx)
		if err != nil {
			return nil, err
		}
		if !accounted {
			kept = append(kept, f)
		}
	}
	return kept, nil
}

// isKnown reports whether the order was read since it changed. known has when it had
// changed, by its aliases.
func (f FoundOrder) isKnown(known map[string]int64) bool {
	if f.Unreadable {
		return len(known) > 0
	}
	for _, p := range f.Payments {
		if at, ok := known[p.Payment.ID]; !ok || at < f.UpdatedNanos {
			return false
		}
	}
	return true
}

// accountedFor reports whether the payments' side has told of the whole order, of
// which nothing was read yet: each payment that must be there is known.
func (f FoundOrder) accountedFor(ctx context.Context, tx pgx.Tx) (bool, error) {
	switch {
	case f.Unreadable:
		return false, nil
	case len(f.Payments) == 0 || !order.NamesOrder(f.Payments[0].Reference):
		return true, nil // it pays no order of the merchant's
	}
	input, err := loadFold(ctx, tx, f.Payments[0].Reference)
	if err != nil {
		return false, err
	}
	all := input.aliases
	for _, p := range f.Payments {
		if slices.ContainsFunc(input.aliases, func(a order.Alias) bool { return a.Source == p.Source && a.Payment.ID == p.Payment.ID }) {
			return false, nil // it was read, and has changed since
		}
		all = append(all, p.Alias)
	}
	for _, a := range order.Pair(all, input.known)[len(input.aliases):] {
		known := slices.ContainsFunc(input.known, func(k order.Known) bool { return k.Source == a.Source && k.ID == a.PaymentID })
		if (a.Awaited || a.Numbered) && !known {
			return false, nil
		}
	}
	return true, nil
}

// Note adds what a person should know of the run, and says where its phase is now.
func (st *RunStep) Note(ctx context.Context, note string, cursor any) error {
	return st.advance(ctx, "note", func(pgx.Tx) (progress, error) { return progress{cursor: cursor, note: note}, nil })
}

// A provisionalCursor is where the work on provisional payments is: first they are
// looked for, then both sides are held against each other.
type provisionalCursor struct {
	Looked   int    `json:"looked"`
	Checking bool   `json:"checking,omitempty"`
	After    string `json:"after,omitempty"`
}

// Provisional makes events of a batch of the provider's orders that have payments which
// are not known and were not looked for in this run. When there are no more it says of
// a batch of the merchant's orders where the two sides differ. It reports whether that
// was all.
func (st *RunStep) Provisional(ctx context.Context) (done bool, err error) {
	err = st.advance(ctx, "look for provisional payments", func(tx pgx.Tx) (progress, error) {
		var at provisionalCursor
		err := st.ReadCursor(&at)
		switch {
		case err != nil:
		case at.Checking:
			at.After, done, err = st.store.checkBatchOf(ctx, tx, at.After, *st.Run.WindowStart)
		default:
			var n int
			n, err = st.look(ctx, tx)
			at.Looked += n
			at.Checking = n < lookBatch || at.Looked >= looksPerRun
		}
		return progress{cursor: at}, err
	})
	return done, err
}

// look makes events of a batch of orders, and returns how many payments that concerns.
func (st *RunStep) look(ctx context.Context, tx pgx.Tx) (int, error) {
	rows, _ := tx.Query(ctx, `
		SELECT a.source, a.alias, a.provider_order_topic, a.provider_order_id, a.collector_id, a.looks FROM payment_aliases a
		WHERE a.payment_id IS NULL AND a.awaited AND a.next_look_at IS NULL AND a.created_at > now() - $3::interval
		  AND NOT coalesce(a.looked_at >= $2 AND `+passed("a.looked_at")+`, false) AND NOT EXISTS (`+openEventOf+`)
		ORDER BY a.looked_at NULLS FIRST, a.created_at LIMIT $1 FOR UPDATE SKIP LOCKED`, lookBatch, st.Run.StartedAt, lookFor)
	due, err := pgx.CollectRows(rows, scanDueLook)
	if err != nil {
		return 0, err
	}
	for _, d := range due {
		if _, err := tx.Exec(ctx, `UPDATE payment_aliases SET looked_at = now() WHERE source = $1 AND alias = $2`, d.source, d.alias); err != nil {
			return 0, err
		}
	}
	_, err = st.store.insertLooks(ctx, tx, due, NewEvent{Origin: OriginReconciliation, Background: true})
	return len(due), err
}
