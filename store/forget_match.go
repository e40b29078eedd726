package store

import (
	"bytes"
	"encoding/json"
	"slices"
	"strings"
	"unicode"
)

// forgottenWord stands where something named a payer who was forgotten.
const forgottenWord = "[forgotten]"

// A payerMatch finds a payer in what is kept.
type payerMatch struct {
	// words are what names the payer, in lower case: ids, e-mail addresses, documents.
	words []string
	// short is true when a name of the payer's is too short to be looked for.
	short bool
	// payments are the payer's, as "source/id", and ids their ids.
	payments map[string]bool
	ids      []string
}

func newPayerMatch(payers Payers, payments []forgottenPayment) *payerMatch {
	m := &payerMatch{payments: map[string]bool{}}
	for _, list := range [][]string{payers.IDs, payers.Emails, payers.Documents} {
		for _, word := range list {
			if len(word) >= shortestID {
				m.words = append(m.words, strings.ToLower(word))
			}
			m.short = m.short || len(word) < shortestID
		}
	}
	// Of two words, of which one is a part of the other, the longer is looked for first.
	slices.SortFunc(m.words, func(a, b string) int { return len(b) - len(a) })
	for _, p := range payments {
		m.payments[p.source+"/"+p.id] = true
		m.ids = append(m.ids, p.id)
	}
	return m
}

// names reports whether a document or a text names the payer, however it is written.
func (m *payerMatch) names(text []byte) bool { return m.has(text, m.words) }

// mayName reports whether it is worth to read whom a document names.
func (m *payerMatch) mayName(document []byte) bool { return m.short || m.names(document) }

// isAbout reports whether a document that says nothing of what it is about names the
// payer or a payment of the payer's.
func (m *payerMatch) isAbout(text []byte) bool { return m.has(text, m.words) || m.has(text, m.ids) }

func (m *payerMatch) has(text []byte, words []string) bool {
	if len(text) == 0 || len(words) == 0 {
		return false
	}
	for _, reading := range readings(text) {
		lower := bytes.ToLower(reading)
		if slices.ContainsFunc(words, func(word string) bool { return indexWord(lower, word) >= 0 }) {
			return true
		}
	}
	return false
}

// readings are a text as it stands, and as it is meant where it is JSON with escapes
// or an escaped query.
func readings(text []byte) [][]byte {
	all := [][]byte{text}
	if bytes.Contains(text, []byte(`\u`)) {
		var value any
		if json.Unmarshal(text, &value) == nil {
			if plain, err := json.Marshal(value); err == nil {
				all = append(all, plain)
			}
		}
	}
	if bytes.IndexByte(text, '%') >= 0 {
		all = append(all, unescaped(string(text)))
	}
	return all
}

// indexWord is where a word stands in a text without being a part of a longer one; -1
// when it does not. Both are in lower case.
func indexWord(text []byte, word string) int {
	for from := 0; ; {
		at := bytes.Index(text[from:], []byte(word))
		if at < 0 {
			return -1
		}
		at += from
		end := at + len(word)
		if (at == 0 || !isWordByte(text[at-1])) && (end == len(text) || !isWordByte(text[end])) {
			return at
		}
		from = at + 1
	}
}

func isWordByte(b byte) bool {
	return b >= 'a' && b <= 'z' || b >= '0' && b <= '9' || b >= 0x80
}

// replace replaces what names the payer in a text, and reports whether it did. Where
// it is written in another way than it is meant, the whole text is replaced.
func (m *payerMatch) replace(text string) (string, bool) {
	if !m.names([]byte(text)) {
		return text, false
	}
	for _, word := range m.words {
		for {
			at := indexWord(lowerASCII(text), word)
			if at < 0 {
				break
			}
			text = text[:at] + forgottenWord + text[at+len(word):]
		}
	}
	if m.names([]byte(text)) {
		return forgottenWord, true
	}
	return text, true
}

// lowerASCII puts a text into lower case without moving a byte of it.
func lowerASCII(text string) []byte {
	lower := []byte(text)
	for i, b := range lower {
		if b < unicode.MaxASCII && b >= 'A' && b <= 'Z' {
			lower[i] = b + 'a' - 'A'
		}
	}
	return lower
}

// replaceJSON is replace for the texts in a JSON value. Numbers and names in it are
// ours.
func (m *payerMatch) replaceJSON(raw []byte) (json.RawMessage, bool, error) {
	if !m.names(raw) {
		return raw, false, nil
	}
	reader := json.NewDecoder(bytes.NewReader(raw))
	reader.UseNumber()
	var value any
	if err := reader.Decode(&value); err != nil {
		return nil, false, err
	}
	value, changed := m.replaceIn(value)
	if !changed {
		return raw, false, nil
	}
	replaced, err := json.Marshal(value)
	return replaced, true, err
}

func (m *payerMatch) replaceIn(value any) (_ any, changed bool) {
	switch v := value.(type) {
	case string:
		return m.replace(v)
	case []any:
		for i := range v {
			var c bool
			v[i], c = m.replaceIn(v[i])
			changed = changed || c
		}
	case map[string]any:
		for name, item := range v {
			var c bool
			v[name], c = m.replaceIn(item)
			changed = changed || c
		}
	}
	return value, changed
}
