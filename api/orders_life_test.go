package api_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/conciliar/conciliar/store"
	"github.com/conciliar/conciliar/store/order"
	"github.com/conciliar/conciliar/store/storetest/fixture"
)

// act is a call that does something to an order.
func act(reference, what, body string) call {
	c := putOrder("/api/orders/"+reference+"/"+what, body)
	c.method = http.MethodPost
	return c
}

func TestAmendOrder_GivesOtherTerms(t *testing.T) {
	t.Parallel()
	b := setup(t, setupOptions{})
	requireOrder(t, b.do(t, putOrder("/api/orders/a%2Fb", `{"amount":"80","currency":"ARS"}`)), http.StatusCreated)

	amend := act("a%2Fb", "amend", `{"amount":"100","currency":"ARS","reason":" a larger size "}`)
	o := requireOrder(t, b.do(t, amend), http.StatusOK)

	require.Equal(t, []string{"a/b", "100.00", "pending"}, []string{o.Reference, o.Amount, o.Status})
	require.Len(t, o.Timeline, 2)
	change := o.Timeline[1]
	require.Equal(t, []string{"amended", "a larger size", "100.00"}, []string{change.Cause, *change.Reason, *change.Amount})
	require.Regexp(t, `^token:[0-9a-f]+$`, *change.Actor)
	line := b.logs.Last(t)
	require.Equal(t, []any{"amended", "a/b"}, []any{line["outcome"], line["order_reference"]})
	amend.body = strings.NewReader(`{"amount":"100.00","currency":"ARS","reason":"again"}`)
	require.Equal(t, o, requireOrder(t, b.do(t, amend), http.StatusOK))
	require.Equal(t, 1, b.count(t, `SELECT count(*) FROM operator_actions WHERE order_reference = 'a/b' AND actor = '`+*change.Actor+`'`))
	requireOrder(t, b.do(t, putOrder("/api/orders/a%2Fb", `{"amount":"100","currency":"ARS"}`)), http.StatusOK)
	requireProblem(t, b.do(t, putOrder("/api/orders/a%2Fb", `{"amount":"80","currency":"ARS"}`)), http.StatusConflict, "order_conflict")
}

func TestCancelOrder_EndsAmendments(t *testing.T) {
	t.Parallel()
	b := setup(t, setupOptions{})
	requireOrder(t, b.do(t, putOrder("/api/orders/a", `{"amount":"80","currency":"ARS"}`)), http.StatusCreated)

	o := requireOrder(t, b.do(t, act("a", "cancel", `{"reason":"sold out"}`)), http.StatusOK)

	require.Equal(t, "cancelled", o.Status)
	require.NotNil(t, o.CancelledAt)
	require.Equal(t, o, requireOrder(t, b.do(t, act("a", "cancel", `{"reason":"sold out"}`)), http.StatusOK))
	p := requireProblem(t, b.do(t, act("a", "amend", `{"amount":"80","currency":"ARS","reason":"back"}`)), http.StatusConflict, "order_cancelled")
	require.Equal(t, "The order is cancelled; its terms can't be amended.", p.Detail)
}

func TestOrderActs_SayWhatIsWrong(t *testing.T) {
	t.Parallel()
	b := setup(t, setupOptions{})
	requireOrder(t, b.do(t, putOrder("/api/orders/a", `{"amount":"80","currency":"ARS"}`)), http.StatusCreated)
	for _, c := range []struct {
		reference, what, body string
		status                int
		code, detail          string
	}{
		{"none", "amend", `{"amount":"1","currency":"ARS","reason":"why"}`, 404, "order_not_found", `"none"`},
		{"none", "cancel", `{"reason":"why"}`, 404, "order_not_found", `"none"`},
		{"null", "cancel", `{"reason":"why"}`, 400, "reserved_reference", "blank"},
		{"%FF", "cancel", `{"reason":"why"}`, 400, "invalid_reference", "64"},
		{"a", "cancel", `{}`, 400, "invalid_field", `"reason" is missing`},
		{"a", "cancel", `{"reason":"  "}`, 400, "invalid_field", "The reason must have 1 to 2,000 characters."},
		{"a", "cancel", `{"reason":"why","amount":"1"}`, 400, "invalid_field", `"amount" is unknown`},
		{"a", "amend", `{"amount":"1","reason":"why"}`, 400, "invalid_field", `"currency" is missing`},
		{"a", "amend", `{"amount":"0","currency":"ARS","reason":"why"}`, 400, "invalid_field", "more than zero"},
		{"a", "amend", `{"amount":"0.005","currency":"ARS","reason":"why"}`, 400, "amount_too_fine", "0.01"},
		{"a", "amend", `{"amount":"1","currency":"XXX","reason":"why"}`, 400, "currency_unknown", "ISO 4217"},
	} {
		p := requireProblem(t, b.do(t, act(c.reference, c.what, c.body)), c.status, c.code)
		require.Contains(t, p.Detail, c.detail)
	}
	get := act("a", "amend", "")
	get.method = http.MethodGet
	requireProblem(t, b.do(t, get), http.StatusMethodNotAllowed, "method_not_allowed")
	require.Zero(t, b.count(t, `SELECT count(*) FROM operator_actions`))
}

func TestListOrders_GoesByTheLastChange(t *testing.T) {
	t.Parallel()
	b := setup(t, setupOptions{})
	for _, reference := range []string{"a.1", "b%2F2", "c"} {
		requireOrder(t, b.do(t, putOrder("/api/orders/"+reference, `{"amount":"80","currency":"ARS"}`)), http.StatusCreated)
	}
	requireOrder(t, b.do(t, act("a.1", "cancel", `{"reason":"sold out"}`)), http.StatusOK)
	type page struct {
		Items      []store.OrderSummaryDocument `json:"items"`
		NextCursor *string                      `json:"next_cursor"`
	}
	listed := func(query string) (found []string) {
		t.Helper()
		for cursor := ""; ; {
			p := answered[page](t, b, call{method: http.MethodGet, target: "/api/orders?limit=1" + query + cursor, header: bearer(ordersToken)}, http.StatusOK)
			for _, o := range p.Items {
				require.Equal(t, "80.00", o.Amount)
				found = append(found, o.Reference)
			}
			if p.NextCursor == nil {
				return found
			}
			cursor = "&cursor=" + *p.NextCursor
		}
	}
	require.Equal(t, []string{"b/2", "c", "a.1"}, listed(""), "what changed comes last")
	require.Equal(t, []string{"a.1"}, listed("&status=cancelled"))
	require.Empty(t, listed("&currency=BRL"))
	require.Empty(t, listed("&changed_since=2999-01-01"))
	for _, query := range []string{"cursor=MS5ldmVudHMuMQ", "cursor=x", "status=lost", "changed_since=soon", "limit=0"} {
		requireProblem(t, b.do(t, call{method: http.MethodGet, target: "/api/orders?" + query, header: bearer(ordersToken)}), http.StatusBadRequest, "invalid_parameter")
	}
}

func TestOrderCase_IsAnsweredWithoutPersonalData(t *testing.T) {
	t.Parallel()
	b := setup(t, setupOptions{})
	ask := get("/api/orders/a%2Fb/case")
	ask.header = bearer(ordersToken)
	requireProblem(t, b.do(t, ask), http.StatusNotFound, "order_not_found")
	fixture.Register(t, b.store, "a/b", "100")
	b.sell(t, "77", "a/b", order.PaymentApproved)
	found := answered[map[string]any](t, b, ask, http.StatusOK)
	require.Equal(t, "a/b", found["reference"])
	require.Equal(t, "paid", found["verdict"].(map[string]any)["code"])
	require.Equal(t, "paid", found["order"].(map[string]any)["status"])
	require.Equal(t, "completed", found["events"].([]any)[0].(map[string]any)["status"])
	ask.header = bearer(statusToken)
	requireProblem(t, b.do(t, ask), http.StatusUnauthorized, "unauthorized")
}
