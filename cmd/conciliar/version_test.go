package main

import (
	"runtime/debug"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestVersion_IsWhatGoRecordedWhenNothingWasLinked(t *testing.T) {
	t.Parallel()
	settings := func(modified string) []debug.BuildSetting {
		return []debug.BuildSetting{{Key: "vcs.revision", Value: "206340c61a22b8d3c1e8f0a2"}, {Key: "vcs.modified", Value: modified}}
	}
	for want, info := range map[string]debug.BuildInfo{
		"v0.1.0":             {Main: debug.Module{Version: "v0.1.0"}, Settings: settings("false")},
		"206340c61a22":       {Main: debug.Module{Version: "(devel)"}, Settings: settings("false")},
		"206340c61a22-dirty": {Settings: settings("true")},
		"unknown":            {Main: debug.Module{Version: "(devel)"}},
	} {
		require.Equal(t, want, recordedVersion(&info, true))
	}
	require.Equal(t, "unknown", recordedVersion(nil, false))
}
