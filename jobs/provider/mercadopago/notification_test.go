package mercadopago

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/conciliar/conciliar/jobs/provider"
)

// fixture is a body of our own in a shape that Mercado Pago sends.
func fixture(t testing.TB, name string) []byte {
	t.Helper()
	raw, err := os.ReadFile("testdata/" + name + ".json")
	require.NoError(t, err)
	return raw
}

// deliver makes a delivery that is signed as Mercado Pago would.
func deliver(t testing.TB, rawQuery string, body []byte) provider.Delivery {
	t.Helper()
	query, err := url.ParseQuery(rawQuery)
	require.NoError(t, err)
	return provider.Delivery{Method: http.MethodPost, RawQuery: rawQuery, Body: body,
		Header: signed(query.Get("data.id"), testRequestID, testTS)}
}

func ptr(b bool) *bool { return &b }

func TestReceive_ReadsEverySignedTopic(t *testing.T) {
	t.Parallel()
	live, test := ptr(true), ptr(false)
	for _, c := range []struct {
		fixture, query    string
		topic, action, id string
		live              *bool
		work              provider.Work
	}{
		{"payment_created", "data.id=90210000001&type=payment", "payment", "payment.created", "90210000001", live, provider.Settle},
		{"payment_updated", "data.id=90210000002&type=payment", "payment", "payment.updated", "90210000002", live, provider.Settle},
		{"payment_numeric_data_id", "data.id=90210000003&type=payment", "payment", "payment.created", "90210000003", live, provider.Settle},
		// The query lacks the topic: the body fills it in.
		{"payment_updated", "data.id=90210000002", "payment", "payment.updated", "90210000002", live, provider.Settle},
		{"payment_updated", "data.id=90210000002&topic=payment", "payment", "payment.updated", "90210000002", live, provider.Settle},
		{"payment_updated", "type=mine&data.id=90210000002&type=payment", "payment", "payment.updated", "90210000002", live, provider.Settle},
		// The body names another payment, or another topic: the query decides.
		{"payment_updated", "data.id=90210000999&type=payment", "payment", "payment.updated", "90210000999", live, provider.Settle},
		{"claim", "data.id=90210000002&type=payment", "payment", "updated", "90210000002", live, provider.Settle},
		// No data.id was signed: the body's is not fetched.
		{"payment_updated", "type=payment", "payment", "payment.updated", "90210000002", live, provider.Settle},
		{"payment_updated", "type=payment&data.id=", "payment", "payment.updated", "90210000002", live, provider.Settle},
		{"payment_updated", "topic=payment&id=90210000002", "payment", "payment.updated", "90210000002", live, provider.Settle},
		{"payment_dashboard_test", "data.id=123456&type=payment", "payment", "payment.updated", "123456", test, provider.Test},
		{"test_created", "data.id=123456&type=test", "test", "test.created", "123456", test, provider.Test},
		// A body's word makes no test of an id that a payment could have.
		{"test_created", "data.id=77&type=payment", "payment", "test.created", "77", test, provider.Settle},
		{"order_dashboard_test", "data.id=ORD01KXAMPLE0000000000000009&type=order", "order", "order.action_required", "ORD01KXAMPLE0000000000000009", test, provider.Follow},
		// A test's envelope around a payment's id: the payment is read.
		{"payment_dashboard_test", "data.id=90210000002&type=payment", "payment", "payment.updated", "90210000002", test, provider.Settle},
		// The test's id around a live envelope: an id like any other.
		{"payment_updated", "data.id=123456&type=payment", "payment", "payment.updated", "123456", live, provider.Settle},
		{"merchant_order", "data.id=31000000001&type=topic_merchant_order_wh", "topic_merchant_order_wh", "update", "31000000001", live, provider.Follow},
		{"chargeback", "data.id=217000061307271123&type=topic_chargebacks_wh", "topic_chargebacks_wh", "changed_case_status", "217000061307271123", live, provider.Follow},
		{"order_charged_back", "data.id=ORD01KXAMPLE0000000000000001&type=topic_chargebacks_wh", "topic_chargebacks_wh", "order.charged_back", "ORD01KXAMPLE0000000000000001", live, provider.Follow},
		{"order_processed", "data.id=ORD01KXAMPLE0000000000000001&type=order", "order", "order.processed", "ORD01KXAMPLE0000000000000001", live, provider.Follow},
		{"claim", "data.id=5200000001&type=claim", "claim", "updated", "5200000001", live, provider.Follow},
		{"subscription_preapproval", "data.id=5aef01a4883161b001885f06d9391b80&type=subscription_preapproval", "subscription_preapproval", "updated", "5aef01a4883161b001885f06d9391b80", nil, provider.Keep},
		{"subscription_authorized_payment", "data.id=6114200001&type=subscription_authorized_payment", "subscription_authorized_payment", "updated", "6114200001", nil, provider.Follow},
		{"subscription_preapproval_plan", "data.id=5c938084726fca480172750000000001&type=subscription_preapproval_plan", "subscription_preapproval_plan", "updated", "5c938084726fca480172750000000001", nil, provider.Keep},
		{"stop_delivery", "data.id=99100200304&type=stop_delivery_op_wh", "stop_delivery_op_wh", "Created", "90210000005", live, provider.FraudAlert},
		{"card_updater", "type=automatic-payments", "automatic-payments", "card.updated", "41000000001", live, provider.Keep},
		{"mp_connect", "data.id=700100201&type=mp-connect", "mp-connect", "application.deauthorized", "700100201", live, provider.Authorization},
		{"wallet_connect", "data.id=33abcd1235ed497f945f755fcaba3c6d&type=wallet_connect", "wallet_connect", "status.updated", "33abcd1235ed497f945f755fcaba3c6d", nil, provider.Keep},
		{"delivery", "", "delivery", "", "44500001", nil, provider.Keep},
		// It has no type: its shape says what it is.
		{"point_finished", "", "point_integration_wh", "", "90210000006", nil, provider.Settle},
		{"point_finished", "data.id=bcdef1234-8ab5-4139-9aa3-abcd124", "point_integration_wh", "", "bcdef1234-8ab5-4139-9aa3-abcd124", nil, provider.Follow},
		{"unknown_topic", "data.id=abc-1&type=topic_of_another_year", "topic_of_another_year", "x.y", "abc-1", nil, provider.Keep},
	} {
		t.Run(c.fixture+"?"+c.query, func(t *testing.T) {
			t.Parallel()
			d := deliver(t, c.query, fixture(t, "notifications/"+c.fixture))
			event, err := NewReceiver(newVerifier(t), false).Receive(d)
			require.NoError(t, err)
			key, err := hex.DecodeString(d.Header.Get("x-signature")[len("ts="+testTS+",v1="):])
			require.NoError(t, err)
			signedAt, err := strconv.ParseInt(testTS, 10, 64)
			require.NoError(t, err)
			event.NotifiedAt = time.Time{}   // see TestReceive_TakesTheNotificationsOwnDateAsAHint
			collectorID := event.CollectorID // see TestReceive_SaysWhoseAccountTheBodyNames
			want := provider.Event{
				Source: "mercadopago", Topic: c.topic, Action: c.action, ResourceID: c.id, CollectorID: collectorID, LiveMode: c.live,
				Work: c.work, Signed: true, Signature: key, Unbound: !strings.Contains(c.query, "data.id") || strings.HasSuffix(c.query, "data.id="),
			}
			want.SignatureKey = NewReceiver(nil, false).keyOf(Signature{Key: key, Timestamp: time.Unix(signedAt, 0)}, want, d.Body)
			require.Equal(t, want, event)
		})
	}
}

// The body names the account, as text or as a number, and no signature covers that:
// whoever sends a delivery first with another seller's must not make the true one its
// duplicate.
func TestReceive_SaysWhoseAccountTheBodyNames(t *testing.T) {
	t.Parallel()
	receiver := NewReceiver(newVerifier(t), false)
	receive := func(query, body string) provider.Event {
		event, err := receiver.Receive(deliver(t, query, []byte(body)))
		require.NoError(t, err)
		return event
	}
	for body, id := range map[string]string{
		`{"user_id":700100201}`: "700100201", `{"user_id":"700100201"}`: "700100201", `{"user_id":null}`: "", `{"user_id":{"id":7}}`: "",
		`{"user_id":"../7"}`: "", `{}`: "", ``: "",
	} {
		require.Equal(t, id, receive(paymentQuery, body).CollectorID, body)
	}
	key := func(body string) string { return string(receive(paymentQuery, body).SignatureKey) }
	none, first, second, stranger := `{}`, `{"user_id":2001}`, `{"user_id":2002}`, `{"user_id":9}`
	require.Equal(t, key(none), key(first), "there are no sellers")
	receiver.UseSellers([]string{"2001", "2002"})
	require.Equal(t, key(none), key(stranger))
	require.NotEqual(t, key(none), key(first))
	require.NotEqual(t, key(second), key(first))
	require.Equal(t, key(first), key(`{"user_id":"2001"}`))

	consent := func(action string) string {
		return string(receive("data.id=2001&type=mp-connect", `{"user_id":2001,"action":"`+action+`"}`).SignatureKey)
	}
	require.NotEqual(t, consent("application.authorized"), consent("application.deauthorized"))
}

func TestReceive_TakesTheNotificationsOwnDateAsAHint(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]time.Time{
		`"2026-02-03T11:12:13.141-04:00"`: time.Date(2026, 2, 3, 15, 12, 13, 141e6, time.UTC), `"2026-02-03 11:12:13"`: time.Date(2026, 2, 3, 15, 12, 13, 0, time.UTC),
		`"2026-02-03T15:00:5704:00"`: {}, `"***"`: {}, "7": {}, "null": {}, "{}": {},
	} {
		body := `{"type":"payment","date_created":` + text + `}`
		event, err := NewReceiver(newVerifier(t), false).Receive(deliver(t, paymentQuery, []byte(body)))
		require.NoError(t, err)
		require.Equal(t, want, event.NotifiedAt, text)
	}
}

func TestReceive_TakesAnyBody(t *testing.T) {
	t.Parallel()
	for name, body := range map[string]string{
		"none":              "",
		"white space":       " \n",
		"not JSON":          "<html>",
		"cut short":         `{"type":"order","action":"x`,
		"byte order mark":   "\ufeff{}",
		"null":              "null",
		"list":              `[{"type":"order"}]`,
		"number":            "1e999999999",
		"data a list":       `{"data":[1],"live_mode":"no","action":7,"type":{"a":1},"id":{}}`,
		"data null":         `{"data":null,"live_mode":null,"action":null,"type":null,"id":null}`,
		"other capitals":    `{"LIVE_MODE":false,"Action":"test.created","ID":123456}`,
		"actions no list":   `{"actions":{"a":"test.created"}}`,
		"actions of others": `{"actions":[7,"test.created"]}`,
		"nested":            strings.Repeat(`{"data":`, 10_000) + "1" + strings.Repeat("}", 10_000),
		"lists nested":      strings.Repeat("[", 60_000),
		"too long to read":  `{"action":"test.created","x":"` + strings.Repeat("x", maxHintBody) + `"}`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			event, err := NewReceiver(newVerifier(t), false).Receive(deliver(t, paymentQuery, []byte(body)))
			require.NoError(t, err)
			event.Signature, event.SignatureKey = nil, nil
			require.Equal(t, provider.Event{Source: Source, Topic: "payment", ResourceID: testPaymentID,
				Work: provider.Settle, Signed: true}, event)
		})
	}
}

func TestReceive_ReadsOddBodies(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ body, action string }{
		"a key twice":     {`{"action":"first","action":"second"}`, "second"},
		"deep, elsewhere": {`{"x":` + strings.Repeat("[", 9_000) + strings.Repeat("]", 9_000) + `,"action":"seen"}`, "seen"},
		"NUL":             {`{"action":"a\u0000b"}`, "unknown"},
		"invalid UTF-8":   {"{\"action\":\"a\xffb\"}", "unknown"},
		"lone surrogate":  {`{"action":"a\ud800b"}`, "unknown"},
		"escape sequence": {`{"action":"\u001b[31m"}`, "unknown"},
		"long":            {`{"action":"` + strings.Repeat("é", 1000) + `"}`, strings.Repeat("é", 64)},
		"spaces":          {`{"action":" payment.updated\n"}`, "payment.updated"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			event, err := NewReceiver(newVerifier(t), false).Receive(deliver(t, paymentQuery, []byte(c.body)))
			require.NoError(t, err)
			require.Equal(t, c.action, event.Action)
			require.Equal(t, provider.Settle, event.Work)
		})
	}
	for query, topic := range map[string]string{
		"data.id=1&type=a%00b":                       "unknown",
		"data.id=1&type=%ff":                         "unknown",
		"data.id=1&type=%20order%20":                 "order",
		"data.id=1&type=Payment":                     "Payment",
		"data.id=1&type=" + strings.Repeat("t", 999): strings.Repeat("t", 64),
	} {
		event, err := NewReceiver(newVerifier(t), false).Receive(deliver(t, query, nil))
		require.NoError(t, err, query)
		require.Equal(t, topic, event.Topic)
		require.Equal(t, WorkOf(topic, "1"), event.Work)
	}
}

func TestReceive_TakesTheTopicOfTheActionWhereNoneIsSaid(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		query, body, topic string
		work               provider.Work
	}{
		{"data.id=" + testPaymentID, `{"action":"payment.updated"}`, "payment", provider.Settle},
		{"data.id=" + testPaymentID, `{"action":"payment"}`, "payment", provider.Settle},
		{"data.id=" + testPaymentID, `{"action":"payment.updated","type":"plan"}`, "plan", provider.Keep},
		{"data.id=" + testPaymentID + "&type=plan", `{"action":"payment.updated"}`, "plan", provider.Keep},
		{"data.id=" + testPaymentID, `{"action":"coupon.updated"}`, "unknown", provider.Keep},
		{"data.id=" + testPaymentID, `{"action":".updated"}`, "unknown", provider.Keep},
	} {
		event, err := NewReceiver(newVerifier(t), false).Receive(deliver(t, c.query, []byte(c.body)))
		require.NoError(t, err, c)
		require.Equal(t, c.topic, event.Topic, c)
		require.Equal(t, testPaymentID, event.ResourceID, c)
		require.Equal(t, c.work, event.Work, c)
	}
}

func TestReceive_RefusesForgedAndAmbiguousDeliveries(t *testing.T) {
	t.Parallel()
	forged := http.Header{"X-Signature": {Sign("another", testPaymentID, "", testTS)}}
	ipnBody := []byte(`{"topic":"payment","resource":"90210000007"}`)
	for name, c := range map[string]struct {
		delivery provider.Delivery
		kind     provider.RefusalKind
		reason   string
	}{
		"forged":                  {provider.Delivery{Method: "POST", RawQuery: paymentQuery, Header: forged}, provider.Unauthenticated, ReasonSignatureMismatch},
		"forged, as IPN too":      {provider.Delivery{Method: "POST", RawQuery: paymentQuery + "&topic=payment&id=1", Header: forged}, provider.Unauthenticated, ReasonSignatureMismatch},
		"forged, IPN in the body": {provider.Delivery{Method: "POST", Header: forged, Body: ipnBody}, provider.Unauthenticated, ReasonSignatureMismatch},
		"forged, no topic":        {provider.Delivery{Method: "POST", RawQuery: "id=1", Header: forged}, provider.Unauthenticated, ReasonSignatureMismatch},
		"two data.id":             {unsigned("POST", paymentQuery+"&data.id=1", nil), provider.Malformed, ReasonAmbiguousDataID},
		"odd data.id":             {unsigned("POST", "data.id=..%2f&type=payment", nil), provider.Malformed, ReasonMalformedDataID},
		"two id":                  {unsigned("POST", "topic=payment&id=1&id=2", nil), provider.Malformed, ReasonAmbiguousID},
		"odd id":                  {unsigned("GET", "topic=payment&id=..%2f", nil), provider.Malformed, ReasonMalformedID},
		"long id":                 {unsigned("GET", "topic=payment&id="+strings.Repeat("1", 129), nil), provider.Malformed, ReasonMalformedID},
		"nothing":                 {unsigned("POST", "", nil), provider.Unauthenticated, ReasonMissingSignatureHeader},
		"no topic":                {unsigned("POST", "id=1", []byte("{}")), provider.Unauthenticated, ReasonMissingSignatureHeader},
		"no id":                   {unsigned("POST", "topic=payment", []byte(`{"resource":"https://host/","data":{"id":1.5}}`)), provider.Unauthenticated, ReasonMissingSignatureHeader},
		"an id for a path":        {unsigned("POST", "topic=payment", []byte(`{"resource":"https://host/v1/.."}`)), provider.Unauthenticated, ReasonMissingSignatureHeader},
		"GET of a webhook":        {provider.Delivery{Method: "GET", RawQuery: paymentQuery, Header: signed(testPaymentID, "", testTS)}, provider.Malformed, ReasonUnexpectedMethod},
		"GET of nothing":          {unsigned("GET", "", nil), provider.Malformed, ReasonUnexpectedMethod},
		"PUT":                     {unsigned("PUT", "topic=payment&id=1", nil), provider.Malformed, ReasonUnexpectedMethod},
		"no method":               {unsigned("", "topic=payment&id=1", nil), provider.Malformed, ReasonUnexpectedMethod},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			event, err := NewReceiver(newVerifier(t), true).Receive(c.delivery)
			requireRefusal(t, err, c.kind, c.reason)
			require.Empty(t, event)
		})
	}
}

// What is not signed may add, never take away: whoever has seen a delivery and
// sends it first with another topic or body hides nothing.
func TestReceive_ADeliveryIsUniqueByItsSignatureAndWhatItAsksFor(t *testing.T) {
	t.Parallel()
	key := func(query, body string) string {
		event, err := NewReceiver(newVerifier(t), false).Receive(deliver(t, query, []byte(body)))
		require.NoError(t, err)
		require.Len(t, event.SignatureKey, 32)
		return string(event.SignatureKey)
	}
	payment := key("data.id=77&type=payment", `{}`)
	require.Equal(t, payment, key("data.id=77&type=payment", `{"id":2,"live_mode":true}`), "the same again")
	require.Equal(t, payment, key("type=payment&data.id=77&client=own", ``), "the same again, written otherwise")
	require.Equal(t, payment, key("data.id=77&type=payment", `{"action":"test.created","live_mode":false}`), "its body makes no test of it")
	claim := key("data.id=77&type=claims", `{}`)
	require.NotEqual(t, payment, claim, "another topic first does not hide the payment")
	require.Equal(t, claim, key("data.id=77&type=zz45", `{}`), "topics without effect are one")
	require.NotEqual(t, payment, key("type=payment", `{"data":{"id":"77"}}`), "another signature")
	require.NotEqual(t, key("type=payment", `{"data":{"id":"77"}}`), key("type=payment", `{"data":{"id":"78"}}`), "an id that is not signed")
	test := key("data.id=123456&type=payment", `{"live_mode":false}`)
	require.NotEqual(t, test, key("data.id=123456&type=payment", `{"live_mode":true}`), "a test hides no payment of that number")
}

// Keys of deliveries that come one after the other stand side by side in their index.
func TestReceive_AKeyBeginsWithTheSignaturesTime(t *testing.T) {
	t.Parallel()
	key := func(ts string) []byte {
		d := deliver(t, paymentQuery, []byte(`{}`))
		d.Header = signed(testPaymentID, testRequestID, ts)
		event, err := NewReceiver(newVerifier(t), false).Receive(d)
		require.NoError(t, err)
		return event.SignatureKey
	}
	require.Equal(t, []byte{0x67, 0xdc, 0x86, 0xa6}, key("1742505638")[:4])
	require.Equal(t, []byte{0x67, 0xdc, 0x86, 0xa6}, key("1742505638123")[:4], "milliseconds")
	require.NotEqual(t, key("1742505638"), key("1742505638123"))
	require.Len(t, key("99999999999"), sha256.Size, "of a time that has more bits")
}

// The signature vectors once more, as whole deliveries.
func TestReceive_AgreesWithTheVectors(t *testing.T) {
	t.Parallel()
	accepted := 0
	for _, v := range loadVectors(t) {
		if v.ToleranceS > 0 || len(v.ExtraSecrets) > 0 {
			continue
		}
		event, err := NewReceiver(newVerifier(t), false).Receive(provider.Delivery{
			Method: v.Method, RawQuery: v.Query, Header: v.header(), Body: []byte(v.Body)})
		if v.Expected != "valid" {
			refusal := &provider.Refusal{}
			require.ErrorAs(t, err, &refusal, v.ID)
			require.Equal(t, v.Reason, refusal.Reason, v.ID)
			continue
		}
		accepted++
		require.NoError(t, err, v.ID)
		require.Equal(t, cmp.Or(v.EffectiveID, readHints([]byte(v.Body)).resourceID), event.ResourceID, v.ID)
	}
	require.Equal(t, 21, accepted)
}

func FuzzReceive(f *testing.F) {
	files, err := os.ReadDir("testdata/notifications")
	require.NoError(f, err)
	for _, file := range files {
		f.Add("POST", "topic=payment&id=1", "", fixture(f, "notifications/"+strings.TrimSuffix(file.Name(), ".json")))
	}
	f.Add("POST", paymentQuery, Sign(testSecret, testPaymentID, "", testTS), []byte(`{"action":"\ud800","data":{"id":1e5}}`))
	f.Add("GET", "topic=%00&id=1", "ts=1,v1=\xff", []byte("{\"resource\":\"a/\xff\"}"))
	f.Fuzz(func(t *testing.T, method, rawQuery, xSignature string, body []byte) {
		header := http.Header{}
		if xSignature != "" {
			header.Set("x-signature", xSignature)
		}
		delivery := provider.Delivery{Method: method, RawQuery: rawQuery, Header: header, Body: body}
		for _, allow := range []bool{false, true} {
			receiver := NewReceiver(newVerifier(t), allow)
			event, err := receiver.Receive(delivery)
			diagnosis := receiver.Diagnose(delivery, time.Unix(0, 0), "")
			requireKeepsSecrets(t, diagnosis, header)
			require.Equal(t, err == nil && event.Signed, diagnosis.Verdict == VerdictAccepted)
			if err != nil {
				refusal := &provider.Refusal{}
				require.ErrorAs(t, err, &refusal)
				require.Empty(t, event)
				continue
			}
			require.True(t, event.Signed || allow)
			require.Equal(t, event.Signed, event.SignatureKey != nil)
			require.Regexp(t, plainID, event.ResourceID)
			require.NotEmpty(t, event.Topic)
			for _, text := range []string{event.Topic, event.Action} {
				require.LessOrEqual(t, len([]rune(text)), 64)
				require.NotContains(t, text, "\x00")
				require.Equal(t, strings.ToValidUTF8(text, ""), text)
			}
			if event.Work == provider.Settle {
				// Point's terminals, too, name payments.
				of := topicOf(event.Topic, event.ResourceID)
				require.Equal(t, provider.Settle, of.work, event.Topic)
				require.True(t, of.isID(event.ResourceID), event.ResourceID)
			}
		}
	})
}

func BenchmarkReceive(b *testing.B) {
	for _, name := range []string{"payment_updated", "chargeback"} {
		b.Run(name, func(b *testing.B) {
			receiver := NewReceiver(newVerifier(b), false)
			delivery := deliver(b, paymentQuery, fixture(b, "notifications/"+name))
			b.ReportAllocs()
			for b.Loop() {
				_, _ = receiver.Receive(delivery)
			}
		})
	}
}
