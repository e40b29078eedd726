package mercadopago

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/conciliar/conciliar/jobs/provider"
)

func TestOnward_PassesSignedDeliveriesOfItsTopics(t *testing.T) {
	t.Parallel()
	onward, err := NewOnward([]string{"delivery", "something_new"})
	require.NoError(t, err)
	verifier, err := NewVerifier([]string{testSecret})
	require.NoError(t, err)
	r := NewReceiver(verifier, true)
	receive := func(d provider.Delivery) provider.Event {
		event, err := r.Receive(d)
		require.NoError(t, err)
		return event
	}
	require.Equal(t, provider.Keep, receive(deliver(t, "data.id=5&type=delivery", nil)).Work, "nobody wants it")
	r.PassOnward(onward)
	event := receive(deliver(t, "data.id=5&type=delivery", []byte(`{"a":1}`)))
	require.Equal(t, provider.Forward, event.Work)
	require.True(t, event.Unbound, "no signature covers the body that goes on")
	require.Equal(t, event.SignatureKey, receive(deliver(t, "data.id=5&type=delivery", []byte(`{"a":1}`))).SignatureKey)
	for query, body := range map[string]string{
		"data.id=5&type=delivery": `{"a":2}`, "data.id=5&type=something_new": `{"a":1}`, "data.id=5&type=wallet_connect": `{"a":1}`,
	} {
		require.NotEqual(t, event.SignatureKey, receive(deliver(t, query, []byte(body))).SignatureKey, "what is sent first hides nothing")
	}
	require.Equal(t, provider.Keep, receive(deliver(t, "data.id=5&type=wallet_connect", nil)).Work)
	require.Equal(t, provider.Settle, receive(deliver(t, "data.id=5&type=payment", nil)).Work)
	require.Equal(t, provider.Keep, receive(unsigned("POST", "topic=delivery&id=5", nil)).Work, "nobody has signed that")
}

func TestNewOnward_RefusesWhatHasAnEffect(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]string{
		"payment": "payment has an effect here and is not passed onward", "order": "order has an effect", "mp-connect": "mp-connect has an effect",
		"test": "test has an effect", "": "number 2 is not the name of a topic", " x": "number 2 is not", "delivery": "delivery is there twice",
	} {
		_, err := NewOnward([]string{"delivery", name})
		require.ErrorContains(t, err, want)
	}
}
