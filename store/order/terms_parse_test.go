package order

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestParseTerms_ReadsMoneyAsPeopleWriteIt(t *testing.T) {
	t.Parallel()
	for _, amount := range []string{"0.01", "150", "150.0", "150.00000", "999999999999999.99"} {
		terms, err := ParseTerms(amount, "ARS")
		require.NoError(t, err)
		require.Equal(t, "ARS", terms.Currency)
		require.True(t, terms.Amount.Equal(dec(amount)))
	}
}

func TestParseTerms_SaysWhatIsWrong(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		amount, currency, says string
		is                     error
	}{
		{"", "ARS", "amount must be digits", ErrInvalidTerms},
		{"-1", "ARS", "amount must be digits", ErrInvalidTerms},
		{"1e3", "ARS", "amount must be digits", ErrInvalidTerms},
		{"1,50", "ARS", "amount must be digits", ErrInvalidTerms},
		{"01", "ARS", "amount must not begin with extra zeros", ErrInvalidTerms},
		{"0.00", "ARS", "amount must be more than zero", ErrInvalidTerms},
		{"1000000000000000", "ARS", "amount has more than 15 digits before the point", ErrInvalidTerms},
		{"1.000000001", "ARS", "amount has more than 8 digits after the point", ErrInvalidTerms},
		{"10.005", "ARS", "amount is finer than the smallest unit of ARS, which is 0.01", ErrAmountTooFine},
		{"10", "ars", "currency must be a code of ISO 4217", ErrUnknownCurrency},
	} {
		_, err := ParseTerms(c.amount, c.currency)
		require.ErrorContains(t, err, c.says)
		require.ErrorIs(t, err, c.is)
		require.ErrorIs(t, err, ErrInvalidTerms)
		var terms *TermsError
		require.ErrorAs(t, err, &terms)
	}
}
