package mercadopago

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// FuzzReadObject_ReadsWhatEncodingJSONReads holds what is read of a body, level by level,
// to encoding/json.
func FuzzReadObject_ReadsWhatEncodingJSONReads(f *testing.F) {
	for _, document := range []string{
		`{}`, `{"a":1}`, ` { "a" : [ ] , "b":{"c":"}\"]"} , "a" : -1.5e3 } `, `{"pa\u0079er":{"é":"\ud800"},"":null}`, "{\"\xff\":\"\xff\"}",
		`{"a":[1,"x]",{"b":[]}, true ]}`, `{"a":"\\"}`, `{"a\"b":[[],[{}]]}`, `{"a":1,"b":2,"\u0061":{"a":[],"a":null}}`,
		`[]`, `null`, `"{}"`, `7`, ``, ` `, `{`, `{"a":}`, `{}{}`, `{"a":1,}`, `{"a" 1}`, strings.Repeat(`{"a":`, 12_000) + strings.Repeat(`}`, 12_000),
	} {
		f.Add([]byte(document))
	}
	f.Fuzz(func(t *testing.T, document []byte) { requireRead(t, document, 3) })
}

func requireRead(t *testing.T, document []byte, levels int) {
	t.Helper()
	var want map[string]json.RawMessage
	failed := json.Unmarshal(document, &want)
	o, err := readObject(document)
	switch {
	case !json.Valid(document):
		require.ErrorIs(t, err, errNotJSON)
		return
	case failed != nil || want == nil:
		require.ErrorIs(t, err, errNotAnObject)
		return
	}
	require.NoError(t, err)
	require.Len(t, namesOf(o), len(want))
	for name, value := range want {
		require.Equal(t, string(value), string(o.value(name)))
		var text string
		if value[0] == '"' {
			require.NoError(t, json.Unmarshal(value, &text))
		}
		require.Equal(t, text, o.str(name))
		var entries []json.RawMessage
		if value[0] == '[' {
			require.NoError(t, json.Unmarshal(value, &entries))
		}
		list, err := o.list(name)
		require.Equal(t, err != nil, value[0] != '[' && !o.empty(name))
		require.Len(t, list, len(entries))
		for i := range entries {
			require.Equal(t, string(entries[i]), string(list[i]))
		}
		if value[0] == '{' && levels > 0 {
			var child map[string]json.RawMessage
			require.NoError(t, json.Unmarshal(value, &child))
			require.Len(t, namesOf(o.child(name)), len(child))
			requireRead(t, value, levels-1)
		}
	}
}

func namesOf(o object) map[string]bool {
	names := map[string]bool{}
	for _, m := range o {
		names[string(m.name)] = true
	}
	return names
}
