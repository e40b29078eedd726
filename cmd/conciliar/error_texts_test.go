package main

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// A person reads these texts: which package an error came from tells them
// nothing.
func TestErrorTexts_NoneBeginsWithItsPackage(t *testing.T) {
	t.Parallel()
	seen := 0
	root := os.DirFS("../..")
	err := fs.WalkDir(root, ".", func(path string, _ fs.DirEntry, err error) error {
		if err != nil || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return err
		}
		source, err := fs.ReadFile(root, path)
		if err != nil {
			return err
		}
		file, err := parser.ParseFile(token.NewFileSet(), path, source, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		ast.Inspect(file, func(n ast.Node) bool {
			if text, ok := errorText(n); ok {
				seen++
				require.False(t, strings.HasPrefix(text, file.Name.Name+": "), "%s: %q", path, text)
			}
			return true
		})
		return nil
	})
	require.NoError(t, err)
	require.Positive(t, seen)
}

// errorText is the text of a call of errors.New or fmt.Errorf.
func errorText(n ast.Node) (string, bool) {
	call, ok := n.(*ast.CallExpr)
	if !ok || len(call.Args) == 0 {
		return "", false
	}
	fn, ok := call.Fun.(*ast.SelectorExpr)
	if !ok {
		return "", false
	}
	from, ok := fn.X.(*ast.Ident)
	if !ok || from.Name+"."+fn.Sel.Name != "errors.New" && from.Name+"."+fn.Sel.Name != "fmt.Errorf" {
		return "", false
	}
	literal, ok := call.Args[0].(*ast.BasicLit)
	if !ok || literal.Kind != token.STRING {
		return "", false
	}
	text, err := strconv.Unquote(literal.Value)
	return text, err == nil
}
