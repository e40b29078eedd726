package store_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/conciliar/conciliar/store"
)

func TestParseNote_TakesWhatAPersonWrites(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"paid in cash": "paid in cash", "  two\nlines\t ": "two\nlines", "x": "x",
		strings.Repeat("ñ", 2000): strings.Repeat("ñ", 2000),
		// White space around it does not count.
		" " + strings.Repeat("a", 2000) + " ": strings.Repeat("a", 2000),
	} {
		note, err := store.ParseNote(text)
		require.NoError(t, err)
		require.Equal(t, want, note.String())
	}
}

func TestParseNote_RefusesWhatSaysNothingOrCannotBeStored(t *testing.T) {
	t.Parallel()
	for _, text := range []string{"", " \n\u00a0", strings.Repeat("ñ", 2001), "a\x00b", "a\xffb"} {
		note, err := store.ParseNote(text)
		require.ErrorIs(t, err, store.ErrNote, "%.20q", text)
		require.Zero(t, note)
	}
}
