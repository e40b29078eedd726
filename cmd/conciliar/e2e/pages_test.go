package e2e

import (
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/conciliar/conciliar/store/localpg"
)

// clone is what `git clone` makes of the repository, with the changes that are
// not committed yet and without what git ignores: a file that only this machine
// has is of no help to a page.
func clone(t *testing.T) string {
	t.Helper()
	root, err := filepath.Abs(repositoryPath("."))
	require.NoError(t, err)
	dir := filepath.Join(t.TempDir(), "conciliar")
	for _, args := range [][]string{
		{"clone", "--quiet", "--shared", "--no-checkout", root, dir},
		{"-C", dir, "read-tree", "HEAD"},
		{"--git-dir", filepath.Join(dir, ".git"), "--work-tree", root, "add", "--all", root},
		{"-C", dir, "checkout-index", "--all"},
	} {
		said, err := exec.CommandContext(t.Context(), "git", args...).CombinedOutput()
		require.NoError(t, err, "git %v: %s", args, said)
	}
	return dir
}

// linked is the program as make build makes it in a clone, and nil until it has. In each
// other clone it is up to date: with -trimpath nothing in it is of the folder.
var linked struct {
	sync.Mutex
	program []byte
}

// builtClone is a clone in which everything is built, however long that takes: what a
// page's commands say is awaited.
func builtClone(t *testing.T) string {
	t.Helper()
	dir := clone(t)
	program := filepath.Join(dir, "bin", "conciliar")
	linked.Lock()
	defer linked.Unlock()
	if linked.program != nil {
		require.NoError(t, os.Mkdir(filepath.Dir(program), 0o755))
		require.NoError(t, os.WriteFile(program, linked.program, 0o755))
		return dir
	}
	build := exec.CommandContext(t.Context(), "make", "build")
	build.Dir, build.Env = dir, append(os.Environ(), goEnviron(t)...)
	said, err := build.CombinedOutput()
	require.NoError(t, err, string(said))
	linked.program, err = os.ReadFile(program)
	require.NoError(t, err)
	return dir
}

// goEnviron is what Go needs to find what it has built and fetched before, for a
// person with another HOME. What a page builds has the race detector when the tests
// have it: as make test builds the rest, so that nothing is compiled twice.
func goEnviron(t *testing.T) []string {
	t.Helper()
	names := []string{"GOCACHE", "GOMODCACHE", "GOPROXY", "GOFLAGS", "GOSUMDB", "GONOSUMDB", "GOTOOLCHAIN"}
	out, err := exec.CommandContext(t.Context(), "go", append([]string{"env"}, names...)...).Output()
	require.NoError(t, err)
	var environ []string
	for i, value := range strings.Split(strings.TrimSuffix(string(out), "\n"), "\n") {
		if raceDetector && names[i] == "GOFLAGS" {
			value += " -race"
		}
		environ = append(environ, names[i]+"="+value)
	}
	if raceDetector {
		// The targets switch cgo off, which the detector needs.
		environ = append(environ, "GO=env CGO_ENABLED=1 go")
	}
	return environ
}

func TestPages_TheReadmeWorksAsPasted(t *testing.T) {
	t.Parallel()
	s := openTerminal(t, "127.0.0.1:1", "127.0.0.1:1", append(goEnviron(t), "ARGS=--http 127.0.0.1:0")...)
	s.clone = builtClone(t)
	s.paste(t, readDoc(t, "README.md"))
}

func TestPages_TheIntegrationWorksAsPasted(t *testing.T) {
	t.Parallel()
	address := addressToKeep(t)
	s := openTerminal(t, "127.0.0.1:1", "127.0.0.1:1", append(goEnviron(t), "SHOP_ADDR="+address)...)
	s.clone = builtClone(t)
	s.stand("127.0.0.1:8090", address)
	s.paste(t, readDoc(t, "docs/integrate.md"))
}

func TestPages_TheQuickStartWorksAsPasted(t *testing.T) {
	t.Parallel()
	// A server of its own: the page makes a database that everybody would call so. It is
	// set up as theirs is, so that the doctor is content.
	server := startPostgres(t, localpg.Options{Fsync: true})
	address, err := url.Parse(server.URL("postgres"))
	require.NoError(t, err)
	password, _ := address.User.Password()
	service, simulator := addressToKeep(t), addressToKeep(t)
	s := openTerminal(t, service, simulator, append(goEnviron(t),
		"PGHOST="+address.Hostname(), "PGPORT="+address.Port(), "PGUSER="+address.User.Username(), "PGPASSWORD="+password,
		"HTTP_ADDR="+service, "MERCADOPAGO_BASE_URL=http://"+simulator, "LOG_FORMAT=tint", "NO_COLOR=1")...)
	s.clone = builtClone(t)
	s.paste(t, readDoc(t, "docs/quick-start.md"))
	s.shows(t, "first order", "docs/quick-start.md", "docs/es/quick-start.md", "docs/pt-BR/quick-start.md")
}
