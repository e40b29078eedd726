package main

import (
	"bytes"
	"errors"
	"log/slog"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/conciliar/conciliar/config"
)

func TestLogger_EscapesWhatWouldSteerATerminal(t *testing.T) {
	t.Parallel()
	const evil = "A\x1b[2J\x1b]0;title\x07\u009b31m\u202eB\r\nforged=line"
	var out bytes.Buffer
	logger := newLogger(stdio{err: &out, environ: []string{"NO_COLOR=1"}}, config.Log{LogFormat: "tint"})
	logger.Info("message "+evil, "reference", evil, "error", errors.New(evil), "list", []string{evil}, slog.Group("group", "key", evil), "n", 7)
	line := out.String()
	for _, steering := range []string{"\x1b", "\x07", "\u009b", "\u202e", "\r"} {
		require.NotContains(t, line, steering)
	}
	require.Contains(t, line, `\x1b[2J`)
	require.Contains(t, line, "INF")
	require.Contains(t, line, "n=7")
	for _, l := range strings.Split(line, "\n") {
		require.False(t, strings.HasPrefix(l, "forged"), line)
	}
}
