package mercadopago

import (
	"errors"
	"strings"

	"github.com/shopspring/decimal"
)

// Bounds of an amount. They are far from money and near enough that no answer
// can make us compute with a million digits (1e999999999 is valid JSON).
const (
	maxAmountText     = 48
	maxAmountExponent = 30
)

// maxAmount is where the database end: amounts are below it.
var maxAmount = decimal.New(1, 15)

var (
	errAmountMissing  = errors.New("is missing")
	errAmountNoNumber = errors.New("is no number")
	errAmountNegative = errors.New("is negative")
	errAmountTooLarge = errors.New("is out of bounds")
)

// readAmount reads an amount in units of the payment's currency, exactly as it
// is written: a JSON number, or a string that holds one. Its errors complete a
// sentence that begins with the field's name.
func readAmount(o object, name string) (decimal.Decimal, error) {
	if o.nothing(name) {
		return decimal.Decimal{}, errAmountMissing
	}
	s := o.scalar(name)
	if len(s) > maxAmountText {
		return decimal.Decimal{}, errAmountTooLarge
	}
	if !isNumber(s) {
		return decimal.Decimal{}, errAmountNoNumber
	}
	d, err := decimal.NewFromString(s)
	// Before any comparison: that is what would write the digits out.
	if err != nil || d.Exponent() > maxAmountExponent || d.Exponent() < -maxAmountExponent {
		return decimal.Decimal{}, errAmountTooLarge
	}
	if d.IsNegative() {
		return decimal.Decimal{}, errAmountNegative
	}
	if d.GreaterThanOrEqual(maxAmount) {
		return decimal.Decimal{}, errAmountTooLarge
	}
	return d, nil
}

// isNumber tells whether s is a number as RFC 8259 writes them: digits with an
// optional sign, fraction and exponent. NaN and Infinity are none.
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
