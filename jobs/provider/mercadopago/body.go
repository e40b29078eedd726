package mercadopago

import (
	"bytes"
	"encoding/json"
	"errors"
	"strings"
	"unicode"
	"unicode/utf8"
)

var (
	errNotJSON     = errors.New("not JSON, or cut off")
	errNotAnObject = errors.New("not a JSON object")
	errNotAList    = errors.New("not a JSON list")
	byteOrderMark  = []byte("\uFEFF")
)

// object is a JSON object whose values are still text. Names match exactly, as
// RFC 8259 has them; of two equal names the last counts. It is a list and no map:
// most have few members, of which some are asked for once.
type object []member

// member is a name as it is meant and a value as it is written, both parts of the
// document where that can be.
type member struct{ name, value []byte }

// value is a member's; nil where there is none.
func (o object) value(name string) json.RawMessage {
	for i := len(o) - 1; i >= 0; i-- {
		if string(o[i].name) == name {
			return o[i].value
		}
	}
	return nil
}

// readObject reads one level, behind a byte order mark where a proxy put one.
// Its errors, errNotJSON and errNotAnObject, say nothing of what is in raw, which the
// values are parts of.
func readObject(raw []byte) (object, error) {
	raw = bytes.TrimPrefix(raw, byteOrderMark)
	if !json.Valid(raw) {
		return nil, errNotJSON
	}
	if raw = raw[pastBlanks(raw, 0):]; raw[0] != '{' {
		return nil, errNotAnObject
	}
	return membersOf(raw), nil
}

// membersOf reads one level of a valid object.
func membersOf(raw []byte) object {
	o := make(object, 0, min(max(len(raw)/averageMember, 1), mostMembers))
	eachMember(raw, func(name, value []byte) { o = append(o, member{name, value}) })
	return o
}

// child is a value that is an object itself; nil, which is usable, when it isn't.
func (o object) child(name string) object {
	if raw := o.value(name); len(raw) > 0 && raw[0] == '{' {
		return membersOf(raw)
	}
	return nil
}

// list is a value that is a list; nothing where there is none. The error means that
// something else stands there.
func (o object) list(name string) (entries []json.RawMessage, err error) {
	if o.empty(name) {
		return nil, nil
	}
	raw := o.value(name)
	if raw[0] != '[' {
		return nil, errNotAList
	}
	eachEntry(raw, func(entry []byte) { entries = append(entries, entry) })
	return entries, nil
}

// str is a value that is a string; empty when it isn't one. What was invalid
// UTF-8 or a lone surrogate is U+FFFD in it.
func (o object) str(name string) string {
	if raw := o.value(name); len(raw) > 0 && raw[0] == '"' {
		return string(unquoted(raw))
	}
	return ""
}

// scalar is a string, or a number as it was written; empty when it is neither.
func (o object) scalar(name string) string { return scalarOf(o.value(name)) }

func scalarOf(raw []byte) string {
	switch {
	case len(raw) == 0:
	case raw[0] == '"':
		return string(unquoted(raw))
	case raw[0] == '-' || raw[0] >= '0' && raw[0] <= '9':
		return string(raw)
	}
	return ""
}

// text is scalar without the blanks around it.
func (o object) text(name string) string { return strings.TrimSpace(o.scalar(name)) }

// number is a number as it was written; empty when it isn't one.
func (o object) number(name string) string {
	if raw := o.value(name); len(raw) > 0 && (raw[0] == '-' || raw[0] >= '0' && raw[0] <= '9') {
		return string(raw)
	}
	return ""
}

// id is an id, whether it was written as a number or as a string; empty when it
// is neither. Digits are kept as they stand: ids exceed what a float64 holds. A
// number with a fraction or an exponent is one when its value is whole, as some
// programs write large numbers so.
func (o object) id(name string) string {
	if n := o.number(name); n != "" {
		if !allDigits(n) {
			n = wholeNumber(n)
		}
		if len(n) > maxID {
			return ""
		}
		return n
	}
	if s := strings.TrimSpace(o.str(name)); validID(s) {
		return s
	}
	return ""
}

// ref is an id that may also be written as an object that has it.
func (o object) ref(name string) string {
	if id := o.id(name); id != "" {
		return id
	}
	return o.child(name).id("id")
}

// wholeNumber is a number's digits when it is whole and above 0; empty when it
// isn't.
func wholeNumber(n string) string {
	if d, err := parseAmount(n); err == nil && d.IsInteger() && d.IsPositive() {
		return d.Truncate(0).String()
	}
	return ""
}

// boolean is a value that is true or false, as text or as 1 and 0 too; nil when
// it is neither.
func (o object) boolean(name string) *bool {
	word := string(o.value(name))
	if text := o.text(name); text != "" {
		word = strings.ToLower(text)
	}
	var b bool
	switch word {
	case "true", "1":
		b = true
	case "false", "0":
	default:
		return nil
	}
	return &b
}

// empty tells whether the value is absent, null, or a string, an object or a
// list with nothing in it: each is how some program writes nothing.
func (o object) empty(name string) bool {
	raw := o.value(name)
	if len(raw) == 0 || string(raw) == "null" {
		return true
	}
	switch raw[0] {
	case '"':
		return strings.TrimSpace(o.str(name)) == ""
	case '{', '[': // a value of an object is valid JSON, so it has its other end
		return len(bytes.TrimSpace(raw[1:len(raw)-1])) == 0
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
