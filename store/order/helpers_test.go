package order

import (
	"time"

	"github.com/shopspring/decimal"
)

// noon is when the payments of the tests were last changed, unless they say
// otherwise.
var noon = time.Date(2026, 3, 14, 12, 0, 0, 0, time.UTC)

const (
	ours   = "1538952955"
	theirs = "77"
)

// terms are what most tests ask for: a hundred and fifty pesos.
var terms = Terms{Amount: dec("150"), Currency: "ARS"}

// rules are the strictest: our own account and real money only.
var rules = Rules{CollectorID: ours, Mode: ModeLive}

func dec(s string) decimal.Decimal { return decimal.RequireFromString(s) }

// pay returns a payment that fits the terms and the rules, edited.
func pay(id string, status PaymentStatus, amount string, edits ...func(*Payment)) Payment {
	p := Payment{
		ID:          id,
		Currency:    "ARS",
		CollectorID: ours,
		Status:      status,
		Amount:      decimal.NewNullDecimal(dec(amount)),
		LiveMode:    true,
		UpdatedAt:   noon,
		FetchedAt:   noon.Add(time.Second),
	}
	for _, edit := range edits {
		edit(&p)
	}
	return p
}

func refunded(amount string) func(*Payment) {
	return func(p *Payment) { p.Refunded = dec(amount) }
}

func shipping(amount string) func(*Payment) {
	return func(p *Payment) { p.Shipping = dec(amount) }
}

// charge makes it the charge of a subscription with this number.
func charge(subscription string, number int64) func(*Payment) {
	return func(p *Payment) { p.SubscriptionID, p.SubscriptionNumber = subscription, number }
}

func noAmount(p *Payment) { p.Amount, p.Currency = decimal.NullDecimal{}, "" }

func undated(p *Payment) { p.UpdatedAt = time.Time{} }

func marked(mark int64) func(*Payment) { return func(p *Payment) { p.FetchMark = mark } }

func detail(word string) func(*Payment) { return func(p *Payment) { p.StatusDetail = word } }

func currency(code string) func(*Payment) { return func(p *Payment) { p.Currency = code } }

func collector(id string) func(*Payment) { return func(p *Payment) { p.CollectorID = id } }

func testMode(p *Payment) { p.LiveMode = false }

func validation(p *Payment) { p.Validation = true }

func updated(d time.Duration) func(*Payment) {
	return func(p *Payment) { p.UpdatedAt = noon.Add(d) }
}

func fetched(d time.Duration) func(*Payment) {
	return func(p *Payment) { p.FetchedAt = noon.Add(d) }
}
