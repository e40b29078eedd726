package report

import (
	"errors"
	"strings"

	"github.com/shopspring/decimal"
)

// maxDigits bounds the digits of an amount; the database keeps fifteen before the
// point.
const maxDigits, maxWholeDigits = 40, 15

var (
	errNotAmount     = errors.New("is not an amount")
	errTooLarge      = errors.New("is out of bounds")
	errAmbiguous     = errors.New("can't be read in one way only: its mark may be of decimals or of thousands")
	errDecimalsMixed = errors.New("has another decimal mark than the amounts before it")
)

// A mark is the sign before an amount's decimals; 0 while no amount has told.
type mark byte

// other is the sign that then groups thousands.
func (m mark) other() string {
	if m == ',' {
		return "."
	}
	return ","
}

// tells is the decimal mark that an amount shows, 0 when it shows none: of two
// different signs it is the last, a single one before one, two, or more than three
// digits is it, and one that stands more than once is the other.
func tells(s string) mark {
	last := strings.LastIndexAny(s, ".,")
	if last < 0 {
		return 0
	}
	sign, before := mark(s[last]), s[:last]
	switch {
	case strings.Contains(before, sign.other()):
		return sign
	case strings.Contains(before, string(rune(sign))):
		return mark(sign.other()[0])
	case len(s)-last-1 != 3:
		return sign
	}
	// A group of thousands follows one to three digits that don't begin with 0.
	if whole := strings.TrimLeft(before, "+-"); len(whole) > 3 || whole == "" || whole[0] == '0' {
		return sign
	}
	return 0
}

// parse reads an amount, exactly as it is written; nothing is 0.
func (m mark) parse(s string) (decimal.Decimal, error) {
	if s == "" {
		return decimal.Decimal{}, nil
	}
	if len(s) > maxDigits {
		return decimal.Decimal{}, errTooLarge
	}
	shown := tells(s)
	switch {
	case shown == 0 && m == 0 && strings.ContainsAny(s, ".,"):
		return decimal.Decimal{}, errAmbiguous
	case shown != 0 && m != 0 && shown != m:
		return decimal.Decimal{}, errDecimalsMixed
	case m == 0:
		m = shown
	}
	whole, decimals, hasDecimals := s, "", false
	if m != 0 {
		whole, decimals, hasDecimals = strings.Cut(s, string(rune(m)))
		var ok bool
		if whole, ok = ungrouped(whole, m.other()); !ok {
			return decimal.Decimal{}, errNotAmount
		}
	}
	digits := strings.TrimLeft(whole, "+-")
	if len(whole)-len(digits) > 1 || !allDigits(digits) || hasDecimals && !allDigits(decimals) {
		return decimal.Decimal{}, errNotAmount
	}
	if len(strings.TrimLeft(digits, "0")) > maxWholeDigits {
		return decimal.Decimal{}, errTooLarge
	}
	if hasDecimals {
		whole += "." + decimals
	}
	d, err := decimal.NewFromString(whole)
	if err != nil {
		return decimal.Decimal{}, errNotAmount
	}
	return d, nil
}

// ungrouped is a whole number without the signs between its groups of thousands.
func ungrouped(s, sign string) (string, bool) {
	groups := strings.Split(s, sign)
	for _, group := range groups[1:] {
		if len(group) != 3 {
			return "", false
		}
	}
	return strings.Join(groups, ""), true
}

func allDigits(s string) bool {
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return false
		}
	}
	return s != ""
}
