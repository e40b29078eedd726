package main

import (
	"bytes"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/conciliar/conciliar/store/storetest"
)

func TestRun_GivesTheCommandAServer(t *testing.T) {
	t.Parallel()
	const printURL = "printf %s \"$" + storetest.ServerEnv + "\""

	t.Run("GivesTheCommandAServerAndEndsItAfterwards", func(t *testing.T) {
		t.Parallel()
		var stdout bytes.Buffer
		// psql need not be installed, so the command only says where the
		// server was: it was ready before, or run would have failed.
		code, err := run("", &stdout, []string{"sh", "-c", printURL})
		require.NoError(t, err)
		require.Zero(t, code)
		require.True(t, strings.HasPrefix(stdout.String(), "postgres://"), stdout.String())
		_, err = pgx.Connect(t.Context(), stdout.String())
		require.ErrorContains(t, err, "connection refused")
	})

	t.Run("KeepsAServerThatIsNamed", func(t *testing.T) {
		t.Parallel()
		var stdout bytes.Buffer
		code, err := run("postgres://elsewhere/db", &stdout, []string{"sh", "-c", printURL})
		require.NoError(t, err)
		require.Zero(t, code)
		require.Equal(t, "postgres://elsewhere/db", stdout.String())
	})

	t.Run("PassesTheExitCodeOn", func(t *testing.T) {
		t.Parallel()
		code, err := run("postgres://elsewhere/db", &bytes.Buffer{}, []string{"sh", "-c", "exit 7"})
		require.NoError(t, err)
		require.Equal(t, 7, code)
	})

	t.Run("SaysWhatItCannotRun", func(t *testing.T) {
		t.Parallel()
		code, err := run("postgres://elsewhere/db", &bytes.Buffer{}, []string{"/nowhere/to/be/found"})
		require.ErrorContains(t, err, "/nowhere/to/be/found")
		require.Equal(t, 1, code)
	})

	t.Run("NeedsACommand", func(t *testing.T) {
		t.Parallel()
		code, err := run("", &bytes.Buffer{}, nil)
		require.ErrorContains(t, err, "usage")
		require.Equal(t, 2, code)
	})
}
