package order

import (
	"cmp"
	"errors"
	"fmt"
	"slices"

	"github.com/shopspring/decimal"
)

var (
	// ErrInvalidTerms is the error for an order that asks for no money, or for
	// money in no currency.
	ErrInvalidTerms = errors.New("invalid order terms")
	// ErrUnknownCurrency is the error for terms in a currency that does not exist.
	// It comes together with ErrInvalidTerms.
	ErrUnknownCurrency = errors.New("unknown currency")
	// ErrAmountTooFine is the error for terms whose amount has more decimals than
	// the currency. It comes together with ErrInvalidTerms.
	ErrAmountTooFine = errors.New("the amount is finer than the currency's smallest unit")
	// ErrUnknownMode is the error for a mode that is not one of the three.
	ErrUnknownMode = errors.New("unknown mode")
)

// amountLimit is the exclusive upper bound of one amount in any currency.
// Nothing sold reaches it, and a number of ten thousand digits stops here.
var amountLimit = decimal.New(1, 15)

// Terms are what the merchant asks for an order.
type Terms struct {
	// Amount is the price, in units of Currency.
	Amount decimal.Decimal
	// Currency is the ISO 4217 code, three upper-case letters.
	Currency string
	// Cancelled is true once the merchant called the order off. Money that comes
	// all the same counts.
	Cancelled bool
	// CollectorID is the account that the order belongs to, a seller's; empty for
	// Rules.CollectorID.
	CollectorID string
}

// check returns an error that wraps ErrInvalidTerms unless the amount is positive
// and below 10^15.
func (t Terms) check() error {
	if !t.Amount.IsPositive() {
		return fmt.Errorf("%w: the amount is not positive", ErrInvalidTerms)
	}
	if t.Amount.GreaterThanOrEqual(amountLimit) {
		return fmt.Errorf("%w: the amount is not below 10^15", ErrInvalidTerms)
	}
	return nil
}

// currency is that of the terms. One that does not exist, which only an
// earlier ledger has, is taken to have cents: no payment can be in it.
func (t Terms) currency() Currency {
	if c, known := LookupCurrency(t.Currency); known {
		return c
	}
	return Currency{Code: t.Currency, Decimals: 2, ChargedDecimals: 2}
}

// Validate returns an error that wraps ErrInvalidTerms unless a payment can meet
// the terms: the amount is positive, below 10^15 and not finer than the
// currency's smallest unit, and the currency exists. The error wraps
// ErrUnknownCurrency or ErrAmountTooFine where one of these is why.
func (t Terms) Validate() error {
	if err := t.check(); err != nil {
		return err
	}
	c, known := LookupCurrency(t.Currency)
	if !known {
		return fmt.Errorf("%w: %w %.40q", ErrInvalidTerms, ErrUnknownCurrency, t.Currency)
	}
	if !c.Round(t.Amount).Equal(t.Amount) {
		return fmt.Errorf("%w: %w, %s %s", ErrInvalidTerms, ErrAmountTooFine, FormatAmount(c.SmallestUnit(), c.Code), c.Code)
	}
	return nil
}

// Mode says which payments may move an order: real ones, test ones, or both.
type Mode string

// The modes.
const (
	ModeAny  Mode = "any"
	ModeLive Mode = "live"
	ModeTest Mode = "test"
)

// allows reports whether a payment of this kind may move an order. A mode that
// is not one of the three allows nothing.
func (m Mode) allows(liveMode bool) bool {
	return m == ModeAny || m == ModeLive && liveMode || m == ModeTest && !liveMode
}

// Rules say which payments are the merchant's own.
type Rules struct {
	// CollectorID is the main account, which must have been paid unless an order
	// says another; empty accepts any but Sellers.
	CollectorID string
	// Sellers are the accounts beside it that orders may belong to.
	Sellers []string
	// Mode says which payments may move an order.
	Mode Mode
}

// IsForeign reports whether a payment went to none of our accounts. A payment that
// does not say who was paid is nobody's we know.
func (r Rules) IsForeign(p Payment) bool {
	return r.CollectorID != "" && p.CollectorID != r.CollectorID && !slices.Contains(r.Sellers, p.CollectorID)
}

// isForeignTo reports whether a payment went to another account than the order's.
func (r Rules) isForeignTo(t Terms, p Payment) bool {
	switch {
	case t.CollectorID != "":
		return p.CollectorID != t.CollectorID
	case r.CollectorID != "":
		return p.CollectorID != r.CollectorID
	}
	return slices.Contains(r.Sellers, p.CollectorID)
}

// SellerOf is the account that an order made from the payment belongs to: a
// seller's, or none for the main account.
func (r Rules) SellerOf(p Payment) string {
	if p.CollectorID != r.CollectorID && slices.Contains(r.Sellers, p.CollectorID) {
		return p.CollectorID
	}
	return ""
}

// account is the account that must have been paid for an order of these terms;
// empty while it is not known.
func (r Rules) account(t Terms) string { return cmp.Or(t.CollectorID, r.CollectorID) }

// Validate returns an error that wraps ErrUnknownMode when the mode is not one
// of the three. An empty mode is none of them.
func (r Rules) Validate() error {
	switch r.Mode {
	case ModeAny, ModeLive, ModeTest:
		return nil
	}
	return fmt.Errorf("%w %.40q", ErrUnknownMode, string(r.Mode))
}
