package simulator

import (
	"cmp"
	"encoding/json"
	"strconv"
	"time"

	"github.com/shopspring/decimal"
)

// dateLayout is how the API prints dates: milliseconds and an offset.
const dateLayout = "2006-01-02T15:04:05.000-07:00"

// moneyReleaseDays is how long after the approval the money is released, unless the
// configuration says otherwise.
const moneyReleaseDays = 18

// apiZone is the offset that the API prints dates in.
var apiZone = time.FixedZone("-04:00", -4*60*60)

// An amount prints as a JSON number with the decimal's own digits.
type amount struct{ decimal.Decimal }

func (a amount) MarshalJSON() ([]byte, error) { return []byte(a.String()), nil }

// A date prints as the API prints dates, null when zero.
type date time.Time

func (d date) MarshalJSON() ([]byte, error) {
	if time.Time(d).IsZero() {
		return []byte("null"), nil
	}
	return []byte(time.Time(d).In(apiZone).Format(`"` + dateLayout + `"`)), nil
}

// object is a JSON object without a fixed set of fields.
type object map[string]any

// paymentBody is a payment as the API prints it: the fields of the payments
// reference in the order of real answers.
type paymentBody struct {
	ID                        int64    `json:"id"`
	DateCreated               date     `json:"date_created"`
	DateApproved              date     `json:"date_approved"`
	DateLastUpdated           date     `json:"date_last_updated"`
	DateOfExpiration          date     `json:"date_of_expiration"`
	MoneyReleaseDate          any      `json:"money_release_date"`
	OperationType             string   `json:"operation_type"`
	IssuerID                  *string  `json:"issuer_id"`
	PaymentMethodID           string   `json:"payment_method_id"`
	PaymentTypeID             string   `json:"payment_type_id"`
	Status                    string   `json:"status"`
	StatusDetail              string   `json:"status_detail"`
	CurrencyID                string   `json:"currency_id"`
	Description               string   `json:"description"`
	LiveMode                  bool     `json:"live_mode"`
	SponsorID                 *int64   `json:"sponsor_id"`
	AuthorizationCode         *string  `json:"authorization_code"`
	TaxesAmount               amount   `json:"taxes_amount"`
	ShippingAmount            amount   `json:"shipping_amount"`
	CollectorID               int64    `json:"collector_id"`
	Payer                     object   `json:"payer"`
	Metadata                  object   `json:"metadata"`
	Order                     object   `json:"order"`
	ExternalReference         *string  `json:"external_reference"`
	TransactionAmount         amount   `json:"transaction_amount"`
	TransactionAmountRefunded amount   `json:"transaction_amount_refunded"`
	CouponAmount              amount   `json:"coupon_amount"`
	Installments              int      `json:"installments"`
	TransactionDetails        object   `json:"transaction_details"`
	FeeDetails                []object `json:"fee_details"`
	ChargesDetails            []object `json:"charges_details"`
	Captured                  bool     `json:"captured"`
	BinaryMode                bool     `json:"binary_mode"`
	StatementDescriptor       string   `json:"statement_descriptor"`
	Card                      object   `json:"card"`
	NotificationURL           *string  `json:"notification_url"`
	Refunds                   []object `json:"refunds"`
	ProcessingMode            string   `json:"processing_mode"`
	PointOfInteraction        object   `json:"point_of_interaction"`
}

// body is the payment in this state as the API prints it. But for what SetFields
// replaces it is rendered once.
func (snap *snapshot) body() []byte {
	snap.render.Do(func() {
		snap.rendered = encoded(snap.describe())
	})
	return snap.payment.replaced(snap.rendered)
}

// Render renders the payment as it is now, so that the first call which asks for it
// takes no longer than those after it. The error is ErrUnknownPayment.
func (s *Simulator) Render(id string) error {
	p, err := s.payment(id)
	if err == nil {
		p.current.Load().body()
	}
	return err
}

// describe fills in a payment's fields.
func (snap *snapshot) describe() paymentBody {
	p, st := snap.payment, snap.state
	b := paymentBody{
		ID:                        p.id,
		DateCreated:               date(p.createdAt),
		DateApproved:              date(snap.approvedAt),
		DateLastUpdated:           date(st.DateLastUpdated),
		OperationType:             p.operationType,
		PaymentMethodID:           "rapipago",
		PaymentTypeID:             "ticket",
		Status:                    st.Status,
		StatusDetail:              st.StatusDetail,
		CurrencyID:                st.Currency,
		Description:               "Purchase",
		LiveMode:                  p.liveMode,
		CollectorID:               p.collectorID,
		Payer:                     p.payer(),
		Metadata:                  object{},
		Order:                     object{},
		TransactionAmount:         amount{st.Amount},
		TransactionAmountRefunded: amount{st.Refunded},
		Installments:              1,
		FeeDetails:                []object{},
		ChargesDetails:            []object{},
		Captured:                  st.Status != Authorized,
		StatementDescriptor:       "SHOP",
		Card:                      object{},
		Refunds:                   snap.refundList(),
		ProcessingMode:            "aggregator",
		PointOfInteraction:        object{},
	}
	if p.reference != "" {
		b.Description += " " + p.reference
		b.Metadata["order_reference"] = p.reference
		b.ExternalReference = &p.reference
	}
	if p.looks.merchantOrderID != 0 {
		b.Order = object{"id": strconv.FormatInt(p.looks.merchantOrderID, 10), "type": "mercadopago"}
	}
	if p.ticket {
		b.DateOfExpiration = date(p.createdAt.AddDate(0, 0, 3))
	} else {
		issuer := "24"
		b.IssuerID = &issuer
		b.PaymentMethodID, b.PaymentTypeID = "master", "credit_card"
		b.Card = p.card()
	}
	received := decimal.Zero
	if snap.approvedAt.IsZero() {
		if p.looks.emptyRelease {
			b.MoneyReleaseDate = ""
		}
	} else {
		code := p.looks.lastDigits + "99"
		b.AuthorizationCode = &code
		b.MoneyReleaseDate = date(snap.approvedAt.Add(p.costs.releaseAfter))
		received = st.Amount.Sub(p.costs.fee).Sub(p.costs.taxes)
		b.FeeDetails = []object{{"type": "mercadopago_fee", "amount": amount{p.costs.fee}, "fee_payer": "collector"}}
		if !p.costs.taxes.IsZero() {
			b.ChargesDetails = []object{{
				"type": "tax", "name": "tax_withholding-iibb", "accounts": object{"from": "collector", "to": "mp"},
				"amounts": object{"original": amount{p.costs.taxes}, "refunded": 0},
			}}
		}
	}
	b.TransactionDetails = object{
		"payment_method_reference_id": nil,
		"net_received_amount":         amount{received},
		"total_paid_amount":           amount{st.Amount},
		"overpaid_amount":             0,
		"external_resource_url":       nil,
		"installment_amount":          amount{st.Amount},
		"financial_institution":       nil,
		"payable_deferral_period":     nil,
		"acquirer_reference":          nil,
	}
	return b
}

// payer is the payer object: its id is a string, unlike the collector's.
func (p *payment) payer() object {
	return object{
		"type":           nil,
		"id":             strconv.FormatInt(p.looks.payerID, 10),
		"operator_id":    nil,
		"email":          "shopper" + p.looks.lastDigits + "@testuser.example",
		"identification": object{"type": "DNI", "number": "12345678"},
		"phone":          object{"area_code": nil, "number": nil, "extension": nil},
		"first_name":     nil,
		"last_name":      nil,
		"entity_type":    nil,
	}
}

// card is the card object of a payment by card.
func (p *payment) card() object {
	return object{
		"id":                nil,
		"first_six_digits":  p.looks.firstDigits,
		"last_four_digits":  p.looks.lastDigits,
		"expiration_month":  11,
		"expiration_year":   2031,
		"date_created":      date(p.createdAt),
		"date_last_updated": date(p.createdAt),
		"cardholder": object{
			"name":           "APRO",
			"identification": object{"type": "DNI", "number": "12345678"},
		},
	}
}

// refundList is the refunds array.
func (snap *snapshot) refundList() []object {
	list := make([]object, 0, len(snap.refunds))
	for i, r := range snap.refunds {
		id := cmp.Or(r.id, strconv.FormatInt(snap.payment.looks.firstRefundID+int64(i), 10))
		list = append(list, snap.payment.refundBody(id, r.amount, r.at, Approved))
	}
	return list
}

// refundBody is a refund of the payment as the API prints it.
func (p *payment) refundBody(id string, given decimal.Decimal, at time.Time, status string) object {
	return object{
		"id":         json.Number(id),
		"payment_id": p.id,
		"amount":     amount{given},
		"metadata":   object{},
		"source": object{
			"id":   strconv.FormatInt(p.collectorID, 10),
			"name": "Shop",
			"type": "collector",
		},
		"date_created":             date(at),
		"unique_sequence_number":   nil,
		"refund_mode":              "standard",
		"adjustment_amount":        0,
		"status":                   status,
		"reason":                   nil,
		"labels":                   []string{},
		"amount_refunded_to_payer": amount{given},
		"additional_data":          nil,
		"partition_details":        []object{},
	}
}
