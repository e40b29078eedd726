package mercadopago

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/shopspring/decimal"
	"github.com/stretchr/testify/require"

	"github.com/conciliar/conciliar/jobs/provider"
)

// paymentWith is a small payment with fields replaced; an empty value takes the
// field away.
func paymentWith(fields ...string) []byte {
	values := map[string]string{
		"id": "7", "status": `"approved"`, "currency_id": `"ARS"`, "transaction_amount": "10.50",
		"date_last_updated": `"2026-02-03T11:12:13.141-04:00"`, "live_mode": "true",
	}
	for i := 0; i < len(fields); i += 2 {
		values[fields[i]] = fields[i+1]
	}
	var b bytes.Buffer
	for name, value := range values {
		if value != "" {
			fmt.Fprintf(&b, ",%q:%s", name, value)
		}
	}
	return []byte("{" + strings.TrimPrefix(b.String(), ",") + "}")
}

func requirePayment(t testing.TB, want, got provider.Payment) {
	t.Helper()
	require.Equal(t, want.Amount.Valid, got.Amount.Valid)
	for _, p := range []struct {
		name      string
		want, got *decimal.Decimal
	}{
		{"amount", &want.Amount.Decimal, &got.Amount.Decimal}, {"refunded", &want.Refunded, &got.Refunded},
		{"shipping", &want.Shipping, &got.Shipping},
	} {
		require.True(t, p.want.Equal(*p.got), "%s: want %s, got %s", p.name, p.want, p.got)
		*p.want, *p.got = decimal.Zero, decimal.Zero
	}
	require.Equal(t, string(want.Raw), string(got.Raw))
	// TestReadCost has it.
	want.Raw, got.Raw, want.Cost, got.Cost = nil, nil, provider.Cost{}, provider.Cost{}
	require.Equal(t, want, got)
}

// requireOdd decodes a payment that can't be booked for these fields.
func requireOdd(t testing.TB, raw []byte, fields ...provider.Field) *provider.OddPayment {
	t.Helper()
	got, err := DecodePayment(raw)
	var odd *provider.OddPayment
	require.ErrorAs(t, err, &odd, "%.200s", raw)
	require.Equal(t, fields, odd.Fields, "%.200s", raw)
	require.Equal(t, raw, odd.Raw)
	require.Zero(t, got)
	return odd
}

// decode decodes a payment that can be booked.
func decode(t testing.TB, fields ...string) provider.Payment {
	t.Helper()
	got, err := DecodePayment(paymentWith(fields...))
	require.NoError(t, err, "%.200q", fields)
	return got
}

func statusesWithMoney(t testing.TB, want bool) []string {
	t.Helper()
	var statuses []string
	for status, money := range paymentStatuses {
		if money == want {
			statuses = append(statuses, strconv.Quote(status))
		}
	}
	require.NotEmpty(t, statuses)
	return statuses
}

func TestDecodePayment_ReadsWhatIsDocumented(t *testing.T) {
	t.Parallel()
	money := func(s string) decimal.NullDecimal { return decimal.NewNullDecimal(decimal.RequireFromString(s)) }
	for name, want := range map[string]provider.Payment{
		"approved": {ID: "90210000001", Reference: "A-77", MerchantOrderID: "31000000001", Status: "approved", StatusDetail: "accredited",
			Amount: money("1234.5"), Currency: "ARS", CollectorID: "700100200", LiveMode: true,
			UpdatedAt: time.Date(2026, 2, 3, 15, 12, 13, 141e6, time.UTC)},
		"partially_refunded": {ID: "90210000002", Reference: "A-77", MerchantOrderID: "31000000001", Status: "approved", StatusDetail: "partially_refunded",
			Amount: money("1234.5"), Refunded: money("234.5").Decimal, Currency: "ARS", CollectorID: "700100200", LiveMode: true,
			UpdatedAt: time.Date(2026, 2, 4, 13, 0, 0, 0, time.UTC)},
		"pending_sparse": {ID: "90210000003", Reference: "1001", Status: "pending", StatusDetail: "pending_waiting_payment",
			Amount: money("1234.5"), Currency: "ARS", CollectorID: "700100200"},
		"card_validation": {ID: "90210000004", MerchantOrderID: "31000000001", Status: "approved", StatusDetail: "accredited",
			Amount: money("0"), Currency: "ARS", CollectorID: "700100200", LiveMode: true, Validation: true,
			UpdatedAt: time.Date(2026, 2, 3, 15, 12, 13, 141e6, time.UTC)},
		"charged_back": {ID: "90210000005", Reference: "A-77", MerchantOrderID: "31000000001", Status: "charged_back", StatusDetail: "reimbursed",
			Amount: money("1234567.89"), Currency: "BRL", CollectorID: "700100200", LiveMode: true,
			UpdatedAt: time.Date(2026, 2, 3, 15, 12, 13, 141e6, time.UTC)},
		"legacy_checkout": {ID: "90210000006", Reference: "A-78", MerchantOrderID: "36675950009", Status: "refunded", StatusDetail: "refunded",
			Amount: money("100"), Shipping: money("10").Decimal, Refunded: money("110").Decimal, Currency: "ARS",
			CollectorID: "700100200", LiveMode: true, UpdatedAt: time.Date(2026, 2, 4, 13, 0, 0, 0, time.UTC)},
		"subscription": {ID: "90210000007", Reference: "S-1", Status: "approved", StatusDetail: "accredited",
			SubscriptionID: "2c938084000000000000000000000001", SubscriptionNumber: 3,
			Amount: money("49.9"), Currency: "BRL", CollectorID: "700100200", LiveMode: true,
			UpdatedAt: time.Date(2026, 2, 3, 15, 12, 13, 141e6, time.UTC)},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			raw := fixture(t, "payments/"+name)
			got, err := DecodePayment(raw)
			require.NoError(t, err)
			want.Raw, want.CreatedAt = raw, time.Date(2026, 2, 3, 15, 12, 10, 0, time.UTC)
			want.Method = provider.Method{ID: "visa", Type: "credit_card"}
			requirePayment(t, want, got)
		})
	}
}

func TestDecodePayment_ReadsWhatItWasMadeWith(t *testing.T) {
	t.Parallel()
	method := func(fields ...string) provider.Method { return decode(t, fields...).Method }
	require.Equal(t, provider.Method{ID: "pix", Type: "bank_transfer"}, method("payment_method_id", `"pix"`, "payment_type_id", `"bank_transfer"`))
	require.Equal(t, provider.Method{ID: "oxxo", Type: "ticket"}, method("payment_method_id", `"OXXO"`, "payment_type_id", `" Ticket"`))
	require.Equal(t, provider.Method{Type: "account_money"}, method("payment_method_id", `null`, "payment_type_id", `"account_money"`))
	require.Equal(t, provider.Method{}, method("payment_method_id", `{"id":"visa"}`, "payment_type_id", `[7]`))
}

func TestDecodePayment_ReadsAmountsExactly(t *testing.T) {
	t.Parallel()
	const exactFloat = "0.1000000000000000055511151231257827021181583404541015625"
	for text, want := range map[string]string{
		"0": "0", "-0": "0", "0.00": "0", "150": "150", "1234567.89": "1234567.89", "0.1": "0.1",
		"99.99999999999999": "99.99999999999999", exactFloat: exactFloat, "999999999999999.99": "999999999999999.99",
		"1.5e2": "150", "1E-2": "0.01", `"30.00"`: "30", `" 1 "`: "1", "9007199254740993.01": "",
		"1e999999999": "", "1e-999999999": "", "1e31": "", "0e31": "", "1e-101": "", "1e99999999999999999999": "", "-1": "", "-0.01": "",
		"1000000000000000": "", `"NaN"`: "", `"Infinity"`: "", `"1,5"`: "", `"+1"`: "", `"0x10"`: "", `"1e"`: "",
		`"1."`: "", `".5"`: "", `"−1"`: "", `"1_0"`: "", `"٣"`: "", `"***"`: "", "null": "", `""`: "", "": "", "{}": "", "[1]": "", "true": "",
		`{"amount":1}`: "", `"` + strings.Repeat("1", 200) + `"`: "", strings.Repeat("1", 500_000): "", `"` + strings.Repeat("0", 128) + `1"`: "",
	} {
		if want == "" {
			for _, status := range statusesWithMoney(t, true) {
				odd := requireOdd(t, paymentWith("transaction_amount", text, "status", status), provider.FieldAmount)
				require.Contains(t, odd.Problem, "transaction_amount is ")
				require.Less(t, len(odd.Problem), 60)
			}
			continue
		}
		got := decode(t, "transaction_amount", text)
		require.True(t, got.Amount.Valid)
		require.Equal(t, want, got.Amount.Decimal.String(), text)
	}
}

// A payment that has no money needs to say nothing about money.
func TestDecodePayment_NeedsNoAmountWhereThereIsNoMoney(t *testing.T) {
	t.Parallel()
	for _, status := range statusesWithMoney(t, false) {
		for _, text := range []string{"", "null", `""`, `" "`, "{}", "[]", `"***"`, "-1", "true"} {
			got := decode(t, "status", status, "transaction_amount", text, "currency_id", text, "transaction_amount_refunded", text,
				"external_reference", `"A-77"`)
			require.False(t, got.Amount.Valid)
			require.Empty(t, got.Currency)
			require.True(t, got.Refunded.IsZero())
			require.Equal(t, "A-77", got.Reference)
		}
		got := decode(t, "status", status, "transaction_amount", "0", "currency_id", `"CLP"`)
		require.True(t, got.Amount.Valid, "0 is an amount")
		require.Equal(t, "CLP", got.Currency)
	}
}

func TestDecodePayment_KeepsRefundsAsReported(t *testing.T) {
	t.Parallel()
	for _, nothing := range []string{"", "null", `""`, "0", "{}"} {
		require.True(t, decode(t, "transaction_amount_refunded", nothing).Refunded.IsZero())
	}
	for _, status := range statusesWithMoney(t, true) {
		got := decode(t, "status", status, "transaction_amount_refunded", "11.75")
		require.Equal(t, "11.75", got.Refunded.String(), "more than the amount: shipping went back too")
	}
	for _, unreadable := range []string{`{"amount":1}`, "true", `"x"`, `"***"`, "-1", "1e999999999", "[1]"} {
		for _, where := range [][]string{{`"approved"`, "null"}, {`"charged_back"`, `"reimbursed"`}, {`"Charged_Back"`, `"REIMBURSED"`}} {
			odd := requireOdd(t, paymentWith("transaction_amount_refunded", unreadable, "status", where[0], "status_detail", where[1]), provider.FieldRefunded)
			require.Contains(t, odd.Problem, "transaction_amount_refunded is ")
		}
		// All of it went back, or nothing of it counts.
		for _, status := range []string{`"refunded"`, `"charged_back"`, `"in_mediation"`, `"authorized"`, `"rejected"`} {
			require.True(t, decode(t, "transaction_amount_refunded", unreadable, "status", status).Refunded.IsZero())
		}
	}
}

func TestDecodePayment_ReadsShippingUnderBothNames(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ amount, cost, want string }{
		{"10.0", "", "10"}, {"", "10", "10"}, {"null", `"10.00"`, "10"}, {"0", "10", "10"}, {"7", "10", "7"},
		{"", "", "0"}, {"0", "0", "0"}, {"null", `""`, "0"}, {`"***"`, "{}", "0"}, {"-3", "true", "0"}, {`"***"`, "4", "4"},
	} {
		require.Equal(t, c.want, decode(t, "shipping_amount", c.amount, "shipping_cost", c.cost).Shipping.String(), "%v", c)
	}
}

func TestDecodePayment_KnowsWhatNamesAnOrder(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		`"A-77"`: "A-77", "1001": "1001", `" a "`: " a ", `"a\u0000b"`: "a\ufffdb", "\"a\xffb\"": "a\ufffdb", `"\ud800"`: "\ufffd",
		`"` + strings.Repeat("é", 300) + `"`: strings.Repeat("é", 256), `"nullable"`: "nullable", `"***"`: "***", `"NULL"`: "NULL",
		"null": "", "": "", `""`: "", `"   "`: "", `"\u00a0\t\u200b"`: "", `"null"`: "", `" null "`: "", "{}": "", "[]": "", "[ ]": "",
	} {
		raw := paymentWith("external_reference", text, "status_detail", text)
		got, err := DecodePayment(raw)
		require.NoError(t, err, text)
		require.Equal(t, want, got.Reference, text)
		require.Equal(t, raw, got.Raw, "kept byte for byte")
		require.NotContains(t, got.StatusDetail, "\x00")
		require.LessOrEqual(t, utf8.RuneCountInString(got.StatusDetail), maxStatus)
	}
	for _, unreadable := range []string{"true", "false", `{"id":"A-77"}`, `["A-77"]`} {
		for _, status := range statusesWithMoney(t, true) {
			requireOdd(t, paymentWith("external_reference", unreadable, "status", status), provider.FieldReference)
		}
		for _, status := range statusesWithMoney(t, false) {
			require.Empty(t, decode(t, "external_reference", unreadable, "status", status).Reference)
		}
	}
}

func TestDecodePayment_ReadsSubscriptions(t *testing.T) {
	t.Parallel()
	in := func(id, sequence string) string {
		return `{"transaction_data":{"subscription_id":` + id + `,"subscription_sequence":` + sequence + `}}`
	}
	for _, c := range []struct {
		text, id string
		number   int64
	}{
		{in(`"2c93"`, `{"number":1,"total":null}`), "2c93", 1}, {in(`"2c93"`, `{"number":"12"}`), "2c93", 12}, {in("2693", `{"number":2.0}`), "2693", 2},
		{in(`"2c93"`, "null"), "2c93", 0}, {in(`"2c93"`, `{"number":1.5}`), "2c93", 0}, {in(`"2c93"`, `{"number":"***"}`), "2c93", 0},
		{in(`"2c93"`, `{"number":-1}`), "2c93", 0}, {in("null", `{"number":1}`), "", 0}, {in(`"* *"`, `{"number":1}`), "", 0},
		{"null", "", 0}, {"{}", "", 0}, {`"***"`, "", 0}, {"", "", 0},
	} {
		got := decode(t, "point_of_interaction", c.text)
		require.Equal(t, c.id, got.SubscriptionID, c.text)
		require.Equal(t, c.number, got.SubscriptionNumber, c.text)
	}
}

func TestDecodePayment_NamesEachFieldThatItCannotRead(t *testing.T) {
	t.Parallel()
	const value = "secret-of-the-body"
	odd := requireOdd(t, paymentWith("transaction_amount", `"`+value+`"`, "currency_id", `"`+value+`"`, "transaction_amount_refunded", `"`+value+`"`,
		"external_reference", `"A-77"`, "order", `{"id":36675950009}`),
		provider.FieldAmount, provider.FieldRefunded, provider.FieldCurrency)
	require.EqualError(t, odd, "payment: transaction_amount is not a number; transaction_amount_refunded is not a number; "+
		"currency_id is missing or is not an ISO 4217 code")
	require.Equal(t, "7", odd.ID)
	require.Equal(t, "A-77", odd.Reference)
	require.Equal(t, "36675950009", odd.MerchantOrderID)
}

func TestDecodePayment_TellsWhatIsNoPayment(t *testing.T) {
	t.Parallel()
	const body = "secret-of-the-body"
	for name, raw := range map[string][]byte{
		"empty": nil, "html": []byte("<html>" + body), "cut": []byte(`{"id":1,"x":"` + body), "two objects": []byte("{}{}"),
		"deep": []byte(strings.Repeat(`{"a":`, 20_000)), "half of a byte order mark": []byte("\xef\xbb{}"),
	} {
		got, err := DecodePayment(raw)
		require.ErrorIs(t, err, errNotJSON, name)
		require.EqualError(t, err, "payment: not JSON, or cut off", name)
		require.Zero(t, got, name)
	}
	for _, raw := range []string{"null", "[]", `[{"id":7}]`, `"` + body + `"`, "7", "true"} {
		got, err := DecodePayment([]byte(raw))
		require.ErrorIs(t, err, errNotAnObject, raw)
		require.EqualError(t, err, "payment: not a JSON object", raw)
		require.Zero(t, got, raw)
	}
	requireOdd(t, []byte("{}"), provider.FieldID, provider.FieldStatus)
	requireOdd(t, bytes.ReplaceAll(paymentWith(), []byte(`"status"`), []byte(`"Status"`)), provider.FieldStatus)
}

func TestDecodePayment_KeepsItsOwnCopy(t *testing.T) {
	t.Parallel()
	raw := paymentWith()
	got, err := DecodePayment(raw)
	require.NoError(t, err)
	want := bytes.Clone(raw)
	clear(raw)
	require.Equal(t, want, got.Raw)
}

func FuzzDecodePayment(f *testing.F) {
	files, err := os.ReadDir("testdata/payments")
	require.NoError(f, err)
	for _, file := range files {
		f.Add(fixture(f, "payments/"+strings.TrimSuffix(file.Name(), ".json")))
	}
	f.Add(paymentWith("transaction_amount", "1e999999999"))
	f.Add(append([]byte("\xef\xbb\xbf"), paymentWith("status", `"REJECTED"`, "currency_id", "null")...))
	f.Add(paymentWith("collector_id", `{"id":7.0}`, "live_mode", `"1"`, "date_last_updated", `"2026-01-02 20:00:00"`))
	f.Add(paymentWith("external_reference", `"\u0000\ud800"`, "date_last_updated", "null"))
	f.Fuzz(func(t *testing.T, raw []byte) {
		got, err := DecodePayment(raw)
		var odd *provider.OddPayment
		if errors.As(err, &odd) {
			require.Zero(t, got)
			require.NotEmpty(t, odd.Fields)
			require.Subset(t, provider.Fields(), odd.Fields)
			require.Equal(t, raw, odd.Raw)
			return
		}
		if err != nil {
			require.Zero(t, got)
			return
		}
		require.Equal(t, raw, got.Raw)
		require.True(t, validID(got.ID))
		require.NotEmpty(t, got.Status)
		if paymentStatuses[got.Status] {
			require.True(t, got.Amount.Valid)
			require.Len(t, got.Currency, 3)
		}
		for _, amount := range []decimal.Decimal{got.Amount.Decimal, got.Refunded, got.Shipping} {
			require.False(t, amount.IsNegative())
			require.True(t, amount.LessThan(maxAmount))
			require.Less(t, len(amount.String()), 150)
		}
		for _, text := range []string{got.Reference, got.Status, got.StatusDetail} {
			require.True(t, utf8.ValidString(text))
			require.NotContains(t, text, "\x00")
		}
		again, err := DecodePayment(got.Raw)
		require.NoError(t, err)
		requirePayment(t, got, again)
	})
}
