package source_test

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"
	"github.com/stretchr/testify/require"

	"github.com/conciliar/conciliar/jobs/provider"
	"github.com/conciliar/conciliar/jobs/source"
)

func newSource(tb testing.TB, spec source.Spec) *source.Source {
	tb.Helper()
	if spec.Name == "" {
		spec.Name = "sender"
	}
	s, err := source.New(spec)
	require.NoError(tb, err)
	return s
}

// deliver has a sender deliver a body with these headers, names and values by turns.
func deliver(s *source.Source, body string, headers ...string) (provider.Event, error) {
	header := http.Header{}
	for i := 0; i < len(headers); i += 2 {
		header.Add(headers[i], headers[i+1])
	}
	return s.Receive(provider.Delivery{Method: http.MethodPost, Header: header, Body: []byte(body)})
}

func requireRefused(tb testing.TB, err error, kind provider.RefusalKind, reason string) {
	tb.Helper()
	var refusal *provider.Refusal
	require.ErrorAs(tb, err, &refusal)
	require.Equal(tb, provider.Refusal{Kind: kind, Reason: reason}, *refusal)
}

func sign(secret, text string) []byte {
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write([]byte(text))
	return mac.Sum(nil)
}

// Vectors that others have published: each sender's own, where it has any.
const (
	// https://docs.github.com/en/webhooks/using-webhooks/validating-webhook-deliveries,
	// "Testing the webhook payload validation".
	githubSecret    = "It's a Secret to Everybody"
	githubBody      = "Hello, World!"
	githubSignature = "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17"

	// Shopify publishes none; github.com/bold-commerce/go-shopify, oauth_test.go.
	shopifySecret    = "hush"
	shopifyBody      = `"my secret message"`
	shopifySignature = "hMTq0K2x7oyOjoBwGYeTj5oxfnaVYXzbanUG9aajpKI="

	// github.com/standard-webhooks/standard-webhooks, libraries/go/webhook_test.go.
	standardSecret    = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
	standardID        = "msg_p5jXN8AQM9LWM0D4loKWxJek"
	standardTime      = "1614265330"
	standardBody      = `{"test": 2432232314}`
	standardSignature = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="

	// RFC 7617, section 2.
	basicSecret = "Aladdin:open sesame"
	basicHeader = "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ=="
	// RFC 6750, section 2.1.
	bearerSecret = "mF_9.B5f-4.1JqM"
)

func TestReceive_AcceptsWhatEachSenderPublishes(t *testing.T) {
	t.Parallel()
	const other = "another secret of the sender's"
	for _, c := range []struct {
		scheme, secret, body string
		headers              []string
		at                   int64
	}{
		{"github", githubSecret, githubBody, []string{"X-Hub-Signature-256", githubSignature}, 0},
		{"shopify", shopifySecret, shopifyBody, []string{"X-Shopify-Hmac-SHA256", shopifySignature}, 0},
		{"standard-webhooks", standardSecret, standardBody, []string{"webhook-id", standardID, "webhook-timestamp", standardTime, "webhook-signature", "v1,bm9uZQ== " + standardSignature}, 1614265330},
		{"basic", basicSecret, "x", []string{"Authorization", basicHeader}, 0},
		{"bearer", bearerSecret, "x", []string{"Authorization", "Bearer " + bearerSecret}, 0},
	} {
		t.Run(c.scheme, func(t *testing.T) {
			t.Parallel()
			second := other
			switch c.scheme {
			case "standard-webhooks":
				second = "whsec_" + base64.StdEncoding.EncodeToString([]byte(other))
			case "basic":
				second = "ana:" + other
			}
			s := newSource(t, source.Spec{Verify: source.Verify{Scheme: c.scheme, Secrets: []string{second, c.secret}}})
			if c.at != 0 {
				s.At(time.Unix(c.at, 0))
			}
			event, err := deliver(s, c.body, c.headers...)
			require.NoError(t, err)
			require.True(t, event.Signed)
			require.Equal(t, "sender", event.Source)

			_, err = deliver(newSource(t, source.Spec{Verify: source.Verify{Scheme: c.scheme, Secrets: []string{second}}}), c.body, c.headers...)
			require.Error(t, err, "by another secret")
			_, err = deliver(s, c.body)
			require.Error(t, err, "without anything")
			if c.scheme != "basic" && c.scheme != "bearer" {
				_, err = deliver(s, c.body+" ", c.headers...)
				requireRefused(t, err, provider.Unauthenticated, source.ReasonSignatureMismatch)
			}
		})
	}
}

func TestReceive_AcceptsWhatStripesLibrarySigns(t *testing.T) {
	t.Parallel()
	at := time.Unix(1_700_000_000, 0)
	s := newSource(t, source.Spec{
		Verify: source.Verify{Scheme: "stripe", Secrets: []string{"whsec_old", "whsec_new"}},
		ID:     source.Place{JSON: "/id"}, Type: source.Place{JSON: "/type"}, Time: source.Place{JSON: "/created"},
	})
	body := `{"id":"evt_1","type":"charge.succeeded","created":1700000000}`
	// By webhook.GenerateTestSignedPayload of stripe-go v84.4.1. To compile that library took
	// longer than all tests here.
	const signed = "t=1700000000,v1=20204a38f38b94f8f9632a427bfc07e76d61cfd661d65b56b2931541d963f3be"
	s.At(at.Add(299 * time.Second))
	event, err := deliver(s, body, "Stripe-Signature", signed)
	require.NoError(t, err)
	require.Equal(t, []string{"evt_1", "charge.succeeded"}, []string{event.ResourceID, event.Topic})
	require.Equal(t, at.UTC(), event.NotifiedAt)

	s.At(at.Add(301 * time.Second))
	_, err = deliver(s, body, "Stripe-Signature", signed)
	requireRefused(t, err, provider.Unauthenticated, source.ReasonTimestampOutOfTolerance)
	s.At(at)
	for header, reason := range map[string]string{
		"":                     source.ReasonMissingSignatureHeader,
		"t=1700000000":         source.ReasonMalformedSignatureHeader,
		"t=now,v1=00":          source.ReasonMalformedSignatureHeader,
		"t=1700000000,v1=zz":   source.ReasonMalformedSignatureHeader,
		"t=1700000000,v1=00ff": source.ReasonSignatureMismatch,
		strings.Replace(signed, "t=1700000000", "t=1700000001", 1): source.ReasonSignatureMismatch,
		strings.Replace(signed, "v1=", "v0=", 1):                   source.ReasonMalformedSignatureHeader,
	} {
		_, err := deliver(s, body, "Stripe-Signature", header)
		requireRefused(t, err, provider.Unauthenticated, reason)
	}
}

func TestReceive_JudgesTheTimeOfStandardWebhooks(t *testing.T) {
	t.Parallel()
	s := newSource(t, source.Spec{Verify: source.Verify{Scheme: "standard-webhooks", Secrets: []string{standardSecret}}})
	headers := []string{"webhook-id", standardID, "webhook-timestamp", standardTime, "webhook-signature", standardSignature}
	s.At(time.Unix(1614265330, 0).Add(-6 * time.Minute))
	_, err := deliver(s, standardBody, headers...)
	requireRefused(t, err, provider.Unauthenticated, source.ReasonTimestampOutOfTolerance)
	off := time.Duration(0)
	s = newSource(t, source.Spec{Verify: source.Verify{Scheme: "standard-webhooks", Secrets: []string{standardSecret}, Tolerance: &off}})
	event, err := deliver(s, standardBody, headers...)
	require.NoError(t, err)
	require.Equal(t, standardID, event.ResourceID, "the specification's id is the delivery's")

	key, err := standardwebhooks.NewWebhook(standardSecret)
	require.NoError(t, err)
	signature, err := key.Sign("msg_2", time.Now(), []byte("{}"))
	require.NoError(t, err)
	_, err = deliver(s, "{}", "webhook-id", "msg_2", "webhook-timestamp", time.Now().Format(time.RFC3339), "webhook-signature", signature)
	requireRefused(t, err, provider.Unauthenticated, source.ReasonSignatureMismatch)
}

func TestReceive_SignsWhatTheManifestSays(t *testing.T) {
	t.Parallel()
	const secret = "the secret of the sender"
	tolerance := time.Minute
	// As Slack signs: https://docs.slack.dev/authentication/verifying-requests-from-slack.
	s := newSource(t, source.Spec{
		Verify: source.Verify{
			Scheme: "hmac", Header: "x-slack-signature", Prefix: "v0=", Manifest: "v0:{{.Time}}:{{.RawBody}}",
			Secrets: []string{secret}, Tolerance: &tolerance,
		},
		Time: source.Place{Header: "X-Slack-Request-Timestamp"},
	})
	s.At(time.Unix(1_700_000_000, 0))
	signature := "v0=" + hex.EncodeToString(sign(secret, "v0:1700000000:{\xff}"))
	_, err := deliver(s, "{\xff}", "X-Slack-Signature", signature, "X-Slack-Request-Timestamp", "1700000000")
	require.NoError(t, err)
	_, err = deliver(s, "{\xff}", "X-Slack-Signature", signature, "X-Slack-Request-Timestamp", "1700000001")
	requireRefused(t, err, provider.Unauthenticated, source.ReasonSignatureMismatch)
	_, err = deliver(s, "{\xff}", "X-Slack-Signature", signature)
	requireRefused(t, err, provider.Unauthenticated, source.ReasonSignatureMismatch)
	s.At(time.Unix(1_700_000_061, 0))
	_, err = deliver(s, "{\xff}", "X-Slack-Signature", signature, "X-Slack-Request-Timestamp", "1700000000")
	requireRefused(t, err, provider.Unauthenticated, source.ReasonTimestampOutOfTolerance)

	s = newSource(t, source.Spec{Verify: source.Verify{
		Scheme: "hmac", Algorithm: "sha256", Encoding: "base64url", Header: "X-Sig", Manifest: `{{index .Header "X-Nonce"}}.{{.RawBody}}`, Secrets: []string{secret},
	}})
	for _, encoding := range []*base64.Encoding{base64.URLEncoding, base64.RawURLEncoding} {
		_, err = deliver(s, "b", "X-Sig", encoding.EncodeToString(sign(secret, "n.b")), "X-Nonce", "n")
		require.NoError(t, err)
	}
}

func TestReceive_WithoutATimeNothingIsHeldAgainstTheTolerance(t *testing.T) {
	t.Parallel()
	tolerance := 5 * time.Minute
	verify := source.Verify{Scheme: "hmac", Header: "X-Sig", Secrets: []string{"k"}, Tolerance: &tolerance}
	signature := hex.EncodeToString(sign("k", `{"at":"never"}`))
	_, err := deliver(newSource(t, source.Spec{Verify: verify}), `{"at":"never"}`, "X-Sig", signature)
	require.NoError(t, err)
	_, err = deliver(newSource(t, source.Spec{Verify: verify, Time: source.Place{JSON: "/at"}}), `{"at":"never"}`, "X-Sig", signature)
	requireRefused(t, err, provider.Unauthenticated, source.ReasonMissingTimestamp)
}

func TestReceive_ReadsIDTypeAndTime(t *testing.T) {
	t.Parallel()
	s := newSource(t, source.Spec{
		Verify: source.Verify{Scheme: "bearer", Header: "X-Gitlab-Token", Secrets: []string{"t"}},
		ID:     source.Place{JSON: "/data/0/id~1no"}, Type: source.Place{Header: "X-Event"}, Time: source.Place{JSON: "/at"},
	})
	receive := func(body string, headers ...string) provider.Event {
		event, err := deliver(s, body, append([]string{"X-Gitlab-Token", "t"}, headers...)...)
		require.NoError(t, err)
		return event
	}
	event := receive(`{"data":[{"id/no":12345678901234567890}],"at":1700000000123}`, "x-event", " push ", "X-Event", " push ")
	require.Equal(t, []string{"12345678901234567890", "push"}, []string{event.ResourceID, event.Topic}, "a number is as it is written")
	require.Equal(t, time.UnixMilli(1700000000123).UTC(), event.NotifiedAt)
	require.Len(t, event.SignatureKey, sha256.Size)
	require.Equal(t, provider.Keep, event.Work)
	require.Equal(t, event.SignatureKey, receive(`{"data":[{"id/no":"12345678901234567890"}]}`).SignatureKey, "the id alone tells deliveries apart")
	require.NotEqual(t, event.SignatureKey, receive(`{"data":[{"id/no":1}]}`).SignatureKey)

	for _, body := range []string{"", "{", `{"data":[]}`, `{"data":[{"id/no":null}]}`, `{"data":[{"id/no":{}}]}`, `{"data":{"0":{"id/no":""}}}`, "[1]{}", "\x00"} {
		event := receive(body)
		require.Empty(t, event.ResourceID, body)
		require.Nil(t, event.SignatureKey, "what has no id is not a duplicate: %s", body)
		require.Equal(t, "unknown", event.Topic)
		require.Zero(t, event.NotifiedAt)
	}
	long := receive(`{"data":[{"id/no":"`+strings.Repeat("é", 200)+`1"}]}`, "X-Event", strings.Repeat("x", 500))
	require.Equal(t, strings.Repeat("é", 128), long.ResourceID)
	require.Len(t, long.Topic, 128)
	require.NotEqual(t, long.SignatureKey, receive(`{"data":[{"id/no":"`+strings.Repeat("é", 200)+`2"}]}`).SignatureKey)

	_, err := deliver(s, "{}", "X-Gitlab-Token", "t", "X-Event", "a", "X-Event", "b")
	requireRefused(t, err, provider.Malformed, source.ReasonAmbiguousHeader)
	_, err = deliver(s, "{}", "X-Gitlab-Token", "t", "X-Gitlab-Token", "u")
	requireRefused(t, err, provider.Malformed, source.ReasonAmbiguousSignatureHeader)
	_, err = deliver(s, "{}", "X-Gitlab-Token", "u")
	requireRefused(t, err, provider.Unauthenticated, source.ReasonWrongAuthorization)
}

func TestReceive_BelievesNoImpossibleTime(t *testing.T) {
	t.Parallel()
	s := newSource(t, source.Spec{Verify: source.Verify{Scheme: "bearer", Secrets: []string{"t"}}, Time: source.Place{Header: "X-At"}})
	for text, want := range map[string]time.Time{
		"1700000000":                    time.Unix(1700000000, 0),
		"1700000000.25":                 time.UnixMilli(1700000000250),
		"1700000000000":                 time.Unix(1700000000, 0),
		"2023-11-14T19:13:20-03:00":     time.Unix(1700000000, 0),
		"Tue, 14 Nov 2023 22:13:20 GMT": time.Unix(1700000000, 0),
		"-1":                            {}, "1e300": {}, "NaN": {}, "Inf": {}, "yesterday": {}, "": {}, "9223372036854775807": {}, "0000-01-01T00:00:00Z": {},
	} {
		event, err := deliver(s, "", "Authorization", "bearer t", "X-At", text)
		require.NoError(t, err)
		require.True(t, want.Equal(event.NotifiedAt), "%s is %s", text, event.NotifiedAt)
	}
}

func TestNew_SaysWhichFieldIsWrong(t *testing.T) {
	t.Parallel()
	tolerance, negative := time.Minute, -time.Minute
	hmacOf := func(change func(*source.Verify)) source.Verify {
		v := source.Verify{Scheme: "hmac", Header: "X-Sig", Secrets: []string{"k"}}
		change(&v)
		return v
	}
	sound := source.Verify{Scheme: "github", Secrets: []string{"k"}}
	forward := func(change func(*source.Forward)) *source.Forward {
		f := source.Forward{}
		change(&f)
		return &f
	}
	for want, spec := range map[string]source.Spec{
		"verify.scheme: must be one of basic, bearer, github, hmac, shopify, standard-webhooks, stripe": {},
		"verify: needs secret_env or secret_file":                                                       {Verify: source.Verify{Scheme: "stripe"}},
		"verify: needs header, the one with the signature":                                              {Verify: hmacOf(func(v *source.Verify) { v.Header = "" })},
		"verify.header: is not the name of a header":                                                    {Verify: hmacOf(func(v *source.Verify) { v.Header = "X Sig" })},
		"verify.algorithm: must be one of sha1, sha256, sha512":                                         {Verify: hmacOf(func(v *source.Verify) { v.Algorithm = "md5" })},
		"verify.encoding: must be one of base64, base64url, hex":                                        {Verify: hmacOf(func(v *source.Verify) { v.Encoding = "rot13" })},
		"verify.manifest: has no .Body; there are .RawBody, .ID, .Type, .Time, .Header":                 {Verify: hmacOf(func(v *source.Verify) { v.Manifest = "{{.Body}}" })},
		"verify.tolerance: must not be negative":                                                        {Verify: hmacOf(func(v *source.Verify) { v.Tolerance = &negative })},
		"verify.tolerance: is of schemes that sign something":                                           {Verify: source.Verify{Scheme: "bearer", Secrets: []string{"k"}, Tolerance: &tolerance}},
		"verify.prefix: goes with header":                                                               {Verify: source.Verify{Scheme: "bearer", Secrets: []string{"k"}, Prefix: "x"}},
		"verify.manifest: belongs to the scheme hmac":                                                   {Verify: source.Verify{Scheme: "github", Secrets: []string{"k"}, Manifest: "{{.RawBody}}"}},
		"verify.header: belongs to the scheme hmac or bearer":                                           {Verify: source.Verify{Scheme: "github", Secrets: []string{"k"}, Header: "X"}},
		"verify: has a secret that is not whsec_ with base64":                                           {Verify: source.Verify{Scheme: "standard-webhooks", Secrets: []string{"whsec_?"}}},
		"verify: has a secret that is not user:password":                                                {Verify: source.Verify{Scheme: "basic", Secrets: []string{"password"}}},
		"id: has header and json; one of the two says where it stands":                                  {Verify: sound, ID: source.Place{Header: "X", JSON: "/x"}},
		"type.header: is not the name of a header":                                                      {Verify: sound, Type: source.Place{Header: "X:"}},
		"time.json: must be a JSON Pointer such as /data/id":                                            {Verify: sound, Time: source.Place{JSON: "created"}},
		"id.json: must be a JSON Pointer such as /data/id":                                              {Verify: sound, ID: source.Place{JSON: "/a~2"}},
		"forward.headers.X Y: is not the name of a header":                                              {Verify: sound, Forward: forward(func(f *source.Forward) { f.Headers = map[string]string{"X Y": "1"} })},
		"forward.headers.x-a: is there twice":                                                           {Verify: sound, Forward: forward(func(f *source.Forward) { f.Headers = map[string]string{"X-A": "1", "x-a": "2"} })},
		"forward.accept: must be statuses from 200 to 599, such as 204 or 200-299":                      {Verify: sound, Forward: forward(func(f *source.Forward) { f.Accept = []string{"299-200"} })},
		"forward.retry: has a wait that is not longer than 0s, or longer than 32d":                      {Verify: sound, Forward: forward(func(f *source.Forward) { f.Retry = []time.Duration{0} })},
	} {
		_, err := source.New(spec)
		require.EqualError(t, err, want)
		var field *source.FieldError
		require.ErrorAs(t, err, &field)
	}
}

func FuzzReceive_NeverPanicsNorRefusesAVerifiedBody(f *testing.F) {
	f.Add([]byte(`{"id":1,"at":"2024-01-01T00:00:00Z"}`), "/id")
	f.Add([]byte(`[[{"a":{}}]]`), "/0/0/a")
	f.Add([]byte(`{"":{"~":1}}`), "//~0")
	f.Fuzz(func(t *testing.T, body []byte, pointer string) {
		s, err := source.New(source.Spec{
			Name: "fuzz", Verify: source.Verify{Scheme: "github", Secrets: []string{"k"}},
			ID: source.Place{JSON: pointer}, Type: source.Place{JSON: "/type"}, Time: source.Place{JSON: "/at"},
		})
		var field *source.FieldError
		if errors.As(err, &field) {
			return
		}
		require.NoError(t, err)
		event, err := deliver(s, string(body), "X-Hub-Signature-256", "sha256="+hex.EncodeToString(sign("k", string(body))))
		require.NoError(t, err)
		require.LessOrEqual(t, len(event.ResourceID), 256)
		require.LessOrEqual(t, len(event.Topic), 128)
		require.Equal(t, event.ResourceID == "", event.SignatureKey == nil)
	})
}

func FuzzReceive_NeverAcceptsWhatIsNotSigned(f *testing.F) {
	f.Add("t=1,v1=00", "v1,AA==", "1")
	f.Fuzz(func(t *testing.T, one, two, three string) {
		for _, verify := range []source.Verify{
			{Scheme: "stripe", Secrets: []string{"k"}}, {Scheme: "github", Secrets: []string{"k"}}, {Scheme: "shopify", Secrets: []string{"k"}},
			{Scheme: "standard-webhooks", Secrets: []string{standardSecret}}, {Scheme: "basic", Secrets: []string{"u:pass of the user"}}, {Scheme: "bearer", Secrets: []string{"a token of the sender"}},
		} {
			s := newSource(t, source.Spec{Verify: verify})
			_, err := deliver(s, "body", "Stripe-Signature", one, "X-Hub-Signature-256", one, "X-Shopify-Hmac-Sha256", one, "Authorization", one,
				"Webhook-Signature", one, "Webhook-Id", two, "Webhook-Timestamp", three)
			require.Error(t, err)
		}
	})
}
