package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/shopspring/decimal"
	"github.com/stretchr/testify/require"

	"github.com/conciliar/conciliar/jobs/provider/mercadopago/simulator"
	"github.com/conciliar/conciliar/store/storetest"
)

var updateDocs = flag.Bool("update-docs", false, "write what the commands of the docs answer into the docs")

// transcribed are the pages whose ```console blocks are what the program
// answered. Each page is run from its top, on a scene of its own.
var transcribed = []string{"docs/api.md", "docs/api-examples.md", "docs/commands.md"}

var (
	// digits are made equal, but for the status of an answer.
	digits = regexp.MustCompile(`HTTP [0-9]{3}|[0-9]+`)
	blanks = regexp.MustCompile(`[ ─-]+`)
)

// A placeholder is put in place of what differs from run to run.
type placeholder struct {
	found *regexp.Regexp
	in    string
}

// anyAddress is the one that a scene's service has; a terminal knows its own.
var anyAddress = placeholder{regexp.MustCompile(`http://127\.0\.0\.1:\d+`), "http://127.0.0.1:8080"}

// placeholders are of all transcripts, those of pages' sessions too.
var placeholders = []placeholder{
	{regexp.MustCompile(`\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z`), "2026-03-01T12:00:00Z"},
	{regexp.MustCompile(`\d{4}-\d\d-\d\d \d\d:\d\d:\d\d`), "2026-03-01 12:00:00"},
	{regexp.MustCompile(`"day": "\d{4}-\d\d-\d\d"`), `"day": "2026-03-01"`},
	{regexp.MustCompile(`\b[0-9a-f]{64}\b|\b[0-9a-f]{4}…`), "9f2c…"},
	{regexp.MustCompile(`\bts=\d+`), "ts=1772366400"},
	{regexp.MustCompile(`\b(ORD|ORDTST)[0-9A-Z]{20,}\b`), "${1}01KQ…"},
	{regexp.MustCompile(`\b[A-Z2-7]{26}\b`), "KQ3E…"},
	{regexp.MustCompile(`"MS5jaGFuZ2Vz[0-9A-Za-z_-]+"`), `"MS5jaGFuZ2Vz…"`},
	{regexp.MustCompile(`[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}`), "5d1f…"},
}

// A scene is a service in which something of everything has happened, as the
// stage of docs/api-examples.md says, and a terminal beside it.
type scene struct {
	*terminal

	service string
	pool    *pgxpool.Pool
}

func setScene(t *testing.T) *scene {
	t.Helper()
	sim, provider := newProvider(t)
	databaseURL := storetest.URL(t)
	environ := environment(databaseURL, provider, nil)
	_, service := serve(t, environ)
	s := &scene{service: service, pool: storetest.Open(t, databaseURL)}
	s.terminal = openTerminal(t, strings.TrimPrefix(service, "http://"), strings.TrimPrefix(provider, "http://")).withProgram(t)
	s.writeSettings(t, environ)
	require.NoError(t, sim.SetTarget(service+"/api/checkout/webhook"))
	awaitBody(t, service+"/api/webhooks/status", statusToken, `"status":"succeeded"`)
	s.holdAlerts(t)
	pay := func(order, registered, amount, status string) string {
		require.NoError(t, register(t.Context(), service, order, decimal.RequireFromString(registered), "ARS"))
		return sim.CreatePayment(simulator.PaymentSpec{
			Reference: order, Amount: decimal.RequireFromString(amount), Currency: "ARS", Status: status, StatusDetail: "accredited", CreatedAt: time.Now(),
		})
	}
	paid := pay("order-1001", "150.00", "150.00", simulator.Approved)
	s.environ = append(s.environ, "PAYMENT_ID="+paid)
	s.deliver(t, testSecret, paid, `"status":"completed"`)
	s.deliver(t, testSecret, pay("order-1002", "200.00", "120.00", simulator.Approved), `"status":"completed"`)
	s.deliver(t, testSecret, pay("order-1004", "75.00", "75.00", "on_hold"), `"status":"dead_letter"`)
	s.deliver(t, testSecret, "99", `"status":"failed"`)
	s.deliver(t, "a-secret-of-yesterday", paid, "")
	pay("order-1003", "80.00", "80.00", simulator.Approved)
	for _, order := range []string{"order-1005", "order-1006"} {
		s.deliver(t, testSecret, pay(order, "75.00", "75.00", "on_hold"), `"status":"dead_letter"`)
	}
	// These are written a moment after the answer.
	awaitBody(t, service+"/api/webhooks/refused", statusToken, `"signature_mismatch"`)
	awaitBody(t, service+"/api/webhooks/sources", statusToken, "127.0.0.0/24")
	return s
}

// holdAlerts lets no alert open after the first evaluation. The next may come before a
// page's commands, after them or between two, as fast as the machine is.
func (s *scene) holdAlerts(t *testing.T) {
	t.Helper()
	eventually(t, func() bool {
		var evaluated bool
		err := s.pool.QueryRow(t.Context(), `SELECT evaluated_at IS NOT NULL FROM alert_evaluation`).Scan(&evaluated)
		return err == nil && evaluated
	})
	tx, err := s.pool.Begin(t.Context())
	require.NoError(t, err)
	t.Cleanup(func() { _ = tx.Rollback(context.WithoutCancel(t.Context())) })
	// An evaluation waits for this row.
	_, err = tx.Exec(t.Context(), `SELECT FROM alert_evaluation FOR UPDATE`)
	require.NoError(t, err)
}

// writeSettings writes conciliar.env as the quick start does.
func (s *scene) writeSettings(t *testing.T, environ []string) {
	t.Helper()
	var settings strings.Builder
	for _, pair := range environ {
		name, value, _ := strings.Cut(pair, "=")
		fmt.Fprintf(&settings, "%s='%s'\n", name, value)
		if token, isList := strings.CutSuffix(name, "_TOKENS"); isList {
			fmt.Fprintf(&settings, "%s_TOKEN='%s'\n", token, value)
		}
	}
	require.NoError(t, os.WriteFile(filepath.Join(s.home, "conciliar.env"), []byte(settings.String()), 0o600))
}

// deliver sends a webhook and waits until its event has a status.
func (s *scene) deliver(t *testing.T, secret, id, status string) {
	t.Helper()
	answer := s.run(t, "conciliar simulate sign --secret "+secret+" --id "+id+" --url http://127.0.0.1:8080/api/checkout/webhook | sh").out
	if status == "" {
		return
	}
	var queued struct {
		QueueID int64 `json:"queue_id"`
	}
	require.NoError(t, json.Unmarshal([]byte(answer), &queued), answer)
	awaitBody(t, fmt.Sprintf("%s/api/webhooks/events/%d", s.service, queued.QueueID), statusToken, status)
}

// answer is what a person sees who types a command, with JSON laid out, long
// texts cut, and placeholders for what is another in every run.
func (s *scene) answer(t *testing.T, command string) string {
	t.Helper()
	// Order events come into the feed a moment after they are written.
	eventually(t, func() bool {
		var waiting bool
		err := s.pool.QueryRow(t.Context(), `SELECT EXISTS (SELECT FROM order_events WHERE position IS NULL)`).Scan(&waiting)
		return err == nil && !waiting
	})
	got := s.run(t, command)
	text := got.out
	if got.code != exitDone {
		// What is said beside an answer, such as how far it is, differs each time.
		text += got.err + fmt.Sprintf("(exits %d)\n", got.code)
	}
	if strings.HasPrefix(command, "curl ") || strings.HasSuffix(command, " | sh") {
		text = laidOut(text)
	}
	for _, p := range slices.Concat(placeholders, []placeholder{anyAddress}) {
		text = p.found.ReplaceAllString(text, p.in)
	}
	return text
}

// laidOut is the body of an answer for reading, with the status that may follow it.
func laidOut(text string) string {
	body, status := text, ""
	if i := strings.LastIndex(text, "HTTP "); i >= 0 {
		body, status = text[:i], text[i:]
	}
	var out bytes.Buffer
	if json.Indent(&out, []byte(strings.TrimSpace(body)), "", "  ") == nil {
		return out.String() + "\n" + status
	}
	lines := strings.SplitAfter(text, "\n")
	if len(lines) > 8 {
		lines = append(lines[:8:8], "…\n")
	}
	return strings.Join(lines, "")
}

// fields are the paths of a JSON answer's fields; of anything else its words,
// with numbers and rules made equal.
func fields(text string) []string {
	var v any
	if json.Unmarshal([]byte(text), &v) != nil {
		return strings.Fields(blanks.ReplaceAllString(digits.ReplaceAllStringFunc(text, func(found string) string {
			if strings.HasPrefix(found, "HTTP") {
				return found
			}
			return "0"
		}), " "))
	}
	var paths []string
	var walk func(path string, v any)
	walk = func(path string, v any) {
		switch v := v.(type) {
		case map[string]any:
			for name, inner := range v {
				paths = append(paths, path+"."+name)
				walk(path+"."+name, inner)
			}
		case []any:
			for _, inner := range v {
				walk(path+"[]", inner)
			}
		}
	}
	walk("", v)
	slices.Sort(paths)
	return slices.Compact(paths)
}

// A step of a transcript is a command and what it answered.
type step struct{ typed, command, answer string }

func typedSteps(block string) []step {
	var steps []step
	continued := false
	for line := range strings.Lines(block) {
		typed, isCommand := strings.CutPrefix(line, "$ ")
		switch {
		case isCommand:
			steps = append(steps, step{typed: line, command: typed})
		case continued:
			steps[len(steps)-1].typed += line
			steps[len(steps)-1].command += line
		default:
			steps[len(steps)-1].answer += line
		}
		continued = (isCommand || continued) && strings.HasSuffix(line, "\\\n")
	}
	for i := range steps {
		steps[i].command = strings.TrimSpace(strings.ReplaceAll(steps[i].command, "\\\n", " "))
	}
	return steps
}

// TestDocs_TheTranscriptsAreWhatTheProgramAnswers runs every command of the
// transcribed pages. `make docs` writes the answers.
func TestDocs_TheTranscriptsAreWhatTheProgramAnswers(t *testing.T) {
	t.Parallel()
	for _, name := range transcribed {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := setScene(t)
			page := readDoc(t, name)
			written := pageBlock.ReplaceAllStringFunc(page, func(found string) string {
				block := pageBlock.FindStringSubmatch(found)
				if block[3] == "sh" {
					s.pasteBlock(t, block[1], block[2], block[4])
					return found
				}
				var out strings.Builder
				for _, st := range typedSteps(block[4]) {
					answer := s.answer(t, st.command)
					if !*updateDocs {
						require.Equal(t, fields(st.answer), fields(answer), "%s\n%s\n`make docs` writes what it answers now", st.command, answer)
					}
					if slices.Equal(fields(st.answer), fields(answer)) {
						answer = st.answer // nothing but what is another in every run
					}
					out.WriteString(st.typed + strings.TrimRight(answer, "\n") + "\n")
				}
				return "```console\n" + out.String() + "```"
			})
			if *updateDocs {
				require.NoError(t, os.WriteFile(repositoryPath(name), []byte(written), 0o644))
			}
		})
	}
}
