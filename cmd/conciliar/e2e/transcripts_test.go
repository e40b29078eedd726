package e2e

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/shopspring/decimal"
	"github.com/stretchr/testify/require"

	"github.com/conciliar/conciliar/jobs/provider/mercadopago/simulator"
	"github.com/conciliar/conciliar/store/storetest"
)

var updateDocs = flag.Bool("update-docs", false, "write what the commands of the docs answer into the docs")

// transcribed are the pages whose ```console blocks are what the program
// answered. Each page is run from its top, on a scene of its own.
var transcribed = []string{"docs/commands.md", "docs/guide.md"}

var (
	consoleBlock = regexp.MustCompile("(?s)```console\n(.*?)```")
	digits       = regexp.MustCompile(`[0-9]+`)
	blanks       = regexp.MustCompile(`[ ─-]+`)
)

// placeholders are put in place of what is another in every run.
var placeholders = []struct {
	found *regexp.Regexp
	in    string
}{
	{regexp.MustCompile(`\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z`), "2026-03-01T12:00:00Z"},
	{regexp.MustCompile(`\d{4}-\d\d-\d\d \d\d:\d\d:\d\d`), "2026-03-01 12:00:00"},
	{regexp.MustCompile(`http://127\.0\.0\.1:\d+`), "https://your.host"},
	{regexp.MustCompile(`\b[0-9a-f]{64}\b|\b[0-9a-f]{4}…`), "9f2c…"},
	{regexp.MustCompile(`\bts=\d+`), "ts=1772366400"},
	{regexp.MustCompile(`\b[A-Z2-7]{26}\b`), "KQ3E…"},
	{regexp.MustCompile(`[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}`), "5d1f…"},
}

// A scene is a service in which something of everything has happened: order-1001
// was paid, order-1002 in part, order-1003 without a webhook, three payments have
// a status that nobody knows, one is not known, and a delivery was refused.
type scene struct {
	environ            []string
	service, paymentID string
}

func setScene(t *testing.T) *scene {
	t.Helper()
	sim, provider := newProvider(t)
	s := &scene{environ: environment(storetest.URL(t), provider, nil)}
	_, s.service = serve(t, s.environ)
	require.NoError(t, sim.SetTarget(s.service+"/api/checkout/webhook"))
	awaitBody(t, s.service+"/api/webhooks/status", statusToken, `"status":"succeeded"`)
	pay := func(order, registered, amount, status string) string {
		s.run(t, `curl -X PUT https://your.host/api/orders/`+order+` -H "Authorization: Bearer $ORDERS_TOKEN" -H 'Content-Type: application/json' -d '{"amount":"`+registered+`","currency":"ARS"}'`)
		return sim.CreatePayment(simulator.PaymentSpec{
			Reference: order, Amount: decimal.RequireFromString(amount), Currency: "ARS", Status: status, StatusDetail: "accredited", CreatedAt: time.Now(),
		})
	}
	s.paymentID = pay("order-1001", "150.00", "150.00", simulator.Approved)
	s.deliver(t, testSecret, s.paymentID, `"status":"completed"`)
	s.deliver(t, testSecret, pay("order-1002", "200.00", "120.00", simulator.Approved), `"status":"completed"`)
	s.deliver(t, testSecret, pay("order-1004", "75.00", "75.00", "on_hold"), `"status":"dead_letter"`)
	s.deliver(t, testSecret, "99", `"status":"failed"`)
	s.deliver(t, "a-secret-of-yesterday", s.paymentID, "")
	pay("order-1003", "80.00", "80.00", simulator.Approved)
	for _, order := range []string{"order-1005", "order-1006"} {
		s.deliver(t, testSecret, pay(order, "75.00", "75.00", "on_hold"), `"status":"dead_letter"`)
	}
	// These are written a moment after the answer.
	awaitBody(t, s.service+"/api/webhooks/refused", statusToken, `"signature_mismatch"`)
	awaitBody(t, s.service+"/api/webhooks/sources", statusToken, "127.0.0.0/24")
	return s
}

// deliver sends a webhook and waits until its event has a status.
func (s *scene) deliver(t *testing.T, secret, id, status string) {
	t.Helper()
	answer := s.run(t, "conciliar simulate sign --secret "+secret+" --id "+id+" --url https://your.host/api/checkout/webhook | sh")
	if status == "" {
		return
	}
	var queued struct {
		QueueID int64 `json:"queue_id"`
	}
	require.NoError(t, json.Unmarshal([]byte(answer), &queued), answer)
	awaitBody(t, fmt.Sprintf("%s/api/webhooks/events/%d", s.service, queued.QueueID), statusToken, status)
}

// run is what a person sees who types a command of the docs.
func (s *scene) run(t *testing.T, command string) string {
	t.Helper()
	for name, value := range map[string]string{
		"https://your.host": s.service, "$STATUS_TOKEN": statusToken, "$ORDERS_TOKEN": ordersToken, "$SECRET": testSecret,
		"$PROCESS_QUEUE_TOKEN": processToken, "$RECONCILE_TOKEN": reconcileToken, "$PAYMENT_ID": s.paymentID,
	} {
		command = strings.ReplaceAll(command, name, value)
	}
	if line, isCurl := strings.CutPrefix(command, "curl "); isCurl {
		return call(t, "curl "+line)
	}
	line, piped := strings.CutSuffix(command, " | sh")
	got := execute(t, s.environ, shellWords(t, strings.TrimPrefix(line, "conciliar "))...)
	if piped {
		require.Equal(t, exitDone, got.code, got.err)
		return call(t, got.out)
	}
	text := got.out
	if got.code != exitDone {
		// What is said beside an answer, such as how far it is, differs each time.
		text += got.err + fmt.Sprintf("(exits %d)\n", got.code)
	}
	return text
}

func shellWords(t *testing.T, line string) []string {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), "sh", "-c", `printf '%s\0' `+line).Output()
	require.NoError(t, err)
	return strings.Split(strings.TrimSuffix(string(out), "\x00"), "\x00")
}

// call makes the request of a curl, and lays a JSON answer out.
func call(t *testing.T, command string) string {
	t.Helper()
	method, target, body, header := http.MethodGet, "", "", http.Header{}
	args := words(t, command)
	for i := 0; i < len(args); i++ {
		switch args[i] {
		case "-X":
			i++
			method = args[i]
		case "-H":
			i++
			name, value, _ := strings.Cut(args[i], ": ")
			header.Set(name, value)
		case "-d":
			i++
			body = args[i]
		default:
			target = args[i]
		}
	}
	req, err := http.NewRequestWithContext(t.Context(), method, target, strings.NewReader(body))
	require.NoError(t, err)
	req.Header = header
	resp, err := http.DefaultClient.Do(req)
	require.NoError(t, err)
	defer func() { require.NoError(t, resp.Body.Close()) }()
	text, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	if strings.Contains(resp.Header.Get("Content-Type"), "json") {
		var out bytes.Buffer
		require.NoError(t, json.Indent(&out, bytes.TrimSpace(text), "", "  "))
		return out.String() + "\n"
	}
	lines := strings.SplitAfter(string(text), "\n")
	if len(lines) > 8 {
		return strings.Join(lines[:8], "") + "…\n"
	}
	return string(text)
}

// fields are the paths of a JSON answer's fields; of anything else its words,
// with numbers and rules made equal.
func fields(text string) []string {
	var v any
	if json.Unmarshal([]byte(text), &v) != nil {
		return strings.Fields(blanks.ReplaceAllString(digits.ReplaceAllString(text, "0"), " "))
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
			written := consoleBlock.ReplaceAllStringFunc(page, func(block string) string {
				var out strings.Builder
				for _, st := range typedSteps(consoleBlock.FindStringSubmatch(block)[1]) {
					answer := s.run(t, st.command)
					for _, p := range placeholders {
						answer = p.found.ReplaceAllString(answer, p.in)
					}
					if !*updateDocs {
						require.Equal(t, fields(st.answer), fields(answer), "%s\n%s\n`make docs` writes what it answers now", st.command, answer)
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
