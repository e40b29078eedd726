package mercadopago

import (
	"bytes"
	"encoding/json"
	"maps"
	"net/http"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/shopspring/decimal"
	"github.com/stretchr/testify/require"

	"github.com/conciliar/conciliar/jobs/provider"
	"github.com/conciliar/conciliar/jobs/provider/mercadopago/simulator"
)

// A conformance is what a topic that fetches something is held to: a delivery and
// an answer of the shapes that Mercado Pago sends, by their names in testdata.
type conformance struct {
	// id is what the delivery names; the answer is about answerID.
	delivery, id     string
	answer, answerID string
	// ipn is a delivery of the topic's IPN name, which names ipnID; empty for a
	// topic that IPN does not have.
	ipn, ipnID string
	// next are the payments that the answer names.
	next []string
	// path is what the simulator serves, of something that it made.
	path func(t *testing.T, s *simulator.Simulator) string
}

// conformances are by the topic's first name. Each topic with something to read
// has one.
var conformances = map[string]conformance{
	"payment": {
		delivery: "notifications/payment_updated", id: "90210000002", answer: "payments/approved", answerID: "90210000001",
		ipn: "notifications/ipn_payment_url", ipnID: "90210000007",
		path: func(_ *testing.T, s *simulator.Simulator) string { return "/v1/payments/" + created(s) },
	},
	"topic_merchant_order_wh": {
		delivery: "notifications/merchant_order", id: "31000000001", answer: "topics/merchant_order", answerID: "310000000012345678",
		ipn: "notifications/ipn_merchant_order", ipnID: "31000000003",
		next: []string{"90210000010", "902100000123456789"},
		path: func(t *testing.T, s *simulator.Simulator) string {
			t.Helper()
			id, err := s.MerchantOrderOf(created(s))
			require.NoError(t, err)
			return "/merchant_orders/" + id
		},
	},
	"topic_chargebacks_wh": {
		delivery: "notifications/chargeback", id: "217000061307271123", answer: "topics/chargeback", answerID: "217000061307271123",
		ipn: "notifications/ipn_chargeback", ipnID: "217000061307271124",
		next: []string{"90210000004"}, path: resourcePath("/v1/chargebacks/", simulator.Chargeback),
	},
	"topic_claims_integration_wh": {
		delivery: "notifications/claim", id: "5200000001", answer: "topics/claim", answerID: "5200000001",
		next: []string{"90210000008"}, path: resourcePath("/post-purchase/v1/claims/", simulator.Claim),
	},
	"subscription_authorized_payment": {
		delivery: "notifications/subscription_authorized_payment", id: "6114200001", answer: "topics/authorized_payment", answerID: "6114200001",
		next: []string{"90210000009"}, path: resourcePath("/authorized_payments/", simulator.AuthorizedPayment),
	},
	"stop_delivery_op_wh": {
		delivery: "notifications/stop_delivery", id: "90210000005", answer: "payments/approved", answerID: "90210000001",
		path: func(_ *testing.T, s *simulator.Simulator) string { return "/v1/payments/" + created(s) },
	},
	"order": {
		delivery: "notifications/order_processed", id: "ORD01KXAMPLE0000000000000001", answer: "topics/order", answerID: "ORD01KXAMPLE0000000000000001",
		next: []string{"90210000011", "902100000123456789"}, path: resourcePath("/v1/orders/", simulator.QROrder),
	},
	"point_integration_wh": {
		delivery: "notifications/point_finished", id: "bcdef1234-8ab5-4139-9aa3-abcd124", answer: "topics/payment_intent", answerID: "bcdef1234-8ab5-4139-9aa3-abcd124",
		ipn: "notifications/ipn_point", ipnID: "0aa0519d-d985-4e83-b62d-dda123456780",
		next: []string{"90210000006"}, path: resourcePath("/point/integration-api/payment-intents/", simulator.PaymentIntent),
	},
}

// resourcePath makes a resource about a payment and is where it is.
func resourcePath(below string, kind simulator.ResourceKind) func(*testing.T, *simulator.Simulator) string {
	return func(t *testing.T, s *simulator.Simulator) string {
		t.Helper()
		id, err := s.CreateResource(kind, created(s))
		require.NoError(t, err)
		return below + id
	}
}

// settles reports whether a topic's resource is a payment.
func (t *topic) settles() bool { return t.work == provider.Settle || t.work == provider.FraudAlert }

// created is the id of a payment that belongs to a merchant order.
func created(s *simulator.Simulator) string {
	for {
		id := s.CreatePayment(simulator.PaymentSpec{Status: simulator.Approved, Amount: decimal.RequireFromString("150.05")})
		if _, err := s.MerchantOrderOf(id); err == nil {
			return id
		}
	}
}

// fetching are the topics of which something is fetched.
func fetching() []*topic {
	return slices.DeleteFunc(slices.Clone(topics), func(t *topic) bool { return t.read == nil })
}

func TestTopics_AreUnambiguousAndWhole(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	for _, topic := range topics {
		require.NotEmpty(t, topic.names)
		for _, name := range topic.names {
			require.False(t, seen[name], "%s stands twice", name)
			seen[name] = true
			require.Equal(t, name, word(name), "as it is stored")
			require.Same(t, topic, topicNamed(name))
		}
		hasJob := topic.settles() || topic.work == provider.Follow
		require.Equal(t, hasJob, topic.read != nil, "%s: what has a job is fetched, and nothing else", topic.names[0])
		if hasJob {
			require.NotNil(t, topic.isID, topic.names[0])
			require.NotEmpty(t, topic.path, topic.names[0])
			require.NotEmpty(t, topic.operation, topic.names[0])
		}
	}
	var held []string
	for _, topic := range fetching() {
		held = append(held, topic.names[0])
	}
	require.ElementsMatch(t, held, slices.Collect(maps.Keys(conformances)), "each topic that is fetched has a delivery and an answer")
}

func TestTopics_DeliveriesAskForTheirWork(t *testing.T) {
	t.Parallel()
	for _, topic := range fetching() {
		c := conformances[topic.names[0]]
		receiver := NewReceiver(newVerifier(t), true)
		query := "data.id=" + c.id + "&type=" + topic.names[0]
		d := deliver(t, query, fixture(t, c.delivery))

		event, err := receiver.Receive(d)
		require.NoError(t, err)
		require.Equal(t, topic.names[0], event.Topic)
		require.Equal(t, topic.work, event.Work)
		require.Equal(t, c.id, event.ResourceID)
		require.True(t, event.Signed)

		// One byte of what is signed, whichever.
		for i := range len(c.id) {
			forged := d
			forged.RawQuery = "data.id=" + c.id[:i] + string(c.id[i]^1) + c.id[i+1:] + "&type=" + topic.names[0]
			_, err := receiver.Receive(forged)
			require.Error(t, err, forged.RawQuery)
		}
		for _, header := range []string{"X-Request-Id", "X-Signature"} {
			value := d.Header.Get(header)
			for i := range len(value) {
				forged := d
				forged.Header = d.Header.Clone()
				forged.Header.Set(header, value[:i]+string(value[i]^1)+value[i+1:])
				_, err := receiver.Receive(forged)
				require.Error(t, err, "%s: byte %d", header, i)
			}
		}

		if c.ipn != "" {
			event, err = receiver.Receive(unsigned(http.MethodPost, "", fixture(t, c.ipn)))
			require.NoError(t, err)
			require.Equal(t, topic.work, event.Work)
			require.Equal(t, c.ipnID, event.ResourceID, "of an address, the id alone")
			require.Same(t, topic, topicNamed(event.Topic))
		}
		// An id of another family is not asked for.
		require.Equal(t, provider.Unhandled, WorkOf(topic.names[0], "PAY01KXAMPLE0000000000000001"))
		require.Equal(t, provider.Unhandled, WorkOf(topic.names[0], ""))
	}
}

func TestTopics_AnswersAreRead(t *testing.T) {
	t.Parallel()
	for _, topic := range fetching() {
		c := conformances[topic.names[0]]
		raw := fixture(t, c.answer)
		var fields map[string]json.RawMessage
		require.NoError(t, json.Unmarshal(raw, &fields))

		id, whole, err := topic.read(raw)
		require.NoError(t, err)
		require.Equal(t, c.answerID, id)
		var next []string
		for _, ref := range whole.Next {
			require.Equal(t, topicPayment, ref.Topic)
			next = append(next, ref.ID)
		}
		require.Equal(t, c.next, next)
		require.Equal(t, topic.settles(), whole.Payment != nil)

		// A field more says nothing.
		fields["of_another_year"] = json.RawMessage(`{"a": [1, null]}`)
		more, err := json.Marshal(fields)
		require.NoError(t, err)
		_, found, err := topic.read(more)
		require.NoError(t, err)
		require.Equal(t, whole.Next, found.Next)
		delete(fields, "of_another_year")

		// A field less is read or is an error, and never another id or a panic.
		for name, value := range fields {
			delete(fields, name)
			less, err := json.Marshal(fields)
			require.NoError(t, err)
			if id, _, err := topic.read(less); err == nil && name != "id" {
				require.Equal(t, c.answerID, id, name)
			}
			fields[name] = value
		}

		// Ids of 18 digits are kept to the last one.
		const long = "217000061307271123"
		fields["id"] = json.RawMessage(long)
		other, err := json.Marshal(fields)
		require.NoError(t, err)
		id, _, err = topic.read(other)
		require.NoError(t, err)
		require.Equal(t, long, id)
		if topic.isID(long) {
			require.Equal(t, topic.work, WorkOf(topic.names[0], long))
		}
	}
}

func TestTopics_EachHasARowInTheDocs(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile("../../../docs/topics.md")
	require.NoError(t, err)
	rows := map[string]string{}
	for line := range bytes.Lines(page) {
		cells := strings.Split(string(line), "|")
		if len(cells) < 5 {
			continue
		}
		for _, name := range strings.Split(cells[1], ",") {
			if name = strings.TrimSpace(name); strings.HasPrefix(name, "`") {
				rows[strings.Trim(name, "`")] = strings.Trim(strings.TrimSpace(cells[2]), "`")
			}
		}
	}
	want := map[string]string{}
	for _, topic := range topics {
		for _, name := range topic.names {
			want[name] = string(topic.work)
		}
	}
	require.Equal(t, want, rows)
}

// A refusal says which topic's webhook it was, so that a topic which is never
// verified can be told from a wrong secret. A topic that nobody has is not a topic.
func TestReceive_ARefusalNamesTopicAndChannel(t *testing.T) {
	t.Parallel()
	receiver := NewReceiver(newVerifier(t), false)
	for name, c := range map[string]struct {
		query   string
		body    []byte
		topic   string
		channel provider.Channel
	}{
		"an order":              {"data.id=ORD01KXAMPLE&type=order", fixture(t, "notifications/order_processed"), "order", provider.Webhooks},
		"named in the body":     {"data.id=217000061307271123", fixture(t, "notifications/chargeback"), "topic_chargebacks_wh", provider.Webhooks},
		"IPN":                   {"id=90210000007&topic=payment", nil, "payment", provider.IPN},
		"a topic that isn't":    {"data.id=1&type=novelty", fixture(t, "notifications/unknown_topic"), "", provider.Webhooks},
		"not to be read at all": {"data.id=1&data.id=2&type=payment", []byte("{"), "payment", provider.Webhooks},
	} {
		d := unsigned(http.MethodPost, c.query, c.body)
		d.Header.Set("X-Request-Id", "r-1")
		d.Header.Set("X-Signature", "ts=1742505638,v1="+strings.Repeat("ab", 32))
		_, err := receiver.Receive(d)
		var refusal *provider.Refusal
		require.ErrorAs(t, err, &refusal, name)
		require.Equal(t, c.topic, refusal.Topic, name)
		require.Equal(t, c.channel, refusal.Channel, name)
	}
	require.True(t, UnverifiableInTests("orders"))
	require.False(t, UnverifiableInTests("payment"))
}

// What only informs is found by its topic and by what it is about.
func TestTopics_WhatInformsIsKeptUnderItsID(t *testing.T) {
	t.Parallel()
	informs := map[string]string{}
	for name, c := range map[string]struct{ delivery, query, id string }{
		"subscription_preapproval":      {"subscription_preapproval", "data.id=5aef01a4883161b001885f06d9391b80", "5aef01a4883161b001885f06d9391b80"},
		"subscription_preapproval_plan": {"subscription_preapproval_plan", "data.id=5c938084726fca480172750000000001", "5c938084726fca480172750000000001"},
		"delivery":                      {"delivery", "", "44500001"},
		"delivery_cancellation":         {"delivery", "topic=delivery_cancellation", "44500001"},
		"topic_card_id_wh":              {"card_updater", "type=topic_card_id_wh", "41000000001"},
		"automatic-payments":            {"card_updater", "", "41000000001"},
		"wallet_connect":                {"wallet_connect", "", "33abcd1235ed497f945f755fcaba3c6d"},
		"topic_of_another_year":         {"unknown_topic", "", "abc-1"},
	} {
		informs[name] = c.id
		event, err := NewReceiver(newVerifier(t), false).Receive(deliver(t, c.query, fixture(t, "notifications/"+c.delivery)))
		require.NoError(t, err, name)
		require.Equal(t, name, event.Topic)
		require.Equal(t, provider.Keep, event.Work, name)
		require.Equal(t, c.id, event.ResourceID, name)
	}
	for _, name := range informingTopic.names {
		require.Contains(t, informs, name, "each has a delivery")
	}
}

// A signed delivery that names its resource in the body alone is about that.
func TestTopics_AnIDInTheBodyAlone(t *testing.T) {
	t.Parallel()
	receiver := NewReceiver(newVerifier(t), true)
	for _, topic := range fetching() {
		c := conformances[topic.names[0]]
		event, err := receiver.Receive(deliver(t, "type="+topic.names[0], fixture(t, c.delivery)))
		require.NoError(t, err, topic.names[0])
		// A terminal's body names its payment, and that is asked for.
		require.Contains(t, []provider.Work{topic.work, provider.Settle}, event.Work, topic.names[0])
		require.NotNil(t, topicOf(event.Topic, event.ResourceID), topic.names[0])
		require.True(t, event.Unbound)
	}
}
