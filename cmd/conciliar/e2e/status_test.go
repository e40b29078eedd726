package e2e

import (
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/conciliar/conciliar/store/storetest"
)

func TestStatus_IsTheSameDocumentAsTheEndpoints(t *testing.T) {
	t.Parallel()
	sim, provider := newProvider(t)
	environ := environment(storetest.URL(t), provider, nil)
	_, service := serve(t, environ, "--only", "api")
	buy(t, sim, service, "order-1")

	got := execute(t, environ, "status", "--json")
	require.Equal(t, exitDone, got.code, got.err)
	_, body := get(t, service+"/api/webhooks/status", statusToken)
	var command, endpoint map[string]any
	require.NoError(t, json.Unmarshal([]byte(got.out), &command))
	require.NoError(t, json.Unmarshal([]byte(body), &endpoint))
	// The one figure that grows by itself.
	for _, document := range []map[string]any{command, endpoint} {
		queue, ok := document["queue"].(map[string]any)
		require.True(t, ok)
		delete(queue, "oldest_pending_seconds")
	}
	require.Equal(t, endpoint, command)

	table := execute(t, environ, "status")
	require.Equal(t, exitDone, table.code, table.err)
	require.Regexp(t, `(?m)^health +unhealthy\n +No process with workers is running`, table.out)
	require.Regexp(t, `(?m)^pending +1$`, table.out)
}
