package store

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/conciliar/conciliar/store/order"
)

// A FetchedPayment is a payment as a provider answered it.
type FetchedPayment struct {
	Source string
	// Payment is its state; FetchedAt is when the fetch began, by PostgreSQL's
	// clock.
	Payment order.Payment
	// Reference is the order's reference; empty when the payment names none.
	Reference string
	// Raw is the provider's body as received.
	Raw []byte
}

// A SettleResult says what a settlement did.
type SettleResult struct {
	// Outcome is OutcomeSettled or OutcomeUnchanged.
	Outcome string
	// Reference is the order's reference; empty when the payment names none.
	Reference string
	// OrderStatus is the order's status afterwards; empty when there is no order.
	OrderStatus order.Status
}

// applyPayment saves the payment and derives what follows from it.
func (s *Store) applyPayment(ctx context.Context, tx pgx.Tx, queueID int64, fetched FetchedPayment) (SettleResult, error) {
	// PostgreSQL keeps microseconds: with Go's nanoseconds the state that is
	// known already would compare as an older one.
	fetched.Payment.UpdatedAt = fetched.Payment.UpdatedAt.Truncate(time.Microsecond)
	if err := lockPayment(ctx, tx, fetched.Source, fetched.Payment.ID); err != nil {
		return SettleResult{}, err
	}
	known, knownReference, err := loadPayment(ctx, tx, fetched.Source, fetched.Payment.ID)
	if err != nil {
		return SettleResult{}, err
	}
	result := SettleResult{Outcome: OutcomeUnchanged, Reference: fetched.Reference}
	reference := fetched.Reference
	latest := fetched.Payment
	applied := known == nil || fetched.Payment.Supersedes(*known)
	if !applied {
		latest, reference = *known, knownReference
	}
	references := referencesOf(knownReference, reference)
	if err := lockOrders(ctx, tx, references); err != nil {
		return SettleResult{}, err
	}
	if applied {
		fresh, err := savePayment(ctx, tx, queueID, fetched)
		if err != nil {
			return SettleResult{}, err
		}
		if fresh || knownReference != reference {
			result.Outcome = OutcomeSettled
		}
	}
	if err := s.settlePayment(ctx, tx, queueID, fetched.Source, latest, reference, references, &result); err != nil {
		return SettleResult{}, err
	}
	return result, nil
}

// settlePayment derives every order that the payment belongs or belonged to,
// and the anomalies of a payment that has no order.
func (s *Store) settlePayment(ctx context.Context, tx pgx.Tx, queueID int64, source string, p order.Payment, reference string, references []string, result *SettleResult) error {
	sync := anomalySync{source: source, paymentID: p.ID, references: references}
	for _, ref := range references {
		terms, exists, err := loadTerms(ctx, tx, ref)
		if err != nil {
			return err
		}
		if !exists && ref == reference && s.unknownOrder == UnknownOrderCreate && s.mayCreate(p, ref) {
			terms = order.Terms{Amount: p.Amount, Currency: p.Currency}
			if err := insertOrder(ctx, tx, ref, terms, orderFromPayment); err != nil {
				return err
			}
			exists = true
		}
		if !exists {
			continue
		}
		settled, changed, err := s.deriveOrder(ctx, tx, ref, terms, causePayment, queueID)
		if err != nil {
			return err
		}
		sync.add(ref, settled.Anomalies)
		if ref == reference {
			result.OrderStatus = settled.Status
		}
		if changed {
			result.Outcome = OutcomeSettled
		}
	}
	if result.OrderStatus == "" {
		sync.add(reference, s.unmatchedAnomalies(p, reference))
	}
	return sync.run(ctx, tx)
}

// unmatchedAnomalies are those of a payment without an order, under the policy.
func (s *Store) unmatchedAnomalies(p order.Payment, reference string) []order.Anomaly {
	found := order.Unmatched(s.rules, p, reference != "")
	if s.unknownOrder != UnknownOrderIgnore {
		return found
	}
	return slices.DeleteFunc(found, func(a order.Anomaly) bool { return a.Kind == order.AnomalyUnknownOrder })
}

// mayCreate reports whether an order may be made from the payment: only money
// that could pay it, and only under a reference that an order can have.
func (s *Store) mayCreate(p order.Payment, reference string) bool {
	terms := order.Terms{Amount: p.Amount, Currency: p.Currency}
	missing := order.Unmatched(s.rules, p, true)
	onlyTheOrder := len(missing) == 1 && missing[0].Kind == order.AnomalyUnknownOrder
	return ValidReference(reference) && terms.Validate() == nil && onlyTheOrder
}

func referencesOf(references ...string) []string {
	references = slices.DeleteFunc(references, func(ref string) bool { return ref == "" })
	slices.Sort(references)
	return slices.Compact(references)
}

// The two classes of advisory locks. hashtextextended takes them as its seed,
// so that a payment and an order of the same name have different keys.
const (
	lockSeedPayment = 1
	lockSeedOrder   = 2
)

func lockPayment(ctx context.Context, tx pgx.Tx, source, paymentID string) error {
	_, err := tx.Exec(ctx, `SELECT pg_advisory_xact_lock(hashtextextended($1, $2))`, source+"/"+paymentID, lockSeedPayment)
	return err
}

// lockOrders locks the orders named, which must be sorted, whether they exist
// or not.
func lockOrders(ctx context.Context, tx pgx.Tx, references []string) error {
	for _, ref := range references {
		if _, err := tx.Exec(ctx, `SELECT pg_advisory_xact_lock(hashtextextended($1, $2))`, ref, lockSeedOrder); err != nil {
			return err
		}
	}
	return nil
}

const paymentColumns = `payment_id, status, status_detail, amount, refunded_amount, currency,
	collector_id, live_mode, validation, date_last_updated, fetched_at`

func scanPayment(row pgx.Row, extra ...any) (order.Payment, error) {
	var p order.Payment
	err := row.Scan(append([]any{
		&p.ID, &p.Status, &p.StatusDetail, &p.Amount, &p.Refunded, &p.Currency,
		&p.CollectorID, &p.LiveMode, &p.Validation, &p.UpdatedAt, &p.FetchedAt,
	}, extra...)...)
	return p, err
}

// loadPayment returns the payment as it is known, nil when it is not.
func loadPayment(ctx context.Context, tx pgx.Tx, source, paymentID string) (*order.Payment, string, error) {
	var reference string
	p, err := scanPayment(tx.QueryRow(ctx, `
		SELECT `+paymentColumns+`, coalesce(order_reference, '')
		FROM payments WHERE source = $1 AND payment_id = $2`, source, paymentID), &reference)
	if errors.Is(err, pgx.ErrNoRows) {
		return nil, "", nil
	}
	if err != nil {
		return nil, "", err
	}
	return &p, reference, nil
}

// savePayment saves the payment, which must supersede what is known, and logs
// its state. It reports whether the state is one that was never applied.
func savePayment(ctx context.Context, tx pgx.Tx, queueID int64, f FetchedPayment) (fresh bool, err error) {
	p := f.Payment
	tag, err := tx.Exec(ctx, `
		INSERT INTO payments AS known (source, payment_id, order_reference, status, status_detail, amount, refunded_amount,
			currency, collector_id, live_mode, validation, date_last_updated, fetched_at, raw)
		VALUES ($1, $2, nullif($3, ''), $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)
		ON CONFLICT (source, payment_id) DO UPDATE SET
			order_reference = excluded.order_reference, status = excluded.status, status_detail = excluded.status_detail,
			amount = excluded.amount, refunded_amount = excluded.refunded_amount, currency = excluded.currency,
			collector_id = excluded.collector_id, live_mode = excluded.live_mode, validation = excluded.validation,
			date_last_updated = excluded.date_last_updated, fetched_at = excluded.fetched_at, raw = excluded.raw
		WHERE excluded.date_last_updated >= known.date_last_updated`,
		f.Source, p.ID, f.Reference, p.Status, p.StatusDetail, p.Amount, p.Refunded,
		p.Currency, p.CollectorID, p.LiveMode, p.Validation, p.UpdatedAt, p.FetchedAt, f.Raw)
	if err != nil {
		return false, err
	}
	if tag.RowsAffected() != 1 {
		return false, fmt.Errorf("payment %s: an older state over a newer", p.ID)
	}
	tag, err = tx.Exec(ctx, `
		INSERT INTO payment_logs (source, payment_id, order_reference, status, status_detail, amount, refunded_amount,
			currency, date_last_updated, queue_id)
		VALUES ($1, $2, nullif($3, ''), $4, $5, $6, $7, $8, $9, $10)
		ON CONFLICT ON CONSTRAINT payment_logs_state_key DO NOTHING`,
		f.Source, p.ID, f.Reference, p.Status, p.StatusDetail, p.Amount, p.Refunded, p.Currency, p.UpdatedAt, queueID)
	if err != nil {
		return false, err
	}
	return tag.RowsAffected() == 1, nil
}
