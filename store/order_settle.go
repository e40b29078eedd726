package store

import (
	"cmp"
	"context"
	"errors"
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
	applied := known == nil || fetched.Payment.Supersedes(known.Payment) || known.renamed(fetched)
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
		if err := confirmPayment(ctx, tx, fetched); err != nil {
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

// storable makes of a fetched payment what the books can hold: PostgreSQL keeps
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
	sync := anomalySync{source: source, paymentID: p.ID, references: references, upgrade: !p.folded || why.cause == causeUpgrade}
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

const paymentColumns = `payment_id, status, status_detail, amount, refunded_amount, shipping, coalesce(currency, ''),
	collector_id, coalesce(subscription_id, ''), subscription_number, live_mode, validation,
	date_created, date_last_updated, changed_at, fetched_at, fetch_mark`

func scanPayment(row pgx.Row, extra ...any) (order.Payment, error) {
	var p order.Payment
	var createdAt, updatedAt, changedAt *time.Time
	err := row.Scan(append([]any{
		&p.ID, &p.Status, &p.StatusDetail, &p.Amount, &p.Refunded, &p.Shipping, &p.Currency,
		&p.CollectorID, &p.SubscriptionID, &p.SubscriptionNumber, &p.LiveMode, &p.Validation,
		&createdAt, &updatedAt, &changedAt, &p.FetchedAt, &p.FetchMark,
	}, extra...)...)
	p.CreatedAt = deref(createdAt)
	date(&p, updatedAt, changedAt)
	return p, err
}

// date sets when a payment in the books was changed, as reported and as it counts.
func date(p *order.Payment, updatedAt, changedAt *time.Time) {
	p.UpdatedAt, p.KnownAt = deref(updatedAt), deref(changedAt)
	if changedAt == nil {
		p.KnownAt = p.UpdatedAt
	}
}

func deref(t *time.Time) time.Time {
	if t == nil {
		return time.Time{}
	}
	return *t
}

// changedAt is what is stored of when a payment counts as changed: nothing where
// that is its date.
func changedAt(p order.Payment) *time.Time {
	at := p.ChangedAt()
	if at.Equal(p.UpdatedAt) {
		return nil
	}
	return &at
}

// A knownPayment is a payment in the books with its order's reference.
type knownPayment struct {
	order.Payment
	reference string
	// folded is true when it was read under the rules of this release.
	folded bool
}

// renamed reports whether a later fetch found the payment as it is known, under
// another reference.
func (p *knownPayment) renamed(f FetchedPayment) bool {
	later := cmp.Or(cmp.Compare(f.Payment.FetchMark, p.FetchMark), f.Payment.FetchedAt.Compare(p.FetchedAt)) > 0
	return later && f.Reference != p.reference && f.Payment.Repeats(p.Payment)
}

// loadPayment returns the payment as it is known, nil when it is not. The caller
// holds its lock.
func loadPayment(ctx context.Context, tx pgx.Tx, source, paymentID string) (*knownPayment, error) {
	var books, version int
	if err := tx.QueryRow(ctx, `SELECT `+foldVersion).Scan(&books); err != nil {
		return nil, err
	}
	if err := checkFold(books); err != nil {
		return nil, err
	}
	var p knownPayment
	var err error
	p.Payment, err = scanPayment(tx.QueryRow(ctx, `
		SELECT `+paymentColumns+`, coalesce(order_reference, ''), fold_version
		FROM payments WHERE source = $1 AND payment_id = $2`, source, paymentID), &p.reference, &version)
	if errors.Is(err, pgx.ErrNoRows) {
		return nil, nil //nolint:nilnil // that it is not known is no error
	}
	if err != nil {
		return nil, err
	}
	p.folded = version >= order.FoldVersion
	return &p, nil
}

// savePayment saves the payment, which must supersede what is known, and logs
// its state. It reports whether the state is one that was never applied. The answer
// of a forgotten payer's payment is not kept.
func (s *Store) savePayment(ctx context.Context, tx pgx.Tx, queueID int64, f FetchedPayment) (fresh bool, err error) {
	p := f.Payment
	hashes, err := s.payerHashes(ctx, tx, f.Source, f.Raw)
	if err != nil {
		return false, err
	}
	_, err = tx.Exec(ctx, `
		INSERT INTO payments (source, payment_id, order_reference, status, status_detail, amount, refunded_amount, shipping,
			currency, collector_id, subscription_id, subscription_number, live_mode, validation, date_last_updated, changed_at,
			fetched_at, fetch_mark, raw, fold_version, date_created, fee_amount, application_fee_amount, financing_fee_amount,
			shipping_fee_amount, taxes_amount, net_amount, release_date, release_status, cost_read_at)
		VALUES ($1, $2, nullif($3, ''), $4, $5, $6, $7, $8, nullif($9, ''), $10, nullif($11, ''), $12, $13, $14, $15, $16, $17, $18,
			CASE WHEN `+forgottenSQL("$1", "$2", "$22::bytea[]")+` THEN '' ELSE $19::bytea END, $20, $21,
			$23, $24, $25, $26, $27, $28, $29, nullif($30, ''), $17)
		ON CONFLICT (source, payment_id) DO UPDATE SET
			order_reference = excluded.order_reference, status = excluded.status, status_detail = excluded.status_detail,
			amount = excluded.amount, refunded_amount = excluded.refunded_amount, shipping = excluded.shipping,
			currency = excluded.currency, collector_id = excluded.collector_id, subscription_id = excluded.subscription_id,
			subscription_number = excluded.subscription_number, live_mode = excluded.live_mode, validation = excluded.validation,
			date_last_updated = excluded.date_last_updated, changed_at = excluded.changed_at, fetched_at = excluded.fetched_at,
			fetch_mark = greatest(payments.fetch_mark, excluded.fetch_mark), raw = excluded.raw, fold_version = excluded.fold_version,
			date_created = excluded.date_created, fee_amount = excluded.fee_amount, application_fee_amount = excluded.application_fee_amount,
			financing_fee_amount = excluded.financing_fee_amount, shipping_fee_amount = excluded.shipping_fee_amount,
			taxes_amount = excluded.taxes_amount, net_amount = excluded.net_amount, release_date = excluded.release_date,
			release_status = excluded.release_status, cost_read_at = excluded.cost_read_at`,
		f.Source, p.ID, f.Reference, p.Status, p.StatusDetail, p.Amount, p.Refunded, p.Shipping,
		p.Currency, p.CollectorID, p.SubscriptionID, p.SubscriptionNumber, p.LiveMode, p.Validation, orNull(p.UpdatedAt), changedAt(p),
		p.FetchedAt, p.FetchMark, f.Raw, order.FoldVersion, orNull(p.CreatedAt), hashes,
		f.Cost.Fee, f.Cost.ApplicationFee, f.Cost.FinancingFee, f.Cost.ShippingFee, f.Cost.Taxes, f.Cost.Net,
		orNull(f.Cost.ReleaseDate), f.Cost.ReleaseStatus)
	if err != nil {
		return false, err
	}
	tag, err := tx.Exec(ctx, `
		INSERT INTO payment_logs (source, payment_id, order_reference, status, status_detail, amount, refunded_amount, shipping,
			currency, date_last_updated, changed_at, queue_id)
		VALUES ($1, $2, nullif($3, ''), $4, $5, $6, $7, $8, nullif($9, ''), $10, $11, $12)
		ON CONFLICT DO NOTHING`,
		f.Source, p.ID, f.Reference, p.Status, p.StatusDetail, p.Amount, p.Refunded, p.Shipping, p.Currency,
		orNull(p.UpdatedAt), changedAt(p), queueID)
	if err != nil || tag.RowsAffected() == 1 {
		return err == nil, err
	}
	// The state was applied before; shipping is no part of what makes one.
	_, err = tx.Exec(ctx, `
		UPDATE payment_logs SET shipping = $8
		WHERE source = $1 AND payment_id = $2 AND status = $3 AND status_detail = $4 AND amount IS NOT DISTINCT FROM $5
		  AND refunded_amount = $6 AND date_last_updated IS NOT DISTINCT FROM $7 AND shipping IS DISTINCT FROM $8`,
		f.Source, p.ID, p.Status, p.StatusDetail, p.Amount, p.Refunded, orNull(p.UpdatedAt), p.Shipping)
	return false, err
}

// confirmPayment notes that a fetch found the payment in the state that is known. Its
// costs and its release are no part of a state.
func confirmPayment(ctx context.Context, tx pgx.Tx, f FetchedPayment) error {
	_, err := tx.Exec(ctx, `
		UPDATE payments SET fetched_at = greatest(fetched_at, $3), fetch_mark = greatest(fetch_mark, $4), cost_read_at = greatest(fetched_at, $3),
			fee_amount = $5, application_fee_amount = $6, financing_fee_amount = $7, shipping_fee_amount = $8, taxes_amount = $9,
			net_amount = $10, release_date = $11, release_status = nullif($12, '')
		WHERE source = $1 AND payment_id = $2 AND (fetched_at < $3 OR fetch_mark < $4)`,
		f.Source, f.Payment.ID, f.Payment.FetchedAt, f.Payment.FetchMark,
		f.Cost.Fee, f.Cost.ApplicationFee, f.Cost.FinancingFee, f.Cost.ShippingFee, f.Cost.Taxes, f.Cost.Net,
		orNull(f.Cost.ReleaseDate), f.Cost.ReleaseStatus)
	return err
}

func orNull(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	return &t
}
