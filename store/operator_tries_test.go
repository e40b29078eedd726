package store_test

import (
	"net/netip"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/conciliar/conciliar/store"
)

// tries makes tries until one is refused, no more than most, and returns how many
// there were and how long the next one has to wait.
func tries(t *testing.T, s *store.Store, device []byte, from string, most int) (made int, wait time.Duration) {
	t.Helper()
	for made < most {
		_, wait, err := s.TryLogin(t.Context(), device, "ana", netip.MustParseAddr(from))
		require.NoError(t, err)
		if wait > 0 {
			return made, wait
		}
		made++
	}
	return made, 0
}

// pass lets time pass for the lanes.
func (b *bundle) pass(t *testing.T, interval string) {
	t.Helper()
	b.exec(t, `UPDATE operator_login_lanes SET spent_until = spent_until - $1::interval`, interval)
}

func TestTryLogin_CountsANetworkThenAllStrangersTogether(t *testing.T) {
	t.Parallel()
	b := setup(t)
	made, wait := tries(t, b.Store, nil, "192.0.2.7", 100)
	require.Equal(t, 25, made, "five of its own, twenty of all strangers")
	require.LessOrEqual(t, wait, time.Minute)
	require.Greater(t, wait, 50*time.Second)

	made, _ = tries(t, b.Store, nil, "192.0.2.8", 100)
	require.Equal(t, 5, made, "a neighbour has tries of its own")
	b.pass(t, "1 minute")
	made, _ = tries(t, b.Store, nil, "192.0.2.8", 100)
	require.Equal(t, 1, made, "one a minute for all together")
	b.pass(t, "1 hour")
	made, _ = tries(t, b.Store, nil, "192.0.2.7", 100)
	require.Equal(t, 21, made)
	made, _ = tries(t, b.Store, nil, "192.0.2.8", 100)
	require.Equal(t, 1, made, "one an hour of its own")
}

func TestTryLogin_ANetworkIsWhatOneCallerHolds(t *testing.T) {
	t.Parallel()
	b := setup(t)
	made, _ := tries(t, b.Store, nil, "2001:db8:0:1200::1", 5)
	require.Equal(t, 5, made)
	made, _ = tries(t, b.Store, nil, "2001:db8:0:12ff::2", 100)
	require.Equal(t, 20, made, "the same /56: only those of all strangers are left")
	made, _ = tries(t, b.Store, nil, "2001:db8:0:1300::1", 100)
	require.Equal(t, 5, made)
}

func TestTryLogin_AKnownDeviceHasALaneOfItsOwn(t *testing.T) {
	t.Parallel()
	b := setup(t)
	session := newSession("one")
	require.NoError(t, b.OpenSession(t.Context(), session, ana))
	tries(t, b.Store, nil, "192.0.2.7", 100)
	made, wait := tries(t, b.Store, session.DeviceHash[:], "192.0.2.7", 100)
	require.Equal(t, 10, made, "strangers at the same address took none of its tries")
	require.LessOrEqual(t, wait, 30*time.Second)

	try, wait, err := b.TryLogin(t.Context(), session.DeviceHash[:], "bea", netip.MustParseAddr("192.0.2.9"))
	require.NoError(t, err)
	require.Zero(t, wait)
	require.Zero(t, try.DeviceID, "ana's device is a stranger's for bea")

	b.exec(t, `UPDATE operator_devices SET expires_at = now()`)
	try, _, err = b.TryLogin(t.Context(), session.DeviceHash[:], "ana", netip.MustParseAddr("192.0.2.9"))
	require.NoError(t, err)
	require.Zero(t, try.DeviceID, "a device is forgotten in the end")
}

func TestTryLogin_ARightTryIsGivenBack(t *testing.T) {
	t.Parallel()
	b := setup(t)
	for range 30 { // more than one network and all strangers have
		session := newSession("one")
		var wait time.Duration
		var err error
		session.Try, wait, err = b.TryLogin(t.Context(), nil, "ana", ana.RemoteIP)
		require.NoError(t, err)
		require.Zero(t, wait)
		require.NoError(t, b.OpenSession(t.Context(), session, ana))
		require.NoError(t, b.CloseSession(t.Context(), session.Key.TokenHash, ana))
		b.exec(t, `DELETE FROM operator_devices`)
	}
}

// Processes share nothing but the database.
func TestTryLogin_TwoProcessesGiveNoMoreThanOne(t *testing.T) {
	t.Parallel()
	b := setup(t)
	var made atomic.Int64
	var waiting sync.WaitGroup
	for range 8 {
		waiting.Go(func() {
			for range 10 {
				_, wait, err := b.TryLogin(t.Context(), nil, "ana", netip.MustParseAddr("192.0.2.7"))
				if err != nil {
					t.Error(err)
				}
				if wait == 0 {
					made.Add(1)
				}
			}
		})
	}
	waiting.Wait()
	require.EqualValues(t, 25, made.Load())
}

func TestFailLogin_IsInTheAuditAndForgetsLanesThatAreFullAgain(t *testing.T) {
	t.Parallel()
	b := setup(t)
	tries(t, b.Store, nil, "192.0.2.7", 6)
	b.pass(t, "1 day")
	require.NoError(t, b.FailLogin(t.Context(), ana))
	require.Zero(t, b.count(t, `SELECT count(*) FROM operator_login_lanes`))
	require.Equal(t, []auditRow{byAna(store.ActionLoginFailed, store.TargetSession, 0, 1, "")}, b.actions(t))
	st, err := b.Status(t.Context())
	require.NoError(t, err)
	require.EqualValues(t, 1, st.Signals.FailedLogins)
}
