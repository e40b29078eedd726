package api_test

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/conciliar/conciliar/api"
	"github.com/conciliar/conciliar/jobs/source"
)

const (
	hookSecret = "the secret of the other sender"
	// ownHookPath is a path that a sender has of its own.
	ownHookPath = "/shop/hook"
)

// setupHooks has two declared senders, one of them at a path of its own, and lets in
// no address that is not Mercado Pago's.
func setupHooks(t *testing.T) (*bundle, *api.Hooks) {
	t.Helper()
	hooks := &api.Hooks{}
	useHooks(t, hooks, map[string]string{"/hooks/github": "github", ownHookPath: "own"})
	return setup(t, setupOptions{deps: func(d *api.Deps) {
		d.Hooks, d.SourceIPMode, d.SourceIPCIDRs = hooks, api.SourceIPEnforce, prefixes(t, "198.51.100.0/24")
	}}), hooks
}

func useHooks(t *testing.T, hooks *api.Hooks, names map[string]string) {
	t.Helper()
	webhooks := make([]api.Webhook, 0, len(names))
	for path, name := range names {
		s, err := source.New(source.Spec{
			Name: name, Verify: source.Verify{Scheme: "github", Secrets: []string{hookSecret}},
			ID: source.Place{Header: "X-GitHub-Delivery"}, Type: source.Place{Header: "X-GitHub-Event"},
		})
		require.NoError(t, err)
		webhooks = append(webhooks, api.Webhook{Path: path, Source: name, Receiver: s, SignatureHeader: s.SignatureHeader()})
	}
	hooks.Use(webhooks)
}

// hooked is a signed delivery of a declared sender.
func hooked(path, id, body string) call {
	mac := hmac.New(sha256.New, []byte(hookSecret))
	mac.Write([]byte(body))
	return call{
		method: http.MethodPost, target: path, body: strings.NewReader(body),
		header: http.Header{
			"Content-Type": {"application/json"}, "X-Hub-Signature-256": {"sha256=" + hex.EncodeToString(mac.Sum(nil))},
			"X-Github-Delivery": {id}, "X-Github-Event": {"push"}, "X-Request-Id": {"the-senders-own"},
		},
	}
}

func TestHooks_ADeliveryIsDurableOnce(t *testing.T) {
	t.Parallel()
	b, _ := setupHooks(t)
	first := requireReceipt(t, b.do(t, hooked("/hooks/github", "d-1", `{"a":1}`)))
	require.False(t, first.Duplicate)
	require.Equal(t, 1, b.count(t, `
		SELECT count(*) FROM webhook_queue WHERE id = $1 AND source = 'github' AND topic = 'push' AND resource_id = 'd-1' AND origin = 'webhook'
		AND signed AND outcome = 'kept' AND payload = '{"a":1}' AND request_id = 'the-senders-own'`, first.QueueID))
	line := b.logs.Last(t)
	require.Equal(t, []any{"github", "push", "kept", "/hooks/:name"}, []any{line["source"], line["topic"], line["outcome"], line["path"]})
	require.NotEqual(t, "the-senders-own", line["request_id"])
	require.NotContains(t, line, "source_ip")

	require.Equal(t, receipt{"queued", first.QueueID, true}, requireReceipt(t, b.do(t, hooked("/hooks/github", "d-1", `{"a":2}`))), "the id tells")
	require.Equal(t, receipt{"queued", first.QueueID, true}, requireReceipt(t, b.do(t, hooked("/hooks//github/", "d-1", `{"a":1}`))), "a slash more")
	other := requireReceipt(t, b.do(t, hooked(ownHookPath, "d-1", `{"a":1}`)))
	require.False(t, other.Duplicate, "another source's ids are its own")
	for range 2 {
		require.False(t, requireReceipt(t, b.do(t, hooked("/hooks/github", "", `{"a":1}`))).Duplicate, "without an id nothing is one")
	}
	require.Zero(t, b.count(t, `SELECT count(*) FROM webhook_learned_sources`))
}

func TestHooks_WhatIsRefusedIsRecorded(t *testing.T) {
	t.Parallel()
	b, _ := setupHooks(t)
	forged := hooked("/hooks/github", "d-1", "{}")
	forged.body = strings.NewReader("{ }")
	requireProblem(t, b.do(t, forged), http.StatusUnauthorized, "webhook_unauthenticated")
	twice := hooked("/hooks/github", "d-1", "{}")
	twice.header["X-Github-Event"] = []string{"push", "pull"}
	requireProblem(t, b.do(t, twice), http.StatusBadRequest, "webhook_malformed")
	requireProblem(t, b.do(t, hooked("/hooks/gitlab", "d-1", "{}")), http.StatusNotFound, "not_found")
	requireProblem(t, b.do(t, hooked("/hooks/%00", "d-1", "{}")), http.StatusNotFound, "not_found")
	get := hooked(ownHookPath, "d-1", "{}")
	get.method = http.MethodGet
	requireProblem(t, b.do(t, get), http.StatusNotFound, "not_found")
	large := hooked("/hooks/github", "d-1", "")
	large.body = io.MultiReader(bytes.NewReader(make([]byte, 1<<20+1)))
	requireProblem(t, b.do(t, large), http.StatusRequestEntityTooLarge, "body_too_large")

	b.requireRefused(t, 6)
	for _, row := range []string{
		"source = 'github' AND reason = 'signature_mismatch' AND x_signature LIKE 'sha256=%'", "source = 'github' AND reason = 'ambiguous_header'",
		"source = 'gitlab' AND reason = 'source_unknown'", "source = 'unknown' AND reason = 'source_unknown'", "source = 'own' AND reason = 'path_unknown'",
		"source = 'github' AND reason = 'body_too_large'",
	} {
		require.Equal(t, 1, b.count(t, `SELECT count(*) FROM webhook_refused WHERE `+row), row)
	}
	var id string
	require.NoError(t, b.pool.QueryRow(t.Context(), `SELECT id::text FROM webhook_refused WHERE reason = 'signature_mismatch'`).Scan(&id))
	w := b.do(t, call{method: http.MethodGet, target: "/api/webhooks/refused/" + id + "/diagnosis", header: bearer(statusToken)})
	require.Equal(t, http.StatusOK, w.Code)
	require.Contains(t, w.Body.String(), "None of the secrets has signed what was received.")
	require.Zero(t, b.count(t, `SELECT count(*) FROM webhook_queue`))
}

func TestHooks_WhatLacksVerificationIsLimited(t *testing.T) {
	t.Parallel()
	b, _ := setupHooks(t)
	for range 200 {
		unsigned := hooked("/hooks/github", "d-1", "{}")
		unsigned.header.Del("X-Hub-Signature-256")
		requireProblem(t, b.do(t, unsigned), http.StatusUnauthorized, "webhook_unauthenticated")
	}
	for _, path := range []string{"/hooks/github", "/hooks/nobody"} {
		unsigned := hooked(path, "d-1", "{}")
		unsigned.header.Del("X-Hub-Signature-256")
		requireProblem(t, b.do(t, unsigned), http.StatusTooManyRequests, "rate_limited")
	}
	requireReceipt(t, b.do(t, hooked("/hooks/github", "d-1", "{}")))
}

func TestHooks_AreExchangedWhileTheyAreInUse(t *testing.T) {
	t.Parallel()
	b, hooks := setupHooks(t)
	requireReceipt(t, b.do(t, hooked(ownHookPath, "d-1", "{}")))
	useHooks(t, hooks, map[string]string{"/hooks/gitlab": "gitlab"})
	requireReceipt(t, b.do(t, hooked("/hooks/gitlab", "d-1", "{}")))
	for _, path := range []string{"/hooks/github", ownHookPath} {
		requireProblem(t, b.do(t, hooked(path, "d-2", "{}")), http.StatusNotFound, "not_found")
	}
}

func TestHooks_AreCountedBySource(t *testing.T) {
	t.Parallel()
	b, _ := setupHooks(t)
	b.do(t, hooked("/hooks/github", "d-1", "{}"))
	b.do(t, hooked("/hooks/github", "d-1", "{}"))
	b.do(t, hooked(ownHookPath, "d-1", "{}"))
	forged := hooked("/hooks/github", "d-1", "{}")
	forged.body = strings.NewReader("{ }")
	b.do(t, forged)
	b.do(t, hooked("/hooks/nobody", "d-1", "{}"))
	page := b.scrape(t)
	for _, line := range []string{
		`conciliar_source_webhooks_total{outcome="kept",source="github"} 1`,
		`conciliar_source_webhooks_total{outcome="duplicate",source="github"} 1`,
		`conciliar_source_webhooks_total{outcome="refused",source="github"} 1`,
		`conciliar_source_webhooks_total{outcome="kept",source="own"} 1`,
		`conciliar_webhooks_refused_total{reason="source_unknown"} 1`,
	} {
		require.Contains(t, page, line+"\n")
	}
	require.NotContains(t, page, "nobody")
}
