//go:build unix

package localpg

import (
	"archive/zip"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// archive serves what the real one does: for any path a jar with a .txz in it,
// and the jar's SHA-256 beside it.
func archive(t *testing.T, damage bool) string {
	t.Helper()
	txz, err := os.ReadFile("testdata/postgresql.txz")
	require.NoError(t, err)
	var jar bytes.Buffer
	w := zip.NewWriter(&jar)
	f, err := w.Create("postgres-test.txz")
	require.NoError(t, err)
	_, err = f.Write(txz)
	require.NoError(t, err)
	require.NoError(t, w.Close())
	sum := sha256.Sum256(jar.Bytes())
	if damage {
		sum[0]++
	}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(r.URL.Path, ".sha256") {
			_, _ = w.Write([]byte(hex.EncodeToString(sum[:])))
			return
		}
		_, _ = w.Write(jar.Bytes())
	}))
	t.Cleanup(server.Close)
	return server.URL
}

func TestFetch_UnpacksWhatItCanTrust(t *testing.T) {
	t.Parallel()

	t.Run("UnpacksTheProgramsForNextTime", func(t *testing.T) {
		t.Parallel()
		folder := filepath.Join(openDir(t), "bin")
		b, err := fetch(t.Context(), nil, folder, archive(t, false))
		require.NoError(t, err)
		require.Equal(t, binaries{dir: folder, version: "17.5", major: 17}, b)
		require.NotNil(t, find(t.Context(), nil, []string{folder}, 0))
	})

	t.Run("RefusesWhatWasChangedOnTheWay", func(t *testing.T) {
		t.Parallel()
		folder := filepath.Join(openDir(t), "bin")
		_, err := fetch(t.Context(), nil, folder, archive(t, true))
		require.ErrorContains(t, err, "checksum")
		require.False(t, exists(folder))
	})

	t.Run("SaysThatTheArchiveCannotBeReached", func(t *testing.T) {
		t.Parallel()
		gone := httptest.NewServer(http.NotFoundHandler())
		gone.Close()
		_, err := fetch(t.Context(), nil, filepath.Join(t.TempDir(), "bin"), gone.URL)
		require.ErrorContains(t, err, gone.URL)
		require.NotContains(t, err.Error(), "\n", "one line is what a person reads")
	})

	t.Run("DoesNotWaitForAnArchiveThatHangs", func(t *testing.T) {
		t.Parallel()
		ctx, cancel := context.WithCancel(t.Context())
		release := make(chan struct{})
		// It never answers; the first request is when we give up.
		hangs := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
			cancel()
			<-release
		}))
		t.Cleanup(func() {
			close(release)
			hangs.Close()
		})
		_, err := fetch(ctx, nil, filepath.Join(t.TempDir(), "bin"), hangs.URL)
		require.ErrorIs(t, err, context.Canceled)
	})
}
