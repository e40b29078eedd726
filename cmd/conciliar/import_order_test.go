package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

const module = "github.com/conciliar/conciliar"

// importOrder says which of our packages each package may import. Nothing points up
// or left: a package that is not listed, or not listed there, breaks the test.
var importOrder = map[string][]string{
	"cmd/conciliar": {
		"api", "api/dashboard", "cmd/conciliar/bench", "config", "jobs", "jobs/compare", "jobs/delivery", "jobs/health", "jobs/provider",
		"jobs/provider/mercadopago", "jobs/provider/mercadopago/report", "jobs/provider/mercadopago/simulator", "jobs/source", "jobs/verdict", "migrations", "store", "store/localpg", "store/order",
		"store/day", "store/payout",
	},
	"cmd/conciliar/bench": {
		"api", "jobs/provider/mercadopago", "jobs/provider/mercadopago/simulator", "migrations", "store", "store/localpg", "store/order",
	},
	// Tests only, and of the built program.
	"cmd/conciliar/e2e": {},
	// A sample, which knows nothing but HTTP.
	"docs/shops":                {},
	"api":                       {"api/dashboard", "jobs", "jobs/health", "jobs/provider", "store", "store/day", "store/order", "store/payout"},
	"api/dashboard":             {"jobs/health", "jobs/provider", "jobs/verdict", "store", "store/day", "store/order", "store/payout"},
	"jobs":                      {"jobs/circuit", "jobs/delivery", "jobs/health", "jobs/provider", "jobs/source", "store", "store/order"},
	"jobs/health":               {"store", "store/order"},
	"jobs/verdict":              {"jobs/health", "store", "store/order", "store/payout"},
	"jobs/compare":              {"store", "store/order"},
	"jobs/circuit":              {"jobs/provider", "store"},
	"jobs/delivery":             {},
	"jobs/provider":             {},
	"jobs/provider/mercadopago": {"jobs/provider"},
	// Reads files and knows nothing of calls.
	"jobs/provider/mercadopago/report": {"jobs/provider"},
	"jobs/source":                      {"jobs/provider"},
	// The simulator testifies about us, so it shares nothing with us.
	"jobs/provider/mercadopago/simulator": {},
	"store":                               {"store/day", "store/order", "store/payout"},
	"store/day":                           {},
	"store/order":                         {},
	"store/payout":                        {},
	"store/localpg":                       {},
	"store/storetest":                     {"migrations", "store/localpg"},
	"store/storetest/fixture":             {"store", "store/order"},
	"store/storetest/server":              {"store/storetest"},
	"migrations":                          {},
	"config":                              {},
}

// pure packages know the standard library, Go's own text module, the decimal type
// and what the import order allows, and no other module.
var pure = []string{"store/day", "store/order", "store/payout", "jobs/provider", "jobs/provider/mercadopago/report", "jobs/health", "jobs/verdict"}

// confined modules belong to the packages that own their subject; "store/..."
// is store and what is below it.
var confined = map[string][]string{
	"github.com/gin-gonic/gin": {"api/..."},
	// config reads DATABASE_URL with the parser that will read it later; jobs
	// has River's driver.
	"github.com/jackc/pgx":          {"store/...", "migrations", "cmd/...", "jobs", "config"},
	"database/sql":                  {"migrations"},
	"github.com/pressly/goose":      {"migrations"},
	"github.com/riverqueue/river":   {"jobs", "migrations", "cmd/...", "api/..."},
	"riverqueue.com/riverui":        {"api/...", "cmd/..."},
	"github.com/prometheus":         {"api/...", "jobs/...", "store", "cmd/..."},
	"github.com/failsafe-go":        {"jobs/circuit"},
	"github.com/spf13/cobra":        {"cmd/conciliar"},
	"github.com/caarlos0/env":       {"config"},
	"github.com/lmittmann/tint":     {"cmd/..."},
	"github.com/alexedwards":        {"api", "config"},
	"github.com/fergusstrange":      {"store/localpg"},
	"code.dny.dev/ssrf":             {"jobs/delivery"},
	"github.com/govalues/decimal":   {}, // one decimal type everywhere
	"github.com/mercadopago/sdk-go": {}, // an oracle for tests
	"github.com/stretchr/testify":   {}, // for tests, as the next two
	"pgregory.net/rapid":            {},
	"testing":                       {"store/storetest/..."},
}

// free packages need no third party's module, however indirectly: the dashboard
// shows what is stored and judged, and must never need the queue to do so.
var free = map[string][]string{
	"api/dashboard": {"github.com/riverqueue", "riverqueue.com"},
	"jobs/health":   {"github.com/riverqueue", "riverqueue.com"},
}

// nondescript names say nothing about what a package owns.
var nondescript = []string{"internal", "pkg", "util", "utils", "helpers", "models", "services", "common", "misc", "lib"}

// listed is what `go list -json` says of a package; tests are not in Imports.
type listed struct {
	ImportPath string
	Imports    []string
}

func TestImportOrder_PointsOneWay(t *testing.T) {
	t.Parallel()
	packages := list(t, module+"/...")
	require.NotEmpty(t, packages)
	require.Empty(t, breaches(packages))

	found := map[string]bool{}
	for _, p := range packages {
		found[inside(p.ImportPath)] = true
	}
	require.True(t, found["cmd/conciliar"] && found["store/order"], "go list did not list the module: %v", found)
}

func TestImportOrder_ThePagesNeedNoQueue(t *testing.T) {
	t.Parallel()
	for pkg, modules := range free {
		for _, p := range list(t, "-deps", module+"/"+pkg) {
			for _, m := range modules {
				require.False(t, below(p.ImportPath, m), "%s needs %s", pkg, p.ImportPath)
			}
		}
	}
}

func TestImportOrder_NoticesABreach(t *testing.T) {
	t.Parallel()
	one := func(pkg string, imports ...string) []string {
		for i, name := range imports {
			if _, ok := importOrder[name]; ok {
				imports[i] = module + "/" + name
			}
		}
		return breaches([]listed{{ImportPath: module + "/" + pkg, Imports: imports}})
	}
	// What is allowed.
	require.Empty(t, one("jobs", "context", "store", "store/order", "jobs/provider", "github.com/riverqueue/river"))
	require.Empty(t, one("store/order", "errors", "math/big", "github.com/shopspring/decimal"))
	require.Empty(t, one("api", "github.com/gin-gonic/gin/binding"))
	require.Empty(t, one("store", "github.com/jackc/pgx/v5/pgxpool"))
	// What points up or left, or to the side.
	require.Len(t, one("store", "jobs"), 1)
	require.Len(t, one("jobs", "api"), 1)
	require.Len(t, one("jobs", "jobs/provider/mercadopago"), 1)
	require.Len(t, one("api", "config"), 1)
	require.Len(t, one("jobs", "config"), 1)
	require.Len(t, one("store", "migrations"), 1)
	require.Len(t, one("cmd/conciliar", "store/storetest"), 1)
	require.Len(t, one("cmd/conciliar/bench", "github.com/spf13/cobra"), 1)
	require.Len(t, one("store", "jobs/provider"), 1)
	require.Len(t, one("jobs/provider/mercadopago/simulator", "jobs/provider"), 1)
	require.Len(t, one("jobs/provider/mercadopago/simulator", "store/order"), 1)
	// What somebody else owns.
	require.Len(t, one("jobs", "github.com/gin-gonic/gin"), 1)
	require.Len(t, one("api", "github.com/jackc/pgx/v5"), 1)
	require.Len(t, one("store", "testing"), 1)
	require.Len(t, one("jobs/circuit", "github.com/riverqueue/river"), 1)
	require.Len(t, one("jobs/provider/mercadopago", "github.com/mercadopago/sdk-go/pkg/webhook"), 1)
	// What a pure package may not know.
	require.Len(t, one("store/order", "golang.org/x/time/rate"), 1)
	require.Len(t, one("jobs/provider", "github.com/jackc/pgx/v5"), 2)
	require.Len(t, one("jobs/health", "github.com/riverqueue/river"), 2)
	// What has no place.
	require.Len(t, one("jobs/newroom"), 1)
	require.Len(t, one("store/internal/locks"), 2)
	require.Len(t, one("pkg"), 2)
}

// breaches lists every import that the rules forbid, and every package without
// a place in them.
func breaches(packages []listed) []string {
	var found []string
	for _, p := range packages {
		name := inside(p.ImportPath)
		for _, part := range strings.Split(name, "/") {
			if slices.Contains(nondescript, part) {
				found = append(found, fmt.Sprintf("%s: %q says nothing about what it owns", name, part))
			}
		}
		allowed, ok := importOrder[name]
		if !ok {
			found = append(found, name+" has no place in the import order")
			continue
		}
		for _, path := range p.Imports {
			if path == module || strings.HasPrefix(path, module+"/") {
				if !slices.Contains(allowed, inside(path)) {
					found = append(found, fmt.Sprintf("%s may not import %s", name, inside(path)))
				}
				continue
			}
			if slices.Contains(pure, name) && thirdParty(path) && path != "github.com/shopspring/decimal" && !below(path, "golang.org/x/text") {
				found = append(found, fmt.Sprintf("%s is pure and may not import %s", name, path))
			}
			for owned, owners := range confined {
				if below(path, owned) && !slices.ContainsFunc(owners, func(o string) bool { return matches(name, o) }) {
					found = append(found, fmt.Sprintf("%s may not import %s, which belongs to %v", name, path, owners))
				}
			}
		}
	}
	slices.Sort(found)
	return found
}

// inside is a package's path within the module.
func inside(path string) string {
	return strings.TrimPrefix(strings.TrimPrefix(path, module), "/")
}

// matches understands the go command's "folder/...".
func matches(name, pattern string) bool {
	folder, all := strings.CutSuffix(pattern, "/...")
	return name == folder || all && below(name, folder)
}

func below(path, folder string) bool {
	return path == folder || strings.HasPrefix(path, folder+"/")
}

// thirdParty tells a module by the dot of its host's name.
func thirdParty(path string) bool {
	host, _, _ := strings.Cut(path, "/")
	return strings.Contains(host, ".")
}

// list asks the go command for the packages of a pattern, on this system.
func list(t *testing.T, pattern ...string) []listed {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "go", append([]string{"list", "-json=ImportPath,Imports"}, pattern...)...)
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	require.NoError(t, err, stderr.String())
	var packages []listed
	for decoder := json.NewDecoder(strings.NewReader(string(out))); ; {
		var p listed
		err := decoder.Decode(&p)
		if errors.Is(err, io.EOF) {
			return packages
		}
		require.NoError(t, err)
		packages = append(packages, p)
	}
}
