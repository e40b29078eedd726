package localpg

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// markerName is the file that says that a directory is ours. It is locked for
// as long as a server runs there or is being cleaned up after.
const markerName = "conciliar-postgres.json"

// A directory holds one database: the marker, and the cluster beside it.
type directory struct {
	path      string
	temporary bool
	password  string
	marker    *os.File // nil when temporary: nobody else knows the path
}

// ownership is what the marker holds.
type ownership struct {
	Password string `json:"password"`
	// Holder is the process that uses the directory, while it is locked.
	Holder int `json:"holder"`
}

func (d *directory) cluster() string { return filepath.Join(d.path, "data") }

// openDirectory chooses a temporary path, which create makes, or takes
// possession of a directory to keep data in.
func openDirectory(ctx context.Context, opts Options, as *identity) (*directory, error) {
	if opts.DataDir == "" {
		parent, err := as.temporaryParent(ctx, opts.TempDir)
		if err != nil {
			return nil, err
		}
		name := "conciliar-postgres-" + strings.ToLower(rand.Text())
		return &directory{path: filepath.Join(parent, name), temporary: true, password: rand.Text()}, nil
	}
	path, err := filepath.Abs(opts.DataDir)
	if err != nil {
		return nil, fmt.Errorf("data directory: %w", err)
	}
	if err := os.MkdirAll(path, 0o700); err != nil {
		return nil, fmt.Errorf("data directory: %w", err)
	}
	if err := refuseForeign(path); err != nil {
		return nil, err
	}
	marker, err := os.OpenFile(filepath.Join(path, markerName), os.O_RDWR|os.O_CREATE, 0o600) //nolint:gosec // the operator names the directory
	if err != nil {
		return nil, fmt.Errorf("data directory: %w", err)
	}
	d := &directory{path: path, marker: marker}
	if err := d.lock(ctx); err != nil {
		return nil, errors.Join(err, marker.Close())
	}
	if err := d.own(ctx, as); err != nil {
		return nil, errors.Join(err, marker.Close())
	}
	return d, nil
}

// refuseForeign fails for a directory that holds anything but our database.
func refuseForeign(path string) error {
	entries, err := os.ReadDir(path)
	if err != nil {
		return fmt.Errorf("data directory: %w", err)
	}
	for _, e := range entries {
		if e.Name() == markerName {
			return nil
		}
	}
	if len(entries) > 0 {
		return fmt.Errorf("data directory %s holds files that are not ours (%s, …): name an empty or a new directory",
			path, entries[0].Name())
	}
	return nil
}

// lock waits while the guard of a holder that died cleans up, and refuses a
// directory whose holder lives.
func (d *directory) lock(ctx context.Context) error {
	const pause = 20 * time.Millisecond
	for {
		locked, err := tryLock(d.marker)
		if err != nil {
			return fmt.Errorf("lock %s: %w", d.marker.Name(), err)
		}
		if locked {
			return nil
		}
		if o, err := d.read(); err == nil && o.Holder != 0 && alive(o.Holder) {
			return fmt.Errorf("data directory %s is in use by process %d", d.path, o.Holder)
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("data directory %s is in use: %w", d.path, ctx.Err())
		case <-time.After(pause):
		}
	}
}

// own writes us into the marker, keeps or makes the password, and gives the
// directory to the server's user.
func (d *directory) own(ctx context.Context, as *identity) error {
	o, err := d.read()
	if err != nil {
		return err
	}
	o.Password = cmp.Or(o.Password, rand.Text())
	o.Holder = os.Getpid()
	d.password = o.Password
	body, err := json.Marshal(o) //nolint:gosec // the file is there to keep the password, for its owner only
	if err != nil {
		return fmt.Errorf("%s: %w", d.marker.Name(), err)
	}
	// Never shorter than before without being whole: the password must not be
	// lost to a crash in between.
	if _, err := d.marker.WriteAt(append(body, '\n'), 0); err != nil {
		return fmt.Errorf("%s: %w", d.marker.Name(), err)
	}
	if err := errors.Join(d.marker.Truncate(int64(len(body)+1)), d.marker.Sync()); err != nil {
		return fmt.Errorf("%s: %w", d.marker.Name(), err)
	}
	if err := as.take(d.path); err != nil {
		return err
	}
	return as.enter(ctx, d.path)
}

func (d *directory) read() (ownership, error) {
	var o ownership
	body, err := io.ReadAll(io.NewSectionReader(d.marker, 0, 1<<16))
	if err != nil {
		return o, fmt.Errorf("%s: %w", d.marker.Name(), err)
	}
	if len(strings.TrimSpace(string(body))) == 0 {
		return o, nil
	}
	// Only the first line counts: a crash may have left the end of a longer one.
	line, _, _ := strings.Cut(string(body), "\n")
	if err := json.Unmarshal([]byte(line), &o); err != nil {
		return o, fmt.Errorf("%s is damaged", d.marker.Name())
	}
	return o, nil
}

// create makes a temporary directory. The guard runs by then, so that there is
// no moment at which a kill would leave it behind.
func (d *directory) create(ctx context.Context, as *identity) error {
	if !d.temporary {
		return nil
	}
	if err := os.Mkdir(d.path, 0o700); err != nil {
		return fmt.Errorf("temporary directory: %w", err)
	}
	if err := as.take(d.path); err != nil {
		return err
	}
	return as.enter(ctx, d.path)
}

// close removes a temporary directory and lets go of a kept one.
func (d *directory) close() error {
	if d.temporary {
		if err := os.RemoveAll(d.path); err != nil {
			return fmt.Errorf("remove %s: %w", d.path, err)
		}
		return nil
	}
	if err := d.marker.Close(); err != nil {
		return fmt.Errorf("%s: %w", d.marker.Name(), err)
	}
	return nil
}

// clearStalePID removes a postmaster.pid that a dead server left behind and
// whose number now belongs to something else, which would keep PostgreSQL from
// starting for ever; in containers numbers repeat soon. A number that nobody
// has PostgreSQL sorts out itself.
func (d *directory) clearStalePID() error {
	path := filepath.Join(d.cluster(), "postmaster.pid")
	body, err := os.ReadFile(path) //nolint:gosec // inside our own directory
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	line, _, _ := strings.Cut(string(body), "\n")
	pid, err := strconv.Atoi(strings.TrimSpace(line))
	if err == nil && pid > 0 && alive(pid) && isPostgres(pid) {
		return fmt.Errorf("data directory %s is in use by the PostgreSQL process %d", d.path, pid)
	}
	if err := os.Remove(path); err != nil {
		return fmt.Errorf("remove a stale %s: %w", path, err)
	}
	return nil
}
