package config_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/conciliar/conciliar/config"
)

func TestDiffering_NamesWhatChanged(t *testing.T) {
	t.Parallel()
	load := func(changes map[string]string) config.Config {
		cfg, err := config.Load(environ(changes))
		require.NoError(t, err)
		return cfg
	}
	require.Empty(t, config.Differing(load(nil), load(nil)))
	require.Equal(t, []string{"STATUS_TOKENS", "WORKERS", "RECONCILE_SCHEDULE"}, config.Differing(load(nil), load(map[string]string{
		"WORKERS": "9", "STATUS_TOKENS": "status-token-0001,status-token-0002", "RECONCILE_SCHEDULE": "5 * * * *",
	})))
}
