package store_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/conciliar/conciliar/store"
)

func TestVerify_HoldsThePayoutsToWhatMakesThemUp(t *testing.T) {
	t.Parallel()
	for what, c := range map[string]struct{ damage, invariant string }{
		"nothing":                              {``, ""},
		"a movement is gone":                   {`DELETE FROM account_movements WHERE source_id = '78'`, "payout_adds_up"},
		"a movement is in no payout":           {`UPDATE account_movements SET payout_id = NULL WHERE source_id = '78'`, "payout_adds_up"},
		"a payout is gone":                     {`DELETE FROM payouts WHERE id = '901'`, "payout_adds_up"},
		"a payout kept more":                   {`UPDATE payouts SET balance_kept = 6, opening_balance = 11 WHERE id = '900'`, "balance_carried_over"},
		"the first of equal movements is gone": {`DELETE FROM account_movements WHERE source_id = '79' AND ordinal = 1`, "movement_booked_once"},
		"a payout is to be explained":          {`UPDATE account_chains SET stale_from = now(), stale_until = now()`, ""},
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			b.read(t, statement{balance: "10", begin: hour(0), movements: []store.Movement{
				movement("payment", "77", "90", hour(1)), movement("payout", "900", "-95", hour(2)),
				movement("payment", "78", "50", hour(3)), movement("payout", "901", "-55", hour(4)),
				movement("payment", "79", "1", hour(6)), movement("payment", "79", "1", hour(6)),
			}})
			if c.damage != "" {
				b.behind(t, c.damage)
			}

			report, err := b.Verify(t.Context(), verifyOptions)

			require.NoError(t, err)
			var broken []string
			for _, v := range report.Violations {
				broken = append(broken, v.Invariant)
			}
			if c.invariant == "" {
				require.Empty(t, broken)
				return
			}
			require.Equal(t, []string{c.invariant}, broken)
		})
	}
}

func TestRetention_ReportsAreKeptForATime(t *testing.T) {
	t.Parallel()
	b := setupRuns(t)
	st := statement{balance: "0", begin: hour(0), movements: []store.Movement{movement("payment", "77", "90", hour(1))}}
	kept := b.read(t, st)
	b.exec(t, `UPDATE report_files SET created_at = now() - interval '10 days'`)

	b.retain(t, store.Keep{Events: day, Payloads: 11 * day})
	require.Equal(t, string(st.content()), b.keptContent(t, kept.ID))
	b.retain(t, store.Keep{Events: day, Payloads: 9 * day})

	require.Empty(t, b.keptContent(t, kept.ID))
	require.Zero(t, b.count(t, `SELECT count(*) FROM report_rows`))
	require.Equal(t, 1, b.count(t, `SELECT count(*) FROM account_movements`))
	require.EqualValues(t, 1, b.read(t, st).Booked, "the file is known by its hash")
	require.Equal(t, 1, b.count(t, `SELECT count(*) FROM account_movements`))
}

// What a report says of a forgotten payer goes, and does not come back with the next.
func TestForget_ReportsNameNobodyWhoIsForgotten(t *testing.T) {
	t.Parallel()
	b := setup(t, func(o *store.Options) {
		o.ReadPayers = func(string, []byte) store.Payers { return store.Payers{} }
	})
	b.exec(t, `INSERT INTO forgotten_payments (source, payment_id) VALUES ('mercadopago', '7700')`)
	st := statement{balance: "0", begin: hour(0), movements: []store.Movement{movement("payment", "7700", "90", hour(1)), movement("payment", "78", "1", hour(2))}}

	kept := b.read(t, st)

	require.Empty(t, b.keptContent(t, kept.ID))
	require.Equal(t, 2, b.count(t, `SELECT count(*) FROM account_movements`))
	other := statement{balance: "0", begin: hour(0), movements: []store.Movement{movement("payment", "79", "90", hour(1))}}
	kept = b.read(t, other)
	require.Equal(t, string(other.content()), b.keptContent(t, kept.ID))
	_, err := b.Forget(t.Context(), store.Forget{PayerID: "7900", By: store.Actor{Name: "cli:ana"}})
	require.NoError(t, err)
	require.NotEmpty(t, b.keptContent(t, kept.ID))
	naming := statement{balance: "0", begin: hour(0), movements: []store.Movement{movement("payment", "80", "90", hour(2))}}
	naming.movements[0].SourceID = "7901"
	kept = b.read(t, naming)
	_, err = b.Forget(t.Context(), store.Forget{PayerID: "7901", By: store.Actor{Name: "cli:ana"}})
	require.NoError(t, err)
	require.Empty(t, b.keptContent(t, kept.ID))
}
