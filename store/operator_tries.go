package store

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"net/netip"
	"time"

	"github.com/jackc/pgx/v5"
)

// A loginLane is what tries to log in are counted in, for all processes together:
// so many at once, and one more each time that long has passed.
type loginLane struct {
	name  string
	tries int
	every time.Duration
}

// The lanes. A try stands in one of them, so that nobody waits behind a stranger
// who proved more: a device that an operator logged in on has its own lane, and a
// network has its own tries before it joins the common lane. docs/security.md says
// what an attacker has by them.
var (
	deviceLane  = loginLane{"device", 10, 30 * time.Second}
	networkLane = loginLane{"network", 5, time.Hour}
	commonLane  = loginLane{"common", 20, time.Minute}
)

const (
	// DeviceLife is how long a device is known after the last login on it.
	DeviceLife = 180 * 24 * time.Hour
	// networkMembers is how many networks are told apart. It bounds the table: a
	// stranger may have a great many.
	networkMembers = 1 << 20
	// lanesForgotten bounds how many lanes a failed try forgets.
	lanesForgotten = 100
)

// A LoginTry is a try to log in that may be made.
type LoginTry struct {
	// DeviceID is the known device that it comes from; 0 for a stranger's.
	DeviceID int64

	lane   loginLane
	member int64
}

// TryLogin takes one try to log in as operator. device is the SHA-256 of the token
// that a device shows, nil when it shows none. Without a try left, wait is how long
// until there is one, and nothing was counted.
func (s *Store) TryLogin(ctx context.Context, device []byte, operator string, remote netip.Addr) (try LoginTry, wait time.Duration, err error) {
	if try.DeviceID, err = s.knownDevice(ctx, device, operator); err != nil {
		return LoginTry{}, 0, wrap(err, "find a device")
	}
	lanes := []LoginTry{{lane: networkLane, member: memberOf(remote)}, {lane: commonLane}}
	if try.DeviceID != 0 {
		lanes = []LoginTry{{lane: deviceLane, member: try.DeviceID, DeviceID: try.DeviceID}}
	}
	for _, try = range lanes {
		var left time.Duration
		if left, err = s.takeTry(ctx, try); err != nil {
			return LoginTry{}, 0, wrap(err, "count a try to log in")
		}
		if left == 0 {
			return try, 0, nil
		}
		if wait == 0 || left < wait {
			wait = left
		}
	}
	return LoginTry{}, wait, nil
}

// knownDevice is the device of the token, 0 when there is none or it is another
// operator's.
func (s *Store) knownDevice(ctx context.Context, device []byte, operator string) (id int64, err error) {
	if len(device) == 0 {
		return 0, nil
	}
	err = s.pool.QueryRow(ctx, `SELECT id FROM operator_devices WHERE token_hash = $1 AND operator = $2
		  AND expires_at > now() AND expires_at < now() + $3::interval + $4::interval`,
		device, text(operator), DeviceLife, ClockSlack).Scan(&id)
	if errors.Is(err, pgx.ErrNoRows) {
		return 0, nil
	}
	return id, err
}

// spentUntil is when a lane l has all its tries back, $4 ahead at most: what stands
// further ahead is of a clock that has been set back since, and would keep everybody
// out until then.
const spentUntil = `CASE WHEN l.spent_until BETWEEN now() AND now() + $4::interval THEN l.spent_until ELSE now() END`

// takeTry takes a try out of its lane, or says how long until it has one. A lane
// that is spent is not written.
func (s *Store) takeTry(ctx context.Context, t LoginTry) (wait time.Duration, err error) {
	full := time.Duration(t.lane.tries) * t.lane.every
	err = s.pool.QueryRow(ctx, `
		INSERT INTO operator_login_lanes AS l (lane, member, spent_until) VALUES ($1, $2, now() + $3::interval)
		ON CONFLICT (lane, member) DO UPDATE SET spent_until = `+spentUntil+` + $3::interval
		WHERE `+spentUntil+` + $3::interval <= now() + $4::interval
		RETURNING interval '0'`, t.lane.name, t.member, t.lane.every, full).Scan(&wait)
	if !errors.Is(err, pgx.ErrNoRows) {
		return 0, err
	}
	err = s.pool.QueryRow(ctx, `
		SELECT greatest(spent_until + $3::interval - $4::interval - now(), interval '1 second') FROM operator_login_lanes
		WHERE lane = $1 AND member = $2`, t.lane.name, t.member, t.lane.every, full).Scan(&wait)
	if errors.Is(err, pgx.ErrNoRows) { // forgotten in this very moment
		return time.Second, nil
	}
	return wait, err
}

// giveBack returns a try that was right to its lane.
func (t LoginTry) giveBack(ctx context.Context, tx pgx.Tx) error {
	return execute(ctx, tx, `UPDATE operator_login_lanes SET spent_until = spent_until - $3::interval WHERE lane = $1 AND member = $2`,
		t.lane.name, t.member, t.lane.every)
}

// FailLogin records a try that was wrong: by is who it claimed to be.
func (s *Store) FailLogin(ctx context.Context, by Actor) error {
	err := s.inTx(ctx, func(tx pgx.Tx) error {
		_, err := tx.Exec(ctx, `
			DELETE FROM operator_login_lanes WHERE (lane, member) IN (
				SELECT lane, member FROM operator_login_lanes WHERE spent_until < now() LIMIT $1 FOR UPDATE SKIP LOCKED)`, lanesForgotten)
		if err != nil {
			return err
		}
		return record(ctx, tx, act{by: by, action: ActionLoginFailed, kind: TargetSession, count: 1})
	})
	return wrap(err, "record a failed login")
}

// memberOf is a network's number in its lane. It is what one caller can hold of the
// address space: an IPv4 address, or an IPv6 network of 56 bits. Two networks may
// have the same.
func memberOf(remote netip.Addr) int64 {
	bits := remote.BitLen()
	if remote.Is6() {
		bits = 56
	}
	network, err := remote.WithZone("").Prefix(bits)
	if err != nil { // no address at all
		return 0
	}
	sum := sha256.Sum256(network.Addr().AsSlice())
	return int64(binary.BigEndian.Uint64(sum[:8]) % networkMembers)
}
