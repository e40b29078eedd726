package localpg

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// oldest is the oldest major version that Conciliar supports.
const oldest = 14

// installFolders are where packages put PostgreSQL's server programs without
// adding them to PATH: Debian, Red Hat, Alpine, Homebrew on both kinds of Mac,
// Postgres.app.
var installFolders = []string{
	"/usr/lib/postgresql/*/bin",
	"/usr/pgsql-*/bin",
	"/usr/libexec/postgresql*",
	"/opt/homebrew/opt/postgresql*/bin",
	"/usr/local/opt/postgresql*/bin",
	"/Applications/Postgres.app/Contents/Versions/*/bin",
}

// binaries is a folder with postgres and initdb of one version.
type binaries struct {
	dir     string
	version string
	major   int
}

// findOrFetch returns the first installed binaries that will do, or fetches
// some.
func findOrFetch(ctx context.Context, logger *slog.Logger, as *identity, dir *directory) (binaries, error) {
	need, err := dir.major()
	if err != nil {
		return binaries{}, err
	}
	found := find(ctx, as, append(candidates(ctx, installFolders), fetchFolder(as)), need)
	if found != nil {
		return *found, nil
	}
	if need != 0 && need != fetchMajor {
		return binaries{}, fmt.Errorf("the data in %s belong to PostgreSQL %d, which is not installed: %s", dir.path, need, installHint)
	}
	logger.InfoContext(ctx, "no PostgreSQL is installed; fetching one")
	fetched, err := fetch(ctx, as, fetchFolder(as), fetchFrom)
	if err != nil {
		return binaries{}, fmt.Errorf("no PostgreSQL %d or newer is installed, and none could be fetched (%w): %s", oldest, err, installHint)
	}
	return fetched, nil
}

const installHint = "install it, on Debian or Ubuntu with `apt-get install postgresql`, on Fedora with `dnf install postgresql-server`, on macOS with `brew install postgresql@17`"

// candidates lists folders in the order of preference: what the person's PATH
// names, what pg_config names, then what packages install, newest first.
func candidates(ctx context.Context, folders []string) []string {
	var dirs []string
	if path, err := exec.LookPath("postgres"); err == nil {
		// The folder of the program itself: beside a link to it in some bin
		// folder there need not be an initdb.
		if path, err = filepath.EvalSymlinks(path); err == nil {
			dirs = append(dirs, filepath.Dir(path))
		}
	}
	if out, err := exec.CommandContext(ctx, "pg_config", "--bindir").Output(); err == nil {
		dirs = append(dirs, strings.TrimSpace(string(out)))
	}
	return append(dirs, installed(folders)...)
}

// installed lists the folders that match the patterns, newest first.
func installed(patterns []string) []string {
	var dirs []string
	for _, pattern := range patterns {
		// The only error is that of a bad pattern, and ours are fixed.
		matches, err := filepath.Glob(pattern)
		if err == nil {
			dirs = append(dirs, matches...)
		}
	}
	slices.SortStableFunc(dirs, func(a, b string) int { return cmp.Compare(folderVersion(b), folderVersion(a)) })
	return dirs
}

var versionAtEnd = regexp.MustCompile(`([0-9]+)(\.[0-9]+)?(/bin)?$`)

// folderVersion guesses the major version from a folder's name, for the order
// only; the program itself is asked before it is used.
func folderVersion(dir string) int {
	m := versionAtEnd.FindStringSubmatch(dir)
	if m == nil {
		return 0
	}
	n, err := strconv.Atoi(m[1])
	if err != nil {
		return 0
	}
	return n
}

// find returns the first folder that holds a version that will do; need is the
// major version of existing data, 0 for none.
func find(ctx context.Context, as *identity, dirs []string, need int) *binaries {
	for _, dir := range dirs {
		b, err := probe(ctx, as, dir)
		if err != nil || b.major < oldest || (need != 0 && b.major != need) {
			continue
		}
		return &b
	}
	return nil
}

var versionLine = regexp.MustCompile(`\(PostgreSQL\) (([0-9]+)[^ \n]*)`)

// probe asks the programs of a folder for their version, as the user who is
// going to run them.
func probe(ctx context.Context, as *identity, dir string) (binaries, error) {
	if _, err := os.Stat(filepath.Join(dir, "initdb")); err != nil {
		return binaries{}, err
	}
	out, err := versionOutput(ctx, as, filepath.Join(dir, "postgres"))
	if err != nil {
		return binaries{}, fmt.Errorf("%s: %w", dir, err)
	}
	m := versionLine.FindStringSubmatch(out)
	if m == nil {
		return binaries{}, fmt.Errorf("%s: unknown version %q", dir, strings.TrimSpace(out))
	}
	major, err := strconv.Atoi(m[2])
	if err != nil {
		return binaries{}, fmt.Errorf("%s: unknown version %q", dir, m[1])
	}
	return binaries{dir: dir, version: m[1], major: major}, nil
}

// versionOutput runs `postgres --version`. A program that was unpacked a moment
// ago can be "busy" while another thread of ours starts a process (Linux,
// ETXTBSY), so that answer is not taken at once.
func versionOutput(ctx context.Context, as *identity, program string) (string, error) {
	const pause, tries = 20 * time.Millisecond, 10
	for try := 1; ; try++ {
		cmd := exec.CommandContext(ctx, program, "--version")
		cmd.Dir = "/"
		cmd.Env = environment()
		cmd.SysProcAttr = asUser(as)
		out, err := cmd.Output()
		if err == nil || !errors.Is(err, syscall.ETXTBSY) || try == tries {
			return string(out), err
		}
		select {
		case <-ctx.Done():
			return "", ctx.Err()
		case <-time.After(pause):
		}
	}
}

// major is the version that the directory's data belong to, 0 for no data.
func (d *directory) major() (int, error) {
	body, err := os.ReadFile(filepath.Join(d.cluster(), "PG_VERSION"))
	if errors.Is(err, os.ErrNotExist) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	n, err := strconv.Atoi(strings.TrimSpace(string(body)))
	if err != nil {
		return 0, fmt.Errorf("%s: unknown PG_VERSION %q", d.cluster(), strings.TrimSpace(string(body)))
	}
	return n, nil
}
