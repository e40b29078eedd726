package dashboard_test

import (
	"strings"
	"testing"
	"time"

	"github.com/shopspring/decimal"
	"github.com/stretchr/testify/require"

	"github.com/conciliar/conciliar/jobs"
	"github.com/conciliar/conciliar/store"
	"github.com/conciliar/conciliar/store/order"
	"github.com/conciliar/conciliar/store/storetest/fixture"
)

// in is a payment with other facts.
func in(p order.Payment, change ...func(*order.Payment)) order.Payment {
	for _, c := range change {
		c(&p)
	}
	return p
}

func dollars(p *order.Payment) { p.Currency = "USD" }
func theirs(p *order.Payment)  { p.CollectorID = "666" }
func word(detail string) func(*order.Payment) {
	return func(p *order.Payment) { p.StatusDetail = detail }
}

// resolve closes the open anomaly of a kind with a note.
func (b *bundle) resolve(t testing.TB, kind order.AnomalyKind, text string) {
	t.Helper()
	note, err := store.ParseNote(text)
	require.NoError(t, err)
	_, err = b.store.ResolveAnomaly(t.Context(), b.count(t, `SELECT id FROM anomalies WHERE kind = $1 AND closed_at IS NULL`, kind), note, operator)
	require.NoError(t, err)
}

// hold lets an event wait out an outage.
func (b *bundle) hold(t testing.TB, queueID int64) {
	t.Helper()
	b.exec(t, `UPDATE river_job SET state = 'scheduled', scheduled_at = now() + interval '1 hour', metadata = metadata || '{"snoozes": 1}'
		WHERE id = (SELECT job_id FROM webhook_queue WHERE id = $1)`, queueID)
}

func (b *bundle) outage(t testing.TB) {
	t.Helper()
	_, _, err := b.store.OpenCircuit(t.Context(), store.Account{Source: "mercadopago"}, store.ReasonUnavailable, time.Minute, time.Minute)
	require.NoError(t, err)
}

func (b *bundle) pause(t testing.TB) {
	t.Helper()
	b.exec(t, `INSERT INTO river_queue (name, updated_at, paused_at) VALUES ($1, now(), '2026-03-01T12:34:00Z')`, jobs.QueueWebhooks)
	b.exec(t, `INSERT INTO operator_actions (actor, action, target_kind, note) VALUES ('ana', 'pause_queue', 'job_queue', $1)`, jobs.QueueWebhooks)
}

// A scene is a database on which something happens in a test.
type scene struct {
	*bundle
	testing.TB
}

// orderPages are the rows of the review's table B: what happens to the order A-1 of ARS
// 1,000.00, and what its page says and doesn't.
var orderPages = []struct {
	row  string
	does func(s scene)
	says []string
	not  []string
}{
	{"B1 another currency, resolved", func(s scene) {
		s.settle(s, "A-1", in(payment("1001", order.PaymentApproved, "1000"), dollars))
		s.resolve(s, order.AnomalyCurrencyMismatch, "agreed by phone")
	}, []string{"Payment 1001, USD 1,000.00, came and does not count. operator settled it on", "agreed by phone"}, []string{"counts USD", "Paid:", "to decide"}},
	{"B1 another account, resolved", func(s scene) {
		s.settle(s, "A-1", in(payment("1001", order.PaymentApproved, "1000"), theirs))
		s.resolve(s, order.AnomalyForeignCollector, "not ours")
	}, []string{"Payment 1001, ARS 1,000.00, came and does not count."}, []string{"counts ARS", "Wait for the buyer"}},
	{"B2 another currency, then a rejected try", func(s scene) {
		s.settle(s, "A-1", in(payment("1001", order.PaymentApproved, "1000"), dollars))
		s.settle(s, "A-1", payment("1002", order.PaymentRejected, "1000"))
	}, []string{"Payment 1001, USD 1,000.00, is in another currency", "Don't ask the buyer to pay again"}, []string{"nothing was paid", "can try again"}},
	{"B3 another currency", func(s scene) {
		s.settle(s, "A-1", in(payment("1001", order.PaymentApproved, "1000"), dollars))
	}, []string{"awaiting payment", "to decide", "Payment 1001, USD 1,000.00, is in another currency", "Don't ask the buyer to pay again"}, []string{"Wait for the buyer", "no payment yet"}},
	{"B4 another account", func(s scene) {
		s.settle(s, "A-1", in(payment("1001", order.PaymentApproved, "1000"), theirs))
	}, []string{"Another account was paid (666)", "It is not your money", "whose access token your checkout uses"}, []string{"Wait for the buyer"}},
	{"B5 paid, and its webhook is held in an outage", func(s scene) {
		s.settle(s, "A-1", payment("6006", order.PaymentPending, "1000"))
		s.outage(s)
		s.hold(s, s.accept(s, "6006"))
	}, []string{"Not known whether it is paid.", "Newer news about payment 6006 waits.", "Mercado Pago does not answer since", "Don't ask the buyer to pay, don't ship and don't cancel"}, []string{"Wait for the buyer"}},
	{"B6 the same, the queue is paused", func(s scene) {
		s.settle(s, "A-1", payment("6006", order.PaymentPending, "1000"))
		s.accept(s, "6006")
		s.pause(s)
	}, []string{"Not known whether it is paid.", "The queue is paused since Mar 1, 2026, 12:34, by ana.", "Resume the queue", "Resume Open the queue"}, []string{"in a moment", "Wait for the buyer"}},
	{"B6 the same, no worker", func(s scene) {
		s.settle(s, "A-1", payment("6006", order.PaymentPending, "1000"))
		s.accept(s, "6006")
		s.exec(s, `DELETE FROM processes`)
	}, []string{"Not known whether it is paid.", "No process is working on events."}, []string{"in a moment", "Wait for the buyer"}},
	{"B7 known pending, then its event died", func(s scene) {
		s.settle(s, "A-1", payment("1007", order.PaymentPending, "1000"))
		s.deadLetter(s, "1007", "forbidden: 403")
	}, []string{"Not known whether it is paid.", "the latest news about it could not be read. Mercado Pago does not show this payment to our account (403)", "Replay its event", "Open the failed event"}, []string{"Wait for the buyer"}},
	{"B8 an outage and deaths before the first fetch", func(s scene) {
		s.outage(s)
		for _, id := range []string{"21", "22", "23"} {
			s.hold(s, s.accept(s, id))
		}
		s.deadLetter(s, "24", "forbidden: 403")
	}, []string{"Not known whether it is paid.", "Webhooks whose order is not known yet: 4, of which 1 failed for good. One may be this order's.", "Mercado Pago does not answer since", "Failed events"}, []string{"Nobody has paid"}},
	{"B9 its webhook was refused", func(s scene) { s.refuse(s, 9) },
		[]string{"Not known whether it is paid.", "Webhooks refused since", ": 9, and none accepted after them", "See why they were refused"}, []string{"Nobody has paid"}},
	{"B9 its payment is known", func(s scene) {
		s.settle(s, "A-1", payment("100", order.PaymentPending, "1000"))
		s.refuse(s, 1)
	}, []string{"Not known whether it is paid.", "A webhook about payment 100 was refused on"}, []string{"Wait for the buyer"}},
	{"B10 a surplus by a second payment", func(s scene) {
		s.settle(s, "A-1", payment("1003", order.PaymentApproved, "1000"))
		s.settle(s, "A-1", payment("1004", order.PaymentApproved, "1000"))
	}, []string{"Paid, and ARS 1,000.00 too much", "Refund payment 1004 in Mercado Pago: ARS 1,000.00.", "Too much ARS 1,000.00", "Anomaly: Paid twice"}, []string{"Refund the surplus", "Refund one of them", "Overpaid"}},
	{"B11 three payments each cover it", func(s scene) {
		for _, id := range []string{"1003", "1004", "1005"} {
			s.settle(s, "A-1", payment(id, order.PaymentApproved, "1000"))
		}
	}, []string{"Refund payments 1004, 1005 in Mercado Pago: ARS 2,000.00."}, []string{"one of them"}},
	{"B12 another currency, already given back", func(s scene) {
		s.settle(s, "A-1", in(payment("1001", order.PaymentApproved, "1000"), dollars))
		s.settle(s, "A-1", in(payment("1001", order.PaymentRefunded, "1000"), dollars))
	}, []string{"Payment 1001, USD 1,000.00, did not count and was given back.", "The buyer can pay again"}, []string{"Wait for the buyer", "Refund it", "to decide"}},
	{"B13 a chargeback that is lost", func(s scene) {
		s.settle(s, "A-1", in(payment("1011", order.PaymentChargedBack, "1000"), word("settled")))
	}, []string{"The chargeback of payment 1011 is lost: ARS 1,000.00 is gone. There is nothing to send."}, []string{"proof of delivery"}},
	{"B14 a chargeback, and another payment covers", func(s scene) {
		s.settle(s, "A-1", in(payment("1011", order.PaymentChargedBack, "1000"), word("in_process")))
		s.settle(s, "A-1", payment("1012", order.PaymentApproved, "1000"))
	}, []string{"The bank took payment 1011, ARS 1,000.00, back", "The order is paid all the same: ARS 1,000.00 is there.", "proof of delivery for payment 1011"}, nil},
	{"B15 paid, then its event died", func(s scene) {
		s.settle(s, "A-1", payment("1007", order.PaymentApproved, "1000"))
		s.deadLetter(s, "1007", "forbidden: 403")
	}, []string{"Paid: ARS 1,000.00 is there.", "Payment 1007 is shown as of", "Replay its event before you ship"}, nil},
	{"B16 part paid, the rest pending", func(s scene) {
		s.settle(s, "A-1", payment("2016", order.PaymentApproved, "400"))
		s.settle(s, "A-1", payment("2017", order.PaymentPending, "600"))
	}, []string{"ARS 600.00 is missing", "ARS 600.00 more is on its way as payment 2017.", "don't ask the buyer for more yet", "Missing ARS 600.00"}, []string{"Ask the buyer for"}},
	{"B17 the provider warns of fraud", func(s scene) {
		s.settle(s, "A-1", payment("1003", order.PaymentApproved, "1000"))
		s.exec(s, `INSERT INTO anomalies (kind, source, order_reference, payment_id, detail) VALUES ('fraud_alert', 'mercadopago', 'A-1', '1003', '{}')`)
	}, []string{"Don't ship: Mercado Pago warned of fraud with payment 1003", "to decide"}, []string{"Paid: "}},
	{"B18 a dead event was dismissed", func(s scene) {
		s.settle(s, "A-1", payment("2007", order.PaymentPending, "1000"))
		letter, _ := s.deadLetter(s, "2007", "forbidden: 403")
		note, err := store.ParseNote("a stranger's")
		require.NoError(s, err)
		require.NoError(s, s.store.DismissDeadLetter(s.Context(), letter, note, operator))
	}, []string{"News about payment 2007 was given up by operator on", "a stranger's"}, nil},
	{"B19 rejected", func(s scene) {
		s.settle(s, "A-1", in(payment("2019", order.PaymentRejected, "1000"), word("cc_rejected_insufficient_amount")))
	}, []string{"The last one was rejected on", "not enough money on the card", "another card or payment method, or with enough money"}, []string{"cc_rejected"}},
	{"B20 reserved", func(s scene) {
		s.settle(s, "A-1", payment("2020", order.PaymentAuthorized, "1000"))
	}, []string{"Capture it in Mercado Pago before the reservation ends"}, nil},
	{"B21 rejected once, expired once", func(s scene) {
		s.settle(s, "A-1", payment("2021", order.PaymentRejected, "1000"))
		s.settle(s, "A-1", in(payment("2022", order.PaymentCancelled, "1000"), word("expired")))
	}, []string{"No payment succeeded"}, []string{"Every payment was rejected"}},
	{"B21 moneyless only", func(s scene) {
		s.settle(s, "A-1", payment("2023", order.PaymentApproved, "0"))
	}, []string{"Nobody has paid ARS 1,000.00 yet: a card was only checked."}, []string{"Wait for the buyer"}},
	{"B22 nobody paid", func(scene) {}, []string{"awaiting payment", "Nobody has paid ARS 1,000.00 yet"}, []string{"no payment yet", "to decide"}},
	{"a near miss", func(s scene) {
		s.settle(s, "a-1", payment("7", order.PaymentApproved, "1000"))
	}, []string{"Payment 7, ARS 1,000.00, names order “a-1”", "Don't ask the buyer to pay again"}, []string{"Nobody has paid"}},
}

func TestOrderPage_SaysOneVerdictAndOneAct(t *testing.T) {
	t.Parallel()
	for _, c := range orderPages {
		t.Run(c.row, func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			require.NoError(t, b.store.KeepAccount(t.Context(), "1"))
			fixture.Worker(t, b.pool)
			b.register(t, "A-1", "1000")
			c.does(scene{b, t})
			main := spaced(b.page(t, "en", "/dashboard/orders?reference=A-1"))
			for _, text := range c.says {
				require.Contains(t, main, text)
			}
			for _, text := range c.not {
				require.NotContains(t, main, text)
			}
			for _, lang := range []string{"es", "pt-BR"} {
				require.NotRegexp(t, `\{[a-z]+\}`, b.page(t, lang, "/dashboard/orders?reference=A-1"))
			}
			body := b.get(t, "en", "/dashboard/orders?reference=A-1").Body.String()
			require.LessOrEqual(t, strings.Count(body, `<p class="act">`), 1)
		})
	}
}

func TestOrderPage_TellsOneStoryTheNewestFirst(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.register(t, "A-1", "1000")
	b.settle(t, "A-1", payment("1", order.PaymentPending, "1000"))
	b.settle(t, "A-1", in(payment("1", order.PaymentApproved, "1400"), func(p *order.Payment) { p.Refunded = decimal.NewFromInt(1) }))
	main := b.page(t, "en", "/dashboard/orders?reference=A-1")
	_, story, found := strings.Cut(main, "History")
	require.True(t, found)
	at := -1
	for _, text := range []string{"Anomaly: Overpaid", "Order: paid", "Payment 1 : approved", "Payment 1 : pending", "registered"} {
		next := strings.Index(story, text)
		require.Greater(t, next, at, text)
		at = next
	}
}
