package api_test

import (
	"math"
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/conciliar/conciliar/api"
)

func TestCursor_IsReadAsItWasMade(t *testing.T) {
	t.Parallel()
	for _, id := range []int64{1, 42, math.MaxInt64} {
		cursor := api.EncodeCursor("events", id)
		got, ok := api.DecodeCursor("events", cursor)
		require.True(t, ok)
		require.Equal(t, id, got)
		require.Regexp(t, `^[A-Za-z0-9_-]+$`, cursor, "it needs no encoding in a query")
		_, ok = api.DecodeCursor("anomalies", cursor)
		require.False(t, ok, "a place in one list is none in another")
	}
	for _, id := range []int64{0, -1} {
		_, ok := api.DecodeCursor("events", api.EncodeCursor("events", id))
		require.False(t, ok)
	}
}

// One place has one cursor: what decodes is what was encoded, to the letter.
func FuzzCursor(f *testing.F) {
	f.Add("")
	f.Add(api.EncodeCursor("events", 1))
	f.Add(api.EncodeCursor("events", math.MaxInt64))
	f.Add(api.EncodeCursor("events", 0))
	f.Add("MS5ldmVudHMuMDE")  // a leading zero
	f.Add("MS5ldmVudHMuMR")   // another last digit of the same bytes
	f.Add("MS5ldmVudHMuMQ==") // padding
	f.Fuzz(func(t *testing.T, cursor string) {
		id, ok := api.DecodeCursor("events", cursor)
		if !ok {
			require.Zero(t, id)
			return
		}
		require.Positive(t, id)
		require.Equal(t, cursor, api.EncodeCursor("events", id))
	})
}

func TestList_AFilterIsText(t *testing.T) {
	t.Parallel()
	b := setup(t, setupOptions{})
	for _, query := range []string{"topic=a%00", "topic=%ff"} {
		p := requireProblem(t, b.do(t, get("/api/webhooks/events?"+query)), http.StatusBadRequest, "invalid_parameter")
		require.Contains(t, p.Detail, "topic is not text")
	}
}
