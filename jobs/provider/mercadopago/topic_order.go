package mercadopago

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/shopspring/decimal"

	"github.com/conciliar/conciliar/jobs/provider"
)

const (
	// topicOrder is the name of a Mercado Pago order's topic in Webhooks.
	topicOrder = "order"
	// orderSlack is how long before its order, and after its order's last change, a
	// payment of it may have been created.
	orderSlack = 10 * time.Minute
)

// A Mercado Pago order holds payments by ids of its own (the orders reference). The
// payments' own numbers stand in it when it was paid at a counter; those of an online
// order are found by the payments' search, which lags.
var orderTopic = topic{
	names:     []string{topicOrder, "orders"},
	work:      provider.Follow,
	isID:      mercadoPagoOrderID,
	operation: "order",
	path:      []string{"v1", "orders"},
	read: func(raw []byte) (string, provider.Found, error) {
		o, err := readMercadoPagoOrder(raw)
		if err != nil {
			return "", provider.Found{}, fmt.Errorf("order: %w", err)
		}
		return o.id, provider.Found{Next: o.numbered(), Ordered: o.ordered()}, nil
	},
	complete: (*Client).searchOrder,
}

// UnverifiableInTests tells whether deliveries of a topic may not verify in any way
// while test credentials are in use: sdk-java's issue 420 and others tell so of
// orders.
func UnverifiableInTests(topic string) bool { return topicNamed(topic) == &orderTopic }

// mercadoPagoOrderID tells whether s can be the id of an order of Mercado Pago's.
func mercadoPagoOrderID(s string) bool { return validID(s) && strings.HasPrefix(s, "ORD") }

// A mercadoPagoOrder is what of an order leads to its payments.
type mercadoPagoOrder struct {
	id, reference, collectorID, currency string
	created, updated                     time.Time
	// words are the order's own status and detail.
	words    orderWords
	payments []orderPayment
}

// An orderPayment is a payment as its order has it.
type orderPayment struct {
	// id is the order's id of it; number is the payment's own, empty where the order
	// doesn't say it.
	id, number       string
	amount, refunded decimal.NullDecimal
	// words are the order's on the payment; status is what they amount to, empty where
	// they settle nothing.
	words  orderWords
	status string
	// expected is true where a payment must be there: it has money, or a word that
	// we don't know. shown is true when the search shows it.
	expected, shown bool
}

// orderCurrencies are the currencies by what orders call the countries: an answer
// may leave its currency out.
var orderCurrencies = map[string]string{
	"AR": "ARS", "ARG": "ARS", "MLA": "ARS", "BR": "BRL", "BRA": "BRL", "MLB": "BRL", "MX": "MXN", "MEX": "MXN", "MLM": "MXN",
	"CL": "CLP", "CHL": "CLP", "MLC": "CLP", "CO": "COP", "COL": "COP", "MCO": "COP", "PE": "PEN", "PER": "PEN", "MPE": "PEN",
	"UY": "UYU", "URY": "UYU", "MLU": "UYU",
}

// readMercadoPagoOrder reads the answer of GET /v1/orders/{id}. What leads to no
// payment may be absent; a payment of the list that can't be read is an error.
func readMercadoPagoOrder(raw []byte) (mercadoPagoOrder, error) {
	fields, err := readObject(raw)
	if err != nil {
		return mercadoPagoOrder{}, err
	}
	reference, ok := readReference(fields)
	if !ok {
		return mercadoPagoOrder{}, errors.New("external_reference is neither text nor a number")
	}
	o := mercadoPagoOrder{
		id: fields.id("id"), reference: reference, collectorID: fields.id("user_id"),
		currency: orderCurrency(fields), words: readOrderWords(fields),
		created: readTime(fields.text("created_date")), updated: readNanos(fields.text("last_updated_date")),
	}
	transactions := fields.child("transactions")
	entries, err := transactions.list("payments")
	if err != nil {
		return mercadoPagoOrder{}, errors.New("transactions.payments is not a list")
	}
	online := strings.EqualFold(fields.text("type"), "online")
	for _, entry := range entries {
		p, err := readOrderPayment(entry, online)
		if err != nil {
			return mercadoPagoOrder{}, fmt.Errorf("transactions.payments: %w", err)
		}
		o.payments = append(o.payments, p)
	}
	for i := range o.payments {
		o.judge(&o.payments[i], transactions)
	}
	return o, nil
}

// orderCurrency is the currency of an order, which may leave it to the country.
// Where the two contradict each other there is none.
func orderCurrency(fields object) string {
	named := strings.ToUpper(cmp.Or(fields.text("currency"), fields.text("currency_id")))
	country := orderCurrencies[strings.ToUpper(fields.text("country_code"))]
	if named != "" && country != "" && named != country {
		return ""
	}
	return cmp.Or(named, country)
}

// readOrderPayment reads a payment of an order, which is an online one or not.
func readOrderPayment(raw json.RawMessage, online bool) (orderPayment, error) {
	fields, err := readObject(raw)
	if err != nil {
		return orderPayment{}, err
	}
	p := orderPayment{
		id: fields.id("id"), number: cmp.Or(fields.id("reference_id"), fields.child("reference").id("id")), words: readOrderWords(fields),
	}
	if !paymentNumber(p.number) || online && len(p.number) == onlineCodeLength {
		p.number = ""
	}
	// Money that is reserved only has been made a payment as well.
	p.expected = p.words == orderWords{"action_required", "waiting_capture"} || !slices.Contains(moneylessOrderStatuses, p.words.status)
	amount, err := readAmount(fields, "amount")
	if err != nil && p.expected && p.number == "" {
		return orderPayment{}, fmt.Errorf("amount: %w", err)
	}
	p.amount = decimal.NullDecimal{Decimal: amount, Valid: err == nil}
	if !fields.empty("refunded_amount") {
		refunded, err := readAmount(fields, "refunded_amount")
		if err != nil {
			return orderPayment{}, fmt.Errorf("refunded_amount: %w", err)
		}
		p.refunded = decimal.NewNullDecimal(refunded)
	}
	return p, nil
}

// OrderReference is the order reference in the copy of an order that a notification
// has.
func (*Client) OrderReference(notification []byte) string {
	copied := readHints(notification).body.child("data")
	reference, ok := readReference(copied)
	if !ok {
		return ""
	}
	return reference
}

// onlineCodeLength is how long an online order's references to its payments are. Such
// a code is of letters and digits, and all digits now and then: as a payment's id it
// would lead to nobody's payment, and the money would count a second time.
const onlineCodeLength = 10

// paymentNumber tells whether an order's reference to a payment can be the payment's
// own id.
func paymentNumber(s string) bool {
	const shortest, longest = 6, 20
	return allDigits(s) && len(s) >= shortest && len(s) <= longest && s[0] != '0'
}

// numbered are the payments whose own ids stand in the order.
func (o mercadoPagoOrder) numbered() []provider.Ref {
	var refs []provider.Ref
	for _, p := range o.payments {
		if p.number != "" && !slices.Contains(refs, paymentTopic.ref(p.number)) {
			refs = append(refs, paymentTopic.ref(p.number))
		}
	}
	return refs
}

// searchOrder adds the payments that the search shows under the order's reference
// and collector, whichever they are, and says which of the order's it shows. The
// error is a *provider.Error of the kind NotListed while it does not show one that
// the order has no id for.
func (c *Client) searchOrder(ctx context.Context, raw []byte, found provider.Found) (provider.Found, error) {
	o, err := readMercadoPagoOrder(raw)
	if err != nil {
		return provider.Found{}, &provider.Error{Kind: provider.Unexpected, Err: err}
	}
	unnumbered := slices.ContainsFunc(o.payments, func(p orderPayment) bool { return p.number == "" })
	// Without a reference no order of the merchant's is meant, and nothing can be
	// searched for.
	if !unnumbered || o.reference == "" {
		return found, nil
	}
	page, err := c.SearchPayments(ctx, provider.SearchQuery{Reference: o.reference, CollectorID: o.collectorID, Descending: true})
	if err != nil {
		return provider.Found{}, err
	}
	listed := slices.DeleteFunc(page.Payments, func(p provider.Payment) bool {
		return p.Reference != o.reference || o.collectorID != "" && p.CollectorID != o.collectorID
	})
	for _, p := range listed {
		if ref := paymentTopic.ref(p.ID); !slices.Contains(found.Next, ref) {
			found.Next = append(found.Next, ref)
		}
	}
	for _, odd := range page.Odd { // its own event says what is odd about it
		if ref := paymentTopic.ref(odd.ID); odd.Reference == o.reference && paymentTopic.isID(odd.ID) && !slices.Contains(found.Next, ref) {
			found.Next = append(found.Next, ref)
		}
	}
	if !o.pair(listed) {
		return provider.Found{}, &provider.Error{Kind: provider.NotListed,
			Err: errors.New("order: the search does not show all of its payments yet")}
	}
	found.Ordered = o.ordered()
	return found, nil
}

// pair notes which of the order's payments the search shows, each as another one. It
// is false while one is missing that the order has no id for: nothing can be kept of
// it.
func (o *mercadoPagoOrder) pair(listed []provider.Payment) bool {
	numbered := o.numbered()
	left := slices.DeleteFunc(listed, func(p provider.Payment) bool { return slices.Contains(numbered, paymentTopic.ref(p.ID)) })
	for n, want := range o.payments {
		if want.number != "" {
			continue
		}
		i := slices.IndexFunc(left, func(p provider.Payment) bool { return o.isOf(want, p) })
		switch {
		case i >= 0:
			left = slices.Delete(left, i, i+1)
			o.payments[n].shown = true
		case want.expected && want.id == "":
			return false
		}
	}
	return true
}

// isOf reports whether a payment of the order's reference and collector can be the
// one that the order has.
func (o mercadoPagoOrder) isOf(want orderPayment, p provider.Payment) bool {
	if o.currency != "" && p.Currency != o.currency || !p.Amount.Valid || !want.amount.Valid || !p.Amount.Decimal.Equal(want.amount.Decimal) {
		return false
	}
	created := p.CreatedAt
	return created.IsZero() ||
		(o.created.IsZero() || !created.Before(o.created.Add(-orderSlack))) &&
			(o.updated.IsZero() || !created.After(o.updated.Add(orderSlack)))
}
