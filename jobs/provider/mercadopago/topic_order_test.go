package mercadopago

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

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
	for name, c := range map[string]struct {
		order  string
		search []string
		next   []string
		kind   provider.ErrorKind
	}{
		"found by the search":           {order(ars, processed), []string{searchRow("77", "A-1", "30", created)}, []string{"77"}, 0},
		"not found yet":                 {order(ars, processed), nil, nil, provider.NotListed},
		"another amount":                {order(ars, processed), []string{searchRow("77", "A-1", "31", created)}, nil, provider.NotListed},
		"another day":                   {order(ars, processed), []string{searchRow("77", "A-1", "30", "2026-02-02T15:00:00.000Z")}, nil, provider.NotListed},
		"another currency":              {order(`"external_reference":"A-1","currency":"BRL",`, processed), []string{searchRow("77", "A-1", "30", created)}, nil, provider.NotListed},
		"another reference":             {order(ars, processed), []string{searchRow("77", "a-1", "30", created)}, nil, provider.NotListed},
		"the currency of the country":   {order(`"external_reference":"A-1","country_code":"ARG",`, processed), []string{searchRow("77", "A-1", "30", created)}, []string{"77"}, 0},
		"no currency and no country":    {order(`"external_reference":"A-1",`, processed), []string{searchRow("77", "A-1", "30", created)}, []string{"77"}, 0},
		"each that is shown, paired":    {order(ars, processed), []string{searchRow("77", "A-1", "30", created), searchRow("78", "A-1", "5", created)}, []string{"77", "78"}, 0},
		"one for two":                   {order(ars, processed, processed), []string{searchRow("77", "A-1", "30", created)}, nil, provider.NotListed},
		"two for two":                   {order(ars, processed, processed), []string{searchRow("77", "A-1", "30", created), searchRow("78", "A-1", "30", created)}, []string{"77", "78"}, 0},
		"named by number":               {order(ars, payment(`"reference_id":"90210000011","status":"processed"`)), nil, []string{"90210000011"}, 0},
		"named by number, in an object": {order(ars, payment(`"reference":{"id":"90210000011"},"status":"processed"`)), nil, []string{"90210000011"}, 0},
		"no money yet":                  {order(ars, payment(`"status":"action_required","status_detail":"waiting_payment"`)), nil, nil, 0},
		"money reserved":                {order(ars, payment(`"status":"action_required","status_detail":"waiting_capture"`)), nil, nil, provider.NotListed},
		"canceled":                      {order(ars, payment(`"status":"canceled"`)), nil, nil, 0},
		"cancelled":                     {order(ars, payment(`"status":"CANCELLED"`)), nil, nil, 0},
		"given back":                    {order(ars, payment(`"status":"processed","status_detail":"refunded"`)), nil, nil, provider.NotListed},
		"charged back":                  {order(ars, payment(`"status":"charged_back","status_detail":"reimbursed"`)), nil, nil, provider.NotListed},
		"a word of another year":        {order(ars, payment(`"status":"teleported"`)), nil, nil, provider.NotListed},
		"no reference":                  {order("", processed), nil, nil, 0},
		"no payments":                   {order(ars), nil, nil, 0},
		"an amount that is none":        {order(ars, `{"id":"PAY01","amount":"much","status":"processed"}`), nil, nil, provider.Unexpected},
		"a payment that is none":        {order(ars, `7`), nil, nil, provider.Unexpected},
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
			if c.kind != 0 || strings.HasSuffix(name, "that is none") {
				var failed *provider.Error
				require.ErrorAs(t, err, &failed)
				require.Equal(t, c.kind, failed.Kind)
				return
			}
			require.NoError(t, err)
			var next []string
			for _, ref := range found.Next {
				require.Equal(t, topicPayment, ref.Topic)
				next = append(next, ref.ID)
			}
			require.Equal(t, c.next, next)
		})
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
