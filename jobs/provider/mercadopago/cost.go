package mercadopago

import (
	"strings"

	"github.com/shopspring/decimal"

	"github.com/conciliar/conciliar/jobs/provider"
)

// payerCollector is the word for the account that was paid, in fee_payer and in a
// charge's accounts.from.
const payerCollector = "collector"

// ReleaseStatuses are the words of money_release_status (the payments reference).
func ReleaseStatuses() []string { return []string{"pending", "released", "rejected"} }

// feeKinds are the types of fees that are not Mercado Pago's own (the payments
// reference); every other one is.
var feeKinds = map[string]func(*provider.Cost) *decimal.NullDecimal{
	"application_fee": func(c *provider.Cost) *decimal.NullDecimal { return &c.ApplicationFee },
	"financing_fee":   func(c *provider.Cost) *decimal.NullDecimal { return &c.FinancingFee },
	"shipping_fee":    func(c *provider.Cost) *decimal.NullDecimal { return &c.ShippingFee },
}

// readCost reads what a payment costs its collector. What of it can't be read is not
// said: a payment is booked whatever it costs.
func readCost(o object, status string, amount decimal.NullDecimal) provider.Cost {
	c := provider.Cost{
		ReleaseDate:   readTime(o.text("money_release_date")),
		ReleaseStatus: strings.ToLower(storable(o.text("money_release_status"), maxStatus)),
	}
	if !paymentStatuses[status] || status == "authorized" {
		return c
	}
	c.Net = readSigned(o.child("transaction_details"), "net_received_amount")
	fees, ok := readFees(o)
	if !ok {
		return c
	}
	c.Fee, c.ApplicationFee, c.FinancingFee, c.ShippingFee = none, none, none, none
	for _, f := range fees {
		kind := &c.Fee
		if other, known := feeKinds[f.kind]; known {
			kind = other(&c)
		}
		kind.Decimal = kind.Decimal.Add(f.amount)
	}
	c.Taxes = readTaxes(o, amount, c)
	balance(&c, amount)
	return c
}

// none is an amount of nothing that was said.
var none = decimal.NewNullDecimal(decimal.Zero)

// A fee is one that the collector pays.
type fee struct {
	kind   string
	amount decimal.Decimal
}

// readFees reads the collector's fees from fee_details, or, where these name none,
// from charges_details, which repeats them. It is false when neither list is there or
// can be read: then they are not known.
func readFees(o object) (fees []fee, ok bool) {
	details, said := objects(o, "fee_details")
	for _, d := range details {
		if d.text("fee_payer") != payerCollector {
			continue
		}
		amount := readSigned(d, "amount")
		if !amount.Valid {
			return nil, false
		}
		fees = append(fees, fee{d.text("type"), amount.Decimal})
	}
	if len(fees) > 0 {
		return fees, true
	}
	charges, charged := objects(o, "charges_details")
	for _, d := range charges {
		if d.child("accounts").text("from") != payerCollector || d.text("type") == "tax" || d.text("type") == "coupon" {
			continue
		}
		amount := readSigned(d.child("amounts"), "original")
		if !amount.Valid {
			return nil, false
		}
		kind := d.text("name")
		if d.text("type") == "shipping" {
			kind = "shipping_fee"
		}
		fees = append(fees, fee{kind, amount.Decimal})
	}
	return fees, said || charged
}

// readTaxes reads the taxes that were withheld: those of charges_details. Without
// these it depends on the country whether taxes and taxes_amount are withheld or are a
// part of the price, so they count where the net amount says that they were.
func readTaxes(o object, amount decimal.NullDecimal, c provider.Cost) decimal.NullDecimal {
	charges, _ := objects(o, "charges_details")
	var withheld []decimal.Decimal
	for _, d := range charges {
		if d.text("type") != "tax" || d.child("accounts").text("from") != payerCollector {
			continue
		}
		tax := readSigned(d.child("amounts"), "original")
		if !tax.Valid {
			return decimal.NullDecimal{}
		}
		withheld = append(withheld, tax.Decimal)
	}
	if len(withheld) > 0 {
		return decimal.NewNullDecimal(decimal.Sum(decimal.Zero, withheld...))
	}
	listed := decimal.Zero
	taxes, _ := objects(o, "taxes")
	for _, d := range taxes {
		listed = listed.Add(readSigned(d, "value").Decimal)
	}
	said := readSigned(o, "taxes_amount").Decimal
	if listed.IsZero() && said.IsZero() {
		return none
	}
	for _, taxes := range []decimal.Decimal{decimal.Zero, said, listed} {
		if c.Taxes = decimal.NewNullDecimal(taxes); balance(&c, amount) {
			return decimal.NewNullDecimal(taxes)
		}
	}
	return decimal.NullDecimal{}
}

// balance gives the costs the sign that makes the net amount of the gross one: some
// answers write them as negative. It reports whether one does.
func balance(c *provider.Cost, amount decimal.NullDecimal) bool {
	if !amount.Valid || !c.Net.Valid {
		return false
	}
	costs := []*decimal.NullDecimal{&c.Fee, &c.ApplicationFee, &c.FinancingFee, &c.ShippingFee, &c.Taxes}
	sum := decimal.Zero
	for _, cost := range costs {
		sum = sum.Add(cost.Decimal)
	}
	switch deducted := amount.Decimal.Sub(c.Net.Decimal); {
	case sameMoney(sum, deducted):
		return true
	case sameMoney(sum.Neg(), deducted):
		for _, cost := range costs {
			cost.Decimal = cost.Decimal.Neg()
		}
		return true
	}
	return false
}

// sameMoney compares amounts that may have gone through a float of Mercado Pago's: no
// currency has more than four decimals.
func sameMoney(a, b decimal.Decimal) bool { return a.Round(4).Equal(b.Round(4)) }

// objects are the entries of a list. It is false when there is no list, or something
// in it is not an object.
func objects(o object, name string) ([]object, bool) {
	entries, err := o.list(name)
	if err != nil || len(o.value(name)) == 0 || string(o.value(name)) == "null" {
		return nil, false
	}
	found := make([]object, 0, len(entries))
	for _, raw := range entries {
		entry, err := readObject(raw)
		if err != nil {
			return nil, false
		}
		found = append(found, entry)
	}
	return found, true
}

// readSigned reads an amount that may be below 0; invalid where there is none that can
// be read.
func readSigned(o object, name string) decimal.NullDecimal {
	if o.empty(name) {
		return decimal.NullDecimal{}
	}
	d, err := parseAmount(o.text(name))
	if err != nil || d.Abs().GreaterThanOrEqual(maxAmount) {
		return decimal.NullDecimal{}
	}
	return decimal.NewNullDecimal(d)
}
