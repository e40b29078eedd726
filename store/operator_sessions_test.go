package store_test

import (
	"crypto/sha256"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/conciliar/conciliar/store"
)

// newSession is a login of ana's with the token, on a device of its own.
func newSession(token string) store.NewSession {
	return store.NewSession{
		Key:      store.SessionKey{TokenHash: sha256.Sum256([]byte(token)), PasswordMAC: sha256.Sum256([]byte(token + "+password"))},
		Operator: "ana", DeviceHash: sha256.Sum256([]byte(token + "'s device")),
	}
}

func (b *bundle) use(t *testing.T, session store.NewSession) error {
	t.Helper()
	found, err := b.UseSession(t.Context(), session.Key.TokenHash, func(s store.Session) bool { return s.PasswordMAC == session.Key.PasswordMAC })
	if err == nil {
		require.Equal(t, "ana", found.Operator)
	}
	return err
}

func TestSessions_LastWhileTheyAreUsed(t *testing.T) {
	t.Parallel()
	b := setup(t)
	one, two := newSession("one"), newSession("two")
	require.ErrorIs(t, b.use(t, one), store.ErrNoSession)
	require.NoError(t, b.OpenSession(t.Context(), one, ana))
	require.NoError(t, b.OpenSession(t.Context(), two, ana))
	require.NoError(t, b.use(t, one))
	_, err := b.UseSession(t.Context(), one.Key.TokenHash, func(store.Session) bool { return false })
	require.ErrorIs(t, err, store.ErrNoSession)
	left := func() string {
		var v string
		require.NoError(t, b.pool.QueryRow(t.Context(), `
			SELECT concat_ws(' ', round(extract(epoch FROM expires_at - now()) / 3600)::text || ' h', (now() - last_seen_at < interval '1 min')::text)
			FROM operator_sessions WHERE token_hash = $1`, one.Key.TokenHash[:]).Scan(&v))
		return v
	}

	// Used, it lasts twelve hours more; little used, it is not written.
	b.exec(t, `UPDATE operator_sessions SET last_seen_at = now() - interval '59 s', expires_at = now() + interval '3 h'`)
	require.NoError(t, b.use(t, one))
	require.Equal(t, "3 h true", left())
	b.exec(t, `UPDATE operator_sessions SET last_seen_at = now() - interval '9 h'`)
	require.NoError(t, b.use(t, one))
	require.Equal(t, "12 h true", left())
	// Seven days after the login it ends, however it is used.
	b.exec(t, `UPDATE operator_sessions SET last_seen_at = now() - interval '9 h', created_at = now() - interval '6 days 22 hours'`)
	require.NoError(t, b.use(t, one))
	require.Equal(t, "2 h true", left())
	b.exec(t, `UPDATE operator_sessions SET expires_at = now() WHERE token_hash = $1`, one.Key.TokenHash[:])
	require.ErrorIs(t, b.use(t, one), store.ErrNoSession)

	// The next login forgets what has expired.
	three := newSession("three")
	require.NoError(t, b.OpenSession(t.Context(), three, ana))
	for _, session := range []store.NewSession{one, two, two} {
		require.NoError(t, b.CloseSession(t.Context(), session.Key.TokenHash, ana))
	}
	require.ErrorIs(t, b.use(t, two), store.ErrNoSession)
	require.NoError(t, b.use(t, three))

	require.Equal(t, []auditRow{
		byAna(store.ActionLogin, store.TargetSession, 1, 1, ""),
		byAna(store.ActionLogin, store.TargetSession, 2, 1, ""),
		byAna(store.ActionLogin, store.TargetSession, 3, 1, ""),
		byAna(store.ActionLogout, store.TargetSession, 2, 1, ""),
	}, b.actions(t), "an expired login was not logged out of")
	require.ErrorContains(t, b.OpenSession(t.Context(), newSession("nobody"), store.Actor{}), "needs the name of who acts")
	require.ErrorIs(t, b.use(t, newSession("nobody")), store.ErrNoSession)
}

func TestEndSession_EndsALoginAndForgetsItsDevice(t *testing.T) {
	t.Parallel()
	b := setup(t)
	one, two := newSession("one"), newSession("two")
	require.NoError(t, b.OpenSession(t.Context(), one, ana))
	require.NoError(t, b.OpenSession(t.Context(), two, ana))
	open, err := b.Sessions(t.Context())
	require.NoError(t, err)
	require.Len(t, open, 2)
	require.Equal(t, []int64{2, 1}, []int64{open[0].ID, open[1].ID}, "the newest first")
	require.Equal(t, ana.RemoteIP.String(), *open[0].RemoteIP)
	require.WithinDuration(t, time.Now().Add(store.SessionIdle), open[0].ExpiresAt, time.Minute)

	require.NoError(t, b.EndSession(t.Context(), 1, ana))
	require.ErrorIs(t, b.use(t, one), store.ErrNoSession)
	require.NoError(t, b.use(t, two))
	require.ErrorIs(t, b.EndSession(t.Context(), 1, ana), store.ErrSessionNotFound)
	known := func(session store.NewSession) bool {
		try, _, err := b.TryLogin(t.Context(), session.DeviceHash[:], "ana", ana.RemoteIP)
		require.NoError(t, err)
		return try.DeviceID != 0
	}
	require.False(t, known(one), "whoever was thrown out is a stranger")
	require.True(t, known(two))

	logins, err := b.Actions(t.Context(), store.ActionFilter{TargetKind: store.TargetSession}, store.Page{Limit: 2})
	actions := logins.Items
	require.NoError(t, err)
	require.Equal(t, store.ActionEndLogin, actions[0].Action)
	require.Equal(t, "ana", actions[0].Note, "whose it was")
	require.Equal(t, store.ActionLogin, actions[1].Action)
}
