package store_test

import (
	"cmp"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/conciliar/conciliar/store"
	"github.com/conciliar/conciliar/store/storetest"
	"github.com/conciliar/conciliar/store/storetest/fixture"
)

func privacyPage(t *testing.T) string {
	t.Helper()
	page, err := os.ReadFile("../docs/privacy.md")
	require.NoError(t, err)
	return string(page)
}

// A new column that can hold a word needs a row in docs/privacy.md, and one in
// erasures when a payer may stand in it.
func TestErasures_EveryColumnIsInThePageOnce(t *testing.T) {
	t.Parallel()
	row := regexp.MustCompile("(?m)^\\| `([a-z_0-9]+)` \\| ((?:`[a-z_0-9]+`(?:, )?)+) \\| [^|]+ \\| [^|]+ \\| (emptied|replaced|named|left) \\|$")
	said := map[string]string{}
	for _, found := range row.FindAllStringSubmatch(privacyPage(t), -1) {
		for _, column := range strings.Split(strings.ReplaceAll(found[2], "`", ""), ", ") {
			name := found[1] + "." + column
			require.NotContains(t, said, name)
			said[name] = found[3]
		}
	}
	erased := store.Erasures()
	var wrong []string
	for name := range fixture.Columns(t, storetest.Pool(t)) {
		want := cmp.Or(erased[name], "left")
		if said[name] != want {
			wrong = append(wrong, fmt.Sprintf("%s is %q and should be %q", name, said[name], want))
		}
		delete(erased, name)
		delete(said, name)
	}
	slices.Sort(wrong)
	require.Empty(t, wrong, "docs/privacy.md")
	require.Empty(t, erased, "erased columns that there are not")
	require.Empty(t, said, "columns in docs/privacy.md that there are not")
}

func TestRetentions_AreInThePage(t *testing.T) {
	t.Parallel()
	var rows strings.Builder
	for _, r := range store.Retentions() {
		fmt.Fprintf(&rows, "| %s | %s |\n", r.What, r.For)
	}
	require.Contains(t, privacyPage(t), "| what | how long |\n| --- | --- |\n"+rows.String()+"\n")
}
