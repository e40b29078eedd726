package api_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestProblemMap_WhatTheSchemaRefusesIsTheCallersAndWhatNobodyKnowsIsOurs(t *testing.T) {
	t.Parallel()
	b := setup(t, setupOptions{})
	ctx := t.Context()
	_, err := b.pool.Exec(ctx, `ALTER TABLE orders ADD CONSTRAINT our_limit CHECK (amount < 1000)`)
	require.NoError(t, err)

	w := b.do(t, putOrder("/api/orders/dear", `{"amount":"5000.00","currency":"ARS"}`))
	p := requireProblem(t, w, http.StatusUnprocessableEntity, "refused_by_schema")
	require.NotContains(t, p.Detail, "our_limit")
	require.Empty(t, w.Header().Get("Retry-After"), "a repetition would not help")
	require.Contains(t, b.logs.Last(t)["error"], "our_limit", "the log names the rule")

	// An error that is nobody's value: the schema lacks what the program needs.
	_, err = b.pool.Exec(ctx, `ALTER TABLE orders RENAME COLUMN currency TO other`)
	require.NoError(t, err)
	w = b.do(t, putOrder("/api/orders/a", `{"amount":"1","currency":"ARS"}`))
	p = requireProblem(t, w, http.StatusInternalServerError, "internal")
	require.NotContains(t, p.Detail, "currency")
	require.Empty(t, w.Header().Get("Retry-After"))
	require.Equal(t, "ERROR", b.logs.Last(t)["level"])
}

// Mercado Pago delivers again what was answered 5xx; a delivery must come back
// whatever the reason was.
func TestProblemMap_ADeliveryThatIsNotDurableIs503WhateverTheReason(t *testing.T) {
	t.Parallel()
	b := setup(t, setupOptions{})
	_, err := b.pool.Exec(t.Context(), `ALTER TABLE webhook_queue RENAME COLUMN topic TO other`)
	require.NoError(t, err)
	w := b.do(t, signed("1", "1742505638"))
	requireProblem(t, w, http.StatusServiceUnavailable, "storage_unavailable")
	require.Equal(t, "10", w.Header().Get("Retry-After"))
}

func TestProblemMap_WhatIsNotThereIsNamed(t *testing.T) {
	t.Parallel()
	b := setup(t, setupOptions{})
	for path, detail := range map[string]string{
		"/api/webhooks/events/999":       "There is no event 999.",
		"/api/webhooks/dead-letters/999": "There is no dead letter 999.",
		"/api/webhooks/refused/999":      "There is no refused delivery 999.",
		"/api/webhooks/replays/999":      "There is no bulk replay 999.",
		"/api/webhooks/runs/999":         "There is no run 999.",
		"/api/webhooks/events/x":         `"x" is not the id of an event; expected a positive integer.`,
		"/api/webhooks/runs/-1":          `"-1" is not the id of a run; expected a positive integer.`,
	} {
		w := b.do(t, get(path))
		require.Equal(t, http.StatusNotFound, w.Code, path)
		require.Contains(t, w.Body.String(), fmt.Sprintf(`"detail":"%s"`, strings.ReplaceAll(detail, `"`, `\"`)))
	}
}
