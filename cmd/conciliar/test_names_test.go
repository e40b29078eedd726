package main

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// testName is what a test is called: TestSubject_Sentence, where the subject is a
// function, a type or a part of the product, and the sentence what holds of it.
var testName = regexp.MustCompile(`^Test[A-Z][A-Za-z0-9]*_[A-Z][A-Za-z0-9]*$`)

func TestNames_HaveASubjectAndASentence(t *testing.T) {
	t.Parallel()
	names := testNames(t)
	for name, file := range names {
		require.Regexp(t, testName, name, file)
	}
	require.Contains(t, names, t.Name(), "the tree was not read")
	for _, wrong := range []string{"TestVerify", "TestVerifyTellsWhatMatched", "TestVerify_", "TestVerify_tells", "Test_Verify", "TestVerify_A_B"} {
		require.NotRegexp(t, testName, wrong)
	}
}

func TestNames_InTheDocumentationExist(t *testing.T) {
	t.Parallel()
	names := testNames(t)
	found := 0
	for _, pattern := range []string{"../../*.md", "../../docs/*.md", "../../docs/*/*.md"} {
		files, err := filepath.Glob(pattern)
		require.NoError(t, err)
		for _, file := range files {
			text, err := os.ReadFile(file)
			require.NoError(t, err)
			for _, name := range regexp.MustCompile("`(Test\\w+)`").FindAllStringSubmatch(string(text), -1) {
				found++
				require.Contains(t, names, name[1], file)
			}
		}
	}
	require.Positive(t, found)
}

// The divergences name a case behind the test that plays them all.
func TestNames_OfCasesInTheDocumentationExist(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("../../docs/divergences.md")
	require.NoError(t, err)
	cases := regexp.MustCompile("`TestCases_OfTheReviewEndAsTheyShould` \\(`([a-z0-9-]+)`\\)").FindAllStringSubmatch(string(text), -1)
	require.NotEmpty(t, cases)
	for _, name := range cases {
		require.FileExists(t, filepath.Join("e2e", "testdata", "cases", name[1]+".json"))
	}
}

// testNames are the tests of the tree, of every build tag, with their files.
func testNames(t *testing.T) map[string]string {
	t.Helper()
	names := map[string]string{}
	require.NoError(t, filepath.WalkDir("../..", func(path string, _ fs.DirEntry, err error) error {
		if err != nil || !strings.HasSuffix(path, "_test.go") {
			return err
		}
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		for _, decl := range file.Decls {
			if f, ok := decl.(*ast.FuncDecl); ok && f.Recv == nil && strings.HasPrefix(f.Name.Name, "Test") && f.Name.Name != "TestMain" {
				names[f.Name.Name] = path
			}
		}
		return nil
	}))
	return names
}
