package store_test

import (
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/conciliar/conciliar/store"
	"github.com/conciliar/conciliar/store/order"
	"github.com/conciliar/conciliar/store/storetest/fixture"
)

// A payer as documents name one.
type payer struct{ id, email, document, name string }

var (
	payerAna = payer{"900177", "ana.payer@example.com", "30111222", "Ana Payer"}
	guestAna = payer{"", "ana.payer@example.com", "30111222", "Ana Payer"} // as a guest
	payerBea = payer{"900188", "bea@example.com", "28999000", "Bea Other"}
)

func (p payer) words() []string { return []string{"900177", p.email, p.document, p.name} }

// documentOf is a payment as a provider answers it.
func documentOf(paymentID string, p payer) []byte {
	return fmt.Appendf(nil, `{"id":%q,"payer":{"id":%q,"email":%q,"first_name":%q,"identification":{"number":%q}}}`,
		paymentID, p.id, p.email, p.name, p.document)
}

// readPayer reads documentOf.
func readPayer(_ string, document []byte) store.Payers {
	var doc struct {
		Payer struct {
			ID, Email      string
			Identification struct{ Number string }
		}
	}
	var found store.Payers
	if json.Unmarshal(document, &doc) == nil {
		for value, list := range map[string]*[]string{doc.Payer.ID: &found.IDs, doc.Payer.Email: &found.Emails, doc.Payer.Identification.Number: &found.Documents} {
			if value != "" {
				*list = append(*list, value)
			}
		}
	}
	return found
}

func setupForget(t *testing.T) *bundle {
	t.Helper()
	return setup(t, func(o *store.Options) { o.ReadPayers = readPayer })
}

// paid is a payment of the payer's that was settled, and the event that brought it.
func (b *bundle) paid(t *testing.T, number int, paymentID, reference string, p payer) int64 {
	t.Helper()
	queueID := fixture.Accept(t, b.Store, signed(number, paymentID))
	payment := fetched(paymentID, reference, order.PaymentApproved, "50", number)
	payment.Raw = documentOf(paymentID, p)
	fixture.Settle(t, b.Store, b.pool, queueID, payment)
	return queueID
}

// history puts a payer into everything that keeps what was written elsewhere.
func (b *bundle) history(t *testing.T) {
	t.Helper()
	fixture.Register(t, b.Store, "A-1", "100")
	b.paid(t, 1, "77001", "A-1", payerAna)
	archived := b.paid(t, 2, "77002", "A-1", guestAna)
	b.paid(t, 3, "77003", "B-1", payerBea)
	// As the release before kept what a reconciliation found.
	b.exec(t, `UPDATE webhook_queue SET origin = 'reconciliation', payload = $2, remote_ip = '198.51.100.23' WHERE id = $1`, archived, documentOf("77002", guestAna))
	fixture.Archive(t, b.pool, archived)
	// A notification that nobody settles, and what an attempt said.
	informs := signed(4, "plan-1")
	informs.Topic, informs.Work, informs.Payload, informs.Query = "subscription_preapproval", store.WorkKeep, []byte(`{"payer_email":"Ana.Payer\u0040example.com"}`), "payer=ana.payer%40example.com"
	fixture.Accept(t, b.Store, informs)
	// A payment that could not be booked, given up by a person.
	letter := fixture.Accept(t, b.Store, signed(5, "77005"))
	require.NoError(t, b.KeepOdd(t.Context(), b.startAttempt(t, letter), store.OddAnswer{
		Source: "mercadopago", Fields: []string{"amount"}, Problem: "about ana.payer@example.com", Raw: documentOf("77005", payerAna),
	}))
	fixture.Die(t, b.pool, letter, 1, "odd_payment: payer 900177 of 130111222")
	b.exec(t, `UPDATE webhook_dead_letter SET state = 'dismissed', note = 'Ana.Payer@example.com called' WHERE queue_id = $1`, letter)
	for _, body := range [][]byte{documentOf("1", payerAna), []byte(`{"data":{"id":"77001"}}`), documentOf("77003", payerBea)} {
		require.NoError(t, b.InsertRefused(t.Context(), store.Refused{
			Source: "mercadopago", Reason: "signature_mismatch", Method: "POST", Query: "data.id=77009", Body: body, RemoteIP: ana.RemoteIP,
		}))
	}
	b.exec(t, `INSERT INTO anomalies (kind, order_reference, detail, note) VALUES ('unsettled_difference', 'A-9', '{"why": "ANA.payer@example.com", "n": 900177}', NULL)`)
	b.exec(t, `INSERT INTO alert_messages (body) VALUES ('{"text": "payer 900177."}')`)
}

// nameInNote is where what a person wrote names the payer.
const nameInNote = "webhook_dead_letter.note: ana.payer@example.com"

func TestForget_ErasesThePayerEverywhere(t *testing.T) {
	t.Parallel()
	for name, request := range map[string]store.Forget{
		"by id": {PayerID: "900177"}, "by e-mail address": {Email: "Ana.Payer@Example.com"}, "by order": {Order: "A-1"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setupForget(t)
			b.history(t)
			before := b.count(t, `SELECT count(*) FROM payment_logs`)
			request := request
			request.By = ana

			dry := request
			dry.DryRun = true
			counted, err := b.Forget(t.Context(), dry)
			require.NoError(t, err)
			require.Greater(t, len(fixture.Find(t, b.pool, payerAna.words()...)), 10, "it counts and changes nothing")
			done, err := b.Forget(t.Context(), request)
			require.NoError(t, err)

			require.Equal(t, []string{"77001", "77002", "77005"}, done.Payments)
			require.Equal(t, 3, done.Names)
			require.Equal(t, map[string]int{"payments": 2, "webhook_queue": 3, "webhook_archive": 1, "webhook_refused": 2}, done.Emptied)
			require.Equal(t, []store.Mention{{Table: "webhook_dead_letter", Column: "note", Key: "1"}}, done.Mentions)
			require.Equal(t, counted.Emptied, done.Emptied)
			require.Equal(t, counted.Replaced, done.Replaced)
			require.ElementsMatch(t, []string{nameInNote, "anomalies.detail: 900177", "webhook_dead_letter.errors: 30111222", "webhook_dead_letter.error: 30111222", "river_job.errors: 30111222"},
				fixture.Find(t, b.pool, payerAna.words()...), "but the note, a number of ours, and a longer number")

			b.requireOrder(t, "A-1", order.StatusPaid, "100", "0")
			require.Equal(t, before, b.count(t, `SELECT count(*) FROM payment_logs`))
			bea, err := b.Payment(t.Context(), "mercadopago", "77003")
			require.NoError(t, err)
			require.Contains(t, bea.Raw.Data, payerBea.email, "another payer")
			require.Equal(t, 1, b.count(t, `SELECT count(*) FROM webhook_refused WHERE body <> ''`))
			require.Equal(t, 1, b.count(t, `SELECT count(*) FROM operator_actions WHERE action = 'forget' AND target_kind = 'payer' AND actor = $1 AND count = 3 AND note = ''`, ana.Name))
			report, err := b.Verify(t.Context(), store.VerifyOptions{RescueAfter: time.Hour, Limit: 5})
			require.NoError(t, err)
			for _, v := range report.Violations {
				require.Equal(t, "nothing", v.Invariant, v.Rows)
			}

			again, err := b.Forget(t.Context(), request)
			require.NoError(t, err, "done again, it finds nothing more")
			require.Empty(t, again.Emptied)
			require.Empty(t, again.Replaced)
		})
	}
}

func (b *bundle) forgetAna(t *testing.T) store.Forgotten {
	t.Helper()
	done, err := b.Forget(t.Context(), store.Forget{PayerID: payerAna.id, By: ana})
	require.NoError(t, err)
	return done
}

// Every way in which a document is written again: by another process, which has seen
// nothing of what was forgotten.
func TestForget_WhatWasErasedDoesNotComeBack(t *testing.T) {
	t.Parallel()
	first := setupForget(t)
	old := first.paid(t, 1, "77001", "A-1", payerAna)
	first.forgetAna(t)
	b := onPool(t, first.pool, func(o *store.Options) { o.ReadPayers, o.InsertStep = readPayer, stepInserter(t, first.pool) })
	for way, write := range map[string]func(){
		"the payment, in another state": func() {
			queueID := fixture.Accept(t, b.Store, signed(20, "77001"))
			refund := fetched("77001", "A-1", order.PaymentRefunded, "50", 9)
			refund.Raw = documentOf("77001", payerAna)
			fixture.Settle(t, b.Store, b.pool, queueID, refund)
		},
		"another payment, by the payer's id": func() {
			b.paid(t, 21, "77021", "A-2", payer{id: payerAna.id, email: "new.address@example.com", document: payerAna.document, name: payerAna.name})
		},
		"another payment, by the e-mail address": func() { b.paid(t, 22, "77022", "A-2", guestAna) },
		"a replay": func() {
			replay, err := b.ReplayEvent(t.Context(), old, ana)
			require.NoError(t, err)
			again := fetched("77001", "A-1", order.PaymentRefunded, "50", 10)
			again.Raw = documentOf("77001", payerAna)
			fixture.Settle(t, b.Store, b.pool, replay.QueueID, again)
		},
		"an answer that can't be booked": func() {
			queueID := fixture.Accept(t, b.Store, signed(23, "77023"))
			require.NoError(t, b.KeepOdd(t.Context(), b.startAttempt(t, queueID), store.OddAnswer{
				Source: "mercadopago", Fields: []string{"amount"}, Problem: "payment: transaction_amount is missing", Raw: documentOf("77023", payerAna),
			}))
		},
		"a body that asks for nothing": func() {
			ev := signed(24, "")
			ev.Topic, ev.Work, ev.Payload = "subscription_preapproval", store.WorkKeep, documentOf("24", payerAna)
			fixture.Accept(t, b.Store, ev)
		},
		"a body that is needed until its event ends": func() {
			ev := signed(25, "CB-25")
			ev.Topic, ev.Work, ev.Payload = "topic_chargebacks_wh", store.WorkFollow, documentOf("25", payerAna)
			queueID := fixture.Accept(t, b.Store, ev)
			a := b.startAttempt(t, queueID)
			start, err := b.StartAttempt(t.Context(), queueID)
			require.NoError(t, err)
			require.JSONEq(t, string(ev.Payload), string(start.Payload), "it is the work")
			require.NoError(t, b.Complete(t.Context(), a, store.OutcomeFollowed, complete(a)))
		},
		"a dead letter, once it is closed": func() {
			ev := signed(26, "CB-26")
			ev.Topic, ev.Work, ev.Payload = "topic_chargebacks_wh", store.WorkFollow, documentOf("26", payerAna)
			queueID := fixture.Accept(t, b.Store, ev)
			fixture.Die(t, b.pool, queueID, 7, "timeout: late")
			b.exec(t, `UPDATE webhook_dead_letter SET state = 'dismissed' WHERE queue_id = $1`, queueID)
			b.retain(t, store.Keep{Events: 30 * day, Payloads: 90 * day})
		},
		"a refused delivery": func() {
			require.NoError(t, b.InsertRefused(t.Context(), store.Refused{
				Source: "mercadopago", Reason: "signature_mismatch", Method: "POST", Query: "email=ana.payer%40example.com", Body: documentOf("1", payerAna),
			}))
		},
		"a refused delivery about the payment": func() {
			require.NoError(t, b.InsertRefused(t.Context(), store.Refused{
				Source: "mercadopago", Reason: "signature_mismatch", Method: "POST", Query: "data.id=77001", Body: []byte("Ana Payer"),
			}))
		},
	} {
		write()
		require.Empty(t, fixture.Find(t, b.pool, append(payerAna.words(), "new.address")...), way)
	}
	require.Equal(t, 1, b.count(t, `SELECT count(*) FROM webhook_refused WHERE query = 'data.id=77001'`))
	b.paid(t, 30, "77030", "B-1", payerBea)
	require.NotEmpty(t, fixture.Find(t, b.pool, payerBea.email), "who was not forgotten is kept")
}

func TestForget_WaitsForNothingThatIsNeeded(t *testing.T) {
	t.Parallel()
	b := setupForget(t)
	b.paid(t, 1, "77001", "A-1", payerAna)
	open := fixture.Accept(t, b.Store, signed(2, "77001"))
	letter := fixture.Accept(t, b.Store, signed(3, "77001"))
	fixture.Die(t, b.pool, letter, 7, "timeout: late")
	before := fixture.Find(t, b.pool, payerAna.words()...)

	counted, err := b.Forget(t.Context(), store.Forget{Email: payerAna.email, DryRun: true, By: ana})
	require.NoError(t, err)
	require.Equal(t, []int64{open, letter}, counted.Open)
	_, err = b.Forget(t.Context(), store.Forget{Email: payerAna.email, By: ana})
	var refused *store.OpenEventsError
	require.ErrorAs(t, err, &refused)
	require.Equal(t, []int64{open, letter}, refused.Events)
	require.ElementsMatch(t, before, fixture.Find(t, b.pool, payerAna.words()...))
	require.Zero(t, b.count(t, `SELECT count(*) FROM forgotten_payers`)+b.count(t, `SELECT count(*) FROM operator_actions`))

	again := fetched("77001", "A-1", order.PaymentApproved, "50", 1)
	again.Raw = documentOf("77001", payerAna)
	fixture.Settle(t, b.Store, b.pool, open, again)
	b.exec(t, `UPDATE webhook_dead_letter SET state = 'dismissed'`)
	b.forgetAna(t)
	require.Empty(t, fixture.Find(t, b.pool, payerAna.words()...))
}

// A settlement that began before and commits after has not seen who was forgotten.
func TestForget_FindsWhatIsBeingWritten(t *testing.T) {
	t.Parallel()
	b := setupForget(t)
	b.paid(t, 1, "77001", "A-1", payerAna)
	writer, err := b.pool.Begin(t.Context())
	require.NoError(t, err)
	_, err = writer.Exec(t.Context(), `
		INSERT INTO payments (source, payment_id, status, amount, currency, live_mode, date_last_updated, fetched_at, raw)
		VALUES ('mercadopago', '77002', 'approved', 50, 'ARS', true, now(), now(), $1)`, documentOf("77002", payerAna))
	require.NoError(t, err)
	ended := make(chan error, 1)
	go func() {
		_, err := b.Forget(t.Context(), store.Forget{PayerID: payerAna.id, By: ana})
		ended <- err
	}()
	b.awaitWaiters(t, 1)
	require.NoError(t, writer.Commit(t.Context()))
	require.NoError(t, <-ended)
	require.Empty(t, fixture.Find(t, b.pool, payerAna.words()...))
}

// The number of a family's card is no reason to erase the family.
func TestForget_ANumberThatOthersHaveTooTellsNobodyApart(t *testing.T) {
	t.Parallel()
	b := setupForget(t)
	sister := payer{"900199", "sister@example.com", payerAna.document, "Sis Payer"}
	b.paid(t, 1, "77001", "A-1", payerAna)
	b.paid(t, 2, "77002", "A-1", sister)
	done := b.forgetAna(t)
	require.Equal(t, 2, done.Names)
	known, err := b.Payment(t.Context(), "mercadopago", "77002")
	require.NoError(t, err)
	require.Contains(t, known.Raw.Data, sister.email)
	require.Empty(t, fixture.Find(t, b.pool, payerAna.id, payerAna.email, payerAna.name))
}

func TestForget_TellsOfAnOrderThatNobodyPaid(t *testing.T) {
	t.Parallel()
	b := setupForget(t)
	_, err := b.Forget(t.Context(), store.Forget{Order: "A-1", By: ana})
	require.ErrorIs(t, err, store.ErrOrderNotFound)
	done, err := b.Forget(t.Context(), store.Forget{Email: "nobody@example.com", By: ana})
	require.NoError(t, err, "who comes later is known")
	require.Empty(t, done.Payments)
	b.paid(t, 1, "77001", "A-1", payer{"900500", "nobody@example.com", "33444555", "No Body"})
	require.Empty(t, fixture.Find(t, b.pool, "nobody@example.com", "33444555"))
}
