package mercadopago

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/shopspring/decimal"
	"github.com/stretchr/testify/require"

	"github.com/conciliar/conciliar/jobs/provider"
	"github.com/conciliar/conciliar/jobs/provider/mercadopago/simulator"
)

func TestFetch_EachTopicFromTheSimulator(t *testing.T) {
	t.Parallel()
	sim, err := simulator.New(simulator.Config{AccessToken: testToken, Secret: testSecret, LiveMode: true})
	require.NoError(t, err)
	api := httptest.NewServer(sim.Handler())
	t.Cleanup(api.Close)
	client, err := NewClient(Config{BaseURL: api.URL, AccessToken: testToken})
	require.NoError(t, err)
	for _, topic := range fetching() {
		path := conformances[topic.names[0]].path(t, sim)
		prefix := "/" + strings.Join(topic.path, "/") + "/"
		require.True(t, strings.HasPrefix(path, prefix), "%s is not below %s", path, prefix)

		for _, name := range topic.names {
			found, err := client.Fetch(t.Context(), provider.Ref{Topic: name, ID: strings.TrimPrefix(path, prefix)}, nil)
			require.NoError(t, err, path)
			require.True(t, found.Payment != nil || len(found.Next) > 0, path)
		}
	}
}

func TestFetch_WhatCannotBeFetched(t *testing.T) {
	t.Parallel()
	merchantOrder := provider.Ref{Topic: "merchant_order", ID: "310000000012345678"}
	for name, c := range map[string]struct {
		ref    provider.Ref
		status int
		body   []byte
		kind   provider.ErrorKind
	}{
		"not there":           {merchantOrder, http.StatusNotFound, nil, provider.ResourceNotFound},
		"about another":       {provider.Ref{Topic: "merchant_order", ID: "31"}, http.StatusOK, fixture(t, "topics/merchant_order"), provider.Unexpected},
		"not JSON":            {merchantOrder, http.StatusOK, []byte(secretBody), provider.Unreadable},
		"payments not a list": {merchantOrder, http.StatusOK, []byte(`{"id":310000000012345678,"payments":7}`), provider.Unexpected},
		"a payment unnamed":   {merchantOrder, http.StatusOK, []byte(`{"id":310000000012345678,"payments":[{"id":7},{"id":null}]}`), provider.Unexpected},
	} {
		client := serve(t, func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(c.status)
			_, _ = w.Write(c.body)
		})
		_, err := client.Fetch(t.Context(), c.ref, nil)
		t.Log(name)
		requireError(t, err, c.kind, c.status)
	}

	client := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		_, _ = w.Write([]byte(`{"id":"310000000012345678","payments":[{"id":"7"},{"id":8},{"id":7}]}`))
	})
	found, err := client.Fetch(t.Context(), merchantOrder, nil)
	require.NoError(t, err)
	require.Equal(t, []provider.Ref{{Topic: "payment", ID: "7"}, {Topic: "payment", ID: "8"}}, found.Next, "each once")

	for _, name := range []string{"topic_of_another_year", "wallet_connect"} {
		_, err := client.Fetch(t.Context(), provider.Ref{Topic: name, ID: "7"}, nil)
		require.ErrorIs(t, err, provider.ErrUnknownTopic)
	}
}

func TestFetch_ThePaymentsOfANotificationWhoseResourceCannotBeRead(t *testing.T) {
	t.Parallel()
	chargeback := provider.Ref{Topic: "topic_chargebacks_wh", ID: "217000061307271123"}
	intent := provider.Ref{Topic: "point_integration_wh", ID: "bcdef1234-8ab5-4139-9aa3-abcd124"}
	for name, c := range map[string]struct {
		ref          provider.Ref
		status       int
		notification string
		next         []provider.Ref
		kind         provider.ErrorKind
	}{
		"test credentials":     {chargeback, http.StatusForbidden, "chargeback", []provider.Ref{{Topic: "payment", ID: "90210000004"}}, 0},
		"not there":            {chargeback, http.StatusNotFound, "chargeback", []provider.Ref{{Topic: "payment", ID: "90210000004"}}, 0},
		"a payment intent":     {intent, http.StatusNotFound, "point_finished", []provider.Ref{{Topic: "payment", ID: "90210000006"}}, 0},
		"names none":           {chargeback, http.StatusForbidden, "claim", nil, provider.Forbidden},
		"an outage":            {chargeback, http.StatusServiceUnavailable, "chargeback", nil, provider.Unavailable},
		"too many calls":       {chargeback, http.StatusTooManyRequests, "chargeback", nil, provider.RateLimited},
		"a topic without them": {provider.Ref{Topic: "claim", ID: "5200000001"}, http.StatusNotFound, "chargeback", nil, provider.ResourceNotFound},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			client := serve(t, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(c.status) })
			found, err := client.Fetch(t.Context(), c.ref, fixture(t, "notifications/"+c.notification))
			if c.next == nil {
				requireError(t, err, c.kind, c.status)
				return
			}
			require.NoError(t, err)
			require.Equal(t, c.next, found.Next)
		})
	}
}

func TestFetch_SaysForWhichAccountAChargebackIsRead(t *testing.T) {
	t.Parallel()
	callers := make(chan string, 2)
	api := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		callers <- r.Header.Get("X-Caller-Id")
		http.NotFound(w, r)
	}))
	t.Cleanup(api.Close)
	client, err := NewClient(Config{BaseURL: api.URL, AccessToken: testToken, AccountID: "700100200"})
	require.NoError(t, err)

	_, err = client.Fetch(t.Context(), provider.Ref{Topic: "chargebacks", ID: "7"}, nil)
	requireError(t, err, provider.ResourceNotFound, http.StatusNotFound)
	require.Equal(t, "700100200", <-callers)
	_, err = client.Fetch(t.Context(), provider.Ref{Topic: "payment", ID: "7"}, nil)
	requireError(t, err, provider.NotFound, http.StatusNotFound)
	require.Empty(t, <-callers)
}

func TestFetch_OtherShapes(t *testing.T) {
	t.Parallel()
	payment := []provider.Ref{{Topic: "payment", ID: "90210000001"}}
	for name, c := range map[string]struct {
		topic, id, body string
		next            []provider.Ref
		refused         bool
	}{
		"a chargeback of the official SDKs": {"chargebacks", "CB-001-2026", `{"id":"CB-001-2026","payment_id":90210000001}`, payment, false},
		"a chargeback of nothing":           {"chargebacks", "7", `{"id":7}`, nil, false},
		"a chargeback of a word":            {"chargebacks", "7", `{"id":7,"payments":["CB-1"]}`, nil, true},
		"a claim about an order":            {"claim", "7", `{"id":7,"resource":"order","resource_id":31000000001}`, []provider.Ref{{Topic: "topic_merchant_order_wh", ID: "31000000001"}}, false},
		"a claim about something else":      {"claim", "7", `{"id":7,"resource":"shipment","resource_id":1}`, nil, true},
		"a charge that was not tried":       {"subscription_authorized_payment", "7", `{"id":7,"status":"scheduled","payment":{"id":null}}`, nil, false},
		"a cancelled intent":                {"point_integration_ipn", "a-7", `{"id":"a-7","state":"CANCELED"}`, nil, false},
		"a terminal's payment":              {"point_integration_wh", "90210000001", string(fixture(t, "payments/approved")), nil, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			client := serve(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte(c.body)) })
			found, err := client.Fetch(t.Context(), provider.Ref{Topic: c.topic, ID: c.id}, nil)
			if c.refused {
				requireError(t, err, provider.Unexpected, http.StatusOK)
				return
			}
			require.NoError(t, err)
			require.Equal(t, c.next, found.Next)
		})
	}
}

func TestFetch_WhatAChargebackSaysOfItsDocuments(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		fields string
		wanted bool
	}{
		"wanted":                 {`"documentation_required":true,"documentation_status":"pending"`, true},
		"not taken":              {`"documentation_required":true,"documentation_status":"invalid"`, true},
		"a word of another year": {`"documentation_required":true,"documentation_status":"novelty"`, true},
		"of no word":             {`"documentation_required":true`, true},
		"not said to be needed":  {`"documentation_status":"pending"`, true},
		"with a date alone":      {`"date_documentation_deadline":"2026-02-13T00:00:00.000-04:00"`, true},
		"not needed":             {`"documentation_required":false,"documentation_status":"pending"`, false},
		"under review":           {`"documentation_required":true,"documentation_status":"REVIEW_PENDING"`, false},
		"accepted":               {`"documentation_required":true,"documentation_status":"valid"`, false},
		"not applicable":         {`"documentation_required":true,"documentation_status":"not_applicable"`, false},
		"won":                    {`"documentation_required":true,"documentation_status":"pending","coverage_applied":true`, false},
		"lost":                   {`"documentation_required":"true","documentation_status":"pending","coverage_applied":"false"`, false},
		"not spoken of":          {`"status":"in_review"`, false},
	} {
		_, found, err := chargebackTopic.read([]byte(`{"id":"7","payments":[{"id":90210000001}],` + c.fields + `}`))
		require.NoError(t, err, name)
		require.Equal(t, c.wanted, found.Chargeback.DocumentsWanted, name)
	}

	_, found, err := chargebackTopic.read(fixture(t, "topics/chargeback"))
	require.NoError(t, err)
	required := true
	require.Equal(t, &provider.Chargeback{
		ID: "217000061307271123", PaymentIDs: []string{"90210000004"}, Amount: decimal.NewNullDecimal(decimal.RequireFromString("1500.5")), Currency: "ARS",
		DocumentationRequired: &required, DocumentationStatus: "pending", DocumentsWanted: true,
		DocumentationDeadline: time.Date(2026, 2, 13, 4, 0, 0, 0, time.UTC), UpdatedAt: time.Date(2026, 2, 3, 14, 0, 0, 0, time.UTC),
	}, found.Chargeback)
	_, found, err = chargebackTopic.read([]byte(`{"id":"CB-1","payment_id":7,"amount":"a lot","currency_id":"brl","last_modified":"2022-07-02T10:00:00.000-00:00"}`))
	require.NoError(t, err)
	require.Equal(t, &provider.Chargeback{
		ID: "CB-1", PaymentIDs: []string{"7"}, Currency: "BRL", UpdatedAt: time.Date(2022, 7, 2, 10, 0, 0, 0, time.UTC),
	}, found.Chargeback, "what can't be read was not said")
}

// A claim about an order names no payment: the order's reference says whose it is.
func TestFetch_AClaimAboutAnOrderHasTheOrdersReference(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		about, path string
		status      int
		claim       provider.Claim
		kind        provider.ErrorKind
	}{
		"of a merchant order":     {"31000000001", "/merchant_orders/31000000001", http.StatusOK, provider.Claim{OrderID: "31000000001", Reference: "A-1"}, 0},
		"of a Mercado Pago order": {"ORD01KXAMPLE", "/v1/orders/ORD01KXAMPLE", http.StatusOK, provider.Claim{OrderID: "ORD01KXAMPLE", Reference: "A-1"}, 0},
		"of one that is not ours": {"31000000001", "/merchant_orders/31000000001", http.StatusForbidden, provider.Claim{OrderID: "31000000001"}, 0},
		"in an outage":            {"31000000001", "/merchant_orders/31000000001", http.StatusBadGateway, provider.Claim{}, provider.Unavailable},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			client := serve(t, func(w http.ResponseWriter, r *http.Request) {
				if r.URL.Path == "/post-purchase/v1/claims/7" {
					_, _ = w.Write([]byte(`{"id":7,"resource":"order","resource_id":"` + c.about + `","status":"Closed","type":"mediations","stage":"dispute"}`))
					return
				}
				if c.path != r.URL.Path {
					w.WriteHeader(http.StatusTeapot)
					return
				}
				w.WriteHeader(c.status)
				_, _ = w.Write([]byte(`{"id":"` + c.about + `","external_reference":"A-1"}`))
			})
			found, err := client.Fetch(t.Context(), provider.Ref{Topic: "claim", ID: "7"}, nil)
			if c.kind != 0 {
				requireError(t, err, c.kind, c.status)
				return
			}
			require.NoError(t, err)
			c.claim.ID, c.claim.Status, c.claim.Type, c.claim.Stage, c.claim.Closed = "7", "Closed", "mediations", "dispute", true
			require.Equal(t, &c.claim, found.Claim)
			require.Len(t, found.Next, 1)
		})
	}
}
