package main

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestBench_RefusesWrongFlags(t *testing.T) {
	t.Parallel()
	for _, args := range [][]string{
		{"--rows", "0"}, {"--rows", "1001"}, {"--rounds", "0"}, {"--duration", "1ms"}, {"--settle", "1"}, {"--verify", "1"}, {"more"},
	} {
		got := execute(t, nil, append([]string{"bench"}, args...)...)
		require.Equal(t, exitUsage, got.code, args)
	}
}
