package main

import (
	"cmp"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/stretchr/testify/require"

	"github.com/conciliar/conciliar/api"
	"github.com/conciliar/conciliar/config"
	"github.com/conciliar/conciliar/jobs"
	"github.com/conciliar/conciliar/jobs/health"
	"github.com/conciliar/conciliar/jobs/provider/mercadopago"
)

// pagesEnv names a folder whose pages are looked at instead of the repository's: what a
// release brings.
const pagesEnv = "CONCILIAR_TEST_PAGES"

// pagesRoot is the folder with README.md in it.
func pagesRoot() string {
	return cmp.Or(os.Getenv(pagesEnv), filepath.Join("..", ".."))
}

func readDoc(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(pagesRoot(), filepath.FromSlash(name)))
	require.NoError(t, err)
	return string(text)
}

// Each module that we import has its row with licence and reason, alone or with others of
// its repository.
func TestDocs_EachLibraryHasItsReason(t *testing.T) {
	t.Parallel()
	_, table, _ := strings.Cut(readDoc(t, "docs/architecture.md"), "## Libraries")
	var named []string
	for _, path := range regexp.MustCompile("`([a-z.]+/[^` ]+)`").FindAllStringSubmatch(table, -1) {
		named = append(named, path[1])
	}
	for line := range strings.Lines(readDoc(t, "go.mod")) {
		module, isModule := strings.CutPrefix(strings.TrimRight(line, "\n"), "\t")
		if !isModule || strings.HasSuffix(module, "// indirect") {
			continue
		}
		module, _, _ = strings.Cut(module, " ")
		require.True(t, slices.ContainsFunc(named, func(path string) bool {
			return strings.HasPrefix(module+"/", path+"/") || strings.HasPrefix(path, module+"/")
		}), "docs/architecture.md has no row for %s", module)
	}
}

func TestDocs_TheConfigurationTableIsTheCodes(t *testing.T) {
	t.Parallel()
	var rows []string
	for line := range strings.Lines(readDoc(t, "docs/configuration.md")) {
		if strings.HasPrefix(line, "| `") {
			rows = append(rows, strings.TrimSpace(line))
		}
	}
	var want []string
	for _, v := range config.Variables() {
		value := "`" + v.Default + "`"
		switch {
		case v.Required:
			value = "required"
		case v.Default == "":
			value = "empty"
		}
		want = append(want, fmt.Sprintf("| `%s` | %s | %s |", v.Name, value, v.Meaning))
	}
	require.Equal(t, want, rows)
}

func TestDocs_TheProblemsAreTheCodes(t *testing.T) {
	t.Parallel()
	var rows []string
	for line := range strings.Lines(readDoc(t, "docs/problems.md")) {
		if strings.HasPrefix(line, "| <a ") {
			rows = append(rows, strings.TrimSpace(line))
		}
	}
	var want []string
	for _, k := range api.ProblemKinds() {
		want = append(want, fmt.Sprintf("| <a id=\"%[1]s\"></a>`%[1]s` | %d | %s | %s |", k.Code, k.Status, k.Title, k.Remedy))
	}
	require.Equal(t, want, rows)
}

func TestDocs_TheFailureClassesAreTheCodes(t *testing.T) {
	t.Parallel()
	var rows []string
	for line := range strings.Lines(readDoc(t, "docs/failure-classes.md")) {
		if strings.HasPrefix(line, "| `") {
			rows = append(rows, strings.TrimSpace(line))
		}
	}
	var want []string
	for _, c := range jobs.FailureClasses() {
		want = append(want, fmt.Sprintf("| `%s` | %s | %s | %s |", c.Class, c.Cause, c.Action, c.Remedy))
	}
	require.Equal(t, want, rows)
}

func TestDocs_TheAlertsAreTheConditions(t *testing.T) {
	t.Parallel()
	var rows []string
	for line := range strings.Lines(readDoc(t, "docs/alerts.md")) {
		if strings.HasPrefix(line, "| [") {
			rows = append(rows, strings.TrimSpace(line))
		}
	}
	var want []string
	for _, c := range health.Conditions() {
		message := "yes"
		if c.Quiet {
			message = "no"
		}
		want = append(want, fmt.Sprintf("| [`%[1]s`](playbooks/%[1]s.md) | %s | %s | %d | %s |", c.Code, c.Health, c.Reason, c.Lasting, message))
	}
	require.Equal(t, want, rows, "\n%s", strings.Join(want, "\n"))
}

func TestDocs_EachAlertHasItsPlaybook(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob(filepath.Join("..", "..", "docs", "playbooks", "*.md"))
	require.NoError(t, err)
	var books, codes []string
	for _, file := range files {
		books = append(books, strings.TrimSuffix(filepath.Base(file), ".md"))
	}
	for _, c := range health.Conditions() {
		codes = append(codes, c.Code)
		text := readDoc(t, "docs/playbooks/"+c.Code+".md")
		require.True(t, strings.HasPrefix(text, "# "+c.Code+": "), c.Code)
		for _, part := range []string{"What it means for money", "How to see it", "What to do", "When it ends"} {
			require.Contains(t, text, "\n## "+part+"\n", c.Code)
		}
	}
	require.ElementsMatch(t, codes, books)
}

// requireCommands fails when a text shows a command, or a flag of one, that is
// not there.
func requireCommands(t *testing.T, text string) {
	t.Helper()
	text = regexp.MustCompile("(?ms)^```console$.*?^```$").ReplaceAllStringFunc(text, func(block string) string {
		return strings.Join(regexp.MustCompile(`(?m)^\$ .*$`).FindAllString(block, -1), "\n")
	})
	for _, found := range regexp.MustCompile("(?m)(?:^(?:\\$ )?|`)conciliar ([^`|#\n]*)").FindAllStringSubmatch(text, -1) {
		words := strings.Fields(found[1])
		cmd, rest, err := newRoot(stdio{}).Find(words)
		require.NoError(t, err, found[1])
		require.True(t, cmd.HasParent(), found[1])
		for _, word := range rest {
			if flag, isFlag := strings.CutPrefix(word, "--"); isFlag && flag != "help" {
				name, _, _ := strings.Cut(flag, "=")
				require.NotNil(t, cmd.Flags().Lookup(name), found[1])
			}
		}
	}
}

func TestDocs_EveryVerdictIsExplained(t *testing.T) {
	t.Parallel()
	doc := readDoc(t, "docs/signature.md")
	for _, word := range append(mercadopago.Verdicts(), "body_too_large", "source_not_allowed") {
		require.Contains(t, doc, "`"+word+"`")
	}
}

func TestDocs_TheExamplesHaveEveryEndpoint(t *testing.T) {
	t.Parallel()
	examples, path := readDoc(t, "docs/api-examples.md"), ""
	for line := range strings.Lines(readDoc(t, "api/openapi.yaml")) {
		line = strings.TrimRight(line, "\n")
		if found := regexp.MustCompile(`^  (/\S*):$`).FindStringSubmatch(line); found != nil {
			path = found[1]
		}
		if found := regexp.MustCompile(`^    (get|put|post|delete):$`).FindStringSubmatch(line); found != nil {
			require.Contains(t, examples, "`"+strings.ToUpper(found[1])+" "+path+"`")
		}
	}
	require.NotEmpty(t, path)
}

func TestDocs_TheCommandsAreAllThere(t *testing.T) {
	t.Parallel()
	page := readDoc(t, "docs/commands.md")
	var walk func(cmd *cobra.Command)
	walk = func(cmd *cobra.Command) {
		for _, sub := range cmd.Commands() {
			if sub.IsAvailableCommand() && sub.Name() != "help" {
				walk(sub)
			}
		}
		if cmd.HasParent() && !cmd.HasAvailableSubCommands() {
			require.Contains(t, page, "`"+cmd.CommandPath()+"`")
		}
	}
	walk(newRoot(stdio{}))
	for _, page := range pages(t) {
		if page != "docs/commands.md" { // its commands are run, and what they answer is there
			requireCommands(t, readDoc(t, page))
		}
	}
}

func TestDocs_ThePhasesAreTheTable(t *testing.T) {
	t.Parallel()
	page := readDoc(t, "docs/architecture.md")
	var rows []string
	for _, p := range jobs.Phases() {
		rows = append(rows, fmt.Sprintf("| `%s` | %s | %s |\n", p.Name, strings.Join(p.Scopes, ", "), p.Does))
	}
	require.Contains(t, page, "| --- | --- | --- |\n"+strings.Join(rows, "")+"\n")
}

// What a page says is tested is tested: each test that it names is there.
func TestDocs_TheTestsThatAreNamedAreThere(t *testing.T) {
	t.Parallel()
	there := map[string]bool{}
	require.NoError(t, filepath.WalkDir(filepath.Join("..", ".."), func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(path, "_test.go") {
			return err
		}
		text, err := os.ReadFile(path)
		for _, found := range regexp.MustCompile(`(?m)^func (Test\w+)\(`).FindAllSubmatch(text, -1) {
			there[string(found[1])] = true
		}
		return err
	}))
	for _, page := range []string{"docs/security.md", "docs/rotate.md"} {
		named := regexp.MustCompile("`(Test\\w+)`").FindAllStringSubmatch(readDoc(t, page), -1)
		require.NotEmpty(t, named, page)
		for _, name := range named {
			require.True(t, there[name[1]], "%s names %s", page, name[1])
		}
	}
	_, threats, _ := strings.Cut(readDoc(t, "docs/security.md"), "## Threats\n")
	threats, _, _ = strings.Cut(threats, "\n## ")
	rows := strings.Split(strings.TrimSpace(threats), "\n")
	require.Greater(t, len(rows), 10)
	for _, row := range rows[2:] {
		require.Contains(t, row, " | `Test", "a threat without its test")
	}
}
