package mercadopago

import (
	"cmp"
	"slices"
	"strings"

	"github.com/shopspring/decimal"

	"github.com/conciliar/conciliar/jobs/provider"
)

// A chargeback names the payments that a bank took back (the chargebacks
// reference). What became of them is for the payments to say. Test credentials may
// not read chargebacks; the notification names a payment too.
var chargebackTopic = topic{
	names:     []string{"topic_chargebacks_wh", "chargebacks"},
	work:      provider.Follow,
	isID:      chargebackID,
	also:      []string{topicOrder},
	operation: "chargeback",
	path:      []string{"v1", "chargebacks"},
	asSeller:  true,
	read: objectOf("chargeback", func(o object) (string, provider.Found, error) {
		next, err := o.payments("payments")
		if err == nil && len(next) == 0 { // the shape of the official SDKs
			next, err = o.payment("payment_id")
		}
		chargeback := readChargeback(o, next)
		return chargeback.ID, provider.Found{Chargeback: &chargeback, Next: next}, err
	}),
	named: func(body object) ([]provider.Ref, error) { return body.child("data").payment("payment_id") },
}

// readChargeback reads what a chargeback says of itself. It only informs, so what
// can't be read counts as not said.
func readChargeback(o object, payments []provider.Ref) provider.Chargeback {
	c := provider.Chargeback{
		ID: o.id("id"), PaymentIDs: make([]string, len(payments)),
		Currency:              word(strings.ToUpper(cmp.Or(o.text("currency"), o.text("currency_id")))),
		CoverageApplied:       o.boolean("coverage_applied"),
		DocumentationRequired: o.boolean("documentation_required"),
		DocumentationStatus:   word(strings.ToLower(o.text("documentation_status"))),
		DocumentationDeadline: readTime(o.text("date_documentation_deadline")),
		UpdatedAt:             readTime(cmp.Or(o.text("date_last_updated"), o.text("last_modified"))),
	}
	for i, ref := range payments {
		c.PaymentIDs[i] = ref.ID
	}
	c.DocumentsWanted = documentsWanted(c)
	if amount, err := readAmount(o, "amount"); err == nil {
		c.Amount = decimal.NewNullDecimal(amount)
	}
	return c
}

// documentsWanted tells whether the merchant is to send documents. A word that we
// don't know counts as that they are: a deadline that is missed is money lost.
func documentsWanted(c provider.Chargeback) bool {
	if c.CoverageApplied != nil || slices.Contains([]string{"review_pending", "valid", "not_applicable"}, c.DocumentationStatus) {
		return false
	}
	if c.DocumentationRequired != nil {
		return *c.DocumentationRequired
	}
	return c.DocumentationStatus != "" || !c.DocumentationDeadline.IsZero()
}

// chargebackID tells whether s can be a chargeback's id: a number in the reference,
// and CB-001-2022 or the like in the official SDKs.
func chargebackID(s string) bool {
	return numericID(s) || validID(s) && len(s) > 3 && s[:3] == "CB-"
}
