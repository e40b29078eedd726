package e2e

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/shopspring/decimal"
	"github.com/stretchr/testify/require"
)

const fixturesOfNotifications = "jobs/provider/mercadopago/testdata/notifications"

// A notified is a delivery: a fixture, or no body, under a query.
type notified struct {
	fixture, query string
	// method is POST when empty. An unsigned one comes as IPN does.
	method   string
	unsigned bool
	// topic is the event's; what it comes to is in docs/topics.md, except for outcome.
	topic, outcome string
	// pays is the payment that is fetched in the end, and path what leads to it,
	// answered with a body in which %s is the payment.
	pays, path, body string
}

const (
	answeredMerchantOrder = `{"id":31000000001,"external_reference":"n","payments":[{"id":%s,"status":"approved"}]}`
	answeredChargeback    = `{"id":"217000061307271123","payments":[%s],"currency":"ARS","amount":100}`
	answeredClaim         = `{"id":5200000001,"resource":"payment","resource_id":%s,"status":"opened"}`
	answeredIntent        = `{"id":"bcdef1234-8ab5-4139-9aa3-abcd124","state":"FINISHED","payment":{"id":"%s"}}`
	answeredCounterOrder  = `{"id":"ORD01KXAMPLE0000000000000002","type":"qr","user_id":"` + caseAccount + `","external_reference":"n-90210000012",
		"total_amount":"45.00","transactions":{"payments":[{"id":"PAY01KXAMPLE0000000000000002","reference_id":"%s","amount":"45.00","status":"processed"}]}}`
	answeredOnlineOrder = `{"id":"ORD01KXAMPLE0000000000000001","type":"online","user_id":"` + caseAccount + `","external_reference":"n-90210000014","currency":"ARS",
		"total_amount":"100.00","transactions":{"payments":[{"id":"PAY01KXAMPLE0000000000000001","reference_id":"000k3v9q01","amount":"100.00","status":"processed"}]}}`
	online, counter = "ORD01KXAMPLE0000000000000001", "ORD01KXAMPLE0000000000000002"
)

// notifications has every fixture at least once, and every topic of docs/topics.md
// under each of its names.
var notifications = []notified{
	{fixture: "payment_created", query: "data.id=90210000001&type=payment", topic: "payment", pays: "90210000001"},
	{fixture: "payment_updated", query: "data.id=90210000002&type=payment", topic: "payment", pays: "90210000002"},
	{fixture: "payment_redelivered", query: "data.id=90210000002&type=payment", topic: "payment", pays: "90210000002"},
	{fixture: "payment_numeric_data_id", query: "data.id=90210000003&type=payment", topic: "payment", pays: "90210000003"},
	{fixture: "payment_dashboard_test", query: "data.id=123456&type=payment", topic: "payment", outcome: "test"},
	{fixture: "test_created", query: "data.id=123456&type=test", topic: "test", outcome: "test"},
	{fixture: "ipn_payment", query: "topic=payment&id=90210000007", unsigned: true, topic: "payment", pays: "90210000007"},
	{fixture: "ipn_payment_url", query: "topic=payment&id=90210000007", unsigned: true, topic: "payment", pays: "90210000007"},
	{query: "topic=payment&id=90210000007", unsigned: true, topic: "payment", pays: "90210000007"},
	{query: "topic=payment&id=90210000007", unsigned: true, method: http.MethodGet, topic: "payment", pays: "90210000007"},
	{
		fixture: "merchant_order", query: "data.id=31000000001&type=topic_merchant_order_wh", topic: "topic_merchant_order_wh",
		pays: "90210000010", path: "/merchant_orders/31000000001", body: answeredMerchantOrder,
	},
	{
		fixture: "ipn_merchant_order", query: "topic=merchant_order&id=31000000003", unsigned: true, topic: "merchant_order",
		pays: "90210000010", path: "/merchant_orders/31000000003", body: strings.Replace(answeredMerchantOrder, "31000000001", "31000000003", 1),
	},
	{
		fixture: "chargeback", query: "data.id=217000061307271123&type=topic_chargebacks_wh", topic: "topic_chargebacks_wh",
		pays: "90210000004", path: "/v1/chargebacks/217000061307271123", body: answeredChargeback,
	},
	{
		fixture: "ipn_chargeback", query: "topic=chargebacks&id=217000061307271124", unsigned: true, topic: "chargebacks",
		pays: "90210000004", path: "/v1/chargebacks/217000061307271124", body: strings.Replace(answeredChargeback, "271123", "271124", 1),
	},
	{
		query: "topic=chargebacks&id=217000061307271124", unsigned: true, topic: "chargebacks",
		pays: "90210000004", path: "/v1/chargebacks/217000061307271124", body: strings.Replace(answeredChargeback, "271123", "271124", 1),
	},
	{
		fixture: "claim", query: "data.id=5200000001&type=claim", topic: "claim",
		pays: "90210000008", path: "/post-purchase/v1/claims/5200000001", body: answeredClaim,
	},
	{
		fixture: "claim", query: "data.id=5200000001&type=topic_claims_integration_wh", topic: "topic_claims_integration_wh",
		pays: "90210000008", path: "/post-purchase/v1/claims/5200000001", body: answeredClaim,
	},
	{
		fixture: "subscription_authorized_payment", query: "data.id=6114200001&type=subscription_authorized_payment", topic: "subscription_authorized_payment",
		pays: "90210000009", path: "/authorized_payments/6114200001", body: `{"id":6114200001,"status":"processed","payment":{"id":%s}}`,
	},
	{fixture: "stop_delivery", query: "data.id=99100200304&type=stop_delivery_op_wh", topic: "stop_delivery_op_wh", pays: "90210000005"},
	{fixture: "point_finished", query: "", topic: "point_integration_wh", outcome: "settled", pays: "90210000006"},
	{
		fixture: "point_finished", query: "data.id=bcdef1234-8ab5-4139-9aa3-abcd124", topic: "point_integration_wh",
		pays: "90210000006", path: "/point/integration-api/payment-intents/bcdef1234-8ab5-4139-9aa3-abcd124", body: answeredIntent,
	},
	{fixture: "point_confirmation_required", query: "", topic: "point_integration_wh", outcome: "settled", pays: "90210000013"},
	{
		fixture: "ipn_point", query: "topic=point_integration_ipn&id=0aa0519d-d985-4e83-b62d-dda123456780", unsigned: true, topic: "point_integration_ipn",
		pays: "90210000006", path: "/point/integration-api/payment-intents/0aa0519d-d985-4e83-b62d-dda123456780",
		body: strings.Replace(answeredIntent, "bcdef1234-8ab5-4139-9aa3-abcd124", "0aa0519d-d985-4e83-b62d-dda123456780", 1),
	},
	{fixture: "order_processed", query: "data.id=" + online + "&type=order", topic: "order", pays: "90210000014", path: "/v1/orders/" + online, body: answeredOnlineOrder},
	{fixture: "order_processed", query: "data.id=" + online + "&type=orders", topic: "orders", pays: "90210000014", path: "/v1/orders/" + online, body: answeredOnlineOrder},
	{
		fixture: "order_charged_back", query: "data.id=" + online + "&type=topic_chargebacks_wh", topic: "topic_chargebacks_wh",
		pays: "90210000014", path: "/v1/orders/" + online, body: answeredOnlineOrder,
	},
	{fixture: "order_processed_qr", query: "data.id=" + counter + "&type=order", topic: "order", pays: "90210000012", path: "/v1/orders/" + counter, body: answeredCounterOrder},
	{fixture: "order_failed", query: "data.id=" + counter + "&type=order", topic: "order", pays: "90210000012", path: "/v1/orders/" + counter, body: answeredCounterOrder},
	{fixture: "order_action_required", query: "data.id=" + counter + "&type=order", topic: "order", pays: "90210000012", path: "/v1/orders/" + counter, body: answeredCounterOrder},
	{fixture: "order_canceled", query: "data.id=" + counter + "&type=order", topic: "order", pays: "90210000012", path: "/v1/orders/" + counter, body: answeredCounterOrder},
	{fixture: "order_expired", query: "data.id=" + counter + "&type=order", topic: "order", pays: "90210000012", path: "/v1/orders/" + counter, body: answeredCounterOrder},
	{fixture: "order_refunded", query: "data.id=" + counter + "&type=order", topic: "order", pays: "90210000012", path: "/v1/orders/" + counter, body: answeredCounterOrder},
	{fixture: "order_dashboard_test", query: "data.id=ORD01KXAMPLE0000000000000009&type=order", topic: "order", outcome: "test"},
	{fixture: "subscription_preapproval", query: "data.id=5aef01a4883161b001885f06d9391b80&type=subscription_preapproval", topic: "subscription_preapproval"},
	{fixture: "subscription_preapproval_plan", query: "data.id=5c938084726fca480172750000000001&type=subscription_preapproval_plan", topic: "subscription_preapproval_plan"},
	{fixture: "delivery", topic: "delivery"},
	{query: "topic=delivery_cancellation&id=44500001", unsigned: true, topic: "delivery_cancellation"},
	{fixture: "card_updater", query: "type=automatic-payments", topic: "automatic-payments"},
	{fixture: "card_updater", query: "type=topic_card_id_wh", topic: "topic_card_id_wh"},
	{fixture: "wallet_connect", query: "data.id=33abcd1235ed497f945f755fcaba3c6d&type=wallet_connect", topic: "wallet_connect"},
	{fixture: "mp_connect", query: "data.id=700100201&type=mp-connect", topic: "mp-connect"},
	{fixture: "unknown_topic", query: "data.id=abc-1&type=topic_of_another_year", topic: "topic_of_another_year", outcome: "kept"},
}

// outcomeOfWork is how an event ends whose work is done, by the words of
// docs/topics.md.
var outcomeOfWork = map[string]string{
	"payment": "settled", "fraud_alert": "settled", "follow": "followed", "keep": "kept", "authorization": "kept",
}

// documentedTopics are the works by the names of topics, as docs/topics.md has them.
func documentedTopics(t *testing.T) map[string]string {
	t.Helper()
	works := map[string]string{}
	for _, row := range regexp.MustCompile("(?m)^\\| (`[^|]+`) \\| `([a-z_]+)` \\|").FindAllStringSubmatch(readDoc(t, "docs/topics.md"), -1) {
		for name := range strings.SplitSeq(row[1], ", ") {
			works[strings.Trim(name, "`")] = row[2]
		}
	}
	require.NotEmpty(t, works)
	return works
}

// Every fixture of a notification is posted to a running service and ends in the
// effect that docs/topics.md names: what is fetched has changed since the one
// before, and the order shows it.
func TestTopics_EveryNotificationEndsInItsEffect(t *testing.T) {
	t.Parallel()
	works := documentedTopics(t)
	posted, named := map[string]bool{}, map[string]bool{}
	r := newCaseService(t, map[string]string{"ALLOW_UNSIGNED": "true"}).run(t, reviewCase{})
	awaitBody(t, r.service+"/api/webhooks/status", statusToken, `"status":"succeeded"`)
	for n, row := range notifications {
		posted[row.fixture], named[row.topic] = true, true
		if row.pays != "" {
			require.NoError(t, r.register(caseOrder{Reference: "n-" + row.pays, Amount: "100.00", Currency: "ARS"}))
			r.answers.set(notifiedPayment(row.pays, n+1), "", 0)
		}
		if row.path != "" {
			body := row.body
			if strings.Contains(body, "%s") {
				body = fmt.Sprintf(body, row.pays)
			}
			r.answers.answer(caseAnswer{Path: row.path}, json.RawMessage(body))
		}
		topic, outcome := r.post(t, row)
		require.Equal(t, row.topic, topic, "row %d", n)
		want := row.outcome
		if want == "" {
			want = outcomeOfWork[works[row.topic]]
		}
		require.Equal(t, want, outcome, "row %d: %s?%s", n, row.fixture, row.query)
		if row.pays != "" {
			awaitBody(t, r.service+"/api/orders/n-"+row.pays, ordersToken, fmt.Sprintf(`"refunded_amount":"%s"`, cents(n+1)))
		}
	}
	anomalies := r.records("/api/webhooks/anomalies")
	require.Len(t, slices.DeleteFunc(anomalies, func(a caseRecord) bool { return a.Kind != "fraud_alert" || a.Reference != "n-90210000005" }), 1)

	files, err := filepath.Glob(repositoryPath(fixturesOfNotifications + "/*.json"))
	require.NoError(t, err)
	for _, file := range files {
		require.True(t, posted[strings.TrimSuffix(filepath.Base(file), ".json")], "%s is not posted", file)
	}
	for _, name := range slices.Sorted(maps.Keys(works)) {
		require.True(t, named[name], "no notification of the topic %s", name)
	}
}

// cents is an amount of that many cents.
func cents(n int) string { return decimal.New(int64(n), -2).StringFixed(2) }

// notifiedPayment is a payment of which a number of cents has been given back.
func notifiedPayment(id string, given int) json.RawMessage {
	now := time.Now().Format(providerTime)
	return json.RawMessage(fmt.Sprintf(`{"id":%s,"status":"approved","status_detail":"partially_refunded","external_reference":"n-%s",
		"transaction_amount":100,"transaction_amount_refunded":%s,"currency_id":"ARS","collector_id":%s,"live_mode":true,
		"operation_type":"regular_payment","date_created":%q,"date_approved":%q,"date_last_updated":%q}`,
		id, id, cents(given), caseAccount, now, now, now))
}

// post sends a notification and awaits the end of its event.
func (r *caseRun) post(t *testing.T, row notified) (topic, outcome string) {
	t.Helper()
	var body []byte
	if row.fixture != "" {
		var err error
		body, err = os.ReadFile(repositoryPath(fixturesOfNotifications + "/" + row.fixture + ".json"))
		require.NoError(t, err)
	}
	method := http.MethodPost
	if row.method != "" {
		method = row.method
	}
	req, err := http.NewRequestWithContext(t.Context(), method, r.service+"/api/checkout/webhook?"+row.query, strings.NewReader(string(body)))
	require.NoError(t, err)
	if !row.unsigned {
		sign(req.Header, testSecret, req.URL.Query().Get("data.id"))
	}
	status, answer, err := answerTo(req)
	require.NoError(t, err)
	require.Equal(t, http.StatusOK, status, "%s?%s: %s", row.fixture, row.query, answer)
	var queued struct {
		QueueID int64 `json:"queue_id"`
	}
	require.NoError(t, json.Unmarshal([]byte(answer), &queued))
	var event struct{ Topic, Outcome string }
	eventually(t, func() bool {
		r.read(fmt.Sprintf("/api/webhooks/events/%d", queued.QueueID), &event)
		return event.Outcome != ""
	}, "%s?%s never ended", row.fixture, row.query)
	return event.Topic, event.Outcome
}
