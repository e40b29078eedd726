package api_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/shopspring/decimal"
	"github.com/stretchr/testify/require"

	"github.com/conciliar/conciliar/store"
	"github.com/conciliar/conciliar/store/order"
	"github.com/conciliar/conciliar/store/storetest/fixture"
)

// costs are what a payment costs, as a program reads them.
type costs struct {
	FeeAmount            *string `json:"fee_amount"`
	ApplicationFeeAmount *string `json:"application_fee_amount"`
	FinancingFeeAmount   *string `json:"financing_fee_amount"`
	ShippingFeeAmount    *string `json:"shipping_fee_amount"`
	TaxesAmount          *string `json:"taxes_amount"`
	NetAmount            *string `json:"net_amount"`
}

// A paymentAnswer is a payment as a program reads it.
type paymentAnswer struct {
	ID              string  `json:"id"`
	Source          string  `json:"source"`
	Status          string  `json:"status"`
	StatusDetail    string  `json:"status_detail"`
	Amount          string  `json:"amount"`
	ShippingAmount  string  `json:"shipping_amount"`
	RefundedAmount  string  `json:"refunded_amount"`
	Currency        string  `json:"currency"`
	CollectorID     string  `json:"collector_id"`
	LiveMode        bool    `json:"live_mode"`
	PaymentMethod   *string `json:"payment_method"`
	PaymentType     *string `json:"payment_type"`
	ProviderOrderID string  `json:"provider_order_id"`
	DateLastUpdated string  `json:"date_last_updated"`
	FetchedAt       string  `json:"fetched_at"`
	costs
	ReleaseDate   *time.Time `json:"release_date"`
	ReleaseStatus *string    `json:"release_status"`
	Releases      []any      `json:"releases"`
}

// A listedPayment is one in the list.
type listedPayment struct {
	paymentAnswer
	OrderReference *string   `json:"order_reference"`
	UpdatedAt      time.Time `json:"updated_at"`
}

// sell settles a payment of 100 pesos that leaves 92.31, made on 2026-02-27. That of 77
// is by card; the others do not say.
func (b *bundle) sell(t *testing.T, id, reference string, status order.PaymentStatus) {
	t.Helper()
	said := func(amount string) decimal.NullDecimal {
		return decimal.NewNullDecimal(decimal.RequireFromString(amount))
	}
	made := time.Date(2026, 2, 27, 12, 0, 0, 0, time.UTC)
	fixture.Settle(t, b.store, b.pool, b.accept(t, id), store.FetchedPayment{
		Source: "mercadopago", Reference: reference, Raw: []byte(`{}`),
		Payment: order.Payment{
			ID: id, Status: status, Amount: said("100"), Currency: "ARS", CollectorID: "1", LiveMode: true,
			CreatedAt: made, UpdatedAt: made, FetchedAt: made.Add(time.Minute),
		},
		Cost:   store.PaymentCost{Fee: said("6.29"), Taxes: said("1.4"), Net: said("92.31"), ReleaseDate: made.AddDate(0, 0, 10), ReleaseStatus: "pending"},
		Method: map[string]store.PaymentMethod{"77": {ID: "visa", Type: "credit_card"}}[id],
	})
}

func TestPayments_SayWhatTheyCost(t *testing.T) {
	t.Parallel()
	b := setup(t, setupOptions{})
	fixture.Register(t, b.store, "A-1", "100")
	b.sell(t, "77", "A-1", order.PaymentApproved)
	b.sell(t, "78", "", order.PaymentPending)

	requireCosts := func(c costs) {
		t.Helper()
		require.Equal(t, "6.29", *c.FeeAmount)
		require.Equal(t, "1.40", *c.TaxesAmount)
		require.Equal(t, "92.31", *c.NetAmount)
		require.Nil(t, c.FinancingFeeAmount, "what was not said is null")
	}
	shown := get("/api/orders/A-1")
	shown.header = bearer(ordersToken)
	o := answered[orderAnswer](t, b, shown, http.StatusOK)
	requireCosts(o.Payments[0].costs)
	require.Equal(t, "pending", *o.Payments[0].ReleaseStatus)
	require.Equal(t, "visa", *o.Payments[0].PaymentMethod)
	require.Equal(t, "credit_card", *o.Payments[0].PaymentType)

	all := walk[listedPayment](t, b, "/api/payments")
	require.Len(t, all, 2)
	require.Equal(t, "77", all[0].ID)
	require.Equal(t, "A-1", *all[0].OrderReference)
	requireCosts(all[0].costs)
	require.Nil(t, all[1].OrderReference)
	require.Nil(t, all[1].PaymentMethod, "what was not said is null")
	require.Nil(t, all[1].PaymentType, "what was not said is null")
	for query, want := range map[string]int{"order=A-1": 1, "status=pending": 1, "currency=BRL": 0, "changed_since=2999-01-01": 0,
		"changed_until=2020-01-01": 0, "amount_from=100.01": 0, "amount_from=100&amount_to=100": 2, "collector_id=1": 2, "collector_id=2": 0,
		"source=mercadopago": 2, "source=another": 0, "payment_type=credit_card": 1, "payment_method=visa": 1, "payment_method=credit_card": 0,
		// They were made at noon: on the next day where it is 14 hours later.
		"made_since=2026-02-27&made_until=2026-02-28": 2, "made_since=2026-02-28": 0, "made_since=2026-02-28&time_zone=Pacific/Kiritimati": 2,
		"made_until=2026-02-27T12:00:00Z": 0, "made_since=2026-02-27T12:00:00Z": 2} {
		require.Len(t, walk[listedPayment](t, b, "/api/payments?"+query), want, query)
	}
	for _, query := range []string{"status=paid", "order=", "cursor=x", "limit=0", "amount_to=1,5", "made_since=soon", "time_zone=Mars/Olympus", "payment_type="} {
		requireProblem(t, b.do(t, get("/api/payments?"+query)), http.StatusBadRequest, "invalid_parameter")
	}
	byMade := answered[page[listedPayment]](t, b, get("/api/payments?limit=1&made_since=2026-02-27"), http.StatusOK)
	requireProblem(t, b.do(t, get("/api/payments?cursor="+*byMade.NextCursor)), http.StatusBadRequest, "invalid_parameter")
	shown.target = "/api/payments"
	requireProblem(t, b.do(t, shown), http.StatusUnauthorized, "unauthorized")
}

func TestPayments_AreFoundByThePayersEmail(t *testing.T) {
	t.Parallel()
	b := setup(t, setupOptions{})
	for id, email := range map[string]string{"77": "Ana@example.com", "78": "ana@example.com", "79": "bea@example.com"} {
		fixture.Settle(t, b.store, b.pool, b.accept(t, id), store.FetchedPayment{
			Source: "mercadopago", Raw: []byte(`{"payer":{"email":"` + email + `"}}`),
			Payment: order.Payment{ID: id, Status: order.PaymentPending, CollectorID: "1", UpdatedAt: b.clock.Now(), FetchedAt: b.clock.Now()},
		})
	}
	search := func(body string) call { return post("/api/payments/search", body) }
	found := answered[page[listedPayment]](t, b, search(`{"payer_email":" ANA@example.com","limit":1}`), http.StatusOK)
	require.Len(t, found.Items, 1)
	rest := answered[page[listedPayment]](t, b, search(`{"payer_email":"ana@example.com","cursor":"`+*found.NextCursor+`"}`), http.StatusOK)
	require.Nil(t, rest.NextCursor)
	require.ElementsMatch(t, []string{"77", "78"}, []string{found.Items[0].ID, rest.Items[0].ID})
	require.Empty(t, answered[page[listedPayment]](t, b, search(`{"payer_email":"cid@example.com"}`), http.StatusOK).Items)

	for _, body := range []string{`{}`, `{"payer_email":"ana"}`, `{"payer_email":""}`, `{"payer_email":7}`, `{"payer_email":"ana@example.com","status":"paid"}`,
		`{"payer_email":"ana@example.com","limit":"1"}`} {
		requireProblem(t, b.do(t, search(body)), http.StatusBadRequest, "invalid_field")
	}
	for _, body := range []string{`{"payer_email":"ana@example.com","limit":0}`, `{"payer_email":"ana@example.com","cursor":"x"}`} {
		requireProblem(t, b.do(t, search(body)), http.StatusBadRequest, "invalid_parameter")
	}
	requireProblem(t, b.do(t, post("/api/payments/search?payer_email=ana@example.com", `{"payer_email":"ana@example.com"}`)), http.StatusBadRequest, "unknown_parameter")
	status := search(`{"payer_email":"ana@example.com"}`)
	status.header = bearer(statusToken)
	requireProblem(t, b.do(t, status), http.StatusUnauthorized, "unauthorized")
	require.NotContains(t, strings.ToLower(b.logs.String()), "ana@example.com", "nothing is logged of a payer")
}

func TestPayments_AreSummedUpByDay(t *testing.T) {
	t.Parallel()
	b := setup(t, setupOptions{})
	b.sell(t, "77", "", order.PaymentApproved)
	b.sell(t, "78", "", order.PaymentApproved)
	b.sell(t, "79", "", order.PaymentPending)
	type summed struct {
		Day            string `json:"day"`
		Currency       string `json:"currency"`
		Payments       int    `json:"payments"`
		GrossAmount    string `json:"gross_amount"`
		RefundedAmount string `json:"refunded_amount"`
		NetUnknown     int    `json:"net_unknown"`
		CostUnknown    int    `json:"cost_unknown"`
		costs
	}
	days := answered[page[summed]](t, b, get("/api/payments/days?time_zone=Pacific/Kiritimati"), http.StatusOK).Items // 14 hours ahead
	require.Len(t, days, 1)
	ahead := days[0].Day
	days = answered[page[summed]](t, b, get("/api/payments/days"), http.StatusOK).Items
	require.Len(t, days, 1)
	require.Equal(t, "2026-02-27", days[0].Day)
	require.Equal(t, "2026-02-28", ahead)
	require.Equal(t, 2, days[0].Payments)
	require.Equal(t, "200.00", days[0].GrossAmount)
	require.Equal(t, "184.62", *days[0].NetAmount)
	require.Zero(t, days[0].NetUnknown)
	require.Zero(t, days[0].CostUnknown)
	_, err := b.pool.Exec(t.Context(), `UPDATE payments SET taxes_amount = NULL WHERE payment_id = '78'`)
	require.NoError(t, err)
	require.Equal(t, 1, answered[page[summed]](t, b, get("/api/payments/days"), http.StatusOK).Items[0].CostUnknown)
	require.Empty(t, answered[page[summed]](t, b, get("/api/payments/days?since=2026-02-28&until=2026-03-01"), http.StatusOK).Items)
	for _, query := range []string{"since=2020-01-01", "time_zone=Local", "time_zone=", "time_zone=Mars/Olympus"} {
		requireProblem(t, b.do(t, get("/api/payments/days?"+query)), http.StatusBadRequest, "invalid_parameter")
	}
}
