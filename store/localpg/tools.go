package localpg

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
)

// Run runs one of PostgreSQL's client programs, such as pg_dump, to its end, from the
// folder that the server's own come from and as its user. The program finds the server
// and its superuser in its environment. Its working directory is Dir.
func (s *Server) Run(ctx context.Context, program string, args ...string) error {
	cmd := exec.CommandContext(ctx, filepath.Join(s.binaries, program), args...) //nolint:gosec // PostgreSQL's programs
	cmd.Dir = s.dir.path
	cmd.Env = append(
		environment(), "PGHOST=127.0.0.1", "PGPORT="+strconv.Itoa(s.port), "PGUSER="+superuser, "PGPASSWORD="+s.password, "PGDATABASE=postgres",
	)
	cmd.SysProcAttr = asUser(s.as)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w: %s", program, err, strings.TrimSpace(string(out)))
	}
	return nil
}

// Copy makes a base backup of the running server in dir, which must not be there. A
// server that is started on it (Options.DataDir) has the same password. More arguments
// are pg_basebackup's own.
func (s *Server) Copy(ctx context.Context, dir string, args ...string) error {
	if err := os.Mkdir(dir, 0o700); err != nil {
		return fmt.Errorf("base backup: %w", err)
	}
	if err := s.as.take(dir); err != nil {
		return err
	}
	marker := fmt.Sprintf("{\"password\":%q}\n", s.password)
	if err := os.WriteFile(filepath.Join(dir, markerName), []byte(marker), 0o600); err != nil {
		return fmt.Errorf("base backup: %w", err)
	}
	return s.Run(ctx, "pg_basebackup", append([]string{"--pgdata=" + filepath.Join(dir, "data"), "--checkpoint=fast", "--no-sync"}, args...)...)
}

// Binaries is the folder of PostgreSQL's programs, for what runs them itself.
func (s *Server) Binaries() string { return s.binaries }
