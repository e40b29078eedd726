package main

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// eachFile parses every file of ours that is not a test.
func eachFile(t *testing.T, do func(path string, file *ast.File)) {
	t.Helper()
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
		if err == nil {
			do(path, file)
		}
		return err
	})
	require.NoError(t, err)
}

// A person reads these texts: which package an error came from tells them
// nothing.
func TestErrorTexts_NoneBeginsWithItsPackage(t *testing.T) {
	t.Parallel()
	seen := 0
	eachFile(t, func(path string, file *ast.File) {
		ast.Inspect(file, func(n ast.Node) bool {
			if text, ok := errorText(n); ok {
				seen++
				require.False(t, strings.HasPrefix(text, file.Name.Name+": "), "%s: %q", path, text)
			}
			return true
		})
	})
	require.Positive(t, seen)
}

// What serves every provider says none's name: neither in a text nor in a name of its
// own. A variable of the environment has the name that it has.
func TestProviderName_StaysInItsOwnRooms(t *testing.T) {
	t.Parallel()
	name, variable := regexp.MustCompile(`(?i)mercado ?pago`), regexp.MustCompile(`MERCADOPAGO_[A-Z_]+`)
	seen := 0
	eachFile(t, func(path string, file *ast.File) {
		ours := slices.ContainsFunc([]string{"store/", "jobs/", "api/"}, func(room string) bool { return strings.HasPrefix(path, room) })
		if !ours || strings.HasPrefix(path, "jobs/provider/mercadopago/") || strings.HasPrefix(path, "store/storetest/") {
			return
		}
		seen++
		ast.Inspect(file, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.BasicLit:
				require.NotRegexp(t, name, variable.ReplaceAllString(n.Value, ""), path)
			case *ast.Ident:
				require.NotRegexp(t, name, n.Name, path)
			}
			return true
		})
	})
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
