package mercadopago

import (
	"bytes"
	"cmp"
	"fmt"
	"strings"
	"unicode"

	"github.com/shopspring/decimal"

	"github.com/conciliar/conciliar/jobs/provider"
)

const (
	// operationCardValidation is a check of a card: amount 0, no order behind it
	// (the payments reference).
	operationCardValidation = "card_validation"

	// maxReference bounds what we keep of external_reference, in characters.
	// The payments reference allows 64: what is cut could name no order anyway,
	// and uncut it could be too long for an index.
	maxReference = 256
	// maxStatus bounds a status and its detail, in characters.
	maxStatus = 128
)

// paymentStatuses are the statuses of the payments reference. Those that are
// true have money, come or reserved, so they need an amount and a currency.
var paymentStatuses = map[string]bool{
	"pending": false, "in_process": false, "rejected": false, "cancelled": false,
	"authorized": true, "approved": true, "in_mediation": true, "refunded": true, "charged_back": true,
}

// DecodePayment reads the answer of GET /v1/payments/{id} (the payments
// reference). A fact in another shape than the documented one is read when it
// can be read in one way only: a number or a truth value as text, an id as an
// object that has it, a word in capitals, a date in another form. What the
// payment's status doesn't need may be absent, null or anything else. Nothing is
// rounded, and raw is kept byte for byte.
//
// An error that is an *provider.OddPayment is about a payment that can't be
// booked; any other one means that raw is not a payment. Neither says what stands
// in a field.
func DecodePayment(raw []byte) (provider.Payment, error) {
	o, err := readObject(raw)
	if err != nil {
		return provider.Payment{}, fmt.Errorf("payment: %w", err)
	}
	reference, hasReference := readReference(o)
	p := provider.Payment{
		ID:              o.id("id"),
		Reference:       reference,
		MerchantOrderID: o.ref("order"),
		Status:          readStatus(o),
		StatusDetail:    strings.ToLower(storable(o.text("status_detail"), maxStatus)),
		CollectorID:     o.ref("collector_id"),
		Validation:      strings.EqualFold(o.text("operation_type"), operationCardValidation),
		Shipping:        readShipping(o),
		Method:          readMethod(o),
		Raw:             bytes.Clone(raw),
	}
	p.CollectorID = cmp.Or(p.CollectorID, o.ref("collector"))
	// Where it isn't said, the payment is not taken for a live one: whoever
	// accepts live payments only would otherwise hand out goods for a test.
	if live := o.boolean("live_mode"); live != nil {
		p.LiveMode = *live
	}
	p.CreatedAt = readTime(o.text("date_created"))
	p.UpdatedAt = readTime(o.text("date_last_updated"))
	p.SubscriptionID, p.SubscriptionNumber = readSubscription(o)

	odd := oddities{}
	if p.ID == "" {
		odd.add(provider.FieldID, "id is missing or is not an id")
	}
	if p.Status == "" {
		odd.add(provider.FieldStatus, "status is missing or is not text")
	}
	hasMoney := paymentStatuses[p.Status]
	amount, err := readAmount(o, "transaction_amount")
	if err == nil {
		p.Amount = decimal.NewNullDecimal(amount)
	} else if hasMoney {
		odd.add(provider.FieldAmount, "transaction_amount "+err.Error())
	}
	p.Cost = readCost(o, p.Status, p.Amount)
	if p.Refunded, err = readRefunded(o); err != nil && refundCounts(p.Status, p.StatusDetail) {
		odd.add(provider.FieldRefunded, "transaction_amount_refunded "+err.Error())
	}
	if p.Currency = readCurrency(o); p.Currency == "" && hasMoney {
		odd.add(provider.FieldCurrency, "currency_id is missing or is not an ISO 4217 code")
	}
	if !hasReference && hasMoney {
		odd.add(provider.FieldReference, "external_reference is neither text nor a number")
	}
	if len(odd.fields) > 0 {
		return provider.Payment{}, &provider.OddPayment{
			ID: p.ID, Reference: p.Reference, MerchantOrderID: p.MerchantOrderID, UpdatedAt: p.UpdatedAt,
			Fields: odd.fields, Problem: "payment: " + strings.Join(odd.problems, "; "), Raw: p.Raw,
		}
	}
	return p, nil
}

// oddities are what can't be read of a payment.
type oddities struct {
	fields   []provider.Field
	problems []string
}

func (o *oddities) add(field provider.Field, problem string) {
	o.fields, o.problems = append(o.fields, field), append(o.problems, problem)
}

// readStatus is the status as the payments reference writes it, in whatever case
// it came. A word outside that list stays as it is: it is for others to judge.
func readStatus(o object) string {
	status := storable(o.text("status"), maxStatus)
	if known := strings.ToLower(status); known != status {
		if _, ok := paymentStatuses[known]; ok {
			return known
		}
	}
	return status
}

// readReference is external_reference as the merchant wrote it, empty where it
// names no order: nothing, blanks, or the word null, which some shops send. It
// reports false when something stands there that can't be one.
func readReference(o object) (reference string, ok bool) {
	reference = storable(o.scalar("external_reference"), maxReference)
	if reference == "" {
		return "", o.empty("external_reference")
	}
	visible := strings.TrimFunc(reference, func(r rune) bool { return unicode.IsSpace(r) || !unicode.IsGraphic(r) })
	if visible == "" || visible == "null" {
		return "", true
	}
	return reference, true
}

// readCurrency is currency_id; empty when it is none.
func readCurrency(o object) string {
	code := strings.ToUpper(o.text("currency_id"))
	if len(code) != 3 || strings.Trim(code, "ABCDEFGHIJKLMNOPQRSTUVWXYZ") != "" {
		return ""
	}
	return code
}

// readRefunded is what went back; nothing said is nothing.
func readRefunded(o object) (decimal.Decimal, error) {
	if o.empty("transaction_amount_refunded") {
		return decimal.Decimal{}, nil
	}
	return readAmount(o, "transaction_amount_refunded")
}

// refundCounts tells whether transaction_amount_refunded decides how much of a
// payment is left. In the other states nothing is, or nothing came.
func refundCounts(status, detail string) bool {
	return status == "approved" || status == "charged_back" && detail == "reimbursed"
}

// readShipping is what was charged for shipping beside the amount. It has two
// names, and the one that isn't used is absent or 0. What can't be read is none:
// the payment counts without it.
func readShipping(o object) decimal.Decimal {
	for _, name := range []string{"shipping_amount", "shipping_cost"} {
		if shipping, err := readAmount(o, name); err == nil && shipping.IsPositive() {
			return shipping
		}
	}
	return decimal.Decimal{}
}

// PaymentTypes are the words of payment_type_id (the payment methods reference). Others
// come: they are shown as they are.
func PaymentTypes() []string {
	return []string{
		"credit_card", "debit_card", "prepaid_card", "voucher_card", "account_money", "bank_transfer", "ticket", "atm",
		"digital_currency", "digital_wallet", "crypto_transfer",
	}
}

// PaymentMethods are the words of payment_method_id that are commonest. Many others come:
// they are shown as they are.
func PaymentMethods() []string {
	return []string{
		"visa", "master", "amex", "elo", "maestro", "debvisa", "debmaster", "debelo", "account_money", "consumer_credits",
		"pix", "bolbradesco", "pec", "rapipago", "pagofacil", "oxxo", "clabe", "pse", "efecty", "webpay", "yape", "pagoefectivo_atm", "abitab", "redpagos",
	}
}

// readMethod is what the payment was made with: payment_method_id, for example visa, pix
// or rapipago, and payment_type_id.
func readMethod(o object) provider.Method {
	word := func(name string) string { return strings.ToLower(storable(o.text(name), maxStatus)) }
	return provider.Method{ID: word("payment_method_id"), Type: word("payment_type_id")}
}

// readSubscription is which charge of which subscription a payment is.
func readSubscription(o object) (id string, number int64) {
	data := o.child("point_of_interaction").child("transaction_data")
	if id = data.id("subscription_id"); id == "" {
		return "", 0
	}
	n, err := readAmount(data.child("subscription_sequence"), "number")
	if err != nil || !n.IsInteger() {
		return id, 0
	}
	return id, n.IntPart()
}
