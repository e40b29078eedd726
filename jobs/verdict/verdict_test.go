package verdict_test

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/shopspring/decimal"
	"github.com/stretchr/testify/require"

	"github.com/conciliar/conciliar/jobs/health"
	"github.com/conciliar/conciliar/jobs/verdict"
	"github.com/conciliar/conciliar/store"
	"github.com/conciliar/conciliar/store/order"
	"github.com/conciliar/conciliar/store/payout"
)

var noon = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// An edit changes the facts about an order of ARS 100 for account 1.
type edit func(f *store.OrderFacts)

func facts(edits ...edit) store.OrderFacts {
	f := store.OrderFacts{
		At: noon, Reference: "A-1", Rules: order.Rules{CollectorID: "1", Mode: order.ModeLive}, Provider: store.ProviderState{Circuit: store.CircuitClosed},
		Order: &store.Order{Reference: "A-1", Terms: order.Terms{Amount: decimal.NewFromInt(100), Currency: "ARS"}, CreatedAt: noon.Add(-time.Hour)},
	}
	for _, e := range edits {
		e(&f)
	}
	if f.Order != nil {
		c, _, err := order.Judge(f.Order.Terms, f.Rules, statesOf(f.Payments))
		if err == nil {
			f.Order.Status, f.Order.Paid, f.Order.Refunded = c.Status, c.Paid, c.Refunded
		}
	}
	return f
}

func statesOf(payments []store.OrderPayment) (states []order.Payment) {
	for _, p := range payments {
		states = append(states, p.Payment)
	}
	return states
}

func pay(id string, status order.PaymentStatus, amount int64, change ...func(*order.Payment)) edit {
	p := order.Payment{
		ID: id, Status: status, Amount: decimal.NewNullDecimal(decimal.NewFromInt(amount)), Currency: "ARS", CollectorID: "1", LiveMode: true,
		FetchedAt: noon, FetchMark: 10,
	}
	for _, c := range change {
		c(&p)
	}
	return func(f *store.OrderFacts) {
		p.UpdatedAt = noon.Add(time.Duration(len(f.Payments)-60) * time.Minute)
		f.Payments = append(f.Payments, store.OrderPayment{Source: "mercadopago", Payment: p})
	}
}

func currency(code string) func(*order.Payment) { return func(p *order.Payment) { p.Currency = code } }
func account(id string) func(*order.Payment)    { return func(p *order.Payment) { p.CollectorID = id } }
func detail(word string) func(*order.Payment) {
	return func(p *order.Payment) { p.StatusDetail = word }
}
func refunded(amount int64) func(*order.Payment) {
	return func(p *order.Payment) { p.Refunded = decimal.NewFromInt(amount) }
}

// event is one about a payment, newer than every fetch.
func event(id int64, resource, status string, change ...func(*store.Event)) edit {
	e := store.Event{QueueID: id, ResourceID: resource, Status: status, Work: store.WorkPayment}
	for _, c := range change {
		c(&e)
	}
	return func(f *store.OrderFacts) { f.Events = append(f.Events, e) }
}

func letter(state, failure string) func(*store.Event) {
	id := int64(70)
	return func(e *store.Event) { e.DeadLetterID, e.DeadLetterState, e.LastError = &id, &state, &failure }
}

func names(e *store.Event) { e.Work = store.WorkFollow }

// anomaly is one that is open, or that a person closed with a note.
func anomaly(kind order.AnomalyKind, payment string, closed ...string) edit {
	a := store.Anomaly{ID: 5, Kind: kind, Reference: "A-1", PaymentID: payment, OpenedAt: noon}
	if len(closed) > 0 {
		at := noon
		a.ClosedAt, a.ClosedBy, a.Note = &at, "ana", closed[0]
	}
	return func(f *store.OrderFacts) { f.Anomalies = append(f.Anomalies, a) }
}

// notReleased is money that was not released for a reason.
func notReleased(reason string) edit {
	return func(f *store.OrderFacts) {
		anomaly(order.AnomalyNotReleased, "1")(f)
		f.Anomalies[len(f.Anomalies)-1].Detail = json.RawMessage(`{"reason":"` + reason + `"}`)
	}
}

func ordered(status order.PaymentStatus) edit {
	return func(f *store.OrderFacts) {
		f.Order.ProvisionalPayments = append(f.Order.ProvisionalPayments, store.ProvisionalPayment{ProviderOrderID: "ORD1", Alias: order.Alias{
			Provisional: true, Awaited: true,
			Payment: order.Payment{ID: "PAY1", Status: status, Amount: decimal.NewNullDecimal(decimal.NewFromInt(100)), Currency: "ARS", CollectorID: "1", LiveMode: true, FetchedAt: noon},
		}})
	}
}

func silent(reason string) edit {
	since := noon.Add(-time.Minute)
	return func(f *store.OrderFacts) {
		f.Provider = store.ProviderState{Circuit: store.CircuitOpen, Since: &since, Reason: reason}
	}
}

func paused(by string) edit {
	return func(f *store.OrderFacts) {
		f.Machine.Paused = map[string]store.PausedQueue{health.WebhookQueue: {Since: noon, By: by}}
	}
}

func noWorker(f *store.OrderFacts) { f.Machine.NoWorker = true }
func nobody(f *store.OrderFacts)   { f.Order = nil }
func cancelled(f *store.OrderFacts) {
	f.Order.Terms.Cancelled = true
}

func unread(waiting, failed int64) edit {
	return func(f *store.OrderFacts) { f.Unread = store.Unread{Waiting: waiting, Failed: failed, Since: &noon} }
}

func chargeback(change func(*store.Chargeback)) edit {
	c := store.Chargeback{ID: "2170", PaymentIDs: []string{"1"}}
	change(&c)
	return func(f *store.OrderFacts) { f.Order.Chargebacks = append(f.Order.Chargebacks, c) }
}

const (
	approved, rejected, pending = order.PaymentApproved, order.PaymentRejected, order.PaymentPending
	dead, held, waiting         = store.StatusDeadLetter, store.StatusHeld, store.StatusPending
)

// verdicts are facts with what is said of them: the headline, what qualifies it, and
// the act behind "=>". Their order is that of the review's table B where they are of it.
var verdicts = []struct {
	prose string
	facts []edit
	want  string
}{
	{"nobody paid", nil, "no_payment => no_payment"},
	{"paid", []edit{pay("1", approved, 100)}, "paid"},
	{"another currency, resolved", []edit{pay("1", approved, 100, currency("USD")), anomaly(order.AnomalyCurrencyMismatch, "1", "agreed")}, "misfit_resolved"},
	{"another account, resolved", []edit{pay("1", approved, 100, account("2")), anomaly(order.AnomalyForeignCollector, "1", "whose?")}, "misfit_resolved"},
	{"another currency, then a rejected try", []edit{pay("1", approved, 100, currency("USD")), pay("2", rejected, 100)}, "currency_mismatch => currency_mismatch"},
	{"another currency", []edit{pay("1", approved, 100, currency("USD"))}, "currency_mismatch => currency_mismatch"},
	{"another account", []edit{pay("1", approved, 100, account("2"))}, "foreign_collector => foreign_collector"},
	{"a test", []edit{pay("1", approved, 100, func(p *order.Payment) { p.LiveMode = false })}, "wrong_mode => wrong_mode"},
	{"paid, and another currency beside", []edit{pay("1", approved, 100), pay("2", approved, 9, currency("USD"))}, "paid currency_mismatch => money_beside"},
	{"paid, and another account beside", []edit{pay("1", approved, 100), pay("2", approved, 9, account("2"))}, "paid foreign_collector => foreign_collector"},
	{"held in an outage", []edit{pay("1", pending, 100), event(11, "1", held), silent(store.ReasonUnavailable)}, "not_known news_held provider_silent => provider_silent"},
	{"held, our token is refused", []edit{pay("1", pending, 100), event(11, "1", held), silent(store.ReasonCredentialsRejected)}, "not_known news_held credentials_rejected => credentials_rejected"},
	{"held, and let go now", []edit{pay("1", pending, 100), event(11, "1", held)}, "not_known news_held => news_retrying"},
	{"paused", []edit{pay("1", pending, 100), event(11, "1", waiting), paused("ana")}, "not_known news_waiting queue_paused => queue_paused"},
	{"paused by SQL", []edit{pay("1", pending, 100), event(11, "1", waiting), paused("")}, "not_known news_waiting queue_paused_unknown => queue_paused_unknown"},
	{"no worker", []edit{pay("1", pending, 100), event(11, "1", waiting), noWorker}, "not_known news_waiting no_worker => no_worker"},
	{"under way", []edit{pay("1", pending, 100), event(11, "1", store.StatusProcessing)}, "pending news_waiting => pending"},
	{"known pending, then dead", []edit{pay("1", pending, 100), event(11, "1", dead, letter("open", "forbidden: 403"))}, "not_known news_dead => news_dead"},
	{"dead before the first fetch, and no mirror", []edit{event(11, "1", dead)}, "not_known news_dead_new => news_dead"},
	{"it can't be booked", []edit{event(11, "1", dead, letter("open", "odd_payment: amount"))}, "not_known news_odd => news_odd"},
	{"a status of tomorrow", []edit{event(11, "1", dead, letter("open", "unknown_status: x"))}, "not_known news_odd => news_odd"},
	{"it is tried again", []edit{pay("1", pending, 100), event(11, "1", store.StatusFailed, func(e *store.Event) { e.NextRetryAt = &noon })}, "not_known news_retrying => news_retrying"},
	{"nameless events", []edit{unread(11, 3)}, "not_known unread_failed => unread_failed"},
	{"nameless events in an outage", []edit{unread(11, 0), silent(store.ReasonUnavailable)}, "not_known unread provider_silent => provider_silent"},
	{"nameless events and no worker", []edit{unread(2, 0), noWorker}, "not_known unread no_worker => no_worker"},
	{"an outage, and nothing waits", []edit{silent(store.ReasonUnavailable)}, "no_payment provider_silent => no_payment"},
	{"paid, in an outage and without a worker", []edit{pay("1", approved, 100), silent(store.ReasonUnavailable), noWorker}, "paid"},
	{"refused", []edit{func(f *store.OrderFacts) { f.Intake.Refused, f.Intake.RefusedSince = 9, &noon }}, "not_known refused => refused"},
	{"refused about its payment", []edit{pay("1", pending, 100), func(f *store.OrderFacts) {
		f.Refused = []store.RefusedNews{{ID: 4, PaymentID: "1", At: noon}, {ID: 3, PaymentID: "1", At: noon}}
	}}, "not_known news_refused => news_refused"},
	{"paid twice", []edit{pay("1", approved, 100), pay("2", approved, 100)}, "duplicate_payment => duplicate_payment"},
	{"three each cover it", []edit{pay("1", approved, 100), pay("2", approved, 100), pay("3", approved, 100)}, "duplicate_payment => duplicate_payment"},
	{"paid twice, and a person dealt with it", []edit{pay("1", approved, 100), pay("2", approved, 100), anomaly(order.AnomalyDuplicatePayment, "", "a tip")}, "duplicate_payment resolved"},
	{"too much", []edit{pay("1", approved, 140)}, "overpaid => overpaid"},
	{"another currency, given back", []edit{pay("1", order.PaymentRefunded, 100, currency("USD"))}, "misfit_returned => misfit_returned"},
	{"chargeback", []edit{pay("1", order.PaymentChargedBack, 100, detail("in_process"))}, "charged_back => chargeback_proof"},
	{"chargeback lost", []edit{pay("1", order.PaymentChargedBack, 100, detail("settled"))}, "charged_back_lost"},
	{"chargeback won", []edit{pay("1", order.PaymentChargedBack, 100, detail("reimbursed"))}, "paid"},
	{"chargeback with a deadline", []edit{
		pay("1", order.PaymentChargedBack, 100), chargeback(func(c *store.Chargeback) { c.DocumentsWanted, c.DocumentationDeadline = true, noon }),
	}, "charged_back => chargeback_documents"},
	{"chargeback with a deadline that can't be read", []edit{
		pay("1", order.PaymentChargedBack, 100), chargeback(func(c *store.Chargeback) { c.DocumentsWanted = true }),
	}, "charged_back => chargeback_documents_undated"},
	{"chargeback under review", []edit{
		pay("1", order.PaymentChargedBack, 100), chargeback(func(c *store.Chargeback) { c.DocumentationStatus = "review_pending" }),
	}, "charged_back => chargeback_review"},
	{"chargeback, and another payment covers", []edit{pay("1", order.PaymentChargedBack, 100), pay("2", approved, 100)}, "charged_back others_cover => chargeback_proof"},
	{"chargeback lost, and another payment covers", []edit{pay("1", order.PaymentChargedBack, 100, detail("settled")), pay("2", approved, 100)}, "charged_back_lost others_cover"},
	{"chargeback with a deadline, and dead news", []edit{
		pay("1", order.PaymentChargedBack, 100), chargeback(func(c *store.Chargeback) { c.DocumentsWanted, c.DocumentationDeadline = true, noon }),
		event(11, "1", dead, letter("open", "forbidden: 403")),
	}, "charged_back news_dead => chargeback_documents"},
	{"paid, then dead news", []edit{pay("1", approved, 100), event(11, "1", dead, letter("open", "forbidden: 403"))}, "paid news_dead => news_dead"},
	{"part paid", []edit{pay("1", approved, 40)}, "underpaid => underpaid"},
	{"part paid, the rest pending", []edit{pay("1", approved, 40), pay("2", pending, 60)}, "underpaid underpaid_rest_pending => underpaid_rest_pending"},
	{"part paid, and a person dealt with it", []edit{pay("1", approved, 40), anomaly(order.AnomalyUnderpaid, "", "a discount")}, "underpaid resolved"},
	{"a warning of fraud", []edit{pay("1", approved, 100), anomaly(order.AnomalyFraudAlert, "1"), event(11, "1", dead, letter("open", "x: y"))}, "fraud_alert news_dead => fraud_alert"},
	{"dismissed", []edit{pay("1", pending, 100), event(11, "1", dead, letter("dismissed", "forbidden: 403"))}, "pending news_dismissed => pending"},
	{"dead, and replayed", []edit{pay("1", pending, 100), event(11, "1", dead, letter("replayed", "forbidden: 403"))}, "pending => pending"},
	{"dead, and a later fetch saw all", []edit{pay("1", approved, 100), event(9, "1", dead, letter("open", "forbidden: 403"))}, "paid"},
	{"dead, and a later event was read", []edit{pay("1", approved, 100), event(12, "1", store.StatusCompleted), event(11, "1", dead, letter("open", "forbidden: 403"))}, "paid"},
	{"rejected", []edit{pay("1", rejected, 100, detail("cc_rejected_insufficient_amount"))}, "rejected => rejected"},
	{"rejected without an amount", []edit{pay("1", rejected, 0, func(p *order.Payment) { p.Amount, p.Currency = decimal.NullDecimal{}, "" })}, "rejected => rejected"},
	{"reserved, and a claim", []edit{pay("1", order.PaymentAuthorized, 100), func(f *store.OrderFacts) {
		f.Order.Claims = []store.Claim{{ID: "52", PaymentID: "1"}, {ID: "53", OrderID: "31"}, {ID: "54", PaymentID: "1", Closed: true}}
	}}, "authorized claim_about_payment claim_about_order => authorized"},
	{"rejected, then expired", []edit{pay("1", rejected, 100), pay("2", order.PaymentCancelled, 100)}, "expired => expired"},
	{"expired, then rejected", []edit{pay("2", order.PaymentCancelled, 100), pay("1", rejected, 100)}, "rejected => rejected"},
	{"a card was checked", []edit{pay("1", approved, 0)}, "card_check_only => no_payment"},
	{"all expired", []edit{pay("1", order.PaymentCancelled, 100)}, "expired => expired"},
	{"under review", []edit{pay("1", order.PaymentInProcess, 100)}, "in_process => in_process"},
	{"in dispute", []edit{pay("1", order.PaymentInMediation, 100)}, "in_mediation => in_mediation"},
	{"refunded", []edit{pay("1", order.PaymentRefunded, 100)}, "refunded"},
	{"part refunded", []edit{pay("1", approved, 100, refunded(30))}, "partially_refunded => partially_refunded"},
	{"called off", []edit{cancelled}, "cancelled_by_shop"},
	{"called off and paid", []edit{cancelled, pay("1", approved, 100)}, "paid_after_cancel => paid_after_cancel"},
	{"its payment moved", []edit{anomaly(order.AnomalyPaymentMoved, "")}, "payment_moved => payment_moved"},
	{"a near miss", []edit{func(f *store.OrderFacts) {
		f.Near = []store.NearPayment{{PaymentID: "7", Reference: "a-1", AnomalyID: 6, Currency: "ARS", Amount: decimal.NewNullDecimal(decimal.NewFromInt(100))}}
	}}, "near_miss => near_miss"},
	{"terms that nothing can meet", []edit{func(f *store.OrderFacts) { f.Order.Terms.Currency = "XXZ" }}, "terms => terms"},
	{"only an order of the provider's shows it", []edit{ordered(approved)}, "paid_provisionally"},
	{"and in words that settle nothing", []edit{ordered("")}, "provisional_unclear => provisional_unclear"},
	{"paid, and words that settle nothing", []edit{pay("1", approved, 100), ordered("")}, "paid => provisional_unclear"},
	{"what names its payments waits", []edit{pay("1", pending, 100), event(12, "2170", store.StatusFailed, names), event(11, "52", dead, names, letter("open", "forbidden: 403"))}, "not_known named_dead named_waiting => news_dead"},
	{"what names its payments was dismissed", []edit{pay("1", pending, 100), event(11, "52", dead, names, letter("dismissed", "forbidden: 403"))}, "pending named_dismissed => pending"},
	{"not registered", []edit{nobody}, "unregistered => unregistered"},
	{"not registered, and paid", []edit{nobody, pay("1", approved, 100)}, "unregistered_paid => unregistered_paid"},
	{"not registered, and a near order is", []edit{nobody, pay("1", approved, 100), func(f *store.OrderFacts) { f.NearOrders = []string{"a-1"} }}, "unregistered_paid => unregistered_near"},
	{"the ledger differs", []edit{pay("1", approved, 100), anomaly(order.AnomalyUnsettledDifference, "1")}, "paid unsettled_difference => unsettled_difference"},
	{"both sides differ", []edit{pay("1", approved, 100), anomaly(order.AnomalyAmbiguousPayment, "PAY1")}, "paid ambiguous_payment => ambiguous_payment"},
	{"another amount was released", []edit{pay("1", approved, 100), anomaly(order.AnomalyReleasedDiffers, "1")}, "paid released_differs => released_differs"},
	{"nothing was released", []edit{pay("1", approved, 100), anomaly(order.AnomalyNotReleased, "1")}, "paid not_released => not_released"},
	{"nothing was released in a dispute", []edit{pay("1", approved, 100), notReleased(payout.ReasonDispute)}, "paid not_released_dispute => not_released_dispute"},
	{"nothing was released as it is held back", []edit{pay("1", approved, 100), notReleased(payout.ReasonBlock)}, "paid not_released_block => not_released_block"},
	{"nothing was released for a reason of tomorrow", []edit{pay("1", approved, 100), notReleased("other")}, "paid not_released => not_released"},
	{"an unknown payment was released", []edit{pay("1", approved, 100), anomaly(order.AnomalyReleasedUnknown, "1")}, "paid released_unknown => released_unknown"},
}

// inShort is a verdict's headline, what qualifies it, and the act.
func inShort(v verdict.Verdict) string {
	words := []string{v.Code}
	for _, s := range v.More {
		words = append(words, s.Code)
	}
	if v.Act.Code != "" {
		words = append(words, "=>", v.Act.Code)
	}
	return strings.Join(words, " ")
}

func TestVerdict_SaysOneThingAndOneAct(t *testing.T) {
	t.Parallel()
	sentences, acts := map[string]bool{}, map[string]bool{}
	for _, c := range verdicts {
		v := verdict.Of(facts(c.facts...))
		require.Equal(t, c.want, inShort(v), c.prose)
		for _, s := range slices.Concat([]verdict.Said{v.Said}, v.More, v.Payments) {
			sentences[s.Code] = true
		}
		if v.Act.Code != "" {
			acts[v.Act.Code] = true
		}
	}
	for _, code := range verdict.Sentences() {
		require.True(t, sentences[code], "nothing is %s", code)
		delete(sentences, code)
	}
	for _, code := range verdict.Acts() {
		require.True(t, acts[code], "nothing asks for %s", code)
		delete(acts, code)
	}
	require.Empty(t, sentences)
	require.Empty(t, acts)
}

func TestVerdict_NamesAmountsPaymentsAndWhoDealtWithThem(t *testing.T) {
	t.Parallel()
	v := verdict.Of(facts(pay("1", approved, 100), pay("2", approved, 100), pay("3", approved, 100)))
	require.Equal(t, "200", v.Surplus.String())
	require.Equal(t, []string{"2", "3"}, v.Act.PaymentIDs, "two of the three")
	require.Equal(t, "200", v.Act.Amount.Decimal.String())
	require.True(t, v.Decide)

	v = verdict.Of(facts(pay("1", approved, 40, refunded(15))))
	require.Equal(t, "75", v.Missing.String())
	require.Equal(t, "75", v.Act.Amount.Decimal.String())

	v = verdict.Of(facts(pay("1", approved, 100, currency("USD")), anomaly(order.AnomalyCurrencyMismatch, "1", "agreed by phone")))
	require.Equal(t, []any{"ana", "agreed by phone", "USD", "100"}, []any{v.By, v.Note, v.Currency, v.Amount.Decimal.String()})
	require.False(t, v.Decide)

	v = verdict.Of(facts(pay("1", pending, 100), event(11, "1", dead, letter("open", "forbidden: 403"))))
	require.Equal(t, verdict.Link{Kind: verdict.LinkDeadLetter, ID: 70}, v.Link)
	require.Equal(t, noon, v.More[0].Since, "as of its last fetch")

	v = verdict.Of(facts(event(12, "2", held), event(11, "1", held), silent(store.ReasonUnavailable)))
	require.Equal(t, []string{"2", "1"}, v.More[0].PaymentIDs, "one sentence for both")
}
