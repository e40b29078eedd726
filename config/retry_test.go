package config_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/conciliar/conciliar/config"
)

func minutes(counts ...int) []time.Duration {
	waits := make([]time.Duration, len(counts))
	for i, n := range counts {
		waits[i] = time.Duration(n) * time.Minute
	}
	return waits
}

func TestRetry_ScalesAndCutsTheDefaultOrTakesASchedule(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name     string
		given    map[string]string
		waits    []time.Duration
		attempts int
	}{
		{"the default", nil, minutes(1, 2, 4, 8, 16, 32), 7},
		{"scaled", map[string]string{"RETRY_BASE_DELAY": "3m"}, minutes(3, 6, 12, 24, 48, 96), 7},
		{"cut", map[string]string{"RETRY_MAX_ATTEMPTS": "3"}, minutes(1, 2), 3},
		{"lengthened", map[string]string{"RETRY_MAX_ATTEMPTS": "9"}, minutes(1, 2, 4, 8, 16, 32, 32, 32), 9},
		{"scaled and cut", map[string]string{"RETRY_BASE_DELAY": "3m", "RETRY_MAX_ATTEMPTS": "2"}, minutes(3), 2},
		{"a single attempt", map[string]string{"RETRY_MAX_ATTEMPTS": "1"}, minutes(1), 1},
		{"another shape", map[string]string{"RETRY_SCHEDULE": "5m, 1d ,10m"}, minutes(5, 24*60, 10), 4},
		{"another shape, and what agrees with it", map[string]string{
			"RETRY_SCHEDULE": "5m,10m", "RETRY_BASE_DELAY": "300s", "RETRY_MAX_ATTEMPTS": "3",
		}, minutes(5, 10), 3},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			cfg, err := config.Load(environ(c.given))
			require.NoError(t, err)
			require.Equal(t, c.waits, cfg.RetrySchedule)
			require.Equal(t, c.attempts, cfg.RetryMaxAttempts)
			require.Equal(t, c.waits[0], cfg.RetryBaseDelay)
		})
	}
}

func TestRetry_RefusesAContradictionAndNamesBothVariables(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name  string
		given map[string]string
		want  config.Problem
	}{
		// The default, said aloud, contradicts as well.
		{"another first wait", map[string]string{"RETRY_SCHEDULE": "5m,10m", "RETRY_BASE_DELAY": "1m"},
			config.Problem{Variable: "RETRY_BASE_DELAY", Text: "contradicts RETRY_SCHEDULE, whose first wait is another; unset one of the two"}},
		{"another number of attempts", map[string]string{"RETRY_SCHEDULE": "1m,2m,4m,8m,16m,32m", "RETRY_MAX_ATTEMPTS": "6"},
			config.Problem{Variable: "RETRY_MAX_ATTEMPTS", Text: "contradicts RETRY_SCHEDULE, which makes one attempt more than it has waits; unset one of the two"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			_, err := config.Load(environ(c.given))
			require.Equal(t, config.Problems{c.want}, problemsOf(t, err))
		})
	}
}

func TestParseDuration_KnowsDays(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]time.Duration{
		"90s": 90 * time.Second, "2h30m": 150 * time.Minute, "7d": 168 * time.Hour, "1d12h": 36 * time.Hour, "1.5d": 36 * time.Hour,
		"-2d": -48 * time.Hour, "+1d1ns": 24*time.Hour + 1, "0d": 0, "0": 0, "106751d": 106751 * 24 * time.Hour,
	} {
		got, err := config.ParseDuration(text)
		require.NoError(t, err, text)
		require.Equal(t, want, got, text)
	}
	for _, text := range []string{
		"", "d", "-d", "7", "7 d", "7days", "1h2d", "1d2d", "1d-2h", "--1d", "+-1d", "1e3d", "2562047d", "106752d", "106751d24h", "week", "d7", ".d",
	} {
		_, err := config.ParseDuration(text)
		require.Error(t, err, text)
		require.Equal(t, "not a duration", err.Error())
	}
}
