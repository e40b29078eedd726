package simulator

import (
	"bytes"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// topics are those of a receipt's webhooks, each acknowledged.
func topics(t *testing.T, receipt Receipt) []string {
	t.Helper()
	all := []string{}
	for _, hook := range receipt.Webhooks {
		require.Equal(t, http.StatusOK, hook.StatusCode, hook.Error)
		all = append(all, hook.Topic)
	}
	return all
}

func TestPay_PaysAnOrderInTheChannelAskedFor(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		what   Purchase
		topic  string
		status string
		paid   string
	}{
		"a payment":         {Purchase{}, "payment", "approved/accredited", "paid"},
		"a payment by name": {Purchase{As: AsPayment}, "payment", "approved/accredited", "paid"},
		"an order":          {Purchase{As: AsOrder}, "order", "approved/accredited", "paid"},
		"an order by QR":    {Purchase{As: AsOrder, OrderType: "qr"}, "order", "approved/accredited", "paid"},
		"an order at point": {Purchase{As: AsOrder, OrderType: "point"}, "order", "approved/accredited", "paid"},
		"a merchant order":  {Purchase{As: AsMerchantOrder}, "topic_merchant_order_wh", "approved/accredited", "paid"},
		"a slip":            {Purchase{Status: Pending}, "payment", "pending/pending_waiting_payment", Pending},
		"a refusal":         {Purchase{Status: Rejected, As: AsOrder}, "order", "rejected/cc_rejected_other_reason", Rejected},
		"a silent one":      {Purchase{NoWebhook: true}, "", "approved/accredited", "paid"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			rc := &receiver{}
			s := setup(t, Config{TargetURL: serve(t, rc)})
			c.what.Reference, c.what.Amount = "order-1", "150"
			receipt, err := s.Pay(t.Context(), c.what)
			require.NoError(t, err)
			told := topics(t, receipt)
			require.Equal(t, c.topic, strings.Join(told, " "))
			require.Zero(t, rc.forged)
			require.Len(t, rc.seen(), len(told))
			require.Equal(t, c.status, receipt.Status+"/"+receipt.StatusDetail)
			require.Equal(t, []string{"order-1", "150.00", "0.00", "ARS"}, []string{receipt.Reference, receipt.Amount, receipt.Refunded, receipt.Currency})
			require.Equal(t, c.what.As == AsOrder, receipt.OrderID != "")
			if c.what.As == AsMerchantOrder {
				require.NotEmpty(t, receipt.MerchantOrderID)
			}
			if c.what.OrderType != "" {
				require.Equal(t, c.what.OrderType, decode(t, get(t, s, ordersPath+receipt.OrderID).Body)["type"])
			}
			truth := s.Truth()
			require.Len(t, truth, 1)
			require.Equal(t, c.paid, truth[0].Status)
		})
	}
}

func TestPay_GivesBackWhatWasPaid(t *testing.T) {
	t.Parallel()
	s := setup(t, Config{TargetURL: serve(t, &receiver{})})
	pay := func(what Purchase) Receipt {
		t.Helper()
		what.Reference = "order-1"
		receipt, err := s.Pay(t.Context(), what)
		require.NoError(t, err)
		return receipt
	}
	paid := pay(Purchase{Amount: "100", As: AsOrder})
	part := pay(Purchase{Refund: "30"})
	require.Equal(t, paid.PaymentID, part.PaymentID)
	require.Equal(t, "approved/partially_refunded/30.00", part.Status+"/"+part.StatusDetail+"/"+part.Refunded)
	require.Equal(t, []string{"order"}, topics(t, part), "in the channel of the payment")
	_, err := s.Pay(t.Context(), Purchase{Reference: "order-1", Refund: "70.01"})
	require.ErrorIs(t, err, ErrPurchase)
	require.ErrorContains(t, err, "70.00 left")
	whole := pay(Purchase{Refund: RefundAll})
	require.Equal(t, "refunded/refunded/100.00", whole.Status+"/"+whole.StatusDetail+"/"+whole.Refunded)

	// Nothing is left: the next one is paid before it is given back.
	again := pay(Purchase{Status: Refunded})
	require.NotEqual(t, paid.PaymentID, again.PaymentID)
	require.Equal(t, "100.00", again.Refunded, "the amount is known by now")
	require.Equal(t, []string{"payment", "payment"}, topics(t, again))
	require.Equal(t, Refunded, s.Truth()[0].Status)
}

func TestPay_ChargesBack(t *testing.T) {
	t.Parallel()
	s := setup(t, Config{TargetURL: serve(t, &receiver{})})
	for _, c := range []struct {
		as    string
		told  []string
		again []string
	}{
		{AsPayment, []string{"payment", "payment", "topic_chargebacks_wh"}, []string{"payment", "topic_chargebacks_wh"}},
		{AsOrder, []string{"order", "topic_chargebacks_wh"}, []string{"topic_chargebacks_wh"}},
	} {
		opened, err := s.Pay(t.Context(), Purchase{Reference: c.as, Amount: "10", As: c.as, Chargeback: "in_process"})
		require.NoError(t, err)
		require.Equal(t, c.told, topics(t, opened))
		require.Equal(t, ChargedBack, opened.Status)
		won, err := s.Pay(t.Context(), Purchase{Reference: c.as, Chargeback: "reimbursed"})
		require.NoError(t, err)
		require.Equal(t, opened.PaymentID, won.PaymentID)
		require.Equal(t, c.again, topics(t, won))
		require.Equal(t, "reimbursed", won.StatusDetail)
		_, err = s.Pay(t.Context(), Purchase{Reference: c.as, PaymentID: won.PaymentID, Refund: RefundAll})
		require.ErrorContains(t, err, "can't be refunded")
	}
}

func TestPay_MovesThePaymentThatIsNamed(t *testing.T) {
	t.Parallel()
	s := setup(t, Config{TargetURL: serve(t, &receiver{})})
	slip, err := s.Pay(t.Context(), Purchase{Reference: "order-1", Amount: "10", Status: Pending})
	require.NoError(t, err)
	_, err = s.Pay(t.Context(), Purchase{Reference: "order-2", PaymentID: slip.PaymentID})
	require.ErrorContains(t, err, "not a payment of order-2")
	paid, err := s.Pay(t.Context(), Purchase{Reference: "order-1", PaymentID: slip.PaymentID})
	require.NoError(t, err)
	require.Equal(t, slip.PaymentID, paid.PaymentID)
	require.Equal(t, Approved, paid.Status)
	require.Equal(t, 1, s.Truth()[0].Payments)
}

func TestPay_RefusesWhatCannotBe(t *testing.T) {
	t.Parallel()
	s := setup(t, Config{TargetURL: serve(t, &receiver{})})
	for name, c := range map[string]struct {
		what Purchase
		says string
	}{
		"no reference":          {Purchase{Amount: "1"}, "reference"},
		"an unknown order":      {Purchase{Reference: "order-1"}, "say the amount"},
		"words for an amount":   {Purchase{Reference: "order-1", Amount: "much"}, "not an amount"},
		"nothing":               {Purchase{Reference: "order-1", Amount: "0"}, "not an amount"},
		"a debt":                {Purchase{Reference: "order-1", Amount: "-1"}, "not an amount"},
		"parts of a peso":       {Purchase{Reference: "order-1", Amount: "1.5", Currency: "CLP"}, "not an amount"},
		"no currency":           {Purchase{Reference: "order-1", Amount: "1", Currency: "pesos"}, "not a currency"},
		"another status":        {Purchase{Reference: "order-1", Amount: "1", Status: "paid"}, "status"},
		"another channel":       {Purchase{Reference: "order-1", Amount: "1", As: "letter"}, "as"},
		"another type":          {Purchase{Reference: "order-1", Amount: "1", As: AsOrder, OrderType: "phone"}, "order_type"},
		"another chargeback":    {Purchase{Reference: "order-1", Amount: "1", Chargeback: "lost"}, "chargeback"},
		"a type without order":  {Purchase{Reference: "order-1", Amount: "1", OrderType: "qr"}, "order_type"},
		"two acts":              {Purchase{Reference: "order-1", Amount: "1", Refund: "1", Chargeback: "settled"}, "exclude"},
		"a payment of nobody":   {Purchase{Reference: "order-1", PaymentID: "7"}, "not a payment"},
		"an amount of one made": {Purchase{Reference: "order-1", PaymentID: "7", Amount: "1"}, "new payment"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := s.Pay(t.Context(), c.what)
			require.ErrorIs(t, err, ErrPurchase)
			require.ErrorContains(t, err, c.says)
		})
	}
}

func TestPay_IsTakenOverHTTPAsJSONOnly(t *testing.T) {
	t.Parallel()
	s := setup(t, Config{TargetURL: serve(t, &receiver{})})
	s.SetOutage(true) // it is not Mercado Pago who answers
	post := func(contentType, body string) *httptest.ResponseRecorder {
		req := httptest.NewRequestWithContext(t.Context(), http.MethodPost, PayPath, bytes.NewReader([]byte(body)))
		req.Header.Set("Content-Type", contentType)
		rec := httptest.NewRecorder()
		s.Handler().ServeHTTP(rec, req)
		return rec
	}
	rec := post("application/json; charset=utf-8", `{"reference":"order-1","amount":"150.00"}`)
	require.Equal(t, http.StatusOK, rec.Code, rec.Body.String())
	var receipt Receipt
	require.NoError(t, json.Unmarshal(rec.Body.Bytes(), &receipt))
	require.Equal(t, "150.00", receipt.Amount)
	require.Equal(t, http.StatusUnsupportedMediaType, post("text/plain", `{"reference":"order-1"}`).Code)
	for _, body := range []string{"", "[]", `{"reference":"order-1","sum":"1"}`, `{"reference":"order-2"}`} {
		rec := post("application/json", body)
		require.Equal(t, http.StatusBadRequest, rec.Code, body)
		require.NotEmpty(t, decode(t, rec.Body)["message"])
	}
}

func TestPay_SaysThatNobodyAnswered(t *testing.T) {
	t.Parallel()
	s := setup(t, Config{})
	receipt, err := s.Pay(t.Context(), Purchase{Reference: "order-1", Amount: "1"})
	require.NoError(t, err)
	require.NotEmpty(t, receipt.PaymentID)
	require.Contains(t, receipt.Webhooks[0].Error, "no target")
}
