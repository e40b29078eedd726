package order

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestTermsValidate(t *testing.T) {
	t.Parallel()

	t.Run("any positive amount below 10^15 in any three-letter currency is fine", func(t *testing.T) {
		t.Parallel()
		for _, amount := range []string{"0.01", "0.001", "15990", "1234567.89", "999999999999999.99"} {
			for _, code := range []string{"ARS", "BRL", "CLP", "AAA", "ZZZ"} {
				require.NoError(t, Terms{Amount: dec(amount), Currency: code}.Validate(), "%s %s", amount, code)
			}
		}
	})

	t.Run("no money and endless money are not", func(t *testing.T) {
		t.Parallel()
		for _, amount := range []string{"0", "0.00", "-0.01", "-150", "1000000000000000", "1e400"} {
			require.ErrorIs(t, Terms{Amount: dec(amount), Currency: "ARS"}.Validate(), ErrInvalidTerms, amount)
		}
		require.ErrorIs(t, Terms{Currency: "ARS"}.Validate(), ErrInvalidTerms)
	})

	t.Run("nor is anything but three upper-case letters a currency", func(t *testing.T) {
		t.Parallel()
		for _, code := range []string{"", "A", "AR", "ARSS", "ars", "Ars", "AR ", "A1S", "A-S", "ÁR", "Á", "A@S", "A[S", "@AR", "AR["} {
			require.ErrorIs(t, Terms{Amount: dec("150"), Currency: code}.Validate(), ErrInvalidTerms, "%q", code)
		}
	})
}

func TestRulesValidate(t *testing.T) {
	t.Parallel()

	for _, mode := range []Mode{"any", "live", "test"} {
		require.NoError(t, Rules{Mode: mode}.Validate(), mode)
	}
	for _, mode := range []Mode{"", "Live", "both", "live "} {
		require.ErrorIs(t, Rules{Mode: mode}.Validate(), ErrUnknownMode, "%q", mode)
	}
}
