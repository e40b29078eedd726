package api_test

import (
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/conciliar/conciliar/api"
	"github.com/conciliar/conciliar/store"
)

const dismissManyPath = "/api/webhooks/dead-letters/dismiss"

func TestDeadLetters_ManyAreDismissedWithOneNote(t *testing.T) {
	t.Parallel()
	b := setup(t, setupOptions{})
	b.deadLetter(t, "77")
	b.deadLetter(t, "78")
	counted := answered[api.MatchingCount](t, b, post(dismissManyPath, `{"filter":{"topic":"payment"},"dry_run":true}`), http.StatusOK)
	require.Equal(t, api.MatchingCount{DryRun: true, Matching: 2}, counted)
	require.Equal(t, 2, b.count(t, `SELECT count(*) FROM webhook_dead_letter WHERE state = 'open'`))
	done := answered[store.ManyDone](t, b, post(dismissManyPath, `{"filter":{},"note":"by hand","limit":1}`), http.StatusOK)
	require.Equal(t, store.ManyDone{Done: 1, Remaining: 1}, done)
	require.Equal(t, 1, b.count(t, `SELECT count(*) FROM operator_actions WHERE action = 'dismiss' AND note = 'by hand' AND actor = $1`, actor(processToken)))
	for _, body := range []string{`{}`, `{"filter":{}}`, `{"filter":{},"note":" "}`, `{"filter":{"state":"open"},"note":"x"}`, `{"filter":[],"note":"x"}`, `{"filter":{},"note":"x","limit":0}`} {
		require.Equal(t, http.StatusBadRequest, b.do(t, post(dismissManyPath, body)).Code, body)
	}
	require.Equal(t, 1, b.count(t, `SELECT count(*) FROM webhook_dead_letter WHERE state = 'open'`))
}

func TestAnomalies_ManyAreResolvedWithOneNote(t *testing.T) {
	t.Parallel()
	b := setup(t, setupOptions{})
	_, err := b.pool.Exec(t.Context(), `INSERT INTO anomalies (kind, source, payment_id) VALUES ('no_reference', 'mercadopago', '1'), ('no_reference', 'mercadopago', '2'), ('wrong_mode', 'mercadopago', '3')`)
	require.NoError(t, err)
	const path = "/api/webhooks/anomalies/resolve"
	require.EqualValues(t, 2, answered[api.MatchingCount](t, b, post(path, `{"filter":{"kind":"no_reference"},"dry_run":true}`), http.StatusOK).Matching)
	require.Equal(t, store.ManyDone{Done: 2}, answered[store.ManyDone](t, b, post(path, `{"filter":{"kind":"no_reference"},"note":"sales in the shop"}`), http.StatusOK))
	require.Equal(t, 1, b.count(t, `SELECT count(*) FROM anomalies WHERE closed_at IS NULL`))
	require.Equal(t, http.StatusBadRequest, b.do(t, post(path, `{"filter":{"kind":"odd"},"note":"x"}`)).Code)
}
