package dashboard

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// A page is parsed when it is first shown: that none fails then is for this test.
func TestSite_EachPageIsATemplate(t *testing.T) {
	t.Parallel()
	s, err := loadSite()
	require.NoError(t, err)
	require.NotEmpty(t, s.pages)
	for name, parse := range s.pages {
		page, err := parse()
		require.NoError(t, err)
		require.NotNil(t, page.Lookup("layout"), name)
	}
}
