package mercadopago

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/shopspring/decimal"
	"github.com/stretchr/testify/require"

	"github.com/conciliar/conciliar/jobs/provider"
)

// searchRow is a payment as the search shows it.
func searchRow(id, reference, amount, created string) string {
	return fmt.Sprintf(`{"id":%s,"external_reference":%q,"transaction_amount":%s,"currency_id":"ARS","collector_id":700100200,
		"status":"approved","status_detail":"accredited","date_created":%q,"date_last_updated":"2026-02-03T15:00:00.000Z"}`, id, reference, amount, created)
}

func TestOrder_LeadsToItsPayments(t *testing.T) {
	t.Parallel()
	const created = "2026-02-03T15:00:00.000Z"
	payment := func(fields string) string { return `{"id":"PAY01","amount":"30.00",` + fields + `}` }
	processed := payment(`"reference_id":"000k3v9q01","status":"processed","status_detail":"accredited"`)
	// What the order has beside its id, its times and its collector.
	order := func(fields string, payments ...string) string {
		return `{"id":"ORD01","user_id":"700100200","created_date":"2026-02-03T14:59:59.123456789Z","last_updated_date":"2026-02-03T15:00:01.123456789Z",` +
			fields + `"transactions":{"payments":[` + strings.Join(payments, ",") + `]}}`
	}
	const ars = `"external_reference":"A-1","currency":"ARS",`
	type outcome uint8
	const (
		// shown: the payments' side shows whatever must be there.
		shown outcome = iota
		notShown
		// notListed: as notShown, and the order has no id for it.
		notListed
		unreadable
	)
	for name, c := range map[string]struct {
		order  string
		search []string
		next   []string
		fails  outcome
	}{
		"found by the search":           {order(ars, processed), []string{searchRow("77", "A-1", "30", created)}, []string{"77"}, shown},
		"not found yet":                 {order(ars, processed), nil, nil, notShown},
		"not found, without an id":      {order(ars, strings.Replace(processed, `"id":"PAY01",`, "", 1)), nil, nil, notListed},
		"another amount":                {order(ars, processed), []string{searchRow("77", "A-1", "31", created)}, []string{"77"}, notShown},
		"another day":                   {order(ars, processed), []string{searchRow("77", "A-1", "30", "2026-02-02T15:00:00.000Z")}, []string{"77"}, notShown},
		"another currency":              {order(`"external_reference":"A-1","currency":"BRL",`, processed), []string{searchRow("77", "A-1", "30", created)}, []string{"77"}, notShown},
		"another reference":             {order(ars, processed), []string{searchRow("77", "a-1", "30", created)}, nil, notShown},
		"the currency of the country":   {order(`"external_reference":"A-1","country_code":"ARG",`, processed), []string{searchRow("77", "A-1", "30", created)}, []string{"77"}, shown},
		"no currency and no country":    {order(`"external_reference":"A-1",`, processed), []string{searchRow("77", "A-1", "30", created)}, []string{"77"}, shown},
		"each that is shown, paired":    {order(ars, processed), []string{searchRow("77", "A-1", "30", created), searchRow("78", "A-1", "5", created)}, []string{"77", "78"}, shown},
		"one for two":                   {order(ars, processed, processed), []string{searchRow("77", "A-1", "30", created)}, []string{"77"}, notShown},
		"two for two":                   {order(ars, processed, processed), []string{searchRow("77", "A-1", "30", created), searchRow("78", "A-1", "30", created)}, []string{"77", "78"}, shown},
		"named by number":               {order(ars, payment(`"reference_id":"90210000011","status":"processed"`)), nil, []string{"90210000011"}, shown},
		"named by number, in an object": {order(ars, payment(`"reference":{"id":"90210000011"},"status":"processed"`)), nil, []string{"90210000011"}, shown},
		"named by number, online":       {order(ars+`"type":"online",`, payment(`"reference_id":"90210000011","status":"processed"`)), nil, []string{"90210000011"}, shown},
		"a code that is all digits":     {order(ars+`"type":"online",`, payment(`"reference_id":"9021000001","status":"processed"`)), []string{searchRow("77", "A-1", "30", created)}, []string{"77"}, shown},
		"a short number at a counter":   {order(ars+`"type":"qr",`, payment(`"reference_id":"9021000001","status":"processed"`)), nil, []string{"9021000001"}, shown},
		"no money yet":                  {order(ars, payment(`"status":"action_required","status_detail":"waiting_payment"`)), nil, nil, shown},
		"money reserved":                {order(ars, payment(`"status":"action_required","status_detail":"waiting_capture"`)), nil, nil, notShown},
		"canceled":                      {order(ars, payment(`"status":"canceled"`)), nil, nil, shown},
		"cancelled":                     {order(ars, payment(`"status":"CANCELLED"`)), nil, nil, shown},
		"given back":                    {order(ars, payment(`"status":"processed","status_detail":"refunded"`)), nil, nil, notShown},
		"charged back":                  {order(ars, payment(`"status":"charged_back","status_detail":"reimbursed"`)), nil, nil, notShown},
		"a word of another year":        {order(ars, payment(`"status":"teleported"`)), nil, nil, notShown},
		"no reference":                  {order("", processed), nil, nil, shown},
		"no payments":                   {order(ars), nil, nil, shown},
		"an amount that is none":        {order(ars, `{"id":"PAY01","amount":"much","status":"processed"}`), nil, nil, unreadable},
		"a payment that is none":        {order(ars, `7`), nil, nil, unreadable},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			client := serve(t, func(w http.ResponseWriter, r *http.Request) {
				if r.URL.Path == "/v1/orders/ORD01" {
					_, _ = w.Write([]byte(c.order))
					return
				}
				if q := r.URL.Query(); q.Get("external_reference") != "A-1" || q.Get("collector.id") != "700100200" {
					t.Errorf("searched for %q of %q", q.Get("external_reference"), q.Get("collector.id"))
				}
				_, _ = fmt.Fprintf(w, `{"paging":{"total":%d,"limit":50,"offset":0},"results":[%s]}`, len(c.search), strings.Join(c.search, ","))
			})
			found, err := client.Fetch(t.Context(), provider.Ref{Topic: "orders", ID: "ORD01"}, nil)
			if kind, fails := map[outcome]provider.ErrorKind{notListed: provider.NotListed, unreadable: provider.Unexpected}[c.fails]; fails {
				var failed *provider.Error
				require.ErrorAs(t, err, &failed)
				require.Equal(t, kind, failed.Kind)
				return
			}
			require.NoError(t, err)
			missing := slices.ContainsFunc(found.Ordered, func(p provider.OrderedPayment) bool { return p.Awaited && !p.Shown })
			require.Equal(t, c.fails == notShown, missing)
			var next []string
			for _, ref := range found.Next {
				require.Equal(t, topicPayment, ref.Topic)
				next = append(next, ref.ID)
			}
			require.Equal(t, c.next, next)
		})
	}
}

func TestOrder_WordsAmountToAPaymentsStatus(t *testing.T) {
	t.Parallel()
	const full, none = "100", "0"
	for _, c := range []struct{ status, detail, refunded, want string }{
		{"created", "created", none, "pending"},
		{"processed", "accredited", none, "approved"},
		{"processed", "processed", none, "approved"},
		{"PROCESSED", "Accredited", none, "approved"},
		{"processed", "partially_refunded", "30.00", "approved"},
		{"processed", "partially_refunded", none, ""},
		{"processed", "refunded", full, "refunded"},
		{"processed", "teleported", none, ""},
		{"processed", "", none, ""},
		{"refunded", "refunded", full, "refunded"},
		{"refunded", "", none, "refunded"},
		{"refunded", "partially_refunded", "30.00", ""},
		{"processing", "in_process", none, "in_process"},
		{"processing", "pending_review_manual", none, "in_process"},
		{"action_required", "waiting_payment", none, "pending"},
		{"action_required", "waiting_transfer", none, "pending"},
		{"action_required", "waiting_retry", none, "pending"},
		{"action_required", "pending_challenge", none, "pending"},
		{"action_required", "check_on_terminal", none, "pending"},
		{"action_required", "waiting_capture", none, "authorized"},
		{"at_terminal", "at_terminal", none, "pending"},
		{"failed", "rejected_by_issuer", none, "rejected"},
		{"canceled", "canceled_transaction", none, "cancelled"},
		{"cancelled", "cancelled", none, "cancelled"},
		{"expired", "expired", none, "cancelled"},
		{"charged_back", "in_process", none, "charged_back"},
		{"charged_back", "settled", none, "charged_back"},
		{"charged_back", "reimbursed", none, ""},
		{"charged_back", "", none, ""},
		{"teleported", "", none, ""},
		{"", "", none, ""},
	} {
		body := fmt.Sprintf(`{"id":"ORD01","external_reference":"A-1","country_code":"ARG","status":%q,"status_detail":%q,"transactions":{
			"payments":[{"id":"PAY01","amount":"100.00","paid_amount":"95.00","reference_id":"000k3v9q01","status":%[1]q,"status_detail":%[2]q}],
			"refunds":[{"transaction_id":"PAY01","amount":%q,"status":"processed"},{"transaction_id":"PAY01","amount":"7","status":"failed"},
			           {"transaction_id":"PAY02","amount":"7","status":"processed"}]}}`, c.status, c.detail, c.refunded)
		o, err := readMercadoPagoOrder([]byte(body))
		require.NoError(t, err)
		p := o.ordered()[0]
		require.Equal(t, c.want, p.Status, "%s/%s", c.status, c.detail)
		require.Equal(t, "100", p.Amount.Decimal.Normalize().String(), "what was paid beside the price is not a price")
		require.True(t, decimal.RequireFromString(c.refunded).Equal(p.Refunded), "%s/%s: %s", c.status, c.detail, p.Refunded)
		require.Equal(t, "ARS", p.Currency)
	}
}

func TestOrder_WhatItSaysOfItselfCountsForItsOnlyPayment(t *testing.T) {
	t.Parallel()
	read := func(fields, payment, others string) provider.OrderedPayment {
		o, err := readMercadoPagoOrder([]byte(`{"id":"ORD01","external_reference":"A-1","currency":"ARS",` + fields + `,"transactions":{"payments":[
			{"id":"PAY01","amount":"100.00","status":"processed","status_detail":"accredited"` + payment + `}` + others + `]}}`))
		require.NoError(t, err)
		return o.ordered()[0]
	}
	const another = `,{"id":"PAY02","amount":"1","status":"processed","status_detail":"accredited"}`
	require.Equal(t, "refunded", read(`"status":"processed","status_detail":"refunded"`, "", "").Status)
	require.Equal(t, "charged_back", read(`"status":"charged_back","status_detail":"in_process"`, "", "").Status)
	require.Empty(t, read(`"status":"charged_back","status_detail":"reimbursed"`, "", "").Status)
	require.Empty(t, read(`"status":"processed","status_detail":"partially_refunded"`, "", "").Status, "and how much is not said")
	require.Equal(t, "approved", read(`"status":"refunded","status_detail":"refunded"`, "", another).Status)
	some := read(`"status":"processed","status_detail":"partially_refunded"`, `,"refunded_amount":"25.00"`, "")
	require.Equal(t, "approved", some.Status)
	require.Equal(t, "25", some.Refunded.Normalize().String())
}

func TestOrder_IsOfTestModeByItsID(t *testing.T) {
	t.Parallel()
	for id, live := range map[string]bool{"ORD01KXAMPLE": true, "ORDTST01KXAMPLE": false} {
		o, err := readMercadoPagoOrder([]byte(`{"id":"` + id + `","external_reference":"A-1","live_mode":` + fmt.Sprint(!live) + `,
			"transactions":{"payments":[{"id":"PAY01","amount":"1","status":"created"}]}}`))
		require.NoError(t, err)
		require.Equal(t, live, o.ordered()[0].LiveMode, id)
	}
}

func TestOrder_WithoutACurrencyNothingIsPaid(t *testing.T) {
	t.Parallel()
	for fields, currency := range map[string]string{
		`"country_code":"BR"`: "BRL", `"country_code":"uru"`: "", `"currency_id":"clp"`: "CLP",
		`"currency":"ARS","country_code":"MLB"`: "", `"currency":"USD","country_code":"EC"`: "USD", `"type":"online"`: "",
	} {
		o, err := readMercadoPagoOrder([]byte(`{"id":"ORD01","external_reference":"A-1",` + fields + `,"transactions":{"payments":[
			{"id":"PAY01","amount":"1","status":"processed","status_detail":"accredited"}]}}`))
		require.NoError(t, err)
		p := o.ordered()[0]
		require.Equal(t, currency, p.Currency, fields)
		require.Equal(t, currency != "", p.Status == "approved", fields)
	}
}

func TestOrder_IsAskedForWhereverItsIDStands(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"order", "orders", "topic_chargebacks_wh", "chargebacks", "payment"} {
		require.Same(t, &orderTopic, topicOf(name, "ORD01KXAMPLE0000000000000001"), name)
		require.Equal(t, provider.Follow, WorkOf(name, "ORD01KXAMPLE0000000000000001"), name)
	}
	require.Equal(t, provider.Unhandled, WorkOf("order", "PAY01KXAMPLE0000000000000001"))
}
