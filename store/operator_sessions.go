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

// What can be wrong with a login.
var (
	// ErrNoSession means that no login is valid under the key: there never was one,
	// it was ended, it expired, or what it was given for has changed.
	ErrNoSession = newPlainError(Unauthenticated, "not_logged_in", "no such session", "This needs the operator's login.")
	// ErrSessionNotFound means that there is no login with the id.
	ErrSessionNotFound = noSuch("login", "not_found")
)

// A SessionKey is what the ledger knows of a login's token. Neither half tells
// the token or the password.
type SessionKey struct {
	// TokenHash is the token's SHA-256.
	TokenHash [sha256.Size]byte
	// PasswordMAC is made of the token and of what the login was given for.
	PasswordMAC [sha256.Size]byte
}

// A NewSession is a login that begins.
type NewSession struct {
	Key SessionKey
	// Operator is the person's name. Required.
	Operator string
	// Try is the try that was right.
	Try LoginTry
	// DeviceHash is the SHA-256 of a new token for a device that is not known yet.
	DeviceHash [sha256.Size]byte
}

// A Session is a login that has not ended.
type Session struct {
	ID       int64
	Operator string
	// PasswordMAC is that of its key.
	PasswordMAC [sha256.Size]byte
	BeganAt     time.Time
	// SeenAt is when it was used last, to within a minute.
	SeenAt    time.Time
	ExpiresAt time.Time
	// RemoteIP is where it began; nil when that is not known.
	RemoteIP *string
}

// OpenSession begins a login on a device that is known from then on, gives the try
// back, and forgets what has expired.
func (s *Store) OpenSession(ctx context.Context, session NewSession, by Actor) error {
	err := s.inTx(ctx, func(tx pgx.Tx) error {
		for _, table := range []string{"operator_sessions", "operator_devices"} {
			if _, err := tx.Exec(ctx, `DELETE FROM `+table+` WHERE expires_at <= now()`); err != nil {
				return err
			}
		}
		if err := session.Try.giveBack(ctx, tx); err != nil {
			return err
		}
		device, err := keepDevice(ctx, tx, session)
		if err != nil {
			return err
		}
		id, err := readValue[int64](ctx, tx, `
			INSERT INTO operator_sessions (token_hash, password_mac, expires_at, remote_ip, operator, device_id)
			VALUES ($1, $2, now() + $3::interval, $4::inet, $5, $6) RETURNING id`,
			session.Key.TokenHash[:], session.Key.PasswordMAC[:], SessionIdle, addressOrNil(by.RemoteIP), session.Operator, device)
		if err != nil {
			return err
		}
		return record(ctx, tx, act{by: by, action: ActionLogin, kind: TargetSession, target: id, count: 1})
	})
	return wrap(err, "open a session")
}

// keepDevice is the device of a login: the known one, else a new one.
func keepDevice(ctx context.Context, tx pgx.Tx, session NewSession) (id int64, err error) {
	err = tx.QueryRow(ctx, `
		UPDATE operator_devices SET last_used_at = now(), expires_at = now() + $2::interval WHERE id = $1 RETURNING id`,
		session.Try.DeviceID, DeviceLife).Scan(&id)
	if errors.Is(err, pgx.ErrNoRows) {
		err = tx.QueryRow(ctx, `
			INSERT INTO operator_devices (token_hash, operator, expires_at) VALUES ($1, $2, now() + $3::interval) RETURNING id`,
			session.DeviceHash[:], session.Operator, DeviceLife).Scan(&id)
	}
	return id, err
}

// sessionColumns are those of a Session.
const sessionColumns = `id, operator, password_mac, created_at, last_seen_at, expires_at, host(remote_ip)`

func scanSession(row pgx.CollectableRow) (Session, error) {
	var v Session
	var mac []byte
	err := row.Scan(&v.ID, &v.Operator, &mac, &v.BeganAt, &v.SeenAt, &v.ExpiresAt, &v.RemoteIP)
	copy(v.PasswordMAC[:], mac)
	toUTC(&v.BeganAt, &v.SeenAt, &v.ExpiresAt)
	return v, err
}

// UseSession returns the login of the token, ErrNoSession when there is none that
// valid accepts, and keeps it from becoming idle.
func (s *Store) UseSession(ctx context.Context, tokenHash [sha256.Size]byte, valid func(Session) bool) (Session, error) {
	rows, _ := s.pool.Query(ctx, `
		SELECT `+sessionColumns+` FROM operator_sessions
		WHERE token_hash = $1 AND expires_at > now() AND expires_at < now() + $2::interval + $3::interval`, tokenHash[:], SessionIdle, ClockSlack)
	found, err := pgx.CollectExactlyOneRow(rows, scanSession)
	if errors.Is(err, pgx.ErrNoRows) || err == nil && !valid(found) {
		return Session{}, ErrNoSession
	}
	if err == nil {
		// Most uses write nothing.
		_, err = s.pool.Exec(ctx, `
			UPDATE operator_sessions SET last_seen_at = now(), expires_at = least(now() + $2::interval, created_at + $3::interval)
			WHERE id = $1 AND NOT `+within("last_seen_at", "$4::interval"), found.ID, SessionIdle, SessionLife, seenEvery)
	}
	if err != nil {
		return Session{}, wrap(err, "use a session")
	}
	return found, nil
}

// Sessions returns the logins that have not ended, the newest first.
func (s *Store) Sessions(ctx context.Context) ([]Session, error) {
	rows, _ := s.pool.Query(ctx, `SELECT `+sessionColumns+` FROM operator_sessions WHERE expires_at > now() ORDER BY id DESC`)
	found, err := pgx.CollectRows(rows, scanSession)
	return found, wrap(err, "list sessions")
}

// CloseSession ends a login. One that is gone already is not an error.
func (s *Store) CloseSession(ctx context.Context, tokenHash [sha256.Size]byte, by Actor) error {
	err := s.inTx(ctx, func(tx pgx.Tx) error {
		id, err := readValue[int64](ctx, tx, `DELETE FROM operator_sessions WHERE token_hash = $1 RETURNING id`, tokenHash[:])
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

// EndSession ends somebody's login, and their device is a stranger's again. It
// returns ErrSessionNotFound when there is no such login.
func (s *Store) EndSession(ctx context.Context, id int64, by Actor) error {
	err := s.inTx(ctx, func(tx pgx.Tx) error {
		var operator string
		var device *int64
		err := tx.QueryRow(ctx, `DELETE FROM operator_sessions WHERE id = $1 RETURNING operator, device_id`, id).Scan(&operator, &device)
		if errors.Is(err, pgx.ErrNoRows) {
			return ErrSessionNotFound.With(id)
		}
		if err != nil {
			return err
		}
		if _, err := tx.Exec(ctx, `DELETE FROM operator_devices WHERE id = $1`, device); err != nil {
			return err
		}
		return record(ctx, tx, act{by: by, action: ActionEndLogin, kind: TargetSession, target: id, count: 1, note: operator})
	})
	return wrap(err, "end session %d", id)
}
