package store

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/shopspring/decimal"

	"github.com/conciliar/conciliar/store/order"
)

const (
	// ledgerBatch is how many orders, or payments, one transaction compares.
	ledgerBatch = 200
	// A run that would change more than capShare-th of the orders, and more than
	// capFloor things, changes nothing: it is likelier that a rule, a release or
	// the other side is wrong than that so many orders are.
	capFloor = 50
	capShare = 20
)

// ledgerCursor is where the comparison of the ledger with itself is. First
// come the orders that changed, by when they did, then the payments that changed
// and whose orders did not.
type ledgerCursor struct {
	// Until is when the comparison began: what changes later is the next run's.
	Until    time.Time `json:"until"`
	Payments bool      `json:"payments"`
	At       time.Time `json:"at"`
	// Source and ID are the last row of those that changed at At.
	Source string `json:"source"`
	ID     string `json:"id"`
}

// CompareLedger holds a batch of orders against the fold of their payments, and
// of payments against the states that were applied, and notes what differs. It
// reports whether that was all. When there is too much, the run is stopped: its
// status is then RunStoppedByCap.
func (st *RunStep) CompareLedger(ctx context.Context) (done bool, err error) {
	err = st.advance(ctx, "compare the ledger", func(tx pgx.Tx) (progress, error) {
		done = false
		at, err := st.ledgerCursor(ctx, tx)
		if err != nil {
			return progress{}, err
		}
		b, err := st.store.compareBatch(ctx, tx, *st.Run.WindowStart, at)
		if err != nil {
			return progress{}, err
		}
		p := progress{cursor: b.next, ordersChecked: b.orders}
		if err := p.closeUnsettled(ctx, tx, againstLog, b.soundPayments, nil); err != nil {
			return p, err
		}
		if err := p.closeUnsettled(ctx, tx, againstPayments, nil, b.soundOrders); err != nil {
			return p, err
		}
		if _, err := st.keep(ctx, tx, b.differ, &p); err != nil {
			return p, err
		}
		if p.err, err = exceedsCap(ctx, tx, st.Run.DriftFound+p.driftFound); err != nil {
			return p, err
		}
		if p.err != "" {
			p.status = RunStoppedByCap
		}
		done = b.done
		return p, nil
	})
	return done, err
}

func (st *RunStep) ledgerCursor(ctx context.Context, tx pgx.Tx) (ledgerCursor, error) {
	at := ledgerCursor{At: *st.Run.WindowStart}
	if st.Cursor != nil {
		return at, st.ReadCursor(&at)
	}
	return at, tx.QueryRow(ctx, `SELECT now()`).Scan(&at.Until)
}

// exceedsCap says why a run that found so many drifts must not repair them, and
// is empty when it may.
func exceedsCap(ctx context.Context, tx pgx.Tx, drift int64) (string, error) {
	if drift <= capFloor {
		return "", nil
	}
	// Counting as far as it matters is enough, however many orders there are.
	orders, err := readValue[int64](ctx, tx, `SELECT count(*) FROM (SELECT FROM orders LIMIT $1) o`, drift*capShare)
	if err != nil || orders >= drift*capShare {
		return "", err
	}
	return fmt.Sprintf("stopped by the safety cap: %d differences found so far, more than %d and more than 1 in %d of the %d orders; nothing was repaired",
		drift, capFloor, capShare, orders), nil
}

// A ledgerBatchResult is what one batch of the ledger's comparison found.
type ledgerBatchResult struct {
	next          ledgerCursor
	done          bool
	orders        int64
	differ        []Difference
	soundPayments []string
	soundOrders   []string
}

// compareBatch compares the batch that begins at the cursor.
func (s *Store) compareBatch(ctx context.Context, tx pgx.Tx, since time.Time, at ledgerCursor) (ledgerBatchResult, error) {
	b := ledgerBatchResult{next: at}
	if at.Payments {
		return b, s.comparePayments(ctx, tx, since, &b)
	}
	rows, _ := tx.Query(ctx, `
		SELECT reference, updated_at FROM orders
		WHERE (updated_at, reference) > ($1, $2) AND updated_at <= $3
		ORDER BY updated_at, reference LIMIT $4`, at.At, at.ID, at.Until, ledgerBatch)
	var references []string
	if _, err := pgx.ForEachRow(rows, []any{&b.next.ID, &b.next.At}, func() error {
		references = append(references, b.next.ID)
		return nil
	}); err != nil {
		return b, err
	}
	if len(references) < ledgerBatch {
		b.next = ledgerCursor{Until: at.Until, Payments: true, At: since}
	}
	return b, s.compareOrders(ctx, tx, references, &b)
}

// comparePayments compares payments that changed while their orders did not.
func (s *Store) comparePayments(ctx context.Context, tx pgx.Tx, since time.Time, b *ledgerBatchResult) error {
	at := b.next
	rows, _ := tx.Query(ctx, `
		SELECT p.updated_at, p.source, p.payment_id, coalesce(o.reference, ''), o.updated_at >= $5 AND o.updated_at <= $4
		FROM payments p LEFT JOIN orders o ON o.reference = p.order_reference
		WHERE (p.updated_at, p.source, p.payment_id) > ($1, $2, $3) AND p.updated_at <= $4
		ORDER BY p.updated_at, p.source, p.payment_id LIMIT $6`, at.At, at.Source, at.ID, at.Until, since, ledgerBatch)
	var references, sources, orphans []string
	var reference string
	var compared *bool
	n := 0
	if _, err := pgx.ForEachRow(rows, []any{&b.next.At, &b.next.Source, &b.next.ID, &reference, &compared}, func() error {
		n++
		switch {
		case reference == "":
			sources, orphans = append(sources, b.next.Source), append(orphans, b.next.ID)
		case !*compared:
			references = append(references, reference)
		}
		return nil
	}); err != nil {
		return err
	}
	b.done = n < ledgerBatch
	if err := s.compareOrders(ctx, tx, referencesOf(references...), b); err != nil {
		return err
	}
	return s.compareUnmatched(ctx, tx, sources, orphans, b)
}

// soundColumn tells whether a payment's row is a state that was applied, and the
// latest of those. Every applied state has its log.
const soundColumn = `(EXISTS (` + logOfState + `) AND NOT EXISTS (` + logOfLater + `))`

// logOfState selects the log of the state that the payment p is in, logOfLater
// those of later ones.
const (
	logOfState = `
		SELECT FROM payment_logs l
		WHERE l.source = p.source AND l.payment_id = p.payment_id AND l.status = p.status
		  AND l.status_detail = p.status_detail AND l.amount IS NOT DISTINCT FROM p.amount
		  AND l.refunded_amount = p.refunded_amount AND coalesce(l.shipping, p.shipping) = p.shipping
		  AND l.date_last_updated IS NOT DISTINCT FROM p.date_last_updated AND l.currency IS NOT DISTINCT FROM p.currency
		  AND l.order_reference IS NOT DISTINCT FROM p.order_reference`
	logOfLater = `
		SELECT FROM payment_logs l
		WHERE l.source = p.source AND l.payment_id = p.payment_id 
		  AND coalesce(l.changed_at, l.date_last_updated) > coalesce(p.changed_at, p.date_last_updated)`
)

// An orderFold is an order with the payments that it has.
type orderFold struct {
	reference      string
	status         order.Status
	terms          order.Terms
	paid, refunded decimal.Decimal
	foldInput

	// suspects are payments that are not a state that was applied: what follows from
	// them says nothing of the order.
	suspects []heldPayment
}

// compareOrders holds orders against the fold of their payments.
func (s *Store) compareOrders(ctx context.Context, tx pgx.Tx, references []string, b *ledgerBatchResult) error {
	if len(references) == 0 {
		return nil
	}
	var suspects []heldPayment
	err := eachFold(ctx, tx, soundColumn, `o.reference = ANY ($1)`, []any{references}, func(fold orderFold) {
		b.orders++
		for _, p := range fold.known {
			b.soundPayments = append(b.soundPayments, p.ID)
		}
		if suspects = append(suspects, fold.suspects...); len(fold.suspects) > 0 {
			return
		}
		if d := s.compareFold(fold); d != nil {
			b.differ = append(b.differ, *d)
		} else {
			b.soundOrders = append(b.soundOrders, fold.reference)
		}
	})
	if err != nil {
		return err
	}
	return explainSuspects(ctx, tx, suspects, b)
}

// eachFold reads the settled orders of which the condition holds, by reference. An
// order that was settled under earlier rules is left to the fold of the upgrade.
// sound tells of a payment whether it is a state that was applied. It is one
// statement, so that it sees each order with the payments that made it so.
func eachFold(ctx context.Context, tx pgx.Tx, sound, condition string, args []any, each func(orderFold)) error {
	rows, _ := tx.Query(ctx, `
		SELECT o.reference, o.status, o.amount, o.currency, o.cancelled_at IS NOT NULL, o.collector_id, o.paid_amount, o.refunded_amount, named.aliases, `+sound+`, `+heldColumns+`
		FROM orders o LEFT JOIN LATERAL (`+aliasesOf(`o.reference`)+`) named (aliases) ON true
		LEFT JOIN payments p ON p.order_reference = o.reference
		WHERE `+condition+` AND o.settled_at IS NOT NULL AND o.fold_version >= `+strconv.Itoa(order.FoldVersion)+`
		ORDER BY o.reference, p.source, p.payment_id`, args...)
	var o, fold orderFold
	var aliases []byte
	var isSound *bool
	var h heldPayment
	_, err := pgx.ForEachRow(rows, append([]any{
		&o.reference, &o.status, &o.terms.Amount, &o.terms.Currency, &o.terms.Cancelled, &o.terms.CollectorID, &o.paid, &o.refunded, &aliases, &isSound,
	}, h.targets()...), func() error {
		if fold.reference != o.reference {
			if fold.reference != "" {
				each(fold)
			}
			fold = o
			if err := fold.readAliases(fold.reference, aliases); err != nil {
				return err
			}
		}
		switch {
		case !h.exists():
		case *isSound:
			fold.known = append(fold.known, order.Known{Source: *h.source, Payment: h.payment()})
		default:
			fold.suspects = append(fold.suspects, h)
		}
		return nil
	})
	if err == nil && fold.reference != "" {
		each(fold)
	}
	return err
}

// compareFold holds one order against the fold of its payments.
func (s *Store) compareFold(o orderFold) *Difference {
	d := &Difference{Kind: FindingDrift, Reference: o.reference}
	settled, paired, err := order.Fold(o.terms, s.rulesNow(), o.known, o.aliases)
	if err != nil {
		d.Kind = FindingUnsettled
		d.Detail = map[string]string{"against": againstPayments, "error": err.Error()}
		return d
	}
	d.Detail = differing(againstPayments,
		facts{"status": string(o.status), "paid_amount": plain(o.paid), "refunded_amount": plain(o.refunded)}, "settled_",
		facts{"status": string(settled.Status), "paid_amount": plain(settled.Paid), "refunded_amount": plain(settled.Refunded)})
	for i, a := range paired {
		if was := o.aliases[i].PaymentID; was != a.PaymentID {
			d.Detail["held_payment_of_"+a.Payment.ID], d.Detail["settled_payment_of_"+a.Payment.ID] = was, a.PaymentID
		}
	}
	if len(d.Detail) == 0 {
		return nil
	}
	return d
}

// compareUnmatched holds payments without an order against the states that were
// applied.
func (s *Store) compareUnmatched(ctx context.Context, tx pgx.Tx, sources, ids []string, b *ledgerBatchResult) error {
	if len(ids) == 0 {
		return nil
	}
	rows, _ := tx.Query(ctx, `
		SELECT `+soundColumn+`, `+heldColumns+`
		FROM unnest($1::text[], $2::text[]) AS x (source, id)
		JOIN payments p ON p.source = x.source AND p.payment_id = x.id`, sources, ids)
	var suspects []heldPayment
	var sound bool
	var h heldPayment
	if _, err := pgx.ForEachRow(rows, append([]any{&sound}, h.targets()...), func() error {
		if sound {
			b.soundPayments = append(b.soundPayments, *h.id)
		} else {
			suspects = append(suspects, h)
		}
		return nil
	}); err != nil {
		return err
	}
	return explainSuspects(ctx, tx, suspects, b)
}

// explainSuspects says of payments that are no applied state what they differ
// in from the latest that is.
func explainSuspects(ctx context.Context, tx pgx.Tx, suspects []heldPayment, b *ledgerBatchResult) error {
	for _, h := range suspects {
		held := h.payment()
		logged, err := latestLogged(ctx, tx, *h.source, *h.id)
		if err != nil {
			return err
		}
		d := Difference{
			Kind: FindingDrift, Source: *h.source, PaymentID: *h.id, Reference: h.orderReference(),
			Detail: map[string]string{"against": againstLog, "held_status": string(held.Status)},
		}
		if logged != nil {
			of := factsOf(logged.Payment, logged.reference)
			// The log does not have these.
			delete(of, "collector_id")
			delete(of, "live_mode")
			if !logged.shipping.Valid {
				delete(of, "shipping")
			}
			d.Detail = differing(againstLog, factsOf(held, h.orderReference()), "logged_", of)
		}
		b.differ = append(b.differ, d)
	}
	return nil
}

// A loggedState is a state of a payment that was applied, with its order's
// reference. Its shipping is null where it was logged before that was read.
type loggedState struct {
	order.Payment
	reference string
	shipping  decimal.NullDecimal
}

// latestLogged returns the latest state of a payment that was applied; nil when
// none was.
func latestLogged(ctx context.Context, tx pgx.Tx, source, paymentID string) (*loggedState, error) {
	rows, _ := tx.Query(ctx, `
		SELECT status, status_detail, amount, refunded_amount, shipping, coalesce(currency, ''), date_last_updated, changed_at,
		       applied_at, coalesce(order_reference, '')
		FROM payment_logs WHERE source = $1 AND payment_id = $2 ORDER BY id`, source, paymentID)
	states, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (loggedState, error) {
		l := loggedState{Payment: order.Payment{ID: paymentID}}
		var updatedAt, changedAt *time.Time
		err := row.Scan(&l.Status, &l.StatusDetail, &l.Amount, &l.Refunded, &l.shipping, &l.Currency, &updatedAt, &changedAt,
			&l.FetchedAt, &l.reference)
		l.Shipping = l.shipping.Decimal
		date(&l.Payment, updatedAt, changedAt)
		return l, err
	})
	if err != nil || len(states) == 0 {
		return nil, err
	}
	latest := states[0]
	for _, l := range states[1:] {
		if l.Supersedes(latest.Payment) {
			latest = l
		}
	}
	return &latest, nil
}
