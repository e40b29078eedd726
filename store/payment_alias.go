package store

import (
	"cmp"
	"context"
	"encoding/json"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/shopspring/decimal"

	"github.com/conciliar/conciliar/store/order"
)

// An OrderedPayment is a payment as an order of the provider's has it.
type OrderedPayment struct {
	order.Alias
	// Order names the provider's order.
	Order Ref
	// Reference is the merchant's order's; empty when none is named.
	Reference string
	// Said are the words of the provider's order on the payment.
	Said string
	// UpdatedNanos is when the provider's order changed last, in nanoseconds since
	// 1970; 0 when not said.
	UpdatedNanos int64
}

// aliasColumns are what Go reads of an alias a, as one JSON value.
const aliasColumns = `jsonb_build_object('source', a.source, 'alias', a.alias, 'payment_id', coalesce(a.payment_id, ''), 'numbered', a.numbered,
	'order_reference', a.order_reference, 'provider_order_id', a.provider_order_id, 'provider_order_topic', a.provider_order_topic,
	'collector_id', a.collector_id, 'currency', a.currency, 'amount', a.amount::text, 'refunded_amount', a.refunded_amount::text,
	'status', a.status, 'said', a.said, 'live_mode', a.live_mode, 'provisional', a.provisional, 'awaited', a.awaited,
	'order_created_at', a.order_created_at, 'order_updated_at', a.order_updated_at, 'order_updated_nanos', a.order_updated_nanos,
	'fetched_at', a.fetched_at, 'looks', a.looks, 'next_look_at', a.next_look_at, 'created_at', a.created_at)`

// aliasesOf selects the aliases that a merchant's order of the given reference is
// folded with: its own, and those of others that have one of its payments.
func aliasesOf(reference string) string {
	return `SELECT jsonb_agg(x.alias) FROM (
		SELECT ` + aliasColumns + ` FROM payment_aliases a WHERE a.order_reference = ` + reference + `
		UNION ALL
		SELECT ` + aliasColumns + ` FROM payments c JOIN payment_aliases a ON a.source = c.source AND a.payment_id = c.payment_id
		WHERE c.order_reference = ` + reference + ` AND a.order_reference <> ` + reference + `) x (alias)`
}

// An aliasRow is an alias as it is kept.
type aliasRow struct {
	Source       string              `json:"source"`
	Alias        string              `json:"alias"`
	PaymentID    string              `json:"payment_id"`
	Numbered     bool                `json:"numbered"`
	Reference    string              `json:"order_reference"`
	OrderID      string              `json:"provider_order_id"`
	OrderTopic   string              `json:"provider_order_topic"`
	CollectorID  string              `json:"collector_id"`
	Currency     string              `json:"currency"`
	Amount       decimal.NullDecimal `json:"amount"`
	Refunded     decimal.Decimal     `json:"refunded_amount"`
	Status       order.PaymentStatus `json:"status"`
	Said         string              `json:"said"`
	LiveMode     bool                `json:"live_mode"`
	Provisional  bool                `json:"provisional"`
	Awaited      bool                `json:"awaited"`
	OrderCreated *time.Time          `json:"order_created_at"`
	OrderUpdated *time.Time          `json:"order_updated_at"`
	UpdatedNanos int64               `json:"order_updated_nanos"`
	FetchedAt    time.Time           `json:"fetched_at"`
	Looks        int                 `json:"looks"`
	NextLookAt   *time.Time          `json:"next_look_at"`
	CreatedAt    time.Time           `json:"created_at"`
}

// of is the alias as a merchant's order is folded with it.
func (r aliasRow) of(reference string) order.Alias {
	return order.Alias{
		Source: r.Source, PaymentID: r.PaymentID, Numbered: r.Numbered, Elsewhere: r.Reference != reference,
		Provisional: r.Provisional, Awaited: r.Awaited, OrderCreatedAt: deref(r.OrderCreated),
		Payment: order.Payment{
			ID: r.Alias, Status: r.Status, StatusDetail: r.Said, Amount: r.Amount, Refunded: r.Refunded, Currency: r.Currency,
			CollectorID: r.CollectorID, LiveMode: r.LiveMode, UpdatedAt: deref(r.OrderUpdated), FetchedAt: r.FetchedAt,
		},
	}
}

// foldInput is what a merchant's order is folded from, its terms aside.
type foldInput struct {
	known   []order.Known
	rows    []aliasRow
	aliases []order.Alias
}

// readAliases takes in what aliasesOf selected.
func (f *foldInput) readAliases(reference string, raw []byte) error {
	if len(raw) == 0 {
		return nil
	}
	if err := json.Unmarshal(raw, &f.rows); err != nil {
		return err
	}
	for _, row := range f.rows {
		f.aliases = append(f.aliases, row.of(reference))
	}
	return nil
}

// loadFold reads what a merchant's order is folded from. The caller holds its lock.
func loadFold(ctx context.Context, tx pgx.Tx, reference string) (foldInput, error) {
	var f foldInput
	var batch pgx.Batch
	batch.Queue(`SELECT `+paymentColumns+`, source FROM payments WHERE order_reference = $1 ORDER BY source, payment_id`, reference).
		Query(func(rows pgx.Rows) error {
			var err error
			f.known, err = pgx.CollectRows(rows, func(row pgx.CollectableRow) (order.Known, error) {
				var known order.Known
				var err error
				known.Payment, err = scanPayment(row, &known.Source)
				return known, err
			})
			return err
		})
	batch.Queue(aliasesOf(`$1`), reference).QueryRow(func(row pgx.Row) error {
		var raw []byte
		if err := row.Scan(&raw); err != nil {
			return err
		}
		return f.readAliases(reference, raw)
	})
	return f, tx.SendBatch(ctx, &batch).Close()
}

// A ProvisionalPayment is a payment that only an order of the provider's has shown.
type ProvisionalPayment struct {
	// Alias is what the order says: it counts in the merchant's order as long as the
	// payment is not known. Its Status is empty where the order's words settle nothing.
	order.Alias
	// ProviderOrderID is the provider's order, Said its words on the payment.
	ProviderOrderID, Said string
}

// readProvisional adds to an order, whose payments are known, what the provider's orders
// say: the row of aliasesOf.
func (o *Order) readProvisional(row pgx.Row) error {
	var raw []byte
	if err := row.Scan(&raw); err != nil {
		return err
	}
	var f foldInput
	if err := f.readAliases(o.Reference, raw); err != nil {
		return err
	}
	for i, a := range f.aliases {
		row := f.rows[i]
		for j, p := range o.Payments {
			if p.Source == a.Source && p.ID == a.PaymentID {
				o.Payments[j].ProviderOrderID = row.OrderID
			}
		}
		if a.Counts() || a.Missing() && a.Provisional {
			o.ProvisionalPayments = append(o.ProvisionalPayments, ProvisionalPayment{Alias: a, ProviderOrderID: row.OrderID, Said: row.Said})
		}
	}
	slices.SortFunc(o.ProvisionalPayments, func(a, b ProvisionalPayment) int {
		return cmp.Or(a.OrderCreatedAt.Compare(b.OrderCreatedAt), cmp.Compare(a.Payment.ID, b.Payment.ID))
	})
	return nil
}

// keepPairs writes which payment each alias is, where that has changed. An alias that
// has its payment is not looked for any more.
func keepPairs(ctx context.Context, tx pgx.Tx, before, paired []order.Alias) error {
	var sources, aliases, payments []string
	for i, a := range paired {
		if a.PaymentID != before[i].PaymentID {
			sources, aliases, payments = append(sources, a.Source), append(aliases, a.Payment.ID), append(payments, a.PaymentID)
		}
	}
	if len(aliases) == 0 {
		return nil
	}
	return execute(ctx, tx, `
		UPDATE payment_aliases a SET payment_id = nullif(x.payment_id, ''), next_look_at = CASE WHEN x.payment_id = '' THEN a.next_look_at END
		FROM unnest($1::text[], $2::text[], $3::text[]) AS x (source, alias, payment_id)
		WHERE a.source = x.source AND a.alias = x.alias`, sources, aliases, payments)
}

// pairAliases pairs the aliases of an order that is not known to the merchant yet.
// The caller holds its lock.
func pairAliases(ctx context.Context, tx pgx.Tx, reference string) ([]order.Alias, error) {
	f, err := loadFold(ctx, tx, reference)
	if err != nil || len(f.aliases) == 0 {
		return nil, err
	}
	paired := order.Pair(f.aliases, f.known)
	return paired, keepPairs(ctx, tx, f.aliases, paired)
}

// applyOrdered keeps what an order of the provider's says of its payments, and settles
// the merchant's order by it. The outcome is OutcomeProvisional while the payments'
// side does not show a payment that must be there. One that is not known is looked for
// again after wait, unless it was before.
func (s *Store) applyOrdered(ctx context.Context, tx pgx.Tx, queueID int64, ordered []OrderedPayment, wait time.Duration) (SettleResult, error) {
	result := SettleResult{Outcome: OutcomeFollowed}
	ordered = slices.DeleteFunc(slices.Clone(ordered), func(p OrderedPayment) bool { return !order.NamesOrder(p.Reference) })
	if len(ordered) == 0 {
		return result, nil
	}
	references, err := lockOrdered(ctx, tx, ordered)
	if err != nil {
		return result, err
	}
	for _, p := range ordered {
		if err := saveAlias(ctx, tx, p); err != nil {
			return result, err
		}
	}
	result.Reference = ordered[0].Reference
	var missing []order.Alias
	for _, reference := range references {
		paired, status, err := s.settleOrdered(ctx, tx, queueID, reference, ordered)
		if err != nil {
			return result, err
		}
		if reference == result.Reference {
			result.OrderStatus = status
		}
		for _, a := range paired {
			if a.Missing() && slices.ContainsFunc(ordered, func(p OrderedPayment) bool {
				return p.Source == a.Source && p.Payment.ID == a.Payment.ID
			}) {
				missing = append(missing, a)
			}
		}
	}
	// One that the payments' side shows is followed, and the look is for the case that
	// its own event leads nowhere.
	if slices.ContainsFunc(missing, func(a order.Alias) bool { return a.Provisional }) {
		result.Outcome = OutcomeProvisional
	}
	if err := scheduleLook(ctx, tx, missing, wait); err != nil {
		return result, err
	}
	for _, reference := range references {
		if err := s.checkAliases(ctx, tx, settling{cause: causePayment, queueID: queueID}, reference); err != nil {
			return result, err
		}
	}
	return result, nil
}

// lockOrdered locks the merchant's orders that the payments name, or named before.
func lockOrdered(ctx context.Context, tx pgx.Tx, ordered []OrderedPayment) ([]string, error) {
	sources, aliases, named := make([]string, len(ordered)), make([]string, len(ordered)), make([]string, len(ordered))
	for i, p := range ordered {
		sources[i], aliases[i], named[i] = p.Source, p.Payment.ID, p.Reference
	}
	before, err := readColumn[string](ctx, tx, `
		SELECT a.order_reference FROM unnest($1::text[], $2::text[]) AS x (source, alias)
		JOIN payment_aliases a ON a.source = x.source AND a.alias = x.alias`, sources, aliases)
	if err != nil {
		return nil, err
	}
	references := referencesOf(append(before, named...)...)
	return references, lockOrders(ctx, tx, references)
}

// saveAlias keeps what a provider's order says of a payment, unless something later is
// known: the order that changed later says it, then the one that came further, then
// the later fetch. Whose payment the payments' side did not show once stays
// provisional until it is known.
func saveAlias(ctx context.Context, tx pgx.Tx, p OrderedPayment) error {
	if p.Numbered {
		// The order's own word is not a guess, as another alias's was.
		if _, err := tx.Exec(ctx, `
			UPDATE payment_aliases SET payment_id = NULL
			WHERE source = $1 AND payment_id = $2 AND alias <> $3 AND order_reference = $4 AND NOT numbered`,
			p.Source, p.PaymentID, p.Payment.ID, p.Reference); err != nil {
			return err
		}
	}
	q := p.Payment
	return execute(ctx, tx, `
		INSERT INTO payment_aliases AS known (source, alias, payment_id, numbered, provider_order_id, provider_order_topic, order_reference,
			collector_id, currency, amount, refunded_amount, status, said, live_mode, provisional, awaited,
			order_created_at, order_updated_at, order_updated_nanos, fetched_at, fetch_mark)
		VALUES ($1, $2, CASE WHEN $4 AND NOT EXISTS (SELECT FROM payment_aliases o WHERE o.source = $1 AND o.payment_id = $3 AND o.alias <> $2) THEN $3 END, $4,
			$5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21)
		ON CONFLICT (source, alias) DO UPDATE SET
			payment_id = coalesce(excluded.payment_id, known.payment_id), numbered = known.numbered OR excluded.numbered,
			order_reference = excluded.order_reference, collector_id = excluded.collector_id, currency = excluded.currency,
			amount = excluded.amount, refunded_amount = excluded.refunded_amount, status = excluded.status, said = excluded.said,
			live_mode = excluded.live_mode, provisional = known.provisional AND known.payment_id IS NULL OR excluded.provisional,
			awaited = excluded.awaited, order_created_at = excluded.order_created_at, order_updated_at = excluded.order_updated_at,
			order_updated_nanos = excluded.order_updated_nanos, fetched_at = excluded.fetched_at, fetch_mark = excluded.fetch_mark
		WHERE (excluded.order_updated_nanos, `+aliasRank(`excluded`)+`, excluded.fetch_mark) >= (known.order_updated_nanos, `+aliasRank(`known`)+`, known.fetch_mark)`,
		p.Source, q.ID, p.PaymentID, p.Numbered, text(p.Order.ID), p.Order.Topic, text(p.Reference),
		text(q.CollectorID), q.Currency, q.Amount, q.Refunded, q.Status, text(p.Said), q.LiveMode, p.Provisional, p.Awaited,
		orNull(p.OrderCreatedAt), orNull(q.UpdatedAt), p.UpdatedNanos, q.FetchedAt, q.FetchMark)
}

// aliasRank is how far an alias's words have come; words that settle nothing are the
// last that may be passed over.
func aliasRank(row string) string {
	return `coalesce(array_position('{` + strings.Join(order.Words(order.PaymentStatuses()), `,`) + `}', ` + row + `.status), 99)`
}

// settleOrdered settles one order of the merchant's with the aliases that it has now,
// which it returns, and its status; empty when it is not known.
func (s *Store) settleOrdered(ctx context.Context, tx pgx.Tx, queueID int64, reference string, ordered []OrderedPayment) ([]order.Alias, order.Status, error) {
	known, err := loadOrder(ctx, tx, reference)
	if err != nil {
		return nil, "", err
	}
	if known == nil && s.unknownOrder == UnknownOrderCreate {
		i := slices.IndexFunc(ordered, func(p OrderedPayment) bool {
			return p.Reference == reference && p.Counts() && s.mayCreate(p.Payment, reference)
		})
		if i >= 0 {
			known = &knownOrder{Terms: s.createdTerms(ordered[i].Payment)}
			if err := insertOrder(ctx, tx, reference, known.Terms, orderFromPayment); err != nil {
				return nil, "", err
			}
		}
	}
	if known == nil || known.refused() != "" {
		paired, err := pairAliases(ctx, tx, reference)
		return paired, "", err
	}
	settled, err := s.settleOrder(ctx, tx, reference, *known, settling{cause: causePayment, queueID: queueID})
	return settled.paired, settled.Status, err
}

// openEventOf selects the events without an end about the provider's order of an
// alias a. A dead letter is an end.
var openEventOf = `
	SELECT FROM ` + openAbout("a.source", "a.provider_order_id") + ` LEFT JOIN webhook_dead_letter d ON d.queue_id = q.id
	WHERE d.id IS NULL OR d.state = 'reopened'`
