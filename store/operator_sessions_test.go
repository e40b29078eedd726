package store_test

import (
	"crypto/sha256"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/conciliar/conciliar/store"
)

func sessionKey(token string) store.SessionKey {
	return store.SessionKey{TokenHash: sha256.Sum256([]byte(token)), PasswordMAC: sha256.Sum256([]byte(token + "+password"))}
}

func TestSession_IsHeldToItsTokenPasswordAndTime(t *testing.T) {
	t.Parallel()
	b := setup(t)
	one, two := sessionKey("one"), sessionKey("two")
	require.ErrorIs(t, b.UseSession(t.Context(), one), store.ErrNoSession)
	require.NoError(t, b.OpenSession(t.Context(), one, ana))
	require.NoError(t, b.OpenSession(t.Context(), two, ana))
	require.NoError(t, b.UseSession(t.Context(), one))
	require.ErrorIs(t, b.UseSession(t.Context(), store.SessionKey{TokenHash: one.TokenHash, PasswordMAC: two.PasswordMAC}), store.ErrNoSession)
	left := func(key store.SessionKey) string {
		var v string
		require.NoError(t, b.pool.QueryRow(t.Context(), `
			SELECT concat_ws(' ', round(extract(epoch FROM expires_at - now()) / 3600)::text || ' h', (now() - last_seen_at < interval '1 min')::text)
			FROM operator_sessions WHERE token_hash = $1`, key.TokenHash[:]).Scan(&v))
		return v
	}

	// Used, it lasts twelve hours more; little used, it is not written.
	b.exec(t, `UPDATE operator_sessions SET last_seen_at = now() - interval '59 s', expires_at = now() + interval '3 h'`)
	require.NoError(t, b.UseSession(t.Context(), one))
	require.Equal(t, "3 h true", left(one))
	b.exec(t, `UPDATE operator_sessions SET last_seen_at = now() - interval '9 h'`)
	require.NoError(t, b.UseSession(t.Context(), one))
	require.Equal(t, "12 h true", left(one))
	// Seven days after the login it ends, however it is used.
	b.exec(t, `UPDATE operator_sessions SET last_seen_at = now() - interval '9 h', created_at = now() - interval '6 days 22 hours'`)
	require.NoError(t, b.UseSession(t.Context(), one))
	require.Equal(t, "2 h true", left(one))
	b.exec(t, `UPDATE operator_sessions SET expires_at = now() WHERE token_hash = $1`, one.TokenHash[:])
	require.ErrorIs(t, b.UseSession(t.Context(), one), store.ErrNoSession)

	// The next login forgets what has expired.
	require.NoError(t, b.OpenSession(t.Context(), sessionKey("three"), ana))
	require.NoError(t, b.CloseSession(t.Context(), one, ana))
	require.NoError(t, b.CloseSession(t.Context(), two, ana))
	require.NoError(t, b.CloseSession(t.Context(), two, ana))
	require.ErrorIs(t, b.UseSession(t.Context(), two), store.ErrNoSession)
	require.NoError(t, b.UseSession(t.Context(), sessionKey("three")))

	require.Equal(t, []auditRow{
		byAna(store.ActionLogin, store.TargetSession, 1, 1, ""),
		byAna(store.ActionLogin, store.TargetSession, 2, 1, ""),
		byAna(store.ActionLogin, store.TargetSession, 3, 1, ""),
		byAna(store.ActionLogout, store.TargetSession, 2, 1, ""),
	}, b.actions(t), "an expired login was not logged out of")
	require.ErrorContains(t, b.OpenSession(t.Context(), sessionKey("nobody"), store.Actor{}), "needs the name of who acts")
	require.ErrorIs(t, b.UseSession(t.Context(), sessionKey("nobody")), store.ErrNoSession)
}
