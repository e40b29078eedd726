package main

import (
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"unicode"

	"github.com/stretchr/testify/require"
)

// pages are the documentation's pages, from the repository's root.
func pages(t *testing.T) []string {
	t.Helper()
	root := os.DirFS(pagesRoot())
	found, err := fs.Glob(root, "*.md")
	require.NoError(t, err)
	require.NoError(t, fs.WalkDir(root, "docs", func(name string, _ fs.DirEntry, err error) error {
		if path.Ext(name) == ".md" {
			found = append(found, name)
		}
		return err
	}))
	return found
}

var (
	fenced    = regexp.MustCompile("(?ms)^```.*?^```\n")
	codeSpan  = regexp.MustCompile("`[^`\n]*`")
	pageLink  = regexp.MustCompile(`\]\(([^)\s]+)\)|(?:src|srcset|href)="([^"]+)"`)
	heading   = regexp.MustCompile(`(?m)^(#+) (.+)$`)
	namedHere = regexp.MustCompile(`<a id="([^"]+)">`)
	mainPage  = regexp.MustCompile(`https://github\.com/conciliar/conciliar/blob/main/([^\s"#)]+)(?:#([^\s")]+))?`)
)

// links are what a page links to, in its order.
func links(page string) []string {
	var targets []string
	for _, found := range pageLink.FindAllStringSubmatch(codeSpan.ReplaceAllString(fenced.ReplaceAllString(page, ""), ""), -1) {
		targets = append(targets, found[1]+found[2])
	}
	return targets
}

// anchors are a page's, as GitHub names them.
func anchors(page string) map[string]bool {
	there := map[string]bool{}
	page = fenced.ReplaceAllString(page, "")
	for _, found := range heading.FindAllStringSubmatch(page, -1) {
		there[strings.Map(func(r rune) rune {
			switch {
			case r == ' ':
				return '-'
			case r == '-' || r == '_' || unicode.IsLetter(r) || unicode.IsDigit(r):
				return unicode.ToLower(r)
			}
			return -1
		}, found[2])] = true
	}
	for _, found := range namedHere.FindAllStringSubmatch(page, -1) {
		there[found[1]] = true
	}
	return there
}

func requireAnchor(t *testing.T, from, name, anchor string) {
	t.Helper()
	_, err := os.Stat(filepath.Join(pagesRoot(), filepath.FromSlash(name)))
	require.NoError(t, err, from)
	if anchor != "" {
		require.True(t, anchors(readDoc(t, name))[anchor], "%s links to #%s of %s", from, anchor, name)
	}
}

func TestDocs_EveryLinkLeadsToItsPlace(t *testing.T) {
	t.Parallel()
	for _, page := range pages(t) {
		for _, link := range links(readDoc(t, page)) {
			if strings.Contains(link, "://") || strings.HasPrefix(link, "mailto:") {
				continue
			}
			target, anchor, _ := strings.Cut(link, "#")
			name := page
			if target != "" {
				name = path.Join(path.Dir(page), target)
			}
			requireAnchor(t, page, name, anchor)
		}
	}
}

// What the program and the rules of Prometheus link to in the repository is there.
func TestDocs_EveryLinkFromOutsideLeadsToItsPlace(t *testing.T) {
	t.Parallel()
	found := 0
	for _, folder := range []string{"api", "cmd", "deploy", "jobs"} {
		require.NoError(t, filepath.WalkDir(filepath.Join("..", "..", folder), func(file string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() || strings.Contains(file, "testdata") {
				return err
			}
			text, err := os.ReadFile(file)
			for _, link := range mainPage.FindAllStringSubmatch(string(text), -1) {
				found++
				requireAnchor(t, file, link[1], link[2])
			}
			return err
		}))
	}
	require.Positive(t, found)
}

func TestDocs_TheMapHasEveryPage(t *testing.T) {
	t.Parallel()
	listed := links(readDoc(t, "docs/README.md"))
	for _, page := range pages(t) {
		if path.Dir(page) == "docs" && page != "docs/README.md" {
			require.Contains(t, listed, path.Base(page))
		}
	}
}

func TestDocs_TheReadmeIsShortAndStartsAsTheQuickStartDoes(t *testing.T) {
	t.Parallel()
	readme := readDoc(t, "README.md")
	require.LessOrEqual(t, strings.Count(readme, "\n"), 90)
	_, run, found := strings.Cut(readme, "```\ncreatedb ")
	require.True(t, found)
	run, _, _ = strings.Cut("createdb "+run, "```")
	quick := readDoc(t, "docs/quick-start.md")
	for line := range strings.Lines(run) {
		require.Contains(t, quick, "\n"+line)
	}
}

// The integration page says which functions a shop's developer finds in each sample.
func TestDocs_EachSampleShopHasTheFunctionsThatThePageNames(t *testing.T) {
	t.Parallel()
	for _, shop := range []string{"shop.php", "shop.mjs", "shop.py", "shop.go"} {
		text := readDoc(t, "docs/shops/"+shop)
		for _, function := range []string{"register", "signed", "apply", "(catchUp|catch_up)"} {
			require.Regexp(t, `(?m)^(async )?(func|function|def) (\(s \*shop\) )?`+function+`\(`, text, shop)
		}
	}
}

func TestDocs_TheTablesOfTheConceptsAreThere(t *testing.T) {
	t.Parallel()
	_, schema, found := strings.Cut(readDoc(t, "docs/concepts.md"), "## Schema\n")
	require.True(t, found)
	schema, _, _ = strings.Cut(schema, "\n## ")
	catalogue, whole := readDoc(t, "migrations/catalogue.txt"), ""
	for _, row := range regexp.MustCompile(`(?m)^\| (view )?(.*?) \|`).FindAllStringSubmatch(schema, -1) {
		for _, name := range codeSpan.FindAllString(row[2], -1) {
			name = strings.Trim(name, "`")
			if rest, isShort := strings.CutPrefix(name, "…"); isShort {
				name = whole[:strings.LastIndex(whole, "_")] + rest
			} else {
				whole = name
			}
			require.Regexp(t, `(?m)^(table|view) `+name+` conciliar `, catalogue)
		}
	}
	require.NotEmpty(t, whole)
}
