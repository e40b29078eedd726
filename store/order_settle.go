package store

import (
	"context"
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
	// Cost is what it costs, which no order depends on.
	Cost PaymentCost
	// Method is what it was made with.
	Method PaymentMethod
	// Raw is the provider's body as received.
	Raw []byte
	// NotBefore is what must be known as of, when the answer changes nothing: else
	// it is ErrAnswerOlder. Zero where any answer will do.
	NotBefore time.Time
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
	fetched = storable(fetched)
	if err := lockPayment(ctx, tx, fetched.Source, fetched.Payment.ID); err != nil {
		return SettleResult{}, err
	}
	known, err := loadPayment(ctx, tx, fetched.Source, fetched.Payment.ID)
	if err != nil {
		return SettleResult{}, err
	}
	result := SettleResult{Outcome: OutcomeUnchanged, Reference: fetched.Reference}
	latest := knownPayment{Payment: fetched.Payment, reference: fetched.Reference, folded: true}
	applied := fetched.applies(known)
	references := referencesOf(fetched.Reference)
	if known != nil {
		latest.folded = known.folded
		if !applied {
			latest = *known
		}
		references = referencesOf(known.reference, latest.reference)
	}
	if err := lockOrders(ctx, tx, references); err != nil {
		return SettleResult{}, err
	}
	switch {
	case applied:
		fresh, err := s.savePayment(ctx, tx, queueID, fetched)
		if err != nil {
			return SettleResult{}, err
		}
		moved := known != nil && known.reference != fetched.Reference
		if moved {
			if err := moveFraudAlert(ctx, tx, fetched); err != nil {
				return SettleResult{}, err
			}
		}
		if fresh || moved {
			result.Outcome = OutcomeSettled
		}
	case fetched.Payment.Repeats(known.Payment):
		if _, err := confirmPayments.exec(ctx, tx, []paymentState{{FetchedPayment: fetched}}); err != nil {
			return SettleResult{}, err
		}
	}
	if result.Outcome == OutcomeUnchanged && latest.UpdatedAt.Before(fetched.NotBefore) {
		return SettleResult{}, ErrAnswerOlder
	}
	orderStatus, changed, err := s.settlePayment(ctx, tx, settling{cause: causePayment, queueID: queueID}, fetched.Source, latest, references)
	if err != nil {
		return SettleResult{}, err
	}
	result.OrderStatus = orderStatus
	if changed {
		result.Outcome = OutcomeSettled
	}
	return result, nil
}

// storable makes of a fetched payment what the ledger can hold: PostgreSQL keeps
// microseconds, and with Go's nanoseconds the state that is known already would
// compare as an older one. A reference that names no order is none.
func storable(f FetchedPayment) FetchedPayment {
	f.Payment.UpdatedAt = f.Payment.UpdatedAt.Truncate(time.Microsecond)
	f.Payment.FetchedAt = f.Payment.FetchedAt.Truncate(time.Microsecond)
	if !order.NamesOrder(f.Reference) {
		f.Reference = ""
	}
	return f
}

// A settling is why orders are derived.
type settling struct {
	cause string
	// queueID is the event that led to it; 0 for none.
	queueID int64
	// act is true for what a person did, which is logged whatever becomes of it;
	// actor is who, and reason why.
	act           bool
	actor, reason string
}

// settlePayment derives every order that the payment belongs or belonged to,
// and the anomalies of a payment that has no order. It returns the status of the
// payment's order, empty when there is none, and whether any order changed. The
// caller holds the locks of the payment and of the orders.
func (s *Store) settlePayment(ctx context.Context, tx pgx.Tx, why settling, source string, p knownPayment, references []string) (status order.Status, changed bool, err error) {
	sync := anomalySync{source: source, paymentIDs: []string{p.ID}, references: references, upgrade: !p.folded || why.cause == causeUpgrade}
	var news []orderNews
	unsettled := ""
	for _, ref := range references {
		known, err := loadOrder(ctx, tx, ref)
		if err != nil {
			return "", false, err
		}
		if known == nil && ref == p.reference && s.unknownOrder == UnknownOrderCreate && s.mayCreate(p.Payment, ref) {
			known = &knownOrder{Terms: s.createdTerms(p.Payment)}
			if err := insertOrder(ctx, tx, ref, known.Terms, orderFromPayment); err != nil {
				return "", false, err
			}
		}
		refused := ""
		if known != nil {
			refused = known.refused()
		}
		if known == nil || refused != "" {
			if ref == p.reference {
				unsettled = refused
			}
			if _, err := pairAliases(ctx, tx, ref); err != nil {
				return "", false, err
			}
			continue
		}
		settled, err := s.deriveOrder(ctx, tx, ref, *known, why)
		if err != nil {
			return "", false, err
		}
		sync.addOrder(ref, *known, settled.Settlement)
		news = append(news, settled.news...)
		if ref == p.reference {
			status = settled.Status
		}
		changed = changed || settled.changed
	}
	if status == "" {
		unmatched, err := s.unmatchedAnomalies(ctx, tx, p, unsettled)
		if err != nil {
			return "", false, err
		}
		sync.add(p.reference, unmatched)
	}
	anomalies, err := sync.run(ctx, tx)
	if err != nil {
		return "", false, err
	}
	return status, changed, s.tellOrders(ctx, tx, why, references, news, anomalies)
}

// unmatchedAnomalies are those of a payment without an order, under the policy.
// unsettled says why the order that it names, if there is one, is not settled.
func (s *Store) unmatchedAnomalies(ctx context.Context, tx pgx.Tx, p knownPayment, unsettled string) ([]order.Anomaly, error) {
	found := order.Unmatched(s.rulesNow(), p.Payment, p.reference, nil)
	unknown := slices.IndexFunc(found, func(a order.Anomaly) bool { return a.Kind == order.AnomalyUnknownOrder })
	switch {
	case unknown < 0:
		return found, nil
	case unsettled != "":
		found[unknown].Detail["order_terms"] = unsettled
		return found, nil
	case s.unknownOrder == UnknownOrderIgnore:
		return slices.Delete(found, unknown, unknown+1), nil
	}
	near, err := nearOrders(ctx, tx, order.ReferenceKey(p.reference))
	if err != nil || len(near) == 0 {
		return found, err
	}
	return order.Unmatched(s.rulesNow(), p.Payment, p.reference, near), nil
}

// createdTerms are the terms of an order that is made from the payment.
func (s *Store) createdTerms(p order.Payment) order.Terms {
	amount := p.Amount.Decimal
	if currency, known := order.LookupCurrency(p.Currency); known {
		amount = currency.Round(amount)
	}
	return order.Terms{Amount: amount, Currency: p.Currency, CollectorID: s.rulesNow().SellerOf(p)}
}

// mayCreate reports whether an order may be made from the payment: only money
// that could pay it, and only under a reference that an order can have.
func (s *Store) mayCreate(p order.Payment, reference string) bool {
	missing := order.Unmatched(s.rulesNow(), p, reference, nil)
	onlyTheOrder := len(missing) == 1 && missing[0].Kind == order.AnomalyUnknownOrder
	return ValidReference(reference) && !ReservedReference(reference) && s.createdTerms(p).Validate() == nil && onlyTheOrder
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
	_, err := tx.Exec(ctx, `SELECT pg_advisory_xact_lock(hashtextextended($1, $2))`, paymentLockName(source, paymentID), lockSeedPayment)
	return err
}

// paymentLockName is what a payment's lock is a hash of; an order's is of its reference.
func paymentLockName(source, paymentID string) string { return source + "/" + paymentID }

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
