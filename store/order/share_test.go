package order

import (
	"testing"

	"github.com/shopspring/decimal"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

func TestJudge_TellsWhatEachPaymentIsToTheOrder(t *testing.T) {
	t.Parallel()
	settled, shares, err := Judge(terms, rules, []Payment{
		pay("1", PaymentApproved, "150", refunded("50"), shipping("10")),
		pay("2", PaymentApproved, "150", currency("BRL"), collector(theirs)),
		pay("3", PaymentRefunded, "20", currency("USD")),
		pay("4", PaymentApproved, "0"),
		pay("5", PaymentPending, "70"),
		pay("6", PaymentApproved, "40"),
		pay("7", PaymentRefunded, "30"),
	})
	require.NoError(t, err)
	require.Equal(t, StatusPartiallyRefunded, settled.Status)
	type short struct {
		id        string
		moneyless bool
		misfits   []AnomalyKind
		paid, net string
	}
	var got []short
	for _, s := range shares {
		got = append(got, short{s.Payment.ID, s.Moneyless, s.Misfits, s.Paid.String(), s.Net().String()})
	}
	require.Equal(t, []short{
		{"1", false, nil, "150", "100"},
		{"2", false, []AnomalyKind{AnomalyForeignCollector, AnomalyCurrencyMismatch}, "0", "0"},
		// It was given back, so nobody has to look; it counts no more than before.
		{"3", false, []AnomalyKind{AnomalyCurrencyMismatch}, "0", "0"},
		{"4", true, nil, "0", "0"},
		{"5", false, nil, "0", "0"},
		{"6", false, nil, "40", "40"},
		{"7", false, nil, "30", "0"},
	}, got)
}

func TestJudge_ItsSharesAddUpToTheSettlement(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		terms, rules, states := drawTerms(t), drawRules(t), drawStates(t)
		settled, shares, err := Judge(terms, rules, states)
		require.NoError(t, err)
		require.Equal(t, settle(t, terms, rules, states), settled)
		var paid, back decimal.Decimal
		for _, s := range shares {
			require.True(t, s.Misfits == nil && !s.Moneyless || s.Paid.IsZero() && s.Refunded.IsZero())
			paid, back = paid.Add(s.Paid), back.Add(s.Refunded)
		}
		require.True(t, settled.Paid.Equal(terms.currency().Round(paid)))
		require.True(t, settled.Refunded.Equal(terms.currency().Round(back)))
	})
}
