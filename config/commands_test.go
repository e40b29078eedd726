package config_test

import (
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/conciliar/conciliar/config"
)

func TestConfig_TheDatabaseAloneNeedsNothingElse(t *testing.T) {
	t.Parallel()
	cfg, err := config.LoadDatabase([]string{"DATABASE_URL=postgres://localhost/conciliar", "LOG_FORMAT=json", "WORKERS=many"})
	require.NoError(t, err)
	require.Equal(t, "postgres://localhost/conciliar", cfg.DatabaseURL.Reveal())
	require.Equal(t, config.LogFormat("json"), cfg.LogFormat)

	_, err = config.LoadDatabase([]string{"LOG_LEVEL=loud"})
	require.Equal(t, []string{"DATABASE_URL", "LOG_LEVEL"}, []string{problemsOf(t, err)[0].Variable, problemsOf(t, err)[1].Variable})
}

func TestVariables_HaveTheirMeaning(t *testing.T) {
	t.Parallel()
	all := config.Variables()
	var names []string
	for _, v := range all {
		names = append(names, v.Name)
		require.NotEmpty(t, v.Meaning, v.Name)
		require.False(t, v.Required && v.Default != "", v.Name)
	}
	slices.Sort(names)
	require.Equal(t, names, slices.Compact(slices.Clone(names)), "names must be unique")
	for name := range required() {
		i := slices.IndexFunc(all, func(v config.Variable) bool { return v.Name == name })
		require.GreaterOrEqual(t, i, 0, name)
		// A password, or a file of operators in its place.
		require.Equal(t, name != "OPERATOR_PASSWORD", all[i].Required, name)
	}
	require.Len(t, slices.DeleteFunc(slices.Clone(all), func(v config.Variable) bool { return !v.Required }), len(required())-1)

	// A default given explicitly is the default.
	given := map[string]string{}
	for _, v := range all {
		given[v.Name] = v.Default
	}
	maps.Copy(given, required())
	explicit, err := config.Load(environ(given))
	require.NoError(t, err)
	implicit, err := config.Load(environ(nil))
	require.NoError(t, err)
	require.Equal(t, implicit, explicit)
}

func TestVerify_NeedsItsRules(t *testing.T) {
	t.Parallel()
	cfg, err := config.LoadVerify([]string{"DATABASE_URL=postgres://localhost/conciliar", "MERCADOPAGO_COLLECTOR_ID=77", "RESCUE_AFTER=5m"})
	require.NoError(t, err)
	require.Equal(t, "77", cfg.CollectorID)
	require.Equal(t, 5*time.Minute, cfg.RescueAfter)
	require.Equal(t, config.LiveMode("any"), cfg.LiveMode)

	_, err = config.LoadVerify([]string{"MERCADOPAGO_COLLECTOR_ID=mine", "MERCADOPAGO_LIVE_MODE=maybe", "JOB_TIMEOUT=10m"})
	var problems config.Problems
	require.ErrorAs(t, err, &problems)
	require.Len(t, problems, 4)
}
