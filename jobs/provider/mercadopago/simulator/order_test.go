package simulator

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// inside is the one payment in an order's answer.
func inside(t *testing.T, order map[string]any) map[string]any {
	t.Helper()
	payments := order["transactions"].(map[string]any)["payments"].([]any)
	require.Len(t, payments, 1)
	return payments[0].(map[string]any)
}

// oneOrder makes a payment in an order of its own and returns the ids of both.
func oneOrder(t *testing.T, s *Simulator, kind ResourceKind, spec PaymentSpec) (order, payment string) {
	t.Helper()
	payment = s.CreatePayment(spec)
	order, err := s.CreateResource(kind, payment)
	require.NoError(t, err)
	return order, payment
}

func TestOrders_SayWhatTheirPaymentIs(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		kind           ResourceKind
		status, detail string
		refunded       string
		order, inner   []string // what may stand: status/detail
	}{
		"paid":               {OnlineOrder, Approved, "accredited", "0", []string{"processed/accredited"}, []string{"processed/accredited"}},
		"paid by QR":         {QROrder, Approved, "accredited", "0", []string{"processed/processed"}, []string{"processed/accredited"}},
		"paid at a terminal": {PointOrder, Approved, "accredited", "0", []string{"processed/accredited"}, []string{"processed/accredited"}},
		"waits":              {OnlineOrder, Pending, "pending_waiting_transfer", "0", []string{"action_required/waiting_payment", "action_required/waiting_transfer"}, nil},
		"waits for a QR":     {QROrder, Pending, "", "0", []string{"created/created"}, nil},
		"at the terminal":    {PointOrder, Pending, "", "0", []string{"at_terminal/at_terminal"}, nil},
		"in review":          {OnlineOrder, InProcess, "pending_review_manual", "0", []string{"processing/pending_review_manual"}, nil},
		"in process":         {OnlineOrder, InProcess, "pending_contingency", "0", []string{"processing/in_process"}, nil},
		"reserved":           {OnlineOrder, Authorized, "pending_capture", "0", []string{"action_required/waiting_capture"}, nil},
		"declined":           {OnlineOrder, Rejected, "bank_error", "0", []string{"failed/rejected_by_issuer"}, nil},
		"cancelled":          {OnlineOrder, Cancelled, "by_payer", "0", []string{"canceled/canceled", "cancelled/cancelled"}, []string{"canceled/canceled_transaction", "cancelled/canceled_transaction"}},
		"expired":            {OnlineOrder, Cancelled, "expired", "0", []string{"expired/expired"}, nil},
		"given back in part": {OnlineOrder, Approved, "partially_refunded", "2", []string{"processed/partially_refunded"}, nil},
		"given back":         {OnlineOrder, Refunded, "refunded", "10", []string{"refunded/refunded", "processed/refunded"}, nil},
		"given back by QR":   {QROrder, Refunded, "refunded", "10", []string{"refunded/refunded"}, nil},
		"in mediation":       {OnlineOrder, InMediation, "", "0", []string{"processed/accredited"}, nil},
		"charged back":       {OnlineOrder, ChargedBack, "in_process", "0", []string{"charged_back/in_process"}, nil},
		"charged back, lost": {OnlineOrder, ChargedBack, "settled", "0", []string{"charged_back/settled"}, nil},
		"charged back, won":  {OnlineOrder, ChargedBack, "reimbursed", "0", []string{"charged_back/reimbursed"}, nil},
		"another year's":     {OnlineOrder, "teleported", "twice", "0", []string{"teleported/twice"}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := setup(t, Config{Seed: 7})
			seen := map[string]bool{}
			for range 64 { // the looks are drawn
				id, payment := oneOrder(t, s, c.kind, PaymentSpec{
					Reference: "order-1", Amount: money("10"), Status: c.status, StatusDetail: c.detail, Refunded: money(c.refunded),
				})
				o := decode(t, get(t, s, ordersPath+id).Body)
				p := inside(t, o)
				seen[fmt.Sprintf("%s/%s", o["status"], o["status_detail"])] = true
				if c.inner == nil {
					require.Equal(t, o["status"], p["status"])
				} else {
					require.Contains(t, c.inner, fmt.Sprintf("%s/%s", p["status"], p["status_detail"]))
				}
				require.Equal(t, "10.00", p["amount"])
				require.Equal(t, "order-1", o["external_reference"])
				require.NotContains(t, o, "live_mode")
				if c.kind == OnlineOrder {
					require.Len(t, p["reference_id"], 10)
					require.NotContains(t, fmt.Sprint(o), payment, "no id of /v1/payments stands in it")
				} else {
					require.Equal(t, payment, p["reference_id"])
				}
				refunds, given := o["transactions"].(map[string]any)["refunds"].([]any)
				require.Equal(t, c.refunded != "0", given)
				for _, r := range refunds {
					require.Equal(t, c.refunded+".00", r.(map[string]any)["amount"])
				}
				require.Equal(t, c.status == ChargedBack, o["transactions"].(map[string]any)["chargebacks"] != nil)
			}
			var words []string
			for word := range seen {
				words = append(words, word)
			}
			require.ElementsMatch(t, c.order, words)
		})
	}
}

func TestOrders_LeaveOutWhatTheRealOnesDo(t *testing.T) {
	t.Parallel()
	s := setup(t, Config{Seed: 7, LiveMode: true})
	var unnamed, numeric, discounted, refundedAmount int
	const orders = 200
	for range orders {
		id, _ := oneOrder(t, s, OnlineOrder, PaymentSpec{
			Reference: "order-1", Amount: money("50"), Status: Approved, StatusDetail: "partially_refunded", Refunded: money("1"),
		})
		require.True(t, strings.HasPrefix(id, "ORD01"))
		o := decode(t, get(t, s, ordersPath+id).Body)
		require.Contains(t, []string{"AR", "ARG", "MLA"}, o["country_code"])
		if o["currency"] == nil {
			unnamed++
		}
		if _, ok := o["user_id"].(json.Number); ok {
			numeric++
		}
		if inside(t, o)["paid_amount"] == "47.50" {
			discounted++
		}
		if inside(t, o)["refunded_amount"] == "1.00" {
			refundedAmount++
		}
	}
	for _, n := range []int{unnamed, numeric, discounted, refundedAmount} {
		require.Positive(t, n)
		require.Less(t, n, orders)
	}
	id, _ := oneOrder(t, s, OnlineOrder, PaymentSpec{Reference: "order-1", Amount: money("7"), Currency: "USD"})
	require.Equal(t, "USD", decode(t, get(t, s, ordersPath+id).Body)["currency"], "no country of ours says it")
	test := false
	id, _ = oneOrder(t, s, OnlineOrder, PaymentSpec{Reference: "order-1", Amount: money("7"), LiveMode: &test})
	require.True(t, strings.HasPrefix(id, "ORDTST"))
}

func TestOrders_AreFoundByTheirCreation(t *testing.T) {
	t.Parallel()
	clock := newClock()
	s := setup(t, Config{Clock: clock.Now})
	now := clock.Now()
	orders := map[string]string{}
	for reference, age := range map[string]time.Duration{"today": time.Hour, "last-week": 7 * 24 * time.Hour, "last-month": 31 * 24 * time.Hour} {
		id, payment := oneOrder(t, s, OnlineOrder, PaymentSpec{
			Reference: reference, Amount: money("10"), Status: Approved, StatusDetail: "accredited", CreatedAt: now.Add(-age),
		})
		orders[id] = reference
		if reference == "last-week" {
			require.NoError(t, s.Move(payment, Refunded, "refunded", money("10")))
		}
	}
	_, _ = oneOrder(t, s, OnlineOrder, PaymentSpec{Reference: "another's", Amount: money("10"), CollectorID: 7})
	search := func(query string) (found []string, paging map[string]any) {
		t.Helper()
		rec := get(t, s, "/v1/orders?begin_date="+url.QueryEscape(now.Add(-29*24*time.Hour).Format(time.RFC3339))+
			"&end_date="+url.QueryEscape(now.Format(time.RFC3339Nano))+query)
		require.Equal(t, http.StatusOK, rec.Code, rec.Body.String())
		page := decode(t, rec.Body)
		for _, row := range page["data"].([]any) {
			o := row.(map[string]any)
			require.NotContains(t, o["transactions"], "refunds", "rows lack them")
			found = append(found, orders[o["id"].(string)])
		}
		return found, page["paging"].(map[string]any)
	}
	found, paging := search("")
	require.Equal(t, []string{"today", "last-week"}, found, "newest first")
	require.Equal(t, "2", fmt.Sprint(paging["total"]))
	found, _ = search("&sort_by=last_updated_date")
	require.Equal(t, []string{"last-week", "today"}, found)
	found, _ = search("&sort_order=asc")
	require.Equal(t, []string{"last-week", "today"}, found)
	found, paging = search("&page=2&page_size=1")
	require.Equal(t, []string{"last-week"}, found)
	require.Equal(t, []string{"2", "1", "1"}, []string{
		fmt.Sprint(paging["total_pages"]), fmt.Sprint(paging["offset"]), fmt.Sprint(paging["limit"]),
	})
	found, _ = search("&page=9")
	require.Empty(t, found)
	found, _ = search("&external_reference=today")
	require.Equal(t, []string{"today"}, found)
	found, _ = search("&external_reference=toda")
	require.Empty(t, found)
	found, _ = search("&status=processed&status_detail=accredited&type=online")
	require.Equal(t, []string{"today"}, found)
	found, _ = search("&type=qr")
	require.Empty(t, found)
}

func TestOrders_RefuseASearchThatTheReferenceForbids(t *testing.T) {
	t.Parallel()
	clock := newClock()
	s := setup(t, Config{Clock: clock.Now})
	dates := func(begin, end time.Duration) string {
		return "begin_date=" + url.QueryEscape(clock.Now().Add(begin).Format(time.RFC3339)) +
			"&end_date=" + url.QueryEscape(clock.Now().Add(end).Format(time.RFC3339))
	}
	const day = 24 * time.Hour
	for _, query := range []string{
		"", "begin_date=NOW-1DAYS&end_date=NOW", dates(-31*day, 0), dates(0, -day), dates(-6*365*day, -6*365*day+day),
		dates(-day, 0) + "&page_size=101", dates(-day, 0) + "&page_size=0", dates(-day, 0) + "&page=0",
		dates(-day, 0) + "&page=9223372036854775807", dates(-day, 0) + "&sort_by=id", dates(-day, 0) + "&sort_order=up",
	} {
		require.Equal(t, http.StatusBadRequest, get(t, s, "/v1/orders?"+query).Code, query)
	}
	require.Equal(t, http.StatusOK, get(t, s, "/v1/orders?"+dates(-30*day, 0)).Code)
	require.Equal(t, int64(12), s.Stats().OrderSearches)
}

func TestOrders_WithTestCredentialsDoNotVerify(t *testing.T) {
	t.Parallel()
	for _, credentials := range []bool{false, true} {
		rc := &receiver{}
		s := setup(t, Config{Seed: 3, TestCredentials: credentials, TargetURL: serve(t, rc)})
		asIs, lower := 0, 0
		for range 16 {
			id, _ := oneOrder(t, s, QROrder, PaymentSpec{Reference: "order-1", Amount: money("10"), Status: Approved})
			req, err := s.SignedResourceRequest(t.Context(), QROrder, id)
			require.NoError(t, err)
			require.Equal(t, "order", req.URL.Query().Get("type"))
			require.Equal(t, id, req.URL.Query().Get("data.id"))
			signature, requestID := req.Header.Get("X-Signature"), req.Header.Get("X-Request-Id")
			ts, _, _ := strings.Cut(strings.TrimPrefix(signature, "ts="), ",")
			if signature == Sign(testSecret, id, requestID, ts) {
				asIs++
			}
			if signature == Sign(testSecret, strings.ToLower(id), requestID, ts) {
				lower++
			}
			body := decode(t, req.Body)
			require.NotContains(t, body, "id")
			require.IsType(t, "", body["user_id"])
			require.Len(t, body["date_created"], len("2026-03-01T15:00:00.123456789Z"))
			data := body["data"].(map[string]any)
			require.Equal(t, "ARS", data["currency_id"])
			reference := inside(t, data)["reference"].(map[string]any)["id"].(string)
			require.Regexp(t, `^\d{12}$`, reference)
		}
		if credentials {
			require.Zero(t, asIs+lower)
			require.Equal(t, http.StatusUnauthorized, get(t, s, "/v1/orders").Code)
		} else {
			require.Equal(t, 16, asIs+lower)
			require.Positive(t, asIs)
			require.Positive(t, lower)
		}
	}
}

func TestOrders_AreNotifiedOfAChargebackUnderItsTopic(t *testing.T) {
	t.Parallel()
	s := setup(t, Config{TargetURL: "http://127.0.0.1:1/"})
	id, payment := oneOrder(t, s, OnlineOrder, PaymentSpec{Reference: "order-1", Amount: money("10"), Status: Approved})
	require.NoError(t, s.Move(payment, ChargedBack, "settled", money("0")))
	req, err := s.SignedResourceRequest(t.Context(), OnlineOrder, id)
	require.NoError(t, err)
	require.Equal(t, "topic_chargebacks_wh", req.URL.Query().Get("type"))
	body := decode(t, req.Body)
	require.Equal(t, "order", body["type"])
	require.Equal(t, "order.charged_back", body["action"])
	require.Equal(t, json.Number("2"), body["data"].(map[string]any)["version"])
}
