package main

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/conciliar/conciliar/migrations"
	"github.com/conciliar/conciliar/store/storetest"
)

func TestMigrate_BringsAnEmptyDatabaseUp(t *testing.T) {
	t.Parallel()
	environ := []string{"DATABASE_URL=" + storetest.EmptyURL(t)}

	check := execute(t, environ, "migrate", "--check")
	require.Equal(t, exitFailed, check.code)
	require.Contains(t, check.err, "run 'conciliar migrate'")
	require.Regexp(t, `(?m) pending$`, execute(t, environ, "migrate", "--status").out)
	before := stepsOf(t, environ)
	for _, s := range before {
		require.Nil(t, s.AppliedAt, s.Name)
	}
	require.Equal(t, before, stepsOf(t, environ), "looking changes nothing")

	up := execute(t, environ, "migrate")
	require.Equal(t, exitDone, up.code, up.err)
	require.Equal(t, len(before), strings.Count(up.err, "schema step applied"))
	require.Len(t, strings.Split(strings.TrimSpace(up.out), "\n"), 1+len(before))
	require.NotRegexp(t, `(?m) pending$`, up.out)

	require.Equal(t, outcome{code: exitDone}, execute(t, environ, "migrate", "--check"))
	after := stepsOf(t, environ)
	require.Len(t, after, len(before))
	for _, s := range after {
		require.NotNil(t, s.AppliedAt, s.Name)
	}
	again := execute(t, environ, "migrate", "--json")
	require.Equal(t, exitDone, again.code)
	require.NotContains(t, again.err, "schema step applied")
	require.Equal(t, after, decodeSteps(t, again.out))
}

func stepsOf(t *testing.T, environ []string) []migrations.Step {
	t.Helper()
	got := execute(t, environ, "migrate", "--status", "--json")
	require.Equal(t, exitDone, got.code, got.err)
	return decodeSteps(t, got.out)
}

func decodeSteps(t *testing.T, text string) []migrations.Step {
	t.Helper()
	var steps []migrations.Step
	require.NoError(t, json.Unmarshal([]byte(text), &steps))
	require.NotEmpty(t, steps)
	return steps
}
