package api_test

import (
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/conciliar/conciliar/api"
)

func TestProblemKinds_AreATable(t *testing.T) {
	t.Parallel()
	kinds := api.ProblemKinds()
	require.NotEmpty(t, kinds)
	seen, status := map[string]bool{}, 0
	for _, k := range kinds {
		require.Regexp(t, `^[a-z]+(_[a-z]+)*$`, k.Code)
		require.False(t, seen[k.Code], k.Code)
		seen[k.Code] = true
		require.NotEmpty(t, http.StatusText(k.Status), k.Code)
		require.GreaterOrEqual(t, k.Status, 400)
		require.GreaterOrEqual(t, k.Status, status, "sorted by status")
		status = k.Status
		require.NotEmpty(t, k.Title)
		require.Regexp(t, `\.$`, k.Remedy)
		require.Contains(t, k.URI(), "#"+k.Code)
	}
	kinds[0].Code = "spoilt"
	require.NotEqual(t, "spoilt", api.ProblemKinds()[0].Code, "the table is a copy")
}
