package api_test

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/shopspring/decimal"
	"github.com/stretchr/testify/require"

	"github.com/conciliar/conciliar/store/order"
)

// An orderAnswer is an order as a merchant's program reads it.
type orderAnswer struct {
	Reference           string          `json:"reference"`
	Status              string          `json:"status"`
	Amount              string          `json:"amount"`
	Currency            string          `json:"currency"`
	PaidAmount          string          `json:"paid_amount"`
	RefundedAmount      string          `json:"refunded_amount"`
	CreatedAt           time.Time       `json:"created_at"`
	UpdatedAt           time.Time       `json:"updated_at"`
	CancelledAt         *time.Time      `json:"cancelled_at"`
	CollectorID         *string         `json:"collector_id"`
	Payments            []paymentAnswer `json:"payments"`
	ProvisionalPayments []struct {
		Alias           string  `json:"alias"`
		Source          string  `json:"source"`
		ProviderOrderID string  `json:"provider_order_id"`
		Status          *string `json:"status"`
		OrderStatus     string  `json:"order_status"`
		Amount          string  `json:"amount"`
		RefundedAmount  string  `json:"refunded_amount"`
		Currency        string  `json:"currency"`
		CollectorID     string  `json:"collector_id"`
		LiveMode        bool    `json:"live_mode"`
		DateLastUpdated string  `json:"date_last_updated"`
		FetchedAt       string  `json:"fetched_at"`
	} `json:"provisional_payments"`
	OddPayments []struct {
		ID     string   `json:"id"`
		Fields []string `json:"fields"`
	} `json:"odd_payments"`
	Chargebacks []struct{} `json:"chargebacks"`
	Claims      []struct{} `json:"claims"`
	Timeline    []struct {
		At             string  `json:"at"`
		Cause          string  `json:"cause"`
		QueueID        *int64  `json:"queue_id"`
		Actor          *string `json:"actor"`
		Reason         *string `json:"reason"`
		Status         string  `json:"status"`
		Amount         *string `json:"amount"`
		Currency       string  `json:"currency"`
		PaidAmount     string  `json:"paid_amount"`
		RefundedAmount string  `json:"refunded_amount"`
	} `json:"timeline"`
	Anomalies []struct {
		ID        int64             `json:"id"`
		Kind      string            `json:"kind"`
		PaymentID *string           `json:"payment_id"`
		Detail    map[string]string `json:"detail"`
		OpenedAt  string            `json:"opened_at"`
	} `json:"anomalies"`
}

func requireOrder(tb testing.TB, w *httptest.ResponseRecorder, status int) orderAnswer {
	tb.Helper()
	require.Equal(tb, status, w.Code, w.Body.String())
	require.Equal(tb, "application/json", w.Header().Get("Content-Type"))
	require.Equal(tb, "no-store", w.Header().Get("Cache-Control"))
	dec := json.NewDecoder(w.Body)
	dec.DisallowUnknownFields()
	var o orderAnswer
	require.NoError(tb, dec.Decode(&o))
	return o
}

func TestOrders_AreRegisteredOnceAndConfirmedAfterwards(t *testing.T) {
	t.Parallel()
	b := setup(t, setupOptions{})
	const terms = `{"amount":"150.00","currency":"ARS"}`
	w := b.do(t, putOrder("/api/orders/shop-0001", terms))
	require.Equal(t, "/api/orders/shop-0001", w.Header().Get("Location"))
	o := requireOrder(t, w, http.StatusCreated)
	require.Equal(t, []string{"shop-0001", "pending", "ARS"}, []string{o.Reference, o.Status, o.Currency})
	require.Equal(t, "150.00", o.Amount)
	require.Equal(t, "0.00", o.PaidAmount)
	require.Equal(t, "0.00", o.RefundedAmount)
	require.Equal(t, time.UTC, o.CreatedAt.Location())
	require.Equal(t, time.UTC, o.UpdatedAt.Location())
	line := b.logs.Last(t)
	require.Equal(t, []any{"created", "shop-0001", "/api/orders/:reference"}, []any{line["outcome"], line["order_reference"], line["path"]})

	again := b.do(t, putOrder("/api/orders/shop-0001", terms))
	require.Empty(t, again.Header().Get("Location"))
	require.Equal(t, o, requireOrder(t, again, http.StatusOK))
	require.Equal(t, "confirmed", b.logs.Last(t)["outcome"])
	requireOrder(t, b.do(t, putOrder("/api/orders/shop-0001", `{ "currency" : "ARS" , "amount" : "150" }`)), http.StatusOK)
	shown := requireOrder(t, b.do(t, call{method: http.MethodGet, target: "/api/orders/shop-0001", header: bearer(ordersToken)}), http.StatusOK)
	require.Equal(t, o, shown)
	require.Len(t, shown.Timeline, 1)
	require.NotNil(t, shown.Payments)
	require.NotNil(t, shown.Anomalies)

	for _, other := range []string{`{"amount":"150.01","currency":"ARS"}`, `{"amount":"150.00","currency":"BRL"}`} {
		p := requireProblem(t, b.do(t, putOrder("/api/orders/shop-0001", other)), http.StatusConflict, "order_conflict")
		require.Regexp(t, `registered with 150\.00 ARS;`, p.Detail)
		var says struct{ Amount, Currency string }
		require.NoError(t, json.Unmarshal([]byte(other), &says))
		require.Contains(t, p.Detail, "says "+says.Amount+" "+says.Currency+".")
	}
	requireProblem(t, b.do(t, call{method: http.MethodGet, target: "/api/orders/shop-0002", header: bearer(ordersToken)}),
		http.StatusNotFound, "order_not_found")
}

// An order belongs to one account: the main one unless its registration says a seller.
func TestOrders_BelongToOneAccount(t *testing.T) {
	t.Parallel()
	b := setup(t, setupOptions{})
	b.store.UseSellers([]string{"2001", "2002"})
	put := func(reference, collector string) *httptest.ResponseRecorder {
		return b.do(t, putOrder("/api/orders/"+reference, `{"amount":"150.00","currency":"ARS"`+collector+`}`))
	}
	var answer orderAnswer
	w := put("ana-1", `,"collector_id":"2001"`)
	require.Equal(t, http.StatusCreated, w.Code)
	require.NoError(t, json.Unmarshal(w.Body.Bytes(), &answer))
	require.Equal(t, "2001", *answer.CollectorID)
	require.Equal(t, http.StatusOK, put("ana-1", `,"collector_id":"2001"`).Code)
	p := requireProblem(t, put("ana-1", ""), http.StatusConflict, "order_conflict")
	require.Equal(t, "The order is registered with 150.00 ARS for account 2001; this call says 150.00 ARS for the main account.", p.Detail)
	requireProblem(t, put("ana-1", `,"collector_id":"2002"`), http.StatusConflict, "order_conflict")

	require.Equal(t, http.StatusCreated, put("main-1", "").Code)
	requireProblem(t, put("main-1", `,"collector_id":"2001"`), http.StatusConflict, "order_conflict")
	p = requireProblem(t, put("other-1", `,"collector_id":"999"`), http.StatusBadRequest, "invalid_field")
	require.Equal(t, "The collector_id is neither the main account nor one of the sellers.", p.Detail)
	requireProblem(t, put("other-1", `,"collector_id":2001`), http.StatusBadRequest, "invalid_field")
	require.NoError(t, b.store.KeepAccount(t.Context(), "1000"))
	require.Equal(t, http.StatusOK, put("main-1", `,"collector_id":"1000"`).Code, "that is the main account")
}

func TestOrders_ManyCallsCreateAnOrderOnce(t *testing.T) {
	t.Parallel()
	b := setup(t, setupOptions{})
	codes := make([]int, 8)
	var calls sync.WaitGroup
	for i := range codes {
		calls.Go(func() {
			codes[i] = b.serve(t.Context(), putOrder("/api/orders/same", `{"amount":"1.00","currency":"ARS"}`)).Code
		})
	}
	calls.Wait()
	created := 0
	for _, code := range codes {
		if code == http.StatusCreated {
			created++
		} else {
			require.Equal(t, http.StatusOK, code)
		}
	}
	require.Equal(t, 1, created)
}

func TestOrders_ShowTheirMoney(t *testing.T) {
	t.Parallel()
	b := setup(t, setupOptions{})
	_, err := b.pool.Exec(t.Context(), `
		INSERT INTO payments (source, payment_id, order_reference, status, status_detail, amount, refunded_amount, currency,
			collector_id, live_mode, date_last_updated, fetched_at, raw)
		VALUES ('mercadopago', '139221234567890123', 'paid-early', 'approved', 'accredited', 100.5, 0.25, 'ARS', '77', true,
			'2026-03-01T09:00:00.5-04:00', '2026-03-01T13:00:01Z', '{}'),
		       ('mercadopago', '2', 'paid-early', 'rejected', 'cc_rejected_other_reason', 150.00, 0, 'ARS', '77', true,
			'2026-03-01T08:00:00-04:00', '2026-03-01T13:00:02Z', '{}')`)
	require.NoError(t, err)
	o := requireOrder(t, b.do(t, putOrder("/api/orders/paid-early", `{"amount":"150.00","currency":"ARS"}`)), http.StatusCreated)
	require.Equal(t, "partially_paid", o.Status)
	require.Equal(t, "150.00", o.Amount)
	require.Equal(t, "100.50", o.PaidAmount)
	require.Equal(t, "0.25", o.RefundedAmount)
	require.Len(t, o.Payments, 2)
	p := o.Payments[0]
	require.Equal(t, []string{"139221234567890123", "mercadopago", "approved", "accredited", "100.50", "0.25", "ARS", "77"},
		[]string{p.ID, p.Source, p.Status, p.StatusDetail, p.Amount, p.RefundedAmount, p.Currency, p.CollectorID})
	require.True(t, p.LiveMode)
	require.Equal(t, "2026-03-01T13:00:00.5Z", p.DateLastUpdated)
	require.Equal(t, "2026-03-01T13:00:01Z", p.FetchedAt)
	require.Len(t, o.Timeline, 1)
	change := o.Timeline[0]
	require.Equal(t, []string{"registered", "partially_paid"}, []string{change.Cause, change.Status})
	require.Equal(t, "100.50", change.PaidAmount)
	require.Equal(t, "0.25", change.RefundedAmount)
	require.True(t, strings.HasSuffix(change.At, "Z"))
	require.Nil(t, change.QueueID)
	require.Len(t, o.Anomalies, 1)
	require.Equal(t, "underpaid", o.Anomalies[0].Kind)
	require.Nil(t, o.Anomalies[0].PaymentID)
	require.Equal(t, "49.75", o.Anomalies[0].Detail["missing"])
	require.True(t, strings.HasSuffix(o.Anomalies[0].OpenedAt, "Z"))
}

func TestOrders_AReferenceIsKeptAsItIs(t *testing.T) {
	t.Parallel()
	b := setup(t, setupOptions{})
	for encoded, reference := range map[string]string{
		"plain.A_1:-":                      "plain.A_1:-",
		"a%2Fb":                            "a/b",
		"a%2fb%2Fc":                        "a/b/c",
		"%2F":                              "/",
		"with%20space":                     "with space",
		"a+b":                              "a+b",
		"a%2Bb":                            "a+b",
		"%C3%B1and%C3%BA":                  "ñandú",
		"ñandú-2":                          "ñandú-2",
		"%25":                              "%",
		"%252F":                            "%2F",
		".":                                ".",
		"%2E%2E":                           "..",
		"..":                               "..",
		"%3Fa%3D1%23":                      "?a=1#",
		"a;b=c,d@e&f=g":                    "a;b=c,d@e&f=g",
		":reference":                       ":reference",
		"*":                                "*",
		strings.Repeat("%F0%9F%92%B8", 64): strings.Repeat("💸", 64),
		url.PathEscape(`"><script>alert(1)</script>`): `"><script>alert(1)</script>`,
	} {
		path := "/api/orders/" + encoded
		w := b.do(t, putOrder(path, `{"amount":"1.00","currency":"ARS"}`))
		if w.Code == http.StatusOK {
			require.Contains(t, []string{"..", "a+b"}, reference, "written in two ways")
		} else {
			require.Equal(t, reference, requireOrder(t, w, http.StatusCreated).Reference)
			require.Equal(t, 1, b.count(t, `SELECT count(*) FROM orders WHERE reference = $1`, reference))
			// Where the answer points is the same order.
			path = w.Header().Get("Location")
		}
		shown := requireOrder(t, b.do(t, call{method: http.MethodGet, target: path, header: bearer(ordersToken)}), http.StatusOK)
		require.Equal(t, reference, shown.Reference)
	}
	for _, encoded := range []string{"changes", "latest", "null", "%20", "%20null%09", "%E2%80%8B"} {
		for _, method := range []string{http.MethodGet, http.MethodPut} {
			c := putOrder("/api/orders/"+encoded, `{"amount":"1.00","currency":"ARS"}`)
			if c.method = method; encoded == "changes" && method == http.MethodGet {
				continue // it is the feed
			}
			requireProblem(t, b.do(t, c), http.StatusBadRequest, "reserved_reference")
		}
	}
	for path, hint := range map[string]bool{"/api/orders/a/b": true, "/api/orders/a/b/amend": true, "/api/shops/a/b": false} {
		p := requireProblem(t, b.do(t, putOrder(path, `{"amount":"1.00","currency":"ARS"}`)), http.StatusNotFound, "not_found")
		require.Equal(t, hint, strings.Contains(p.Detail, "%2F"), path)
	}
	for _, encoded := range []string{"%00", "a%00b", "%FF", "%C3", strings.Repeat("x", 65), strings.Repeat("%C3%B1", 65)} {
		for _, c := range []call{
			putOrder("/api/orders/"+encoded, `{"amount":"1.00","currency":"ARS"}`),
			{method: http.MethodGet, target: "/api/orders/" + encoded, header: bearer(ordersToken)},
		} {
			requireProblem(t, b.do(t, c), http.StatusBadRequest, "invalid_reference")
		}
	}
}

func TestOrders_AnInvalidBodyIsRefused(t *testing.T) {
	t.Parallel()
	b := setup(t, setupOptions{})
	amount := func(s string) string { return `{"amount":` + s + `,"currency":"ARS"}` }
	for body, want := range map[string][2]string{
		``:                     {"invalid_json", "empty"},
		`   `:                  {"invalid_json", ""},
		`{`:                    {"invalid_json", "ends in the middle"},
		`{"amount":"1"`:        {"invalid_json", "ends in the middle"},
		`{"amount":"1",}`:      {"invalid_json", "at byte"},
		`{"amount" "1"}`:       {"invalid_json", "at byte"},
		`{amount:"1"}`:         {"invalid_json", "at byte"},
		`{"amount":tru}`:       {"invalid_json", "at byte"},
		`{"amount":'1'}`:       {"invalid_json", "at byte"},
		`null`:                 {"invalid_json", "not a JSON object"},
		`[]`:                   {"invalid_json", "not a JSON object"},
		`"x"`:                  {"invalid_json", "not a JSON object"},
		`1`:                    {"invalid_json", "not a JSON object"},
		amount(`"1.00"`) + `x`: {"invalid_json", "follows"},
		amount(`"1.00"`) + `{"amount":"2.00","currency":"ARS"}`: {"invalid_json", "follows"},

		`{}`:                                 {"invalid_field", `"amount" is missing`},
		`{"amount":"1.00"}`:                  {"invalid_field", `"currency" is missing`},
		`{"currency":"ARS"}`:                 {"invalid_field", `"amount" is missing`},
		`{"Amount":"1.00","currency":"ARS"}`: {"invalid_field", `"Amount" is unknown`},
		`{"amount":"1.00","currency":"ARS","status":"paid"}`:          {"invalid_field", `"status" is unknown`},
		`{"amount":"1.00","amount":"2.00","currency":"ARS"}`:          {"invalid_field", `"amount" appears more than once`},
		`{"\u0061mount":"1.00","amount":"2.00"}`:                      {"invalid_field", `"amount" appears more than once`},
		`{"` + strings.Repeat("x", 5000) + `":1}`:                     {"invalid_field", "is unknown"},
		strings.Repeat(`{"amount":`, 20_000):                          {"invalid_json", ""},
		amount(strings.Repeat("[", 500_000)):                          {"invalid_json", ""},
		amount(strings.Repeat("[", 5000) + strings.Repeat("]", 5000)): {"invalid_field", "an array"},

		amount(`1.00`):     {"invalid_field", `"amount" is a number; it must be a string like "150.00"`},
		amount(`1e2`):      {"invalid_field", "a number"},
		amount(`null`):     {"invalid_field", "null"},
		amount(`true`):     {"invalid_field", "a boolean"},
		amount(`{}`):       {"invalid_field", "an object"},
		amount(`["1.00"]`): {"invalid_field", "an array"},

		amount(`""`):                 {"invalid_field", "must be digits"},
		amount(`"."`):                {"invalid_field", "must be digits"},
		amount(`"1."`):               {"invalid_field", "must be digits"},
		amount(`".5"`):               {"invalid_field", "must be digits"},
		amount(`"1.2.3"`):            {"invalid_field", "must be digits"},
		amount(`"1,00"`):             {"invalid_field", "must be digits"},
		amount(`"1e3"`):              {"invalid_field", "must be digits"},
		amount(`"1E999999999"`):      {"invalid_field", "must be digits"},
		amount(`"-1.00"`):            {"invalid_field", "must be digits"},
		amount(`"−1.00"`):            {"invalid_field", "must be digits"},
		amount(`"+1.00"`):            {"invalid_field", "must be digits"},
		amount(`" 1.00"`):            {"invalid_field", "must be digits"},
		amount(`"1.00\u0000"`):       {"invalid_field", "must be digits"},
		amount(`"١.٠٠"`):             {"invalid_field", "must be digits"},
		amount(`"0x10"`):             {"invalid_field", "must be digits"},
		amount(`"NaN"`):              {"invalid_field", "must be digits"},
		amount(`"Infinity"`):         {"invalid_field", "must be digits"},
		amount(`"01.00"`):            {"invalid_field", "zeros"},
		amount(`"0"`):                {"invalid_field", "more than zero"},
		amount(`"0.00000000"`):       {"invalid_field", "more than zero"},
		amount(`"1000000000000000"`): {"invalid_field", "more than 15 digits"},
		amount(`"1.000000001"`):      {"invalid_field", "more than 8 digits"},
		amount(`"` + strings.Repeat("9", 100_000) + `"`): {"invalid_field", "more than 15 digits"},

		`{"amount":"1.00","currency":""}`:                {"currency_unknown", "ISO 4217"},
		`{"amount":"1.00","currency":"ars"}`:             {"currency_unknown", "ISO 4217"},
		`{"amount":"1.00","currency":"AR"}`:              {"currency_unknown", "ISO 4217"},
		`{"amount":"1.00","currency":"ARSS"}`:            {"currency_unknown", "ISO 4217"},
		`{"amount":"1.00","currency":"ÑR"}`:              {"currency_unknown", "ISO 4217"},
		`{"amount":"100.00","currency":"XYZ"}`:           {"currency_unknown", "ISO 4217"},
		`{"amount":"100.00","currency":"XXX"}`:           {"currency_unknown", "ISO 4217"},
		`{"amount":"15990.50","currency":"CLP"}`:         {"amount_too_fine", "smallest unit of CLP, which is 1."},
		`{"amount":"10.005","currency":"ARS"}`:           {"amount_too_fine", "smallest unit of ARS, which is 0.01."},
		`{"amount":"1.0001","currency":"BHD"}`:           {"amount_too_fine", "smallest unit of BHD, which is 0.001."},
		`{"amount":"1.00","currency":32}`:                {"invalid_field", "a number"},
		"{\"amount\":\"1.00\xff\",\"currency\":\"ARS\"}": {"invalid_field", "must be digits"},
	} {
		p := requireProblem(t, b.do(t, putOrder("/api/orders/refused", body)), http.StatusBadRequest, want[0])
		require.Contains(t, p.Detail, want[1], clipped(body))
		require.Less(t, len(p.Detail), 250, clipped(body))
		b.clock.Add(time.Second)
	}
	require.Zero(t, b.count(t, `SELECT count(*) FROM orders`))

	for given, written := range map[string]string{
		"0.01 ARS": "0.01", "999999999999999.99 ARS": "999999999999999.99", "1 ARS": "1.00", "150.0 ARS": "150.00", "150.00000 ARS": "150.00",
		"15990 CLP": "15990", "15990.00 CLP": "15990", "20076.47 COP": "20076.47", "1.5 BHD": "1.500",
	} {
		text, currency, _ := strings.Cut(given, " ")
		reference := "/api/orders/" + url.PathEscape(given)
		o := requireOrder(t, b.do(t, putOrder(reference, `{"amount":"`+text+`","currency":"`+currency+`"}`)), http.StatusCreated)
		require.Equal(t, written, o.Amount, given)
		require.Equal(t, order.FormatAmount(decimal.Zero, currency), o.PaidAmount, given)
	}
}

func clipped(s string) string { return s[:min(len(s), 100)] }

func TestOrders_ABodyIsJSONInTheOpen(t *testing.T) {
	t.Parallel()
	b := setup(t, setupOptions{})
	put := func(header, value string) *httptest.ResponseRecorder {
		c := putOrder("/api/orders/typed", `{"amount":"1.00","currency":"ARS"}`)
		delete(c.header, "Content-Type")
		if value != "" {
			c.header[header] = []string{value}
		}
		return b.do(t, c)
	}
	for _, bad := range []string{"application/x-www-form-urlencoded", "text/plain", "application/json-patch+json", "application/", "\xff"} {
		requireProblem(t, put("Content-Type", bad), http.StatusUnsupportedMediaType, "unsupported_media_type")
	}
	for _, bad := range []string{"gzip", "br", "gzip, identity"} {
		requireProblem(t, put("Content-Encoding", bad), http.StatusUnsupportedMediaType, "unsupported_media_type")
	}
	require.Zero(t, b.count(t, `SELECT count(*) FROM orders`))
	requireOrder(t, put("", ""), http.StatusCreated)
	for _, good := range []string{"application/json", "application/json; charset=utf-8", "Application/JSON"} {
		requireOrder(t, put("Content-Type", good), http.StatusOK)
	}
	requireOrder(t, put("Content-Encoding", "identity"), http.StatusOK)
}
