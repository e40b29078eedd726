package store

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"fmt"
	"net/url"
	"slices"
	"strings"
)

// Payers are what a document names its payers by.
type Payers struct {
	// IDs are the provider's ids of them, Emails their addresses in lower case, that of
	// whom the document calls its payer first, and Documents the numbers of their identity
	// documents.
	IDs, Emails, Documents []string
}

// ReadPayers finds whom a document of a source names as a payer.
type ReadPayers func(source string, document []byte) Payers

// What is kept of a payer who was forgotten is a keyed hash: a row tells nobody who
// it is, and a later document that names the payer is known by it. The key stands in
// the database: every process needs it, in a restored backup it must go with the
// hashes, and one that a person keeps would be lost or rotated, upon which what was
// erased came back. So the rows are pseudonyms, and no secret from whoever has the
// whole database.

// hashKey reads the key, once.
func (s *Store) hashKey(ctx context.Context, q querier) ([]byte, error) {
	if key := s.forgottenKey.Load(); key != nil {
		return *key, nil
	}
	key, err := readValue[[]byte](ctx, q, `SELECT key FROM forgotten_key`)
	if err != nil {
		return nil, fmt.Errorf("the key of forgotten payers: %w", err)
	}
	s.forgottenKey.Store(&key)
	return key, nil
}

// hashPayers hashes what payers are known by, whatever the source: that a number is
// the id of two payers at two providers is no reason to keep a body.
func (s *Store) hashPayers(ctx context.Context, q querier, payers Payers) ([][]byte, error) {
	if len(payers.IDs)+len(payers.Emails) == 0 {
		return nil, nil
	}
	key, err := s.hashKey(ctx, q)
	if err != nil {
		return nil, err
	}
	var hashes [][]byte
	for kind, names := range map[string][]string{"id": payers.IDs, "email": payers.Emails} {
		for _, name := range names {
			mac := hmac.New(sha256.New, key)
			mac.Write([]byte(kind + "\x00" + name))
			hashes = append(hashes, mac.Sum(nil))
		}
	}
	return hashes, nil
}

// payerHashes hashes whom documents of a source may name: its payers, and every
// e-mail address that stands in them.
func (s *Store) payerHashes(ctx context.Context, q querier, source string, documents ...[]byte) ([][]byte, error) {
	var named Payers
	for _, document := range documents {
		found := s.payersIn(source, document)
		named.IDs, named.Emails = append(named.IDs, found.IDs...), append(named.Emails, found.Emails...)
		named.Emails = append(named.Emails, emailsIn(document)...)
	}
	return s.hashPayers(ctx, q, named)
}

// payersIn finds the payers of a document; none where nobody can say.
func (s *Store) payersIn(source string, document []byte) Payers {
	if s.readPayers == nil || len(document) == 0 {
		return Payers{}
	}
	return s.readPayers(source, document)
}

// emailsIn returns what looks like an e-mail address in a text, in lower case.
func emailsIn(text []byte) []string {
	var found []string
	for rest := text; ; {
		at := bytes.IndexByte(rest, '@')
		if at < 0 {
			return found
		}
		begin, end := at, at+1
		for begin > 0 && isEmailByte(rest[begin-1]) {
			begin--
		}
		for end < len(rest) && isEmailByte(rest[end]) {
			end++
		}
		if begin < at && end > at+1 {
			found = append(found, strings.ToLower(strings.Trim(string(rest[begin:end]), ".")))
		}
		rest = rest[at+1:]
	}
}

// isEmailByte tells whether a byte is one that addresses are written with.
func isEmailByte(b byte) bool {
	return b >= 'a' && b <= 'z' || b >= 'A' && b <= 'Z' || b >= '0' && b <= '9' || b >= 0x80 || strings.IndexByte(".+-_%'", b) >= 0
}

// forgottenSQL is the condition that a document is about a forgotten payment or names
// a forgotten payer. It must stand in the statement that writes the document: whoever
// forgets a payer locks out the writers of documents until the rows that it looks at
// are committed.
func forgottenSQL(source, payment, hashes string) string {
	return `(EXISTS (SELECT FROM forgotten_payments fp WHERE fp.source = ` + source + ` AND fp.payment_id = ` + payment + `)
		OR EXISTS (SELECT FROM forgotten_payers fh WHERE fh.hash = ANY (` + hashes + `)))`
}

// unescaped is a query as its sender meant it.
func unescaped(query string) []byte {
	if plain, err := url.QueryUnescape(query); err == nil {
		return []byte(plain)
	}
	return []byte(query)
}

// shortestID is how many digits a number has that may be a provider's id.
const shortestID = 4

// numbersIn returns the numbers in a text that may be ids.
func numbersIn(text []byte) []string {
	notDigit := func(r rune) bool { return r < '0' || r > '9' }
	return slices.DeleteFunc(strings.FieldsFunc(string(text), notDigit), func(n string) bool { return len(n) < shortestID })
}
