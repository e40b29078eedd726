package e2e

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/conciliar/conciliar/jobs/provider"
	"github.com/conciliar/conciliar/jobs/provider/mercadopago"
	"github.com/conciliar/conciliar/store/storetest"
	"github.com/conciliar/conciliar/store/storetest/fixture"
)

// A finding is what the doctor says of one check.
type finding struct {
	Check string `json:"check"`
	State string `json:"state"`
	Says  string `json:"says"`
	Do    string `json:"do"`
}

// findings runs the doctor and returns what it found by check.
func findings(t *testing.T, environ []string, code int) map[string]finding {
	t.Helper()
	got := execute(t, environ, "doctor", "--json")
	require.Equal(t, code, got.code, got.out+got.err)
	require.NotContains(t, got.out+got.err, testAccess)
	require.NotContains(t, got.out+got.err, testSecret)
	var report struct {
		OK     bool      `json:"ok"`
		Checks []finding `json:"checks"`
	}
	require.NoError(t, json.Unmarshal([]byte(got.out), &report))
	require.Equal(t, code == exitDone, report.OK)
	found := map[string]finding{}
	for _, f := range report.Checks {
		require.NotEmpty(t, f.Says)
		if f.State != "ok" {
			require.NotEmpty(t, f.Do, f.Check)
		}
		found[f.Check] = f
	}
	return found
}

func states(found map[string]finding) map[string]string {
	by := map[string]string{}
	for name, f := range found {
		by[name] = f.State
	}
	return by
}

func TestDoctor_FindsAHealthyServiceWell(t *testing.T) {
	t.Parallel()
	s := openDesk(t)
	account := strings.TrimSuffix(findings(t, s.environ, exitDone)["credentials"].Says, ".")
	account = account[strings.LastIndex(account, " ")+1:]
	environ := append(s.environ, "MERCADOPAGO_COLLECTOR_ID="+account)
	buy(t, s.sim, s.service, "order-1")
	s.exec(t, `INSERT INTO webhook_learned_sources (source, network, deliveries) VALUES ('mercadopago', '198.51.100.0/24', 7)`)

	found := findings(t, environ, exitDone)

	require.Equal(t, map[string]string{
		"configuration": "ok", "database": "ok", "clock": "ok", "schema": "ok", "webhooks": "ok", "topics": "ok", "sources": "ok",
		"credentials": "ok", "collector": "ok", "provider clock": "ok", "abilities": "ok", "acceptance": "ok", "times": "ok",
		"durability": "warn", // the tests' server syncs nothing
	}, states(found))
	// The order's own webhook may have been learned of by now.
	require.Regexp(t, `SOURCE_IP_CIDRS=198\.51\.100\.0/24(,127\.0\.0\.0/24)? `, found["sources"].Do)
	out := execute(t, environ, "doctor").out
	require.Len(t, strings.Split(strings.TrimSpace(out), "\n"), len(found), "one line for each check")
}

func TestDoctor_SaysWhatToDo(t *testing.T) {
	t.Parallel()
	s := openDesk(t)
	found := findings(t, append(s.environ, "MERCADOPAGO_COLLECTOR_ID=1"), exitFailed)
	require.Equal(t, "fail", found["collector"].State)
	require.Equal(t, "warn", found["webhooks"].State, "none came yet")

	found = findings(t, append(s.environ, "MERCADOPAGO_ACCESS_TOKEN=another-token"), exitFailed)
	require.Equal(t, "fail", found["credentials"].State)
	require.Contains(t, found["credentials"].Do, "MERCADOPAGO_ACCESS_TOKEN")

	found = findings(t, append(s.environ, "DATABASE_URL=postgres://app:hunter2@127.0.0.1:1/conciliar", "MERCADOPAGO_BASE_URL=http://127.0.0.1:1"), exitFailed)
	require.Equal(t, map[string]string{"configuration": "ok", "database": "fail", "credentials": "fail"}, states(found))
	require.NotContains(t, fmt.Sprint(found), "hunter2")

	s.exec(t, `INSERT INTO webhook_refused (source, reason, method) VALUES ('mercadopago', 'signature_mismatch', 'POST')`)
	found = findings(t, s.environ, exitDone)
	require.Contains(t, found["webhooks"].Do, "doctor --signature 1")
}

func TestDoctor_NoticesASchemaThatIsBehind(t *testing.T) {
	t.Parallel()
	_, provider := newProvider(t)
	url := storetest.EmptyURL(t)
	found := findings(t, environment(url, provider, nil), exitFailed)
	require.Equal(t, "ok", found["database"].State)
	require.Equal(t, "fail", found["schema"].State)
	require.Contains(t, found["schema"].Do, "conciliar migrate")
}

func TestDoctor_ExplainsARefusedWebhook(t *testing.T) {
	t.Parallel()
	s := openDesk(t)
	signature := mercadopago.Sign(testSecret, "138472432031", "", "1742505638")
	s.exec(t, `INSERT INTO webhook_refused (source, reason, method, query, x_signature, x_request_id)
		VALUES ('mercadopago', 'signature_mismatch', 'POST', 'data.id=138472432031', $1, 'set-by-a-proxy')`, signature)

	for _, args := range [][]string{
		{"doctor", "--signature", "1", "--json"},
		{"doctor", "--x-signature", signature, "--x-request-id", "set-by-a-proxy", "--data-id", "138472432031", "--json"},
		{"doctor", "--x-signature", signature, "--x-request-id", "set-by-a-proxy", "--query", "?data.id=138472432031", "--json"},
	} {
		got := execute(t, s.environ, args...)
		require.Equal(t, exitFailed, got.code, got.err)
		var d provider.Diagnosis
		require.NoError(t, json.Unmarshal([]byte(got.out), &d))
		require.Equal(t, mercadopago.VerdictRequestIDReplaced, d.Verdict)
		require.Equal(t, 1, d.Secret)
		require.NotContains(t, got.out+got.err, testSecret)
	}
	out := execute(t, s.environ, "doctor", "--signature", "1").out
	require.Regexp(t, `(?m)^verdict +request_id_replaced$`, out)
	require.Regexp(t, `(?m)^true +without x-request-id +id:138472432031;ts:1742505638;$`, out)

	// Answered alike by API.
	status, body := get(t, s.service+"/api/webhooks/refused/1/diagnosis", statusToken)
	require.Equal(t, http.StatusOK, status)
	require.Contains(t, body, `"verdict":"request_id_replaced"`)

	original := mercadopago.Sign(testSecret, "1", "the-senders", "1742505638")
	got := execute(t, s.environ, "doctor", "--x-signature", original, "--x-request-id", "a-proxys", "--data-id", "1", "--header", "X-Original-Request-Id: the-senders")
	require.Contains(t, got.out, "x-original-request-id as x-request-id")
	got = execute(t, s.environ, "doctor", "--x-signature", original, "--x-request-id", "the-senders", "--data-id", "1")
	require.Equal(t, exitDone, got.code, got.err)
	got = execute(t, s.environ, "doctor", "--signature", "404")
	require.Equal(t, exitFailed, got.code)
	require.Contains(t, got.err, "There is no refused delivery 404.")
}

func TestDoctor_ReadsTheProvidersDateWhateverItAnswers(t *testing.T) {
	t.Parallel()
	late := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Date", time.Now().Add(-time.Hour).UTC().Format(http.TimeFormat))
		w.WriteHeader(http.StatusUnauthorized)
	}))
	t.Cleanup(late.Close)
	found := findings(t, environment("postgres://127.0.0.1:1/x", late.URL, nil), exitFailed)
	require.Equal(t, "fail", found["provider clock"].State)
	require.Contains(t, found["provider clock"].Says, "1h0m")
}

func TestDoctor_NamesTheTopicsThatAreNeverVerified(t *testing.T) {
	t.Parallel()
	s := openDesk(t)
	for range 3 {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.service+"/api/checkout/webhook?data.id=ORD01KXAMPLE&type=order", http.NoBody)
		require.NoError(t, err)
		req.Header.Set("X-Signature", mercadopago.Sign("a-secret-of-nobody", "ORD01KXAMPLE", "", "1742505638"))
		status, answer, err := answerTo(req)
		require.NoError(t, err)
		require.Equal(t, http.StatusUnauthorized, status, answer)
	}
	fixture.Await(t, func() bool {
		return fixture.Count(t, s.pool, `SELECT count(*) FROM webhook_refused WHERE topic = 'order' AND channel = 'webhooks'`) == 3
	})
	sendSigned(t, s.service, "1") // the secret is right: otherwise that is what there is to say

	found := findings(t, s.environ, exitDone)["topics"]

	require.Equal(t, "warn", found.State)
	require.Contains(t, found.Says, "(order: 3; for orders with test credentials this is a known fault")
	require.Equal(t, "See docs/playbooks/topic_never_verified.md.", found.Do)
}
