package store

import (
	"context"
	"crypto/sha256"
	"errors"
	"time"

	"github.com/jackc/pgx/v5"
)

const (
	// SessionIdle is how long a login lasts that nobody uses.
	SessionIdle = 12 * time.Hour
	// SessionLife is how long a login lasts at most.
	SessionLife = 7 * 24 * time.Hour
	// seenEvery bounds how often a login that is used writes so: pages that
	// refresh themselves must not become a write for each refresh.
	seenEvery = time.Minute
)

// ErrNoSession means that no login is valid under the key: there never was one,
// it was ended, it expired, or the password has changed.
var ErrNoSession = newPlainError(Unauthenticated, "not_logged_in", "no such session", "This needs the operator's login.")

// A SessionKey is what the ledger knows of a login's token. Neither half tells
// the token or the password.
type SessionKey struct {
	// TokenHash is the token's SHA-256.
	TokenHash [sha256.Size]byte
	// PasswordMAC is made of the token and the password that it was given for.
	PasswordMAC [sha256.Size]byte
}

// OpenSession begins a login, and forgets those that have expired.
func (s *Store) OpenSession(ctx context.Context, key SessionKey, by Actor) error {
	err := s.inTx(ctx, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, `DELETE FROM operator_sessions WHERE expires_at <= now()`); err != nil {
			return err
		}
		var id int64
		err := tx.QueryRow(ctx, `
			INSERT INTO operator_sessions (token_hash, password_mac, expires_at, remote_ip)
			VALUES ($1, $2, now() + $3::interval, $4::inet) RETURNING id`,
			key.TokenHash[:], key.PasswordMAC[:], SessionIdle, addressOrNil(by.RemoteIP)).Scan(&id)
		if err != nil {
			return err
		}
		return record(ctx, tx, act{by: by, action: ActionLogin, kind: TargetSession, target: id, count: 1})
	})
	return wrap(err, "open a session")
}

// UseSession says whether the login is valid, ErrNoSession when it is not, and
// keeps it from becoming idle.
func (s *Store) UseSession(ctx context.Context, key SessionKey) error {
	var id int64
	var stale bool
	err := s.pool.QueryRow(ctx, `
		SELECT id, last_seen_at < now() - $3::interval FROM operator_sessions
		WHERE token_hash = $1 AND password_mac = $2 AND expires_at > now()`,
		key.TokenHash[:], key.PasswordMAC[:], seenEvery).Scan(&id, &stale)
	if errors.Is(err, pgx.ErrNoRows) {
		return ErrNoSession
	}
	if err == nil && stale {
		_, err = s.pool.Exec(ctx, `
			UPDATE operator_sessions SET last_seen_at = now(), expires_at = least(now() + $2::interval, created_at + $3::interval)
			WHERE id = $1`, id, SessionIdle, SessionLife)
	}
	return wrap(err, "use a session")
}

// CloseSession ends a login. One that is not there is none to end.
func (s *Store) CloseSession(ctx context.Context, key SessionKey, by Actor) error {
	err := s.inTx(ctx, func(tx pgx.Tx) error {
		var id int64
		err := tx.QueryRow(ctx, `DELETE FROM operator_sessions WHERE token_hash = $1 AND password_mac = $2 RETURNING id`,
			key.TokenHash[:], key.PasswordMAC[:]).Scan(&id)
		if errors.Is(err, pgx.ErrNoRows) {
			return nil
		}
		if err != nil {
			return err
		}
		return record(ctx, tx, act{by: by, action: ActionLogout, kind: TargetSession, target: id, count: 1})
	})
	return wrap(err, "close a session")
}
