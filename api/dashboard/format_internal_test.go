package dashboard

import (
	"testing"
	"time"

	"github.com/shopspring/decimal"
	"github.com/stretchr/testify/require"
	"golang.org/x/text/language"
)

func readerFor(t *testing.T, code, numbers string) *reader {
	t.Helper()
	s, err := loadedSite()
	require.NoError(t, err)
	texts, ok := s.catalogue(code)
	require.True(t, ok)
	return newReader(texts, language.MustParse(numbers), time.UTC, time.UTC)
}

func TestFormat_MoneyIsExactAndInTheReadersForm(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ code, numbers, amount, currency, want string }{
		{"en", "en-US", "1234567.5", "ARS", "ARS 1,234,567.50"},
		{"es", "es-AR", "1234567.5", "ARS", "ARS 1.234.567,50"},
		{"es", "es-MX", "1234567.5", "MXN", "MXN 1,234,567.50"},
		{"pt-BR", "pt-BR", "1234567.5", "BRL", "BRL 1.234.567,50"},
		{"es", "es-CL", "15000", "CLP", "CLP 15.000"},
		{"es", "es-CL", "15000.5", "CLP", "CLP 15.001"},
		{"en", "en-US", "0", "ARS", "ARS 0.00"},
		{"en", "en-US", "-0.1", "ARS", "ARS −0.10"},
		// More digits than a float has.
		{"en", "en-US", "123456789012345678.12", "ARS", "ARS 123,456,789,012,345,678.12"},
		{"en", "en-US", "99.99999999999999", "ARS", "ARS 100.00"},
		{"en", "en-US", "20076.47", "COP", "COP 20,076.47"},
		{"en", "en-US", "10.50", "XXQ", "XXQ 10.5"},
		{"en", "en-US", "10.50", "", "10.5"},
	} {
		r := readerFor(t, c.code, c.numbers)
		got, err := r.Money(decimal.RequireFromString(c.amount), c.currency)
		require.NoError(t, err)
		require.Equal(t, c.want, replaceSpaces(got), "%+v", c)
		got, err = r.Money(c.amount, c.currency)
		require.NoError(t, err)
		require.Equal(t, c.want, replaceSpaces(got), "the same from a string")
	}
	_, err := readerFor(t, "en", "en").Money("ten", "ARS")
	require.Error(t, err)
}

func replaceSpaces(s string) string {
	out := []rune(s)
	for i, r := range out {
		if r == '\u00a0' || r == '\u202f' {
			out[i] = ' '
		}
	}
	return string(out)
}

func TestFormat_NumbersDatesAndDurationsAreInTheReadersForm(t *testing.T) {
	t.Parallel()
	require.Equal(t, "1,234,567", readerFor(t, "en", "en").whole(1234567))
	require.Equal(t, "1.234.567", readerFor(t, "pt-BR", "pt-BR").whole(1234567))
	require.Equal(t, "−12", readerFor(t, "en", "en").whole(-12))

	at := time.Date(2026, 11, 5, 9, 8, 7, 0, time.UTC)
	for code, want := range map[string]string{"en": "Nov\u00a05,\u00a02026, 09:08:07", "es": "5\u00a0nov\u00a02026, 09:08:07", "pt-BR": "5\u00a0de\u00a0nov.\u00a0de\u00a02026, 09:08:07"} {
		got, err := readerFor(t, code, code).Time(at)
		require.NoError(t, err)
		require.Equal(t, `<time datetime="2026-11-05T09:08:07Z">`+want+`</time>`, string(got))
	}
	none, err := readerFor(t, "en", "en").Time((*time.Time)(nil))
	require.NoError(t, err)
	require.Equal(t, "–", string(none))

	r := readerFor(t, "es", "es-AR")
	for d, want := range map[time.Duration]string{
		-time.Second: "0 s", 0: "0 s", 300 * time.Microsecond: "1 ms", 20 * time.Millisecond: "20 ms", 1500 * time.Millisecond: "1,5 s",
		40 * time.Second: "40 s", time.Minute: "1 min", 125 * time.Minute: "2 h 5 min", 76 * time.Hour: "3 d 4 h",
	} {
		got, err := r.Duration(d)
		require.NoError(t, err)
		require.Equal(t, want, got)
	}
}
