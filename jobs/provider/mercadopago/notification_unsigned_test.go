package mercadopago

import (
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/conciliar/conciliar/jobs/provider"
)

func unsigned(method, rawQuery string, body []byte) provider.Delivery {
	return provider.Delivery{Method: method, RawQuery: rawQuery, Header: http.Header{}, Body: body}
}

func TestReceive_ReadsUnsignedDeliveries(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		method, query, fixture string
		topic, id              string
		work                   provider.Work
	}{
		{"POST", "topic=payment&id=90210000007", "ipn_payment", "payment", "90210000007", provider.Settle},
		{"POST", "topic=payment&id=90210000007", "", "payment", "90210000007", provider.Settle},
		{"GET", "topic=payment&id=90210000007", "", "payment", "90210000007", provider.Settle},
		{"POST", "client=7&topic=payment&id=90210000007&source_news=ipn", "ipn_payment_url", "payment", "90210000007", provider.Settle},
		{"POST", "", "ipn_payment", "payment", "90210000007", provider.Settle},
		{"POST", "", "ipn_payment_url", "payment", "90210000007", provider.Settle},
		{"POST", "topic=payment&id=90210000001", "ipn_payment", "payment", "90210000001", provider.Settle},
		{"POST", "topic=merchant_order&id=31000000003", "ipn_merchant_order", "merchant_order", "31000000003", provider.Follow},
		{"POST", "", "ipn_merchant_order", "merchant_order", "31000000003", provider.Follow},
		{"POST", "topic=chargebacks&id=217000061307271123", "", "chargebacks", "217000061307271123", provider.Follow},
		{"POST", "topic=point_integration_ipn&id=0aa0519d-d985-4e83-b62d-dda123456780", "", "point_integration_ipn", "0aa0519d-d985-4e83-b62d-dda123456780", provider.Follow},
		{"POST", "", "delivery", "delivery", "44500001", provider.Keep},
		// The notifications of the older QR codes, in the Webhooks form.
		{"POST", "data.id=90210000002&type=payment", "payment_updated", "payment", "90210000002", provider.Settle},
		{"POST", "", "chargeback", "topic_chargebacks_wh", "217000061307271123", provider.Follow},
	} {
		t.Run(c.method+"?"+c.query+" "+c.fixture, func(t *testing.T) {
			t.Parallel()
			var body []byte
			if c.fixture != "" {
				body = fixture(t, "notifications/"+c.fixture)
			}
			d := unsigned(c.method, c.query, body)
			event, err := NewReceiver(newVerifier(t), true).Receive(d)
			require.NoError(t, err)
			require.Equal(t, c.topic, event.Topic)
			require.Equal(t, c.id, event.ResourceID)
			require.Equal(t, c.work, event.Work)
			require.False(t, event.Signed)
			require.Nil(t, event.SignatureKey)

			_, err = NewReceiver(newVerifier(t), false).Receive(d)
			requireRefusal(t, err, provider.Unauthenticated, ReasonMissingSignatureHeader)
		})
	}
}

func TestReceive_AnIPNIsReadWithAnySignature(t *testing.T) {
	t.Parallel()
	const query = "topic=payment&id=90210000007"
	for name, xSignature := range map[string]string{
		"that does not verify":    Sign("another", "90210000007", testRequestID, testTS),
		"that is not a signature": "garbage",
		"over another id":         Sign(testSecret, "90210000007", testRequestID, testTS),
		"that verifies":           Sign(testSecret, "", testRequestID, testTS),
	} {
		d := unsigned(http.MethodPost, query, nil)
		d.Header.Set("x-signature", xSignature)
		d.Header.Set("x-request-id", testRequestID)
		event, err := NewReceiver(newVerifier(t), true).Receive(d)
		require.NoError(t, err, name)
		require.Equal(t, provider.Event{Source: Source, Topic: "payment", ResourceID: "90210000007",
			Work: provider.Settle}, event, name)
	}
	d := unsigned(http.MethodPost, query, nil)
	d.Header.Set("x-signature", Sign("another", "90210000007", testRequestID, testTS))
	_, err := NewReceiver(newVerifier(t), false).Receive(d)
	requireRefusal(t, err, provider.Unauthenticated, ReasonSignatureMismatch)
}

func TestTestBody_BelievesNoLiveEnvelope(t *testing.T) {
	t.Parallel()
	require.True(t, TestBody([]byte(`{"id":123456,"live_mode":false}`)))
	require.True(t, TestBody([]byte(`{"id":"9","action":"test.created","live_mode":false}`)))
	require.False(t, TestBody([]byte(`{"id":123456,"live_mode":true}`)))
	require.False(t, TestBody([]byte(`{"action":"test.created"}`)))
	require.False(t, TestBody([]byte(`{"id":7,"live_mode":false}`)))
	require.False(t, TestBody(nil))
}
