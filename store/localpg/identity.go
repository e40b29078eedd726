package localpg

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
)

// identity is the user that the server runs as: nil is ourselves. PostgreSQL
// refuses to run as root, so root runs it as somebody without rights.
type identity struct {
	name     string
	uid, gid uint32
}

// serverUser is nil for an ordinary user.
func serverUser() (*identity, error) {
	if os.Geteuid() != 0 {
		return nil, nil //nolint:nilnil // nil is an identity: ourselves
	}
	for _, name := range []string{"postgres", "nobody"} {
		u, err := user.Lookup(name)
		if err != nil {
			continue
		}
		uid, err := strconv.ParseUint(u.Uid, 10, 32)
		if err != nil {
			continue
		}
		gid, err := strconv.ParseUint(u.Gid, 10, 32)
		if err != nil {
			continue
		}
		return &identity{name: name, uid: uint32(uid), gid: uint32(gid)}, nil
	}
	return nil, errors.New("PostgreSQL refuses to run as root, and there is no user postgres or nobody to run it as")
}

// take gives a path to the server's user.
func (i *identity) take(path string) error {
	if i == nil {
		return nil
	}
	if err := os.Lchown(path, int(i.uid), int(i.gid)); err != nil {
		return fmt.Errorf("give %s to user %s: %w", path, i.name, err)
	}
	return nil
}

// enter fails when the server's user cannot reach a directory.
func (i *identity) enter(ctx context.Context, path string) error {
	if i == nil {
		return nil
	}
	cmd := exec.CommandContext(ctx, "/bin/sh", "-c", `cd -- "$1"`, "sh", path) //nolint:gosec // the path is an argument, not a script
	cmd.Dir = "/"
	cmd.Env = environment()
	cmd.SysProcAttr = asUser(i)
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("the server runs as user %s (PostgreSQL refuses root), who cannot enter %s: choose another directory", i.name, path)
	}
	return nil
}

// writeFile makes a file that only the server's user can read.
func (i *identity) writeFile(path, content string) error {
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		return err
	}
	return i.take(path)
}

// temporaryParent is where temporary files go and the server's user can go too.
// A place that was asked for is the only one.
func (i *identity) temporaryParent(ctx context.Context, asked string) (string, error) {
	places := []string{os.TempDir(), "/tmp", "/var/tmp"}
	if asked != "" {
		places = []string{asked}
	}
	var errs []error
	for _, dir := range places {
		dir, err := filepath.Abs(dir)
		if err == nil {
			err = i.enter(ctx, dir)
		}
		if err == nil {
			return dir, nil
		}
		errs = append(errs, err)
	}
	return "", errors.Join(errs...)
}

// isPostgres asks the system for the program behind a process number. Where
// it can't be told, the answer is yes: a database is never put at risk.
func isPostgres(pid int) bool {
	name, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/comm")
	if err != nil {
		name, err = exec.Command("ps", "-o", "comm=", "-p", strconv.Itoa(pid)).Output() //nolint:gosec,noctx // a number; answers at once
	}
	return err != nil || strings.Contains(filepath.Base(strings.TrimSpace(string(name))), "postgres")
}
