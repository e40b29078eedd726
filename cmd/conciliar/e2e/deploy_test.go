package e2e

import (
	"crypto/x509"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/compose-spec/compose-go/v2/cli"
	"github.com/stretchr/testify/require"

	"github.com/conciliar/conciliar/config"
	"github.com/conciliar/conciliar/jobs/provider/mercadopago/simulator"
)

// checked runs somebody else's checker, which must be content.
func checked(t *testing.T, dir, program string, args ...string) string {
	t.Helper()
	path, err := exec.LookPath(program)
	if err != nil {
		path, err = exec.LookPath("/usr/sbin/" + program)
	}
	require.NoError(t, err, "install it: make test does so where it may")
	cmd := exec.CommandContext(t.Context(), path, args...)
	cmd.Dir = dir
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, "%s %v: %s", program, args, out)
	return string(out)
}

// copied is a file of deploy/ with other words in place of those that only the machine
// it is for has.
func copied(t *testing.T, dir, name string, oldnew ...string) string {
	t.Helper()
	path := filepath.Join(dir, filepath.Base(name))
	text := strings.NewReplacer(oldnew...).Replace(readDoc(t, "deploy/"+name))
	require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
	return path
}

func TestDeploy_SystemdTakesTheUnits(t *testing.T) {
	t.Parallel()
	program, err := binary()
	require.NoError(t, err)
	dir := t.TempDir()
	service := copied(t, dir, "systemd/conciliar.service", "/usr/bin/conciliar", program)
	verify := copied(t, dir, "systemd/conciliar-verify.service", "/usr/bin/conciliar", program)
	script, err := filepath.Abs(repositoryPath("deploy/backup/backup.sh"))
	require.NoError(t, err)
	backup := copied(t, dir, "systemd/conciliar-backup.service", "/usr/lib/conciliar/backup.sh", "/bin/sh "+script)
	require.Empty(t, checked(t, dir, "systemd-analyze", "verify", "--man=no", service, verify, backup,
		copied(t, dir, "systemd/conciliar-verify.timer"), copied(t, dir, "systemd/conciliar-backup.timer")))
	for _, unit := range []string{service, backup} {
		checked(t, dir, "systemd-analyze", "security", "--offline=true", "--threshold=20", unit)
	}
}

func TestDeploy_TheProxiesTakeTheirConfiguration(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	cert, key := certificate(t, 1, x509.NewCertPool())
	certFile, keyFile := filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	require.NoError(t, os.WriteFile(certFile, []byte(cert), 0o600))
	require.NoError(t, os.WriteFile(keyFile, []byte(key), 0o600))
	site := copied(t, dir, "nginx/conciliar.conf",
		"/etc/ssl/certs/shop.example.pem", certFile, "/etc/ssl/private/shop.example.key", keyFile)
	wrapper := filepath.Join(dir, "nginx.conf")
	require.NoError(t, os.WriteFile(wrapper, []byte("pid "+dir+"/nginx.pid;\nerror_log stderr;\nevents {}\nhttp {\naccess_log off;\ninclude "+site+";\n}\n"), 0o600))
	checked(t, dir, "nginx", "-t", "-p", dir, "-c", wrapper)
	checked(t, dir, "caddy", "validate", "--adapter", "caddyfile", "--config", copied(t, dir, "caddy/Caddyfile"))
	// TestAdopting_… starts nginx with shadow.conf.
	for _, name := range []string{"nginx/conciliar.conf", "nginx/shadow.conf", "caddy/Caddyfile"} {
		for line := range strings.Lines(readDoc(t, "deploy/"+name)) {
			if set := strings.ToLower(line); strings.Contains(set, "header") {
				require.NotContains(t, set, "x-request-id", "a proxy that sets it breaks every signature")
			}
		}
	}
}

func TestDeploy_ComposeTakesItsFile(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	nested := filepath.Join(dir, "deploy", "docker")
	require.NoError(t, os.MkdirAll(nested, 0o700))
	file := copied(t, nested, "docker/compose.yaml")
	got := execute(t, nil, "init", "--simulator", "--file", filepath.Join(dir, "conciliar.env"))
	require.Equal(t, exitDone, got.code, got.err)
	options, err := cli.NewProjectOptions([]string{file}, cli.WithProfiles([]string{"demo"}))
	require.NoError(t, err)
	project, err := options.LoadProject(t.Context())
	require.NoError(t, err)
	require.ElementsMatch(t, []string{"database", "migrate", "conciliar", "demo"}, project.ServiceNames())
	service, err := project.GetService("conciliar")
	require.NoError(t, err)
	require.Equal(t, dir, service.Build.Context)
	var environ []string
	for name, value := range service.Environment {
		environ = append(environ, name+"="+*value)
	}
	cfg, err := config.Load(environ)
	require.NoError(t, err, "what compose gives the service is a configuration")
	require.Contains(t, cfg.DatabaseURL.Reveal(), "@database:5432/")
}

func TestDeploy_TheScriptsAreSound(t *testing.T) {
	t.Parallel()
	checked(t, repositoryPath("."), "shellcheck", "deploy/backup/backup.sh", ".ci/run", ".ci/prepare", ".ci/vuln", ".ci/image",
		".ci/release", ".ci/release-check", ".ci/release-image", ".ci/notes", ".ci/package/postinstall", ".ci/package/preremove", ".ci/package/postremove")
	checked(t, repositoryPath("deploy"), "yamllint", "--strict", "--config-data",
		"{extends: default, rules: {line-length: disable, document-start: disable, braces: {max-spaces-inside: 0}, comments: {min-spaces-from-content: 1}}}", ".")
}

// command -v finds a script's own function before a program: one of that name hides that
// the program is missing.
func TestDeploy_PrepareLooksForPrograms(t *testing.T) {
	t.Parallel()
	script, err := os.ReadFile(repositoryPath(".ci/prepare"))
	require.NoError(t, err)
	functions := regexp.MustCompile(`(?m)^([a-z_]+)\(\)`).FindAllSubmatch(script, -1)
	require.NotEmpty(t, functions)
	for _, f := range functions {
		require.NotContains(t, string(script), "command -v "+string(f[1])+" ")
	}
}

// A backup is what it was taken of, also in a server that has never seen the
// installation, and old ones go. The steps of docs/backup.md bring back what came
// after it.
func TestDeploy_ABackupIsRestored(t *testing.T) {
	t.Parallel()
	server := ownPostgres(t)
	s := newShop(t, simulator.Faults{}, nil)
	s.hasReconciled()
	p := s.launch()
	require.True(t, s.sim.Notify(t.Context(), s.sell("order-1")).Acknowledged())
	s.awaitQuiet()

	script, err := filepath.Abs(repositoryPath("deploy/backup/backup.sh"))
	require.NoError(t, err)
	at := openTerminal(t, s.addr, "", append(s.environ, "LOG_FORMAT=tint", "NO_COLOR=1", "ORDERS_TOKEN="+ordersToken)...).withProgram(t)
	at.environ[0] = "PATH=" + server.Binaries() + string(os.PathListSeparator) + strings.TrimPrefix(at.environ[0], "PATH=")
	at.stand("127.0.0.1:8080", s.addr, "/usr/lib/conciliar/backup.sh", script)
	page := readDoc(t, "docs/backup.md")
	dir := filepath.Join(at.home, "backups")
	require.NoError(t, os.Mkdir(dir, 0o700))
	for day := range 14 {
		require.NoError(t, os.WriteFile(filepath.Join(dir, fmt.Sprintf("conciliar-202501%02dT000000Z.dump", day+1)), nil, 0o600))
	}
	at.remark("an order was paid; the backup")
	first, _, _ := strings.Cut(at.pasted(t, page, "backup.sh").out, "\n")
	dump := strings.TrimSpace(first)
	left, err := filepath.Glob(filepath.Join(dir, "*"))
	require.NoError(t, err)
	require.Len(t, left, 14, "the oldest went")
	require.Contains(t, left, dump)
	info, err := os.Stat(dump)
	require.NoError(t, err)
	require.Equal(t, os.FileMode(0o600), info.Mode().Perm())
	// The shop goes on after the backup; its database is lost.
	require.True(t, s.sim.Notify(t.Context(), s.sell("order-2")).Acknowledged())
	s.awaitQuiet()
	require.Equal(t, exitDone, p.stop())

	at.run(t, fmt.Sprintf("export DATABASE_URL='%s' DUMP='%s' DAY_BEFORE=%s", server.URL("postgres"), dump, time.Now().Add(-24*time.Hour).Format(time.DateOnly)))
	at.remark("order-2 was registered and paid; then the database was lost, and every process stopped")
	at.pasted(t, page, "pg_restore")
	// A minute passes: until then the process from before the backup may be alive.
	require.NoError(t, server.Run(t.Context(), "psql", "--quiet", "--command", `UPDATE conciliar.processes SET seen_at = seen_at - interval '1 minute'; DELETE FROM conciliar.river_leader`))
	at.remark("a minute after the backup's last process")
	at.pasted(t, page, "conciliar restored")
	at.pasted(t, page, "conciliar verify")
	require.Contains(t, at.types(t, "conciliar orders show order-1 | head -n 4").out, "paid")

	// What came after the backup is fetched, and its order is registered again.
	s.launch("DATABASE_URL=" + server.URL("postgres"))
	at.remark("the service runs again")
	at.pasted(t, page, "--since")
	require.Contains(t, at.types(t, `curl -s -X PUT http://127.0.0.1:8080/api/orders/order-2 -H "Authorization: Bearer $ORDERS_TOKEN" \
     -H 'Content-Type: application/json' -d '{"amount":"150.00","currency":"ARS"}'`).out, `"status":"paid"`)
	require.Contains(t, at.pasted(t, page, "--check").out, " 0 differences")
	at.shows(t, "restore", "docs/backup.md")
}
