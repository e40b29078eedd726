package store_test

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/conciliar/conciliar/store"
	"github.com/conciliar/conciliar/store/storetest/fixture"
)

// setupForward has a store that makes deliveries.
func setupForward(t *testing.T) *bundle {
	t.Helper()
	return setup(t, delivers, func(o *store.Options) { o.ReadPayers = readPayer })
}

// deliverAll has the receiver accept all that waits.
func (b *bundle) deliverAll(t *testing.T) {
	t.Helper()
	for d, a, found := b.fetchDelivery(t); found; d, a, found = b.fetchDelivery(t) {
		require.NotEmpty(t, d.Body)
		_, err := b.EndDeliveryAttempt(t.Context(), d, a, store.DeliveryResult{Accepted: true, Status: 200}, complete(a))
		require.NoError(t, err)
	}
}

// forwarded is an event of a declared sender that went on with its body.
func (b *bundle) forwarded(t *testing.T, number int, body string) int64 {
	t.Helper()
	ev := signed(number, fmt.Sprint(number))
	ev.Source, ev.Topic, ev.Work, ev.Payload = "github", "push", store.WorkForward, []byte(body)
	queueID := fixture.Accept(t, b.Store, ev)
	a := b.startAttempt(t, queueID)
	start, err := b.StartAttempt(t.Context(), queueID)
	require.NoError(t, err)
	require.Equal(t, body, string(start.Payload))
	require.NoError(t, b.Forward(t.Context(), a, store.NewDelivery{
		Receiver: "source:github", Stream: fmt.Sprint(number), MessageID: fmt.Sprintf("github-%d", queueID), Body: start.Payload,
	}, store.OutcomeForwarded, complete(a)))
	return queueID
}

func TestForward_VerifyMissesADelivery(t *testing.T) {
	t.Parallel()
	b := setupForward(t)
	event := b.forwarded(t, 1, `{}`)
	require.Empty(t, b.verify(t))
	b.exec(t, `DELETE FROM deliveries WHERE queue_id = $1`, event)
	broken := b.verify(t)
	require.Len(t, broken, 1)
	require.Equal(t, "forwarded_has_delivery", broken[0].Invariant)
}

// What is forgotten of a payer is forgotten in other senders' events, too, and in what
// they became. A later one still goes on, and leaves nothing behind when it has arrived.
func TestForward_AForgottenPayersEventsKeepNothing(t *testing.T) {
	t.Parallel()
	b := setupForward(t)
	body := `{"customer":{"email":"` + payerAna.email + `"}}`
	before, other := b.forwarded(t, 1, body), b.forwarded(t, 2, `{"customer":{"email":"bea@example.com"}}`)
	b.deliverAll(t)

	_, err := b.Forget(t.Context(), store.Forget{Email: payerAna.email, By: store.Actor{Name: "cli:ana"}})

	require.NoError(t, err)
	kept := func(queueID int64) int {
		return b.count(t, `SELECT (SELECT count(*) FROM webhook_queue WHERE id = $1 AND payload <> '')
			+ (SELECT count(*) FROM deliveries WHERE queue_id = $1 AND body IS NOT NULL)`, queueID)
	}
	require.Zero(t, kept(before))
	require.Equal(t, 2, kept(other))
	after := b.forwarded(t, 3, body)
	require.Equal(t, 1, kept(after), "the message has to go on")
	b.deliverAll(t)
	require.Zero(t, kept(after))
}
