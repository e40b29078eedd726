package order

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestParsePaymentStatus_KnowsEveryStatus(t *testing.T) {
	t.Parallel()

	t.Run("knows the nine and ranks them in the order of the rule", func(t *testing.T) {
		t.Parallel()
		for i, word := range []string{
			"pending", "in_process", "authorized", "rejected", "cancelled",
			"approved", "in_mediation", "refunded", "charged_back",
		} {
			status, err := ParsePaymentStatus(word)
			require.NoError(t, err)
			require.Equal(t, PaymentStatus(word), status)
			require.Equal(t, i+1, status.Rank(), word)
			require.Equal(t, status, PaymentStatuses()[i])
		}
		require.Len(t, PaymentStatuses(), 9)
	})

	t.Run("takes nothing else, however alike", func(t *testing.T) {
		t.Parallel()
		for _, word := range []string{
			"", " ", "Approved", "APPROVED", "approved ", " approved", "approve", "canceled",
			"chargedback", "charged-back", "in process", "partially_refunded", "paid", "approved\x00",
		} {
			status, err := ParsePaymentStatus(word)
			require.ErrorIs(t, err, ErrUnknownStatus, "%q", word)
			require.Empty(t, status)
			require.Zero(t, PaymentStatus(word).Rank(), "%q", word)
		}
	})

	t.Run("says the word, and no more than forty characters of it", func(t *testing.T) {
		t.Parallel()
		_, err := ParsePaymentStatus("vanished")
		require.EqualError(t, err, `unknown payment status "vanished"`)
		_, err = ParsePaymentStatus(strings.Repeat("x", 10_000))
		require.EqualError(t, err, `unknown payment status "`+strings.Repeat("x", 40)+`"`)
	})

	t.Run("gives a list that the caller may change", func(t *testing.T) {
		t.Parallel()
		PaymentStatuses()[0] = "broken"
		require.Equal(t, PaymentPending, PaymentStatuses()[0])
	})
}

func TestStatuses_AreThoseOfTheInterface(t *testing.T) {
	t.Parallel()
	require.ElementsMatch(t, []Status{
		"pending", "in_process", "authorized", "rejected", "cancelled", "partially_paid",
		"paid", "partially_refunded", "refunded", "in_mediation", "charged_back",
	}, Statuses())
}
