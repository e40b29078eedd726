package config

import (
	"strings"
	"unicode/utf8"
)

const (
	// minSecretLength is the least length of a token, a password or a signing
	// secret, in characters.
	minSecretLength = 16
	// minDistinct is how many different characters it must have at least. Of random
	// ones of sixteen hexadecimal digits one in two million has fewer.
	minDistinct = 5
)

// examples are secrets that our own pages show, or that everybody tries first,
// without what sets words apart.
var examples = []string{
	"changeme", "correcthorsebatterystaple", "password", "secret", "example", "yourtoken", "yoursecret", "yourpassword", "conciliar",
	"secretofthesimulator", "0123456789", "abcdefghijklmnop", "qwertyuiop",
}

// faultOf says why a value can't be a secret, as the rest of a sentence; empty when
// it can.
func faultOf(value string) string {
	distinct := map[rune]bool{}
	for _, r := range value {
		distinct[r] = true
	}
	switch {
	case utf8.RuneCountInString(value) < minSecretLength:
		return "has fewer than 16 characters"
	case len(distinct) < minDistinct:
		return "has only a few different characters and can be guessed"
	case isExample(value):
		return "is an example that anybody can guess"
	}
	return ""
}

// isExample reports whether nothing but an example is left of the value when digits
// and what sets words apart is taken away.
func isExample(value string) bool {
	plain := func(drop string) string {
		return strings.Map(func(r rune) rune {
			if strings.ContainsRune(drop, r) {
				return -1
			}
			return r
		}, strings.ToLower(value))
	}
	words, letters := plain(" -_.…<>"), plain(" -_.…<>0123456789")
	for _, example := range examples {
		for _, text := range []string{words, letters} {
			if text != "" && strings.ReplaceAll(text, example, "") == "" {
				return true
			}
		}
	}
	return false
}
