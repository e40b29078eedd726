//go:build chaos

package e2e

import (
	"archive/tar"
	"bytes"
	"errors"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/conciliar/conciliar/api"
	"github.com/conciliar/conciliar/jobs/provider/mercadopago/simulator"
	"github.com/conciliar/conciliar/store/order"
	"github.com/conciliar/conciliar/store/storetest"
)

// previousRelease is the commit of the release that installations come from.
const previousRelease = "206340c164cc1210763559424ee6f37bdfa2985f"

// upgrades are what an operator does with a new release.
func upgrades() []scenario {
	return []scenario{
		{"upgrade", "the release before runs on beside this one", "migrated under load, with an open alert and events that are held; then rolled back, alone on this schema, and upgraded again", upgradeUnderLoad},
	}
}

// upgradeUnderLoad migrates an installation of the release before while that
// receives and holds events, lets both releases work, and stops the older one.
func upgradeUnderLoad(s *stage) {
	old := previousProgram(s.t)
	databaseURL := storetest.EmptyURL(s.t)
	got := outcomeOf(s.t, commandOf(old, environment(databaseURL, "http://127.0.0.1:1", nil), "migrate"))
	require.Equal(s.t, exitDone, got.code, got.err)
	// Beside each other they need what the older one has: it knows no other schema.
	s.set(setting{databaseURL: databaseURL, env: map[string]string{"DATABASE_SCHEMA": "public"}, faults: simulator.Faults{Duplicates: 1, Disorder: true}})
	before := launch(s.t, commandOf(old, s.environ, "serve"))
	before.err.await(s.t, serveLogPattern)
	s.begin(s.orders(30)).wait()

	at := s.operator()
	at.remark("the release before serves")
	s.sim.SetRevoked(true)
	paid := s.beginPlan(simulator.Plan{Orders: s.orders(60), Concurrency: 8, Rate: 2, ReferencePrefix: "held-"})
	s.awaitOpenAlert("credentials_refused")
	at.remark("its token is revoked, so that events wait; webhooks continue")
	at.pasted(s.t, readDoc(s.t, "docs/upgrade.md"), "conciliar migrate")
	require.Positive(s.t, s.count(`SELECT count(*) FROM webhook_queue_status WHERE status = 'held'`), "nothing waits")
	s.awaitOpenAlert("provider_credentials_rejected")

	after := s.second(s.through(func(string) string { return s.databaseURL }))
	s.sim.SetRevoked(false)
	both := s.beginPlan(simulator.Plan{Orders: s.orders(60), Concurrency: 8, Rate: 20, ReferencePrefix: "both-", Progress: func(done, total int) {
		if done == total/2 {
			_ = s.sim.SetTarget("http://" + after.address(s.t) + api.WebhookPath)
		}
	}})
	paid.wait()
	both.wait()
	at.remark("this release serves beside it, the token is back, and the release before ends")
	require.Zero(s.t, before.stop(), "it must end in order")
	after = s.backAndForward(old, after, at)
	s.over()
	s.awaitFold()
	// What the release before left open by its own rules is closed by a run.
	last := s.now()
	s.addr = after.address(s.t)
	status, said := s.call(http.MethodPost, "/api/webhooks/reconcile", reconcileToken, `{"wait":"30s"}`)
	require.Less(s.t, status, 300, said)
	s.awaitRunsSince(last)
	s.settled()
	s.awaitAlertsOfThisRelease()
	at.pasted(s.t, readDoc(s.t, "docs/upgrade.md"), "conciliar verify")
	at.types(s.t, "conciliar reconcile --check")
	at.shows(s.t, "upgrade and roll back", "docs/upgrade.md")
}

// operator is the terminal of who upgrades.
func (s *stage) operator() *terminal {
	s.t.Helper()
	return openTerminal(s.t, s.addr, "", append(s.environ, "LOG_FORMAT=tint", "NO_COLOR=1")...).withProgram(s.t)
}

// backAndForward rolls the release back, lets the older one work alone on the newer
// schema, and starts the newer one again.
func (s *stage) backAndForward(old string, after *process, at *terminal) *process {
	s.t.Helper()
	s.awaitFold()
	require.Zero(s.t, after.stop(), "it must end in order")
	again := launch(s.t, commandOf(old, s.environ, "serve"))
	again.err.await(s.t, serveLogPattern)
	require.NoError(s.t, s.sim.SetTarget("http://"+s.addr+api.WebhookPath))
	s.beginPlan(simulator.Plan{Orders: s.orders(30), Concurrency: 8, ReferencePrefix: "back-"}).wait()
	s.awaitQuiet()
	at.remark("rolled back: the release before works alone on the newer schema; 30 orders are paid")
	at.types(s.t, `psql "$DATABASE_URL" -Atc "SELECT count(*) FROM orders WHERE reference LIKE 'back-%' AND settled_at IS NOT NULL"`)
	require.Zero(s.t, again.stop(), "it must end in order")
	at.remark("upgraded again")
	at.types(s.t, "conciliar migrate --check && echo current")
	return s.second(s.through(func(string) string { return s.databaseURL }))
}

// awaitFold waits until everything is settled under the rules of this release.
func (s *stage) awaitFold() {
	s.t.Helper()
	require.Eventually(s.t, func() bool {
		return s.count(`SELECT (SELECT count(*) FROM books WHERE fold_version < $1) + (SELECT count(*) FROM payments WHERE fold_version < $1)
			+ (SELECT count(*) FROM orders WHERE fold_version < $1)`, order.FoldVersion) == 0
	}, 2*chaosPatience(), 100*time.Millisecond, "something is left under the rules of the release before")
}

// awaitOpenAlert waits for one with a code. They are evaluated once a minute.
func (s *stage) awaitOpenAlert(code string) {
	s.t.Helper()
	require.Eventually(s.t, func() bool {
		return s.count(`SELECT count(*) FROM alerts WHERE code = $1 AND closed_at IS NULL`, code) == 1
	}, 2*chaosPatience(), 100*time.Millisecond, "the alert %s is not open", code)
}

// awaitAlertsOfThisRelease waits until every alert that is open is one whose
// condition this release has seen to be active since now. What the older
// release left counts as left after minutes, which pass here at once.
func (s *stage) awaitAlertsOfThisRelease() {
	s.t.Helper()
	err := pgx.BeginFunc(s.t.Context(), s.pool, func(tx pgx.Tx) error {
		for _, statement := range []string{
			`SET LOCAL session_replication_role = replica`, // updated_at is set by a trigger
			`UPDATE alert_watches SET updated_at = updated_at - interval '1 hour'`,
		} {
			if _, err := tx.Exec(s.t.Context(), statement); err != nil {
				return err
			}
		}
		return nil
	})
	require.NoError(s.t, err)
	now := s.now()
	require.Eventually(s.t, func() bool {
		return s.count(`SELECT count(*) FROM alerts a WHERE closed_at IS NULL AND NOT EXISTS (
			SELECT FROM alert_watches w WHERE w.code = a.code AND w.holds AND w.updated_at > $1)`, now) == 0
	}, 2*chaosPatience(), 100*time.Millisecond, "an alert stays open for ever")
	require.Equal(s.t, 1, s.count(`SELECT count(*) FROM alerts WHERE code = 'provider_credentials_rejected' AND closed_at IS NOT NULL`))
}

// previousProgram builds the release before from this repository's history.
func previousProgram(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	cmd := exec.CommandContext(t.Context(), "git", "archive", "--format=tar", previousRelease)
	cmd.Dir = repositoryPath(".")
	var said bytes.Buffer
	cmd.Stderr = &said
	source, err := cmd.Output()
	require.NoError(t, err, "the release before (%s) is not in this clone's history: run `git fetch --unshallow`, or clone without --depth\n%s", previousRelease, &said)
	unpack(t, dir, source)
	path := filepath.Join(dir, "conciliar-before")
	build := exec.CommandContext(t.Context(), "go", "build", "-trimpath", "-o", path, "./cmd/conciliar")
	build.Dir = dir
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	out, err := build.CombinedOutput()
	require.NoError(t, err, string(out))
	return path
}

// unpack writes the regular files of a tar archive of ours below a folder.
func unpack(t *testing.T, dir string, archive []byte) {
	t.Helper()
	for files := tar.NewReader(bytes.NewReader(archive)); ; {
		header, err := files.Next()
		if errors.Is(err, io.EOF) {
			return
		}
		require.NoError(t, err)
		if header.Typeflag != tar.TypeReg {
			continue
		}
		path := filepath.Join(dir, filepath.FromSlash(header.Name))
		require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o750))
		text, err := io.ReadAll(files)
		require.NoError(t, err)
		require.NoError(t, os.WriteFile(path, text, 0o600))
	}
}
