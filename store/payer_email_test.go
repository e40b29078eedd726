package store_test

import (
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/conciliar/conciliar/store"
	"github.com/conciliar/conciliar/store/storetest/fixture"
)

// paidBy are the ids of the payments that are found by an address, latest first.
func (b *bundle) paidBy(t *testing.T, email string) []string {
	t.Helper()
	key, err := b.PayerKeyOf(t.Context(), email)
	require.NoError(t, err)
	ids := []string{}
	for at := (store.PaymentPlace{}); ; {
		found, err := b.Payments(t.Context(), store.PaymentFilter{Payer: key, LatestFirst: true}, store.PageOf[store.PaymentPlace]{Limit: 1, Before: at})
		require.NoError(t, err)
		for _, p := range found.Items {
			ids = append(ids, p.ID)
		}
		if at = found.Next; at == (store.PaymentPlace{}) {
			return ids
		}
	}
}

func TestPayments_AreFoundByThePayersEmail(t *testing.T) {
	t.Parallel()
	b := setupForget(t)
	fixture.Register(t, b.Store, "A-1", "100")
	b.paid(t, 1, "77001", "A-1", payerAna)
	b.paid(t, 2, "77002", "A-1", guestAna)
	b.paid(t, 3, "77003", "B-1", payerBea)
	b.paid(t, 4, "77004", "B-2", payer{id: "900199"})
	require.Equal(t, []string{"77002", "77001"}, b.paidBy(t, "  ANA.payer@Example.com "))
	require.Equal(t, []string{"77003"}, b.paidBy(t, "bea@example.com"))
	require.Empty(t, b.paidBy(t, "ana.payer@example.co"))
	require.Equal(t, 1, b.count(t, `SELECT count(*) FROM payments WHERE payer_email_hash = ''`), "one names no address")
	require.Zero(t, b.count(t, `SELECT count(*) FROM payments WHERE position('example'::bytea IN payer_email_hash) > 0`))

	key, err := b.PayerKeyOf(t.Context(), payerAna.email)
	require.NoError(t, err)
	require.NotContains(t, string(key), "ana")
	parsed, ok := store.ParsePayerKey(string(key))
	require.True(t, ok)
	require.Equal(t, key, parsed)
	for _, text := range []string{"", "ana.payer@example.com", string(key)[1:], string(key) + "=", string(key)[:21] + "x"} {
		_, ok := store.ParsePayerKey(text)
		require.False(t, ok, text)
	}
	for _, text := range []string{"", "ana", "@example.com", "ana@", "a na@example.com", "ana@example.com\n\x00x", strings.Repeat("a", 250) + "@b.co", "\xff@example.com"} {
		_, err := b.PayerKeyOf(t.Context(), text)
		require.ErrorIs(t, err, store.ErrPayerEmail, text)
	}
}

func TestPayments_TheHashOfAnEmailGoesWithItsAnswer(t *testing.T) {
	t.Parallel()
	b := setupForget(t)
	b.paid(t, 1, "77001", "A-1", payerAna)
	b.paid(t, 3, "77003", "B-1", payerBea)
	_, err := b.Forget(t.Context(), store.Forget{Email: payerAna.email, By: ana})
	require.NoError(t, err)
	require.Empty(t, b.paidBy(t, payerAna.email))
	require.Equal(t, 0, b.count(t, `SELECT count(*) FROM payments WHERE payment_id = '77001' AND payer_email_hash IS NOT NULL`))
	// What comes of a forgotten payer later is not kept, and not found.
	b.paid(t, 5, "77005", "A-2", payerAna)
	require.Empty(t, b.paidBy(t, payerAna.email))

	// As the retention of this release, and of the one before, empties an answer.
	require.Equal(t, []string{"77003"}, b.paidBy(t, payerBea.email))
	b.exec(t, `UPDATE payments SET raw = '' WHERE payment_id = '77003'`)
	require.Empty(t, b.paidBy(t, payerBea.email))
	require.Zero(t, b.count(t, `SELECT count(*) FROM payments WHERE payer_email_hash IS NOT NULL`))
	done, err := b.ReadPayerEmails(t.Context(), 9)
	require.NoError(t, err)
	require.True(t, done)
	require.Zero(t, b.count(t, `SELECT count(*) FROM payments WHERE payer_email_hash IS NOT NULL`), "there is nothing to read")
}

func TestReadPayerEmails_ReadsWhatTheReleaseBeforeKept(t *testing.T) {
	t.Parallel()
	b := setupForget(t)
	b.paid(t, 1, "77001", "A-1", payerAna)
	b.paid(t, 2, "77002", "A-2", payer{id: "900199"})
	b.paid(t, 3, "77003", "A-3", payerAna)
	b.exec(t, `ALTER TABLE payments DISABLE TRIGGER payments_touch`)
	b.exec(t, `UPDATE payments SET payer_email_hash = NULL, updated_at = '2026-01-02'`)
	b.exec(t, `ALTER TABLE payments ENABLE TRIGGER payments_touch`)
	require.Empty(t, b.paidBy(t, payerAna.email))
	for _, all := range []bool{false, true} {
		done, err := b.ReadPayerEmails(t.Context(), 2)
		require.NoError(t, err)
		require.Equal(t, all, done)
	}
	require.Equal(t, []string{"77003", "77001"}, b.paidBy(t, payerAna.email))
	require.Equal(t, 3, b.count(t, `SELECT count(*) FROM payments WHERE updated_at = '2026-01-02'`), "whoever follows changes sees none")
}

// Pages of one payer are read by the index, however many payments there are.
func TestPayments_OfAPayerAreReadByAnIndex(t *testing.T) {
	t.Parallel()
	b := setupForget(t)
	b.exec(t, `INSERT INTO payments (source, payment_id, status, amount, currency, live_mode, date_last_updated, fetched_at, raw, payer_email_hash)
		SELECT 'mercadopago', n, 'pending', 100, 'ARS', true, now(), now(), 'x', substr(sha256(n::text::bytea), 1, 16) FROM generate_series(1, 2000) AS n`)
	b.exec(t, `ANALYZE payments`)
	key, err := b.PayerKeyOf(t.Context(), payerAna.email)
	require.NoError(t, err)
	rows, err := b.pool.Query(t.Context(), `EXPLAIN SELECT payment_id FROM payments p WHERE p.payer_email_hash = sha256($1) AND p.payer_email_hash <> ''
		ORDER BY updated_at DESC, source DESC, payment_id DESC LIMIT 51`, []byte(key))
	require.NoError(t, err)
	plan, err := pgx.CollectRows(rows, pgx.RowTo[string])
	require.NoError(t, err)
	require.Contains(t, strings.Join(plan, "\n"), "Scan Backward using payments_payer_idx")
	require.NotContains(t, strings.Join(plan, "\n"), "Sort")
}
