package store

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"strings"
	"unicode/utf8"

	"github.com/jackc/pgx/v5"
)

// Payments are found by their payer's e-mail address through a keyed hash of it, which
// stands beside the provider's answer that has the address, and goes with it: a hash alone
// is never kept. So its key need be no secret from whoever has the database. It is that of
// forgotten payers, which no rotation changes: under another key nothing earlier would
// be found.

// payerHashSize is how much of the HMAC is kept, in bytes.
const payerHashSize = 16

// mostEmail is how long an e-mail address may be, in bytes.
const mostEmail = 254

// ErrPayerEmail means that a text is not an e-mail address.
var ErrPayerEmail = &InvalidError{What: "the payer's e-mail address", code: "invalid_field"}

// A PayerKey stands for a payer's e-mail address in addresses and filters, and tells
// nobody what it is.
type PayerKey string

// ParsePayerKey reads what PayerKeyOf makes, and nothing else.
func ParsePayerKey(text string) (PayerKey, bool) {
	hash, err := base64.RawURLEncoding.Strict().DecodeString(text)
	return PayerKey(text), err == nil && len(hash) == payerHashSize
}

// hash is what is kept of the address.
func (k PayerKey) hash() []byte {
	hash, _ := base64.RawURLEncoding.DecodeString(string(k))
	return hash
}

// IsEmail reports whether a text has the form of an e-mail address.
func IsEmail(text string) bool {
	text = strings.TrimSpace(text)
	name, host, ok := strings.Cut(text, "@")
	return ok && name != "" && host != "" && len(text) <= mostEmail && utf8.ValidString(text) && !strings.ContainsFunc(text, isBlankOrControl)
}

func isBlankOrControl(r rune) bool { return r <= ' ' || r == 0x7f }

// PayerKeyOf is what stands for an e-mail address, however it is cased. The error is
// one of ErrPayerEmail for a text that is none.
func (s *Store) PayerKeyOf(ctx context.Context, email string) (PayerKey, error) {
	if !IsEmail(email) {
		return "", ErrPayerEmail.because("must look like name@host")
	}
	key, err := s.hashKey(ctx, s.pool)
	if err != nil {
		return "", err
	}
	return PayerKey(base64.RawURLEncoding.EncodeToString(hashPayerEmail(key, email))), nil
}

// hashPayerEmail is what a payment is found by. It is not a hash of forgotten payers.
func hashPayerEmail(key []byte, email string) []byte {
	mac := hmac.New(sha256.New, key)
	mac.Write([]byte("search by email\x00" + strings.ToLower(strings.TrimSpace(email))))
	return mac.Sum(nil)[:payerHashSize]
}

// ReadPayerEmails hashes the addresses in up to limit answers of which that was not done,
// by an earlier release, and reports whether there are no more.
func (s *Store) ReadPayerEmails(ctx context.Context, limit int) (done bool, err error) {
	if s.readPayers == nil {
		return true, nil
	}
	err = s.inTx(ctx, func(tx pgx.Tx) error {
		type unread struct {
			Source, PaymentID string
			Raw               []byte
		}
		found, err := readAll[unread](ctx, tx, `
			SELECT source, payment_id, raw FROM payments WHERE payer_email_hash IS NULL AND raw <> ''
			ORDER BY source, payment_id LIMIT $1 FOR UPDATE SKIP LOCKED`, limit)
		if err != nil {
			return err
		}
		sources, ids, hashes := make([]string, len(found)), make([]string, len(found)), make([][]byte, len(found))
		for i, p := range found {
			sources[i], ids[i] = p.Source, p.PaymentID
			if hashes[i], err = s.payerEmailHash(ctx, tx, s.payersIn(p.Source, p.Raw)); err != nil {
				return err
			}
		}
		done = len(found) < limit
		return execute(ctx, tx, `
			UPDATE payments p SET payer_email_hash = x.hash
			FROM unnest($1::text[], $2::text[], $3::bytea[]) AS x (source, id, hash)
			WHERE p.source = x.source AND p.payment_id = x.id`, sources, ids, hashes)
	})
	return done, wrap(err, "e-mail addresses of earlier payers")
}

// payerEmailHash is the hash of a payment's payer's own address; empty where its answer
// names none, and nil where nobody can say.
func (s *Store) payerEmailHash(ctx context.Context, q querier, payers Payers) ([]byte, error) {
	switch {
	case s.readPayers == nil:
		return nil, nil
	case len(payers.Emails) == 0:
		return []byte{}, nil
	}
	key, err := s.hashKey(ctx, q)
	if err != nil {
		return nil, err
	}
	return hashPayerEmail(key, payers.Emails[0]), nil
}
