package mercadopago

import (
	"encoding/json"
	"errors"
	"strings"
	"unicode"
	"unicode/utf8"
)

var errNotAnObject = errors.New("not a JSON object")

// object is a JSON object whose values are still text. Names match exactly, as
// RFC 8259 has them; of two equal names the last counts.
type object map[string]json.RawMessage

// readObject reads one level. Its error says nothing of what is in raw.
func readObject(raw []byte) (object, error) {
	var o object
	if err := json.Unmarshal(raw, &o); err != nil || o == nil {
		// encoding/json quotes what it stumbles over, and that is the answer's.
		return nil, errNotAnObject
	}
	return o, nil
}

// child is a value that is an object itself; nil, which is usable, when it isn't.
func (o object) child(name string) object {
	c, err := readObject(o[name])
	if err != nil {
		return nil
	}
	return c
}

// str is a value that is a string; empty when it isn't one. What was invalid
// UTF-8 or a lone surrogate is U+FFFD in it.
func (o object) str(name string) string {
	var s string
	if raw := o[name]; len(raw) == 0 || raw[0] != '"' || json.Unmarshal(raw, &s) != nil {
		return ""
	}
	return s
}

// scalar is a string, or a number as it was written; empty when it is neither.
func (o object) scalar(name string) string {
	if s := o.number(name); s != "" {
		return s
	}
	return o.str(name)
}

// number is a number as it was written; empty when it isn't one.
func (o object) number(name string) string {
	if raw := o[name]; len(raw) > 0 && (raw[0] == '-' || raw[0] >= '0' && raw[0] <= '9') {
		return string(raw)
	}
	return ""
}

// id is an id, whether it was written as a number or as a string; empty when it
// is neither. Digits are kept as they stand: ids exceed what a float64 holds.
func (o object) id(name string) string {
	if n := o.number(name); n != "" {
		if !allDigits(n) || len(n) > maxID {
			return ""
		}
		return n
	}
	if s := o.str(name); validID(s) {
		return s
	}
	return ""
}

// boolean is a value that is true or false; nil when it is neither.
func (o object) boolean(name string) *bool {
	var b bool
	switch string(o[name]) {
	case "true":
		b = true
	case "false":
	default:
		return nil
	}
	return &b
}

// nothing tells whether the value is absent, null or an empty string.
func (o object) nothing(name string) bool {
	switch string(o[name]) {
	case "", "null", `""`:
		return true
	}
	return false
}

// storable makes text that PostgreSQL can hold: it has no NUL. It is cut after
// limit characters.
func storable(s string, limit int) string {
	s = strings.ReplaceAll(strings.ToValidUTF8(s, string(utf8.RuneError)), "\x00", string(utf8.RuneError))
	if utf8.RuneCountInString(s) <= limit {
		return s
	}
	return string([]rune(s)[:limit])
}

// maxWord bounds a topic or an action, in characters; the longest documented
// topic has 31.
const maxWord = 64

// unknownWord stands for a topic that is absent or can't be printed.
const unknownWord = "unknown"

// word makes a topic or an action printable and short; empty stays empty.
func word(s string) string {
	s = strings.TrimSpace(s)
	if !utf8.ValidString(s) || strings.ContainsFunc(s, func(r rune) bool {
		return r == utf8.RuneError || !unicode.IsPrint(r)
	}) {
		return unknownWord
	}
	return storable(s, maxWord)
}
