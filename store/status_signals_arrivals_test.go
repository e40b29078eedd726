package store_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/conciliar/conciliar/store"
)

// refuse records refusals of a topic that came so long ago.
func (b *bundle) refuse(t *testing.T, n int, ago time.Duration, topic, channel, signature string) {
	t.Helper()
	for range n {
		require.NoError(t, b.InsertRefused(t.Context(), store.Refused{
			Source: "mercadopago", Reason: "signature_mismatch", Method: "POST", XSignature: signature, Topic: topic, Channel: channel,
		}))
	}
	b.exec(t, `UPDATE webhook_refused SET refused_at = now() - make_interval(secs => $1) WHERE refused_at > now() - interval '1 minute'`, ago.Seconds())
}

// arrive puts webhooks of a topic into a table of events that came so long ago.
func (b *bundle) arrive(t *testing.T, table string, n int, ago time.Duration, topic string, signed bool) {
	t.Helper()
	b.exec(t, `INSERT INTO `+table+` (id, source, topic, payload, origin, signed, received_at, completed_at, outcome)
		SELECT nextval('webhook_queue_id_seq'), 'mercadopago', $3, '', 'webhook', $4, now() - make_interval(secs => $2), now(), 'settled' FROM generate_series(1, $1)`,
		n, ago.Seconds(), topic, signed)
}

const signature = "ts=1742505638,v1=ab"

func TestArrivals_NameTheTopicsThatAreNeverVerified(t *testing.T) {
	t.Parallel()
	b := setup(t)
	hour := time.Hour
	b.rollUp(t)
	b.arrive(t, "webhook_queue", 1, 5*24*hour, "claim", true)
	b.arrive(t, "webhook_archive", 1, 5*24*hour, "merchant_order", true)
	b.arrive(t, "webhook_queue", 5, hour, "order", false)
	b.exec(t, `UPDATE webhook_rollup SET covered_from = date_trunc('hour', now()) - interval '6 days', covered_until = date_trunc('hour', now()) - interval '6 days'`)
	for range 2 { // twice counts nothing twice
		_, err := b.RollUp(t.Context(), 100*24*hour)
		require.NoError(t, err)
	}
	require.Equal(t, 1, b.count(t, `SELECT sum(events) FROM webhook_accepted_hours WHERE signed AND topic = 'claim'`))
	require.Equal(t, 5, b.count(t, `SELECT sum(events) FROM webhook_accepted_hours WHERE NOT signed AND topic = ''`))
	b.refuse(t, 3, hour, "order", store.ChannelWebhooks, signature)
	b.refuse(t, 9, hour, "claim", store.ChannelWebhooks, signature)
	b.refuse(t, 9, hour, "merchant_order", store.ChannelWebhooks, signature)
	b.refuse(t, 2, hour, "payment", store.ChannelWebhooks, signature)
	b.refuse(t, 9, 25*hour, "payment", store.ChannelWebhooks, signature)
	b.refuse(t, 9, hour, "chargebacks", store.ChannelIPN, signature)
	b.refuse(t, 9, hour, "delivery", store.ChannelWebhooks, "")
	b.refuse(t, 9, hour, "", store.ChannelWebhooks, signature)

	require.Equal(t, map[string]int64{"order": 3}, b.signals(t).Arrivals.Unverified)
	b.arrive(t, "webhook_queue", 1, 0, "order", true)
	require.Empty(t, b.signals(t).Arrivals.Unverified, "one that the roll-up has not counted yet")
}

func TestArrivals_CountTheChannels(t *testing.T) {
	t.Parallel()
	b := setup(t)
	hour := time.Hour
	b.rollUp(t)
	b.arrive(t, "webhook_queue", 3, 2*hour, "payment", true)
	b.arrive(t, "webhook_queue", 4, 2*hour, "payment", false)
	b.arrive(t, "webhook_queue", 5, 3*24*hour, "payment", false)
	b.exec(t, `UPDATE webhook_rollup SET covered_from = date_trunc('hour', now()) - interval '6 days', covered_until = date_trunc('hour', now()) - interval '6 days'`)
	_, err := b.RollUp(t.Context(), 100*24*hour)
	require.NoError(t, err)
	b.refuse(t, 1, 2*hour, "order", store.ChannelWebhooks, signature)
	b.refuse(t, 2, 2*hour, "payment", store.ChannelIPN, signature)
	b.refuse(t, 6, 30*hour, "payment", store.ChannelIPN, "")
	b.refuse(t, 7, 2*hour, "payment", "", signature)

	a := b.signals(t).Arrivals
	require.Equal(t, []int64{4, 6, 11}, []int64{a.Webhooks, a.IPN, a.IPNBefore})

	b.exec(t, `DELETE FROM webhook_accepted_hours WHERE signed`)
	b.exec(t, `DELETE FROM webhook_refused WHERE channel = 'webhooks'`)
	require.EqualValues(t, 1, b.signals(t).Arrivals.Webhooks, "the events themselves show that some came")
	b.exec(t, `DELETE FROM webhook_queue WHERE signed`)
	require.Zero(t, b.signals(t).Arrivals.Webhooks)
}

func TestArrivals_NameTheTopicsWithoutEffect(t *testing.T) {
	t.Parallel()
	b := setup(t)
	unhandled := func(n int, topic string, change func(*store.NewEvent)) int64 {
		t.Helper()
		ev := signed(n, "PAY1")
		ev.Topic, ev.Work = topic, store.WorkUnhandled
		if change != nil {
			change(&ev)
		}
		return b.accept(t, ev)
	}
	unhandled(1, "payment", nil)
	replayed := unhandled(2, "order", nil)
	b.exec(t, `INSERT INTO webhook_queue (source, topic, payload, origin, replay_of) VALUES ('mercadopago', 'order', '', 'replay', $1)`, replayed)
	unhandled(3, "claim", func(ev *store.NewEvent) { ev.Signed, ev.Signature = false, nil })
	old := unhandled(4, "chargebacks", nil)
	b.exec(t, `UPDATE webhook_queue SET received_at = now() - interval '25 hours', completed_at = now() - interval '25 hours' WHERE id = $1`, old)

	require.Equal(t, map[string]int64{"payment": 1}, b.signals(t).Arrivals.Unhandled)
}
