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
		return o.id, provider.Found{Next: o.numbered()}, nil
	},
	complete: (*Client).searchOrder,
}

// mercadoPagoOrderID tells whether s can be the id of an order of Mercado Pago's.
func mercadoPagoOrderID(s string) bool { return validID(s) && strings.HasPrefix(s, "ORD") }

// A mercadoPagoOrder is what of an order leads to its payments.
type mercadoPagoOrder struct {
	id, reference, collectorID, currency string
	created, updated                     time.Time
	payments                             []orderPayment
}

// An orderPayment is a payment as its order has it.
type orderPayment struct {
	// number is the payment's own id; empty where the order doesn't say it.
	number string
	amount decimal.Decimal
	// expected is true where a payment must be there: it has money, or a word that
	// we don't know.
	expected bool
}

// moneylessOrderStatuses are the statuses of an order's payment in which there may
// be no payment that a search shows.
var moneylessOrderStatuses = []string{
	"created", "action_required", "processing", "at_terminal", "failed", "canceled", "cancelled", "expired",
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
		currency: strings.ToUpper(cmp.Or(fields.text("currency"), fields.text("currency_id"))),
	}
	if o.currency == "" {
		o.currency = orderCurrencies[strings.ToUpper(fields.text("country_code"))]
	}
	o.created = readTime(fields.text("created_date"))
	o.updated = readTime(fields.text("last_updated_date"))
	var list []json.RawMessage
	if transactions := fields.child("transactions"); !transactions.empty("payments") {
		if err := json.Unmarshal(transactions["payments"], &list); err != nil {
			return mercadoPagoOrder{}, errors.New("transactions.payments is not a list")
		}
	}
	for _, entry := range list {
		p, err := readOrderPayment(entry)
		if err != nil {
			return mercadoPagoOrder{}, fmt.Errorf("transactions.payments: %w", err)
		}
		o.payments = append(o.payments, p)
	}
	return o, nil
}

func readOrderPayment(raw json.RawMessage) (orderPayment, error) {
	fields, err := readObject(raw)
	if err != nil {
		return orderPayment{}, err
	}
	p := orderPayment{number: cmp.Or(fields.id("reference_id"), fields.child("reference").id("id"))}
	if !paymentNumber(p.number) {
		p.number = ""
	}
	status := strings.ToLower(fields.text("status"))
	// Money that is reserved only has been made a payment as well.
	reserved := status == "action_required" && strings.EqualFold(fields.text("status_detail"), "waiting_capture")
	p.expected = reserved || !slices.Contains(moneylessOrderStatuses, status)
	p.amount, err = readAmount(fields, "amount")
	if err != nil && p.expected && p.number == "" {
		return orderPayment{}, fmt.Errorf("amount: %w", err)
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

// paymentNumber tells whether an order's reference to a payment is the payment's own
// id. An online order's is a code of another kind, which may be all digits by chance
// but is never as long.
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
// and collector, whichever they are. As long as it shows fewer than the order has,
// the error is a *provider.Error of the kind NotListed.
func (c *Client) searchOrder(ctx context.Context, raw []byte, found provider.Found) (provider.Found, error) {
	o, err := readMercadoPagoOrder(raw)
	if err != nil {
		return provider.Found{}, &provider.Error{Kind: provider.Unexpected, Err: err}
	}
	unnumbered := slices.DeleteFunc(slices.Clone(o.payments), func(p orderPayment) bool { return p.number != "" })
	// Without a reference no order of the merchant's is meant, and nothing can be
	// searched for.
	if len(unnumbered) == 0 || o.reference == "" {
		return found, nil
	}
	page, err := c.SearchPayments(ctx, provider.SearchQuery{Reference: o.reference, CollectorID: o.collectorID, Descending: true})
	if err != nil {
		return provider.Found{}, err
	}
	unpaired := slices.DeleteFunc(page.Payments, func(p provider.Payment) bool {
		return p.Reference != o.reference || o.collectorID != "" && p.CollectorID != o.collectorID
	})
	for _, p := range unpaired {
		if ref := paymentTopic.ref(p.ID); !slices.Contains(found.Next, ref) {
			found.Next = append(found.Next, ref)
		}
	}
	for _, odd := range page.Odd { // its own event says what is odd about it
		if ref := paymentTopic.ref(odd.ID); odd.Reference == o.reference && paymentTopic.isID(odd.ID) && !slices.Contains(found.Next, ref) {
			found.Next = append(found.Next, ref)
		}
	}
	unpaired = slices.DeleteFunc(unpaired, func(p provider.Payment) bool { return slices.Contains(o.numbered(), paymentTopic.ref(p.ID)) })
	for _, want := range unnumbered {
		i := slices.IndexFunc(unpaired, func(p provider.Payment) bool { return o.isOf(want, p) })
		switch {
		case i >= 0:
			unpaired = slices.Delete(unpaired, i, i+1)
		case want.expected:
			return provider.Found{}, &provider.Error{Kind: provider.NotListed,
				Err: errors.New("order: the search does not show all of its payments yet")}
		}
	}
	return found, nil
}

// isOf reports whether a payment of the order's reference and collector can be the
// one that the order has.
func (o mercadoPagoOrder) isOf(want orderPayment, p provider.Payment) bool {
	if o.currency != "" && p.Currency != o.currency || !p.Amount.Valid || !p.Amount.Decimal.Equal(want.amount) {
		return false
	}
	created := p.CreatedAt
	return created.IsZero() ||
		(o.created.IsZero() || !created.Before(o.created.Add(-orderSlack))) &&
			(o.updated.IsZero() || !created.After(o.updated.Add(orderSlack)))
}
