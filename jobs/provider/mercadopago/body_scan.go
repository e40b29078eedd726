package mercadopago

import (
	"bytes"
	"encoding/json"
	"unicode/utf8"
)

// What is read here is valid JSON, as json.Valid has it. encoding/json checks a document
// once for each level that is read, and copies each value: answers of payments have some
// sixty, of which a few are read.

// An object is made for as many members as its text may have: averageMember is about
// how many bytes one takes, mostMembers how many it is made for at most.
const averageMember, mostMembers = 24, 128

// eachMember hands over the members of an object: their names as they are meant, and
// their values as they are written.
func eachMember(raw []byte, yield func(name, value []byte)) {
	for i := pastBlanks(raw, 1); raw[i] != '}'; i = pastBlanks(raw, i) {
		if raw[i] == ',' {
			i = pastBlanks(raw, i+1)
		}
		nameEnd := pastString(raw, i)
		name := unquoted(raw[i:nameEnd])
		begin := pastBlanks(raw, pastBlanks(raw, nameEnd)+1) // behind the colon
		i = pastValue(raw, begin)
		yield(name, raw[begin:i:i])
	}
}

// eachEntry hands over the entries of a list.
func eachEntry(raw []byte, yield func(entry []byte)) {
	for i := pastBlanks(raw, 1); raw[i] != ']'; i = pastBlanks(raw, i) {
		if raw[i] == ',' {
			i = pastBlanks(raw, i+1)
		}
		begin := i
		i = pastValue(raw, begin)
		yield(raw[begin:i:i])
	}
}

// unquoted is a string as it is meant. What was invalid UTF-8 or a lone surrogate is
// U+FFFD in it.
func unquoted(raw []byte) []byte {
	text := raw[1 : len(raw)-1]
	if bytes.IndexByte(text, '\\') < 0 && utf8.Valid(text) {
		return text
	}
	var s string
	_ = json.Unmarshal(raw, &s) // it is valid
	return []byte(s)
}

// pastBlanks is where what is not white space goes on.
func pastBlanks(raw []byte, i int) int {
	for i < len(raw) && (raw[i] == ' ' || raw[i] == '\t' || raw[i] == '\n' || raw[i] == '\r') {
		i++
	}
	return i
}

// pastString is where the string that begins at i is over.
func pastString(raw []byte, i int) int {
	for i++; raw[i] != '"'; i++ {
		if raw[i] == '\\' {
			i++
		}
	}
	return i + 1
}

// pastValue is where the value that begins at i is over.
func pastValue(raw []byte, i int) int {
	switch raw[i] {
	case '"':
		return pastString(raw, i)
	case '{', '[':
		return pastNested(raw, i)
	}
	for i < len(raw) {
		switch raw[i] {
		case ',', '}', ']', ' ', '\t', '\n', '\r':
			return i
		}
		i++
	}
	return i
}

// pastNested is where the object or list that begins at i is over.
func pastNested(raw []byte, i int) int {
	for depth := 0; ; i++ {
		switch raw[i] {
		case '"':
			i = pastString(raw, i) - 1
		case '{', '[':
			depth++
		case '}', ']':
			if depth--; depth == 0 {
				return i + 1
			}
		}
	}
}
