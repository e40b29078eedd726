package order

import (
	"strings"
	"unicode"

	"golang.org/x/text/cases"
	"golang.org/x/text/unicode/norm"
)

// NamesOrder reports whether a payment's reference names an order. One that is
// empty, blank or the word null names none: that is how shops write that there is
// none.
func NamesOrder(reference string) bool {
	word := strings.TrimFunc(reference, isBlank)
	return word != "" && word != "null"
}

// ReferenceKey is equal for references that a person would take for one: those
// that differ only by blanks of every kind, case, Unicode form or the leading
// zeros of a number. It is for pointing at a likely mistake and never for
// settling. It is empty when the reference has nothing but blanks.
func ReferenceKey(reference string) string {
	folded := norm.NFKC.String(cases.Fold().String(norm.NFKC.String(reference)))
	var key strings.Builder
	var last rune
	runes := []rune(folded)
	for i, r := range runes {
		switch {
		case isBlank(r):
			continue
		case r == '0' && !isDigit(last) && nextIsDigit(runes[i+1:]):
			continue // a leading zero; the last one of zeros stays
		}
		key.WriteRune(r)
		last = r
	}
	return key.String()
}

// nextIsDigit reports whether the first character that is not a blank is a digit.
func nextIsDigit(runes []rune) bool {
	for _, r := range runes {
		if !isBlank(r) {
			return isDigit(r)
		}
	}
	return false
}

func isDigit(r rune) bool { return '0' <= r && r <= '9' }

// isBlank reports whether nothing is to be seen of the character: spaces of every
// width, control characters, and those that only steer how others are written.
func isBlank(r rune) bool { return unicode.In(r, unicode.White_Space, unicode.Cc, unicode.Cf) }
