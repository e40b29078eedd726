package jobs

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/conciliar/conciliar/store"
	"github.com/conciliar/conciliar/store/storetest"
)

func TestAttemptError_CanBeStored(t *testing.T) {
	t.Parallel()
	pool := storetest.Pool(t)
	rapid.Check(t, func(r *rapid.T) {
		cause := string(rapid.SliceOf(rapid.Byte()).Draw(r, "cause")) + strings.Repeat("€", rapid.IntRange(0, 1000).Draw(r, "euros"))
		text := (&AttemptError{Class: "internal", Err: errors.New(cause)}).Error()

		// U+FFFD has three bytes and may stand for one.
		if !utf8.ValidString(text) || len(text) > 3*maxErrorText || !strings.HasPrefix(text, "internal: ") {
			r.Fatalf("%q", text)
		}
		stored, err := json.Marshal(text)
		if err != nil {
			r.Fatal(err)
		}
		var back string
		if err := pool.QueryRow(t.Context(), `SELECT $1::jsonb #>> '{}'`, string(stored)).Scan(&back); err != nil {
			r.Fatal(err)
		}
		if back != text {
			r.Fatalf("%q came back as %q", text, back)
		}
	})
}

func TestAttemptError_KeepsItsCause(t *testing.T) {
	t.Parallel()
	require.ErrorIs(t, &AttemptError{Class: "internal", Err: store.ErrEventNotFound}, store.ErrEventNotFound)
}
