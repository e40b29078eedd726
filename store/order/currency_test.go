package order

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestCurrencies_HaveTheDecimalsOfTheStandardAndTheUnitThatIsCharged(t *testing.T) {
	t.Parallel()
	for code, want := range map[string]Currency{
		"ARS": {Code: "ARS", Decimals: 2, ChargedDecimals: 2},
		"BRL": {Code: "BRL", Decimals: 2, ChargedDecimals: 2},
		"CLP": {Code: "CLP"},
		"COP": {Code: "COP", Decimals: 2, ChargedDecimals: 0},
		"MXN": {Code: "MXN", Decimals: 2, ChargedDecimals: 2},
		"PEN": {Code: "PEN", Decimals: 2, ChargedDecimals: 2},
		"PYG": {Code: "PYG"},
		"USD": {Code: "USD", Decimals: 2, ChargedDecimals: 2},
		"UYU": {Code: "UYU", Decimals: 2, ChargedDecimals: 2},
		"VES": {Code: "VES", Decimals: 2, ChargedDecimals: 2},
		"BHD": {Code: "BHD", Decimals: 3, ChargedDecimals: 3},
		"CLF": {Code: "CLF", Decimals: 4, ChargedDecimals: 4},
		"JPY": {Code: "JPY"},
	} {
		got, known := LookupCurrency(code)
		require.True(t, known, code)
		require.Equal(t, want, got)
	}
	for _, code := range []string{"", "ars", "Ars", "AR", "ARSS", "ARS ", " ARS", "XYZ", "XXX", "XTS", "XAU", "XDR", "VEF", "ÁRS"} {
		_, known := LookupCurrency(code)
		require.False(t, known, "%q", code)
	}
}

func TestCurrencies_AreThreeLettersAndThereOnce(t *testing.T) {
	t.Parallel()
	seen := 0
	for _, codes := range currencyCodes {
		seen += (len(codes) + 1) / 4
	}
	require.Len(t, currencies, seen)
	for code := range currencies {
		require.Regexp(t, `^[A-Z]{3}$`, code)
	}
}

func TestFormatAmount_WritesTheCurrencysOwnDecimals(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ amount, currency, want string }{
		{"150", "ARS", "150.00"},
		{"150.000", "ARS", "150.00"},
		{"0", "ARS", "0.00"},
		{"1e3", "ARS", "1000.00"},
		{"15990", "CLP", "15990"},
		{"0", "CLP", "0"},
		{"15990.5", "CLP", "15991"},
		{"99.99999999999999", "ARS", "100.00"},
		{"10.005", "ARS", "10.01"},
		{"10.0049999", "ARS", "10.00"},
		{"-0.1", "ARS", "-0.10"},
		{"-0.001", "ARS", "0.00"},
		{"20076", "COP", "20076.00"},
		{"1", "BHD", "1.000"},
		{"999999999999999.99", "ARS", "999999999999999.99"},
		// What has no known currency is written as it is.
		{"1.50", "", "1.5"},
		{"1.00", "XYZ", "1"},
		{"1e3", "XYZ", "1000"},
		{"0", "", "0"},
	} {
		require.Equal(t, c.want, FormatAmount(dec(c.amount), c.currency), "%s %s", c.amount, c.currency)
	}
}
