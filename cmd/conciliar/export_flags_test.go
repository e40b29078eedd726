package main

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/spf13/cobra"
	"github.com/stretchr/testify/require"
)

func TestExport_DatesBeginInTheirZone(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 4, 2, 12, 0, 0, 0, time.UTC)
	e, err := exportOf("payments", "2026-03-01", "24h", "es-AR", "America/Argentina/Buenos_Aires", now)
	require.NoError(t, err)
	require.True(t, e.Since.Equal(time.Date(2026, 3, 1, 3, 0, 0, 0, time.UTC)), e.Since)
	require.True(t, e.Until.Equal(now.Add(-24*time.Hour)), e.Until)
	// A day of 23 hours is one, too.
	e, err = exportOf("payments", "2026-03-08", "2026-03-09", "en", "America/New_York", now)
	require.NoError(t, err)
	require.InDelta(t, 23, e.Until.Sub(e.Since).Hours(), 0)
	for _, wrong := range [][4]string{{"yesterday", "", "en", "UTC"}, {"", "soon", "en", "UTC"}, {"", "", "fr", "UTC"}, {"", "", "en", "Mars/Olympus"}, {"", "", "en", "Local"}} {
		_, err := exportOf("payments", wrong[0], wrong[1], wrong[2], wrong[3], now)
		code, _ := exitOf(err)
		require.Equal(t, exitUsage, code, wrong)
	}
}

func TestFlags_DatesAreOfTheMerchantsZone(t *testing.T) {
	t.Parallel()
	for environ, want := range map[string]string{
		"TIME_ZONE=":                    "2026-11-01T00:00:00Z 2026-11-02T00:00:00Z",
		"TIME_ZONE=America/New_York":    "2026-11-01T04:00:00Z 2026-11-02T05:00:00Z",
		"TIME_ZONE=Australia/Lord_Howe": "2026-10-31T13:00:00Z 2026-11-01T13:00:00Z",
		"TIME_ZONE=Asia/Kolkata":        "2026-10-31T18:30:00Z 2026-11-01T18:30:00Z",
	} {
		var since, until time.Time
		cmd := &cobra.Command{}
		timeFlags(stdio{environ: []string{environ}}, cmd, &since, &until)
		require.NoError(t, cmd.ParseFlags([]string{"--since", "2026-11-01", "--until", "2026-11-02"}), environ)
		require.Equal(t, want, since.UTC().Format(time.RFC3339)+" "+until.UTC().Format(time.RFC3339), environ)
	}
	var since, until time.Time
	cmd := &cobra.Command{}
	timeFlags(stdio{environ: []string{"TIME_ZONE=Local"}}, cmd, &since, &until)
	require.ErrorContains(t, cmd.ParseFlags([]string{"--since", "2026-11-01"}), "TIME_ZONE: must be an IANA name")
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
