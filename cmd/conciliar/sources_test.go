package main

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"
	"github.com/stretchr/testify/require"

	"github.com/conciliar/conciliar/config"
	"github.com/conciliar/conciliar/jobs/provider"
)

const exampleFile = "../../deploy/sources.example.yaml"

// exampleSecrets are those that the example names.
var exampleSecrets = map[string]string{
	"STRIPE_WEBHOOK_SECRET": "whsec_of_the_shop_at_stripe", "GITHUB_WEBHOOK_SECRET": "It's a Secret to Everybody",
	"SHOPIFY_CLIENT_SECRET": "the client secret at shopify", "STANDARD_WEBHOOK_SECRET": "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
	"WAREHOUSE_TOKEN": "mF_9.B5f-4.1JqM.of-the-warehouse",
}

func exampleEnviron(file string) []string {
	environ := []string{"SOURCES_FILE=" + file}
	for name, value := range exampleSecrets {
		environ = append(environ, name+"="+value)
	}
	return environ
}

// checkSourcesFile runs the check with nothing but the file and its secrets.
func checkSourcesFile(t *testing.T, environ []string, args ...string) (code int, out, err string) {
	t.Helper()
	var stdout, stderr bytes.Buffer
	code = run(t.Context(), append([]string{"sources", "check"}, args...), stdio{in: strings.NewReader(""), out: &stdout, err: &stderr, environ: environ})
	return code, stdout.String(), stderr.String()
}

func TestSourcesCheck_NeedsTheFileAndItsSecretsAlone(t *testing.T) {
	t.Parallel()
	code, out, errs := checkSourcesFile(t, exampleEnviron(exampleFile), "--json")
	require.Equal(t, exitDone, code, errs)
	var found checkedSources
	require.NoError(t, json.Unmarshal([]byte(out), &found))
	require.Len(t, found.Items, 6)
	require.Equal(t, "stripe", found.Items[0].Name)
	require.Equal(t, "/hooks/stripe", found.Items[0].Path)
	require.Equal(t, []string{"keep", "forward", "keep", "keep", "keep", "forward"}, []string{
		found.Items[0].Work, found.Items[1].Work, found.Items[2].Work, found.Items[3].Work, found.Items[4].Work, found.Items[5].Work,
	})
	require.NotContains(t, out, "whsec_")

	code, _, errs = checkSourcesFile(t, []string{"SOURCES_FILE=" + exampleFile})
	require.Equal(t, exitUsage, code)
	require.Contains(t, errs, "SOURCES_FILE: line 9, column 13: secret_env names a variable that is not set")
	code, _, errs = checkSourcesFile(t, nil)
	require.Equal(t, exitUsage, code)
	require.Contains(t, errs, "SOURCES_FILE: is required")
}

// Each sender of the example is verified as it signs: by its own library where there
// is a small one for Go, else by what it has published. jobs/source has more of these.
func TestSourcesExample_VerifiesEachSender(t *testing.T) {
	t.Parallel()
	cfg, err := config.LoadSources(exampleEnviron(exampleFile))
	require.NoError(t, err)
	s, err := newSenders(cfg.Sources)
	require.NoError(t, err)
	now := time.Now()
	body := `{"id":"evt_1","type":"invoice.paid","created":1700000000,"timestamp":"2023-11-14T22:13:20Z","event":{"id":"w-1","type":"stock"}}`

	macOf := func(secret, text string) []byte {
		mac := hmac.New(sha256.New, []byte(exampleSecrets[secret]))
		mac.Write([]byte(text))
		return mac.Sum(nil)
	}
	stripe := fmt.Sprintf("t=%d,v1=%x", now.Unix(), macOf("STRIPE_WEBHOOK_SECRET", fmt.Sprintf("%d.%s", now.Unix(), body)))
	key, err := standardwebhooks.NewWebhook(exampleSecrets["STANDARD_WEBHOOK_SECRET"])
	require.NoError(t, err)
	standard, err := key.Sign("msg_1", now, []byte(body))
	require.NoError(t, err)
	for name, c := range map[string]struct {
		body    string
		headers map[string]string
		want    []string
	}{
		"stripe": {body, map[string]string{"Stripe-Signature": stripe}, []string{"evt_1", "invoice.paid"}},
		"github": {"Hello, World!", map[string]string{
			"X-Hub-Signature-256": "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17",
			"X-GitHub-Delivery":   "72d3162e-cc78-11e3-81ab-4c9367dc0958", "X-GitHub-Event": "issues",
		}, []string{"72d3162e-cc78-11e3-81ab-4c9367dc0958", "issues"}},
		"shopify": {body, map[string]string{
			"X-Shopify-Hmac-SHA256": base64.StdEncoding.EncodeToString(macOf("SHOPIFY_CLIENT_SECRET", body)), "X-Shopify-Webhook-Id": "b54557e4", "X-Shopify-Topic": "orders/create",
		}, []string{"b54557e4", "orders/create"}},
		"standard": {body, map[string]string{
			"webhook-id": "msg_1", "webhook-timestamp": strconv.FormatInt(now.Unix(), 10), "webhook-signature": standard,
		}, []string{"msg_1", "invoice.paid"}},
		"warehouse": {body, map[string]string{"Authorization": "Bearer " + exampleSecrets["WAREHOUSE_TOKEN"]}, []string{"w-1", "stock"}},
	} {
		header := http.Header{}
		for n, v := range c.headers {
			header.Set(n, v)
		}
		event, err := s.sender(name).Receive(provider.Delivery{Method: http.MethodPost, Header: header, Body: []byte(c.body)})
		require.NoError(t, err, name)
		require.Equal(t, c.want, []string{event.ResourceID, event.Topic}, name)
		require.True(t, event.Signed)
	}
}
