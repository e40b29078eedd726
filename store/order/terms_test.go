package order

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestTerms_AreValidated(t *testing.T) {
	t.Parallel()

	t.Run("any positive amount below 10^15 at the currency's smallest unit is fine", func(t *testing.T) {
		t.Parallel()
		for _, c := range []Terms{
			{Amount: dec("0.01"), Currency: "ARS"}, {Amount: dec("1234567.89"), Currency: "BRL"}, {Amount: dec("15990"), Currency: "CLP"}, {Amount: dec("15990.00"), Currency: "CLP"},
			{Amount: dec("0.001"), Currency: "BHD"}, {Amount: dec("20076.47"), Currency: "COP"}, {Amount: dec("999999999999999.99"), Currency: "ARS"}, {Amount: dec("1e3"), Currency: "ARS"},
		} {
			require.NoError(t, c.Validate(), "%s %s", c.Amount, c.Currency)
		}
	})

	t.Run("one that is finer is not", func(t *testing.T) {
		t.Parallel()
		for _, c := range []Terms{{Amount: dec("10.005"), Currency: "ARS"}, {Amount: dec("15990.5"), Currency: "CLP"}, {Amount: dec("1.0001"), Currency: "BHD"}} {
			require.ErrorIs(t, c.Validate(), ErrInvalidTerms)
			require.ErrorIs(t, c.Validate(), ErrAmountTooFine)
		}
		require.EqualError(t, Terms{Amount: dec("15990.5"), Currency: "CLP"}.Validate(),
			"invalid order terms: the amount is finer than the currency's smallest unit, 1 CLP")
	})

	t.Run("no money and endless money are not", func(t *testing.T) {
		t.Parallel()
		for _, amount := range []string{"0", "0.00", "-0.01", "-150", "1000000000000000", "1e400"} {
			require.ErrorIs(t, Terms{Amount: dec(amount), Currency: "ARS"}.Validate(), ErrInvalidTerms, amount)
		}
		require.ErrorIs(t, Terms{Currency: "ARS"}.Validate(), ErrInvalidTerms)
	})

	t.Run("nor is anything but a code of the standard a currency", func(t *testing.T) {
		t.Parallel()
		for _, code := range []string{"", "A", "AR", "ARSS", "ars", "Ars", "AR ", "A1S", "A-S", "ÁR", "Á", "A@S", "XXX", "XYZ", "AR["} {
			require.ErrorIs(t, Terms{Amount: dec("150"), Currency: code}.Validate(), ErrInvalidTerms, "%q", code)
			require.ErrorIs(t, Terms{Amount: dec("150"), Currency: code}.Validate(), ErrUnknownCurrency, "%q", code)
		}
	})
}

func TestRules_AreValidated(t *testing.T) {
	t.Parallel()

	for _, mode := range []Mode{"any", "live", "test"} {
		require.NoError(t, Rules{Mode: mode}.Validate(), mode)
	}
	for _, mode := range []Mode{"", "Live", "both", "live "} {
		require.ErrorIs(t, Rules{Mode: mode}.Validate(), ErrUnknownMode, "%q", mode)
	}
}
