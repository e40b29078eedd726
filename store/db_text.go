package store

import "strings"

// text makes s something that PostgreSQL's text can hold: valid UTF-8 without
// NUL. What can't be held becomes U+FFFD.
func text(s string) string {
	return strings.ReplaceAll(strings.ToValidUTF8(s, "\uFFFD"), "\x00", "\uFFFD")
}
