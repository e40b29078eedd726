package migrations_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/conciliar/conciliar/migrations"
)

func TestAlertCodes_AnOpenAlertCarriesOver(t *testing.T) {
	t.Parallel()
	pool := empty(t)
	upTo(t, pool, 13)
	exec(t, pool, `INSERT INTO alerts (code, opened_at, closed_at, last_sent_at, reminders, detail) VALUES
		('pending_stalled', '2026-01-02', NULL, '2026-01-02', 2, '{"pending": 5}'),
		('pending_stalled', '2026-01-01', '2026-01-01 01:00', '2026-01-01', 0, '{}'),
		('dead_letters_open', '2026-01-02', NULL, NULL, 0, '{}')`)
	exec(t, pool, `INSERT INTO alert_watches (code, holds, since, evaluations) VALUES
		('pending_stalled', true, '2026-01-02', 30), ('dead_letters_open', true, '2026-01-02', 30)`)

	require.NoError(t, migrations.Up(t.Context(), pool, silent))

	require.JSONEq(t, `[
		["queue_stalled", true, true, 2, {"pending": 5}], ["queue_stalled", false, true, 0, {}], ["dead_letters_open", true, false, 0, {}]]`,
		scan[string](t, pool, `SELECT jsonb_agg(jsonb_build_array(code, closed_at IS NULL, last_sent_at = opened_at IS TRUE, reminders, detail) ORDER BY id) FROM alerts`))
	require.JSONEq(t, `[["dead_letters_open", true, 30], ["queue_stalled", true, 30]]`,
		scan[string](t, pool, `SELECT jsonb_agg(jsonb_build_array(code, holds AND since = '2026-01-02', evaluations) ORDER BY code) FROM alert_watches`))
	require.Zero(t, scan[int](t, pool, `SELECT count(*) FROM alert_watches WHERE updated_at < now() - interval '1 minute'`),
		"nobody's watch is abandoned by the step itself")
}

func TestAlertCodes_EachOldCodeHasItsNewOne(t *testing.T) {
	t.Parallel()
	renamed := map[string]string{
		"deaths_many":            "dead_letter_rate_high",
		"pool_strained":          "db_pool_saturated",
		"refusals_rising":        "signature_failures_rising",
		"webhooks_silent":        "no_webhooks_received",
		"pending_stalled":        "queue_stalled",
		"pending_slow":           "queue_latency_high",
		"credentials_refused":    "provider_credentials_rejected",
		"reconciliation_stopped": "reconciliation_limit_exceeded",
		"alerts_undelivered":     "alert_delivery_failing",
		"alerts_stalled":         "alert_evaluation_stalled",
	}
	pool := empty(t)
	upTo(t, pool, 13)
	for old := range renamed {
		exec(t, pool, `INSERT INTO alerts (code, opened_at, detail) VALUES ($1, now(), jsonb_build_object('was', $1::text))`, old)
		exec(t, pool, `INSERT INTO alert_watches (code, holds, since) VALUES ($1, true, now())`, old)
	}

	require.NoError(t, migrations.Up(t.Context(), pool, silent))

	require.Equal(t, renamed, scan[map[string]string](t, pool, `SELECT jsonb_object_agg(detail ->> 'was', code) FROM alerts`))
	for _, code := range renamed {
		require.Equal(t, 1, scan[int](t, pool, `SELECT count(*) FROM alert_watches WHERE code = $1`, code))
	}
	require.Equal(t, len(renamed), scan[int](t, pool, `SELECT count(*) FROM alert_watches`))
}

// The previous release goes on writing what it knows, by these statements.
func TestAlertCodes_TheOldReleaseMayRunOn(t *testing.T) {
	t.Parallel()
	pool := empty(t)
	upTo(t, pool, 13)
	exec(t, pool, `INSERT INTO provider_state (source, circuit, reason, next_probe_at) VALUES
		('a', 'open', 'shut_out', now()), ('b', 'open', 'unavailable', now())`)
	exec(t, pool, `INSERT INTO provider_outages (source, reason, first_failure_at, opened_at, closed_at) VALUES
		('a', 'shut_out', now(), now(), NULL), ('b', 'unavailable', now(), now(), NULL), ('a', 'shut_out', now(), now(), now())`)
	reasons := func(table string) string {
		return scan[string](t, pool, `SELECT string_agg(source || ' ' || reason, ', ' ORDER BY source, reason) FROM `+table)
	}

	require.NoError(t, migrations.Up(t.Context(), pool, silent))

	require.Equal(t, "a credentials_rejected, b unavailable", reasons("provider_state"))
	require.Equal(t, "a credentials_rejected, a credentials_rejected, b unavailable", reasons("provider_outages"))

	// Its circuit learns that our credentials are rejected, and so does a probe.
	exec(t, pool, `UPDATE provider_outages SET reason = CASE WHEN $2 = 'shut_out' THEN $2 ELSE reason END WHERE source = $1`, "b", "shut_out")
	exec(t, pool, `UPDATE provider_state SET circuit = 'open', reason = $2 WHERE source = $1`, "b", "shut_out")
	exec(t, pool, `INSERT INTO provider_state (source, circuit, reason, next_probe_at) VALUES ('c', 'open', 'shut_out', now())`)
	exec(t, pool, `INSERT INTO provider_outages (source, reason, first_failure_at, opened_at) VALUES ('c', 'shut_out', now(), now())`)
	require.Equal(t, "a credentials_rejected, b credentials_rejected, c credentials_rejected", reasons("provider_state"))
	require.Equal(t, "a credentials_rejected, a credentials_rejected, b credentials_rejected, c credentials_rejected", reasons("provider_outages"))
	exec(t, pool, `UPDATE provider_state SET circuit = 'closed', reason = '', next_probe_at = NULL WHERE source = 'c'`)
	require.Contains(t, reasons("provider_state"), "c ", "and it closes")

	// Its evaluations find nothing under the old code, and begin it again.
	watch := `INSERT INTO alert_watches (code, holds, since, evaluations) VALUES ('pending_stalled', true, now(), $1)
		ON CONFLICT (code) DO UPDATE SET holds = excluded.holds, since = excluded.since, evaluations = excluded.evaluations`
	exec(t, pool, watch, 1)
	first := scan[string](t, pool, `SELECT updated_at::text FROM alert_watches WHERE code = 'pending_stalled'`)
	exec(t, pool, watch, 2)
	require.NotEqual(t, first, scan[string](t, pool, `SELECT updated_at::text FROM alert_watches WHERE code = 'pending_stalled'`),
		"an old release's evaluation is one: its watch is not abandoned")
	exec(t, pool, `INSERT INTO alerts (code, opened_at, detail) VALUES ('pending_stalled', now(), '{}')`)
}
