package order

import (
	"errors"
	"fmt"
	"strings"

	"github.com/shopspring/decimal"
)

const (
	// A written amount has at most this many digits before and after the point.
	amountDigits   = 15
	amountDecimals = 8
)

// A TermsError says what is wrong with terms as they were written. It wraps
// ErrInvalidTerms, and ErrUnknownCurrency or ErrAmountTooFine where one of these
// is why.
type TermsError struct {
	// Field is "amount" or "currency", and Why the rest of a sentence that begins
	// with it.
	Field, Why string
	err        error
}

// Error implements error.
func (e *TermsError) Error() string { return e.Field + " " + e.Why }

// Unwrap returns the kind of error.
func (e *TermsError) Unwrap() error { return e.err }

// ParseTerms reads what a merchant asks for an order: an amount as people write
// money, and only so (no sign, no exponent, no separator but the point), and the
// ISO 4217 code of its currency. A payment can meet what it returns. The error is
// a *TermsError.
func ParseTerms(amount, currency string) (Terms, error) {
	d, err := ParseAmount(amount)
	if err != nil {
		return Terms{}, err
	}
	t := Terms{Amount: d, Currency: currency}
	switch err := t.Validate(); {
	case err == nil:
		return t, nil
	case errors.Is(err, ErrUnknownCurrency):
		return Terms{}, &TermsError{"currency", `must be a code of ISO 4217 in upper case, like "ARS"`, err}
	case errors.Is(err, ErrAmountTooFine):
		c, _ := LookupCurrency(currency)
		why := fmt.Sprintf("is finer than the smallest unit of %s, which is %s", c.Code, FormatAmount(c.SmallestUnit(), c.Code))
		return Terms{}, &TermsError{"amount", why, err}
	default:
		return Terms{}, &TermsError{"amount", "must be more than zero", err}
	}
}

// ParseAmount reads an amount as people write money, and only so (see ParseTerms); zero is
// one. The error is a *TermsError.
func ParseAmount(text string) (decimal.Decimal, error) {
	bad := func(why string, args ...any) (decimal.Decimal, error) {
		return decimal.Decimal{}, &TermsError{"amount", fmt.Sprintf(why, args...), ErrInvalidTerms}
	}
	whole, decimals, point := strings.Cut(text, ".")
	switch {
	case !allDigits(whole) || point && !allDigits(decimals):
		return bad(`must be digits with at most one point, like "150.00"`)
	case len(whole) > 1 && whole[0] == '0':
		return bad("must not begin with extra zeros")
	case len(whole) > amountDigits:
		return bad("has more than %d digits before the point", amountDigits)
	case len(decimals) > amountDecimals:
		return bad("has more than %d digits after the point", amountDecimals)
	}
	d, err := decimal.NewFromString(text)
	if err != nil {
		return bad("is not a number")
	}
	return d, nil
}

func allDigits(s string) bool {
	for i := range len(s) {
		if !isDigit(rune(s[i])) {
			return false
		}
	}
	return s != ""
}
