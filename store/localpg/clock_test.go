package localpg

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestShiftedClock_NeedsItsLibrary(t *testing.T) {
	t.Parallel()
	library := filepath.Join(t.TempDir(), "libfaketimeMT.so.1")
	require.NoError(t, os.WriteFile(library, nil, 0o600))

	env, err := shiftedClock(0, nil)
	require.NoError(t, err)
	require.Empty(t, env, "the machine's clock needs no library")

	env, err = shiftedClock(10*time.Minute, []string{library})
	require.NoError(t, err)
	require.Equal(t, []string{"LD_PRELOAD=" + library, "FAKETIME=+600", "FAKETIME_DONT_FAKE_MONOTONIC=1"}, env)

	env, err = shiftedClock(-1500*time.Millisecond, []string{library})
	require.NoError(t, err)
	require.Contains(t, env, "FAKETIME=-1.5")

	_, err = shiftedClock(time.Second, []string{filepath.Join(t.TempDir(), "*")})
	require.ErrorContains(t, err, "libfaketime")
}
