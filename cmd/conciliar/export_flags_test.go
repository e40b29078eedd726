package main

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestExport_DatesBeginInTheirZone(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 4, 2, 12, 0, 0, 0, time.UTC)
	e, err := exportOf("payments", "2026-03-01", "24h", "es-AR", "America/Argentina/Buenos_Aires", now)
	require.NoError(t, err)
	require.True(t, e.Since.Equal(time.Date(2026, 3, 1, 3, 0, 0, 0, time.UTC)), e.Since)
	require.True(t, e.Until.Equal(now.Add(-24*time.Hour)), e.Until)
	for _, wrong := range [][4]string{{"yesterday", "", "en", "UTC"}, {"", "soon", "en", "UTC"}, {"", "", "fr", "UTC"}, {"", "", "en", "Mars/Olympus"}, {"", "", "en", "Local"}} {
		_, err := exportOf("payments", wrong[0], wrong[1], wrong[2], wrong[3], now)
		code, _ := exitOf(err)
		require.Equal(t, exitUsage, code, wrong)
	}
}

func TestExport_AFileIsWrittenWholeOrNotAtAll(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "march.csv")
	require.NoError(t, writeTo(io.Discard, path, func(w io.Writer) error { _, err := io.WriteString(w, "a"); return err }))
	content, err := os.ReadFile(path)
	require.NoError(t, err)
	require.Equal(t, "a", string(content))

	broken := errors.New("broken")
	require.ErrorIs(t, writeTo(io.Discard, path, func(w io.Writer) error { _, _ = io.WriteString(w, "b"); return broken }), broken)
	require.NoFileExists(t, path)
}
