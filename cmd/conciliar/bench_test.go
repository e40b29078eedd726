package main

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestBench_RefusesWrongFlags(t *testing.T) {
	t.Parallel()
	for _, args := range [][]string{
		{"--status", "--rows", "0"}, {"--status", "--rows", "1001"}, {"--status", "--rounds", "1"}, {"--rounds", "0"}, {"more"},
	} {
		got := execute(t, nil, append([]string{"bench"}, args...)...)
		require.Equal(t, exitUsage, got.code, args)
	}
}
