package order

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestReferenceKey_IsOneForWhatAPersonTakesForOne(t *testing.T) {
	t.Parallel()
	for _, alike := range [][]string{
		{"Near-1", "near-1", "near-1 ", " NEAR-1", "near -1", "near\t-1", "near\u00a0-1", "near\u200b-1", "near\u2003-1\n", "\ufeffnear-1"},
		{"0042", "42", "00000042", " 42", "\uff14\uff12"},
		{"shop-0042-a", "shop-42-A", "SHOP-042-a"},
		{"0", "00", "000"},
		{"ñandú", "n\u0303andu\u0301", "ÑANDÚ", "N\u0303ANDU\u0301"},
		{"straße", "STRASSE"},
		{"\uff53hop", "shop"},
	} {
		for _, reference := range alike {
			require.Equal(t, ReferenceKey(alike[0]), ReferenceKey(reference), "%q", reference)
			require.NotEmpty(t, ReferenceKey(reference))
		}
	}
	for _, apart := range [][2]string{{"near-1", "near-2"}, {"42", "420"}, {"4-2", "42"}, {"a.1", "a-1"}, {"shop-10", "shop-1"}, {"100", "10"}} {
		require.NotEqual(t, ReferenceKey(apart[0]), ReferenceKey(apart[1]), "%q", apart)
	}
	require.Empty(t, ReferenceKey(" \t\u00a0"))
}
