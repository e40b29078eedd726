package mercadopago

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"time"

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

// DecodePayment reads the answer of GET /v1/payments/{id} (the payments
// reference). What it needs must be there and make sense: id, status, amount and
// currency. The rest may be absent, null, empty or of another type, as Mercado
// Pago's answers are. Nothing is rounded, and raw is kept byte for byte.
//
// An error says which field is wrong, and never what stands in it.
func DecodePayment(raw []byte) (provider.Payment, error) {
	o, err := readObject(raw)
	if err != nil {
		return provider.Payment{}, fmt.Errorf("payment: %w", err)
	}
	p := provider.Payment{
		ID:           o.id("id"),
		Reference:    storable(o.scalar("external_reference"), maxReference),
		Status:       storable(o.str("status"), maxStatus),
		StatusDetail: storable(o.str("status_detail"), maxStatus),
		Currency:     o.str("currency_id"),
		CollectorID:  o.id("collector_id"),
		Validation:   o.str("operation_type") == operationCardValidation,
		Raw:          bytes.Clone(raw),
	}
	// Where it isn't said, the payment is not taken for a live one: whoever
	// accepts live payments only would otherwise hand out goods for a test.
	if live := o.boolean("live_mode"); live != nil {
		p.LiveMode = *live
	}
	switch {
	case p.ID == "":
		return provider.Payment{}, errors.New("payment: id is missing or is no id")
	case p.Status == "":
		return provider.Payment{}, errors.New("payment: status is missing or is no text")
	case !isCurrency(p.Currency):
		return provider.Payment{}, errors.New("payment: currency_id is missing or is no ISO 4217 code")
	}
	if p.Amount, err = readAmount(o, "transaction_amount"); err != nil {
		return provider.Payment{}, fmt.Errorf("payment: transaction_amount %w", err)
	}
	if !o.nothing("transaction_amount_refunded") {
		if p.Refunded, err = readAmount(o, "transaction_amount_refunded"); err != nil {
			return provider.Payment{}, fmt.Errorf("payment: transaction_amount_refunded %w", err)
		}
	}
	if p.Refunded.GreaterThan(p.Amount) {
		return provider.Payment{}, errors.New("payment: transaction_amount_refunded exceeds transaction_amount")
	}
	if p.UpdatedAt, err = updatedAt(o); err != nil {
		return provider.Payment{}, err
	}
	return p, nil
}

func isCurrency(s string) bool {
	return len(s) == 3 && strings.Trim(s, "ABCDEFGHIJKLMNOPQRSTUVWXYZ") == ""
}

// updatedAt is when Mercado Pago last changed the payment, in UTC and to the
// microsecond that PostgreSQL keeps, so that what was stored compares equal.
//
// Where date_last_updated says nothing, the latest of what is known to have
// happened before stands for it, and at last 1970: a state of which nobody knows
// when it was never replaces one of which that is known. A date that can't be
// read is an error; it may be later than what is stored.
func updatedAt(o object) (time.Time, error) {
	for _, name := range []string{"date_last_updated", "date_approved", "date_created"} {
		if o.nothing(name) {
			continue
		}
		t, err := readTime(o.str(name))
		if err != nil {
			return time.Time{}, fmt.Errorf("payment: %s is no date", name)
		}
		return t, nil
	}
	return time.Unix(0, 0).UTC(), nil
}

// readTime reads what the payments reference calls ISO 8601: milliseconds, and
// an offset with its colon or without.
func readTime(s string) (time.Time, error) {
	t, err := time.Parse(time.RFC3339Nano, s)
	if err != nil {
		t, err = time.Parse("2006-01-02T15:04:05.999999999Z0700", s)
	}
	return t.UTC().Truncate(time.Microsecond), err
}
