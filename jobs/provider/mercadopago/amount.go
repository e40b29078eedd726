package mercadopago

import (
	"errors"
	"strings"

	"github.com/shopspring/decimal"
)

// Bounds of an amount. They are far from money, have room for every digit of a
// float that some program wrote out, and are near enough that no answer can make
// us compute with a million digits (1e999999999 is valid JSON).
const (
	maxAmountText     = 128
	maxAmountExponent = 30
	maxAmountDigits   = 100 // after the decimal point
)

// maxAmount is what the database keeps: amounts are below it.
var maxAmount = decimal.New(1, 15)

var (
	errAmountMissing   = errors.New("is missing")
	errAmountNotNumber = errors.New("is not a number")
	errAmountNegative  = errors.New("is negative")
	errAmountTooLarge  = errors.New("is out of bounds")
)

// readAmount reads an amount in units of the payment's currency, exactly as it
// is written: a JSON number, or a string that holds one. Its errors complete a
// sentence that begins with the field's name.
func readAmount(o object, name string) (decimal.Decimal, error) {
	if o.empty(name) {
		return decimal.Decimal{}, errAmountMissing
	}
	d, err := parseAmount(o.text(name))
	switch {
	case err != nil:
		return decimal.Decimal{}, err
	case d.IsNegative():
		return decimal.Decimal{}, errAmountNegative
	case d.GreaterThanOrEqual(maxAmount):
		return decimal.Decimal{}, errAmountTooLarge
	}
	return d, nil
}

// parseAmount reads a number of a bounded number of digits.
func parseAmount(s string) (decimal.Decimal, error) {
	if len(s) > maxAmountText {
		return decimal.Decimal{}, errAmountTooLarge
	}
	if !isNumber(s) {
		return decimal.Decimal{}, errAmountNotNumber
	}
	d, err := decimal.NewFromString(s)
	// Before any comparison: that is what would write the digits out.
	if err != nil || d.Exponent() > maxAmountExponent || d.Exponent() < -maxAmountDigits {
		return decimal.Decimal{}, errAmountTooLarge
	}
	return d, nil
}

// isNumber tells whether s is a number as RFC 8259 writes them: digits with an
// optional sign, fraction and exponent. NaN and Infinity are not.
func isNumber(s string) bool {
	s = strings.TrimPrefix(s, "-")
	mantissa, exponent, hasExponent := s, "", false
	if i := strings.IndexAny(s, "eE"); i >= 0 {
		mantissa, exponent, hasExponent = s[:i], s[i+1:], true
	}
	whole, fraction, hasFraction := strings.Cut(mantissa, ".")
	if !allDigits(whole) || hasFraction && !allDigits(fraction) {
		return false
	}
	if hasExponent && exponent != "" && (exponent[0] == '+' || exponent[0] == '-') {
		exponent = exponent[1:]
	}
	return !hasExponent || allDigits(exponent)
}
