package mercadopago

import (
	"bytes"
	"fmt"
	"os"
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
	require.True(t, want.Amount.Equal(got.Amount), "amount: want %s, got %s", want.Amount, got.Amount)
	require.True(t, want.Refunded.Equal(got.Refunded), "refunded: want %s, got %s", want.Refunded, got.Refunded)
	want.Amount, want.Refunded, got.Amount, got.Refunded = decimal.Zero, decimal.Zero, decimal.Zero, decimal.Zero
	require.Equal(t, want, got)
}

func TestDecodePayment(t *testing.T) {
	t.Parallel()
	money := decimal.RequireFromString
	for name, want := range map[string]provider.Payment{
		"approved": {ID: "90210000001", Reference: "A-77", Status: "approved", StatusDetail: "accredited",
			Amount: money("1234.5"), Currency: "ARS", CollectorID: "700100200", LiveMode: true,
			UpdatedAt: time.Date(2026, 2, 3, 15, 12, 13, 141e6, time.UTC)},
		"partially_refunded": {ID: "90210000002", Reference: "A-77", Status: "approved", StatusDetail: "partially_refunded",
			Amount: money("1234.5"), Refunded: money("234.5"), Currency: "ARS", CollectorID: "700100200", LiveMode: true,
			UpdatedAt: time.Date(2026, 2, 4, 13, 0, 0, 0, time.UTC)},
		"pending_sparse": {ID: "90210000003", Reference: "1001", Status: "pending", StatusDetail: "pending_waiting_payment",
			Amount: money("1234.5"), Currency: "ARS", CollectorID: "700100200",
			UpdatedAt: time.Date(2026, 2, 3, 15, 12, 10, 0, time.UTC)},
		"card_validation": {ID: "90210000004", Status: "approved", StatusDetail: "accredited",
			Currency: "ARS", CollectorID: "700100200", LiveMode: true, Validation: true,
			UpdatedAt: time.Date(2026, 2, 3, 15, 12, 13, 141e6, time.UTC)},
		"charged_back": {ID: "90210000005", Reference: "A-77", Status: "charged_back", StatusDetail: "reimbursed",
			Amount: money("1234567.89"), Currency: "BRL", CollectorID: "700100200", LiveMode: true,
			UpdatedAt: time.Date(2026, 2, 3, 15, 12, 13, 141e6, time.UTC)},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			raw := fixture(t, "payments/"+name)
			got, err := DecodePayment(raw)
			require.NoError(t, err)
			want.Raw = raw
			requirePayment(t, want, got)
		})
	}
}

func TestDecodePaymentAmounts(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"0": "0", "-0": "0", "0.00": "0", "150": "150", "1234567.89": "1234567.89", "0.1": "0.1",
		"999999999999999.99":               "999999999999999.99",
		"0.100000000000000005551115123125": "0.100000000000000005551115123125", "0.1000000000000000055511151231257": "",
		"1.5e2": "150", "1E-2": "0.01", `"30.00"`: "30", "9007199254740993.01": "",
		"1e999999999": "", "1e-999999999": "", "1e31": "", "0e31": "", "1e99999999999999999999": "", "-1": "", "-0.01": "",
		"1000000000000000": "", `"NaN"`: "", `"Infinity"`: "", `"1,5"`: "", `" 1"`: "", `"+1"`: "", `"0x10"`: "", `"1e"`: "",
		`"1."`: "", `".5"`: "", `"−1"`: "", `"1_0"`: "", `"٣"`: "", "null": "", `""`: "", "{}": "", "[1]": "", "true": "",
		`"` + strings.Repeat("1", 100) + `"`: "", strings.Repeat("1", 500_000): "",
		`"` + strings.Repeat("0", 60) + `1"`: "",
	} {
		got, err := DecodePayment(paymentWith("transaction_amount", text))
		if want == "" {
			require.ErrorContains(t, err, "transaction_amount", "%.60s", text)
			require.Less(t, len(err.Error()), 60)
			continue
		}
		require.NoError(t, err, text)
		require.Equal(t, want, got.Amount.String(), text)
	}
	_, err := DecodePayment(paymentWith("transaction_amount", ""))
	require.ErrorContains(t, err, "transaction_amount is missing")
}

func TestDecodePaymentRefunds(t *testing.T) {
	t.Parallel()
	for _, nothing := range []string{"", "null", `""`, "0"} {
		got, err := DecodePayment(paymentWith("transaction_amount_refunded", nothing))
		require.NoError(t, err)
		require.True(t, got.Refunded.IsZero())
	}
	for _, wrong := range []string{"{}", "true", `"x"`, "-1", "1e999999999", "10.51"} {
		_, err := DecodePayment(paymentWith("transaction_amount_refunded", wrong))
		require.ErrorContains(t, err, "transaction_amount_refunded", wrong)
	}
	got, err := DecodePayment(paymentWith("transaction_amount_refunded", "10.5"))
	require.NoError(t, err)
	require.True(t, got.Refunded.Equal(got.Amount))
}

func TestDecodePaymentDates(t *testing.T) {
	t.Parallel()
	day := func(d int) time.Time { return time.Date(2026, 1, d, 0, 0, 0, 0, time.UTC) }
	const one, two, three = `"2026-01-01T00:00:00.000-00:00"`, `"2026-01-01T20:00:00-04:00"`, `"2026-01-03T00:00:00Z"`
	for _, c := range []struct {
		updated, approved, created string
		want                       time.Time
	}{
		{three, two, one, day(3)},
		{"", two, one, day(2)},
		{"null", two, one, day(2)},
		{`""`, `""`, one, day(1)},
		{"null", "", "", time.Unix(0, 0).UTC()},
		{`"2026-01-02T20:00:00.000-0400"`, "", "", day(3)},
		{`"2026-01-03T00:00:00.123456789Z"`, "", "", day(3).Add(123456 * time.Microsecond)},
		{three, `"never"`, "{}", day(3)},
	} {
		got, err := DecodePayment(paymentWith("date_last_updated", c.updated, "date_approved", c.approved, "date_created", c.created))
		require.NoError(t, err)
		require.Equal(t, c.want, got.UpdatedAt)
	}
	for _, wrong := range []string{`"2026-01-01T00:00:5704:00"`, `"yesterday"`, "1767225600", "{}", "true", `" "`} {
		_, err := DecodePayment(paymentWith("date_last_updated", wrong, "date_created", one))
		require.EqualError(t, err, "payment: date_last_updated is no date", wrong)
		_, err = DecodePayment(paymentWith("date_last_updated", "null", "date_approved", wrong))
		require.EqualError(t, err, "payment: date_approved is no date", wrong)
	}
}

func TestDecodePaymentIDsAndText(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"217000061307271123": "217000061307271123", `"217000061307271123"`: "217000061307271123", "007": "",
		"1.5": "", "1e5": "", "-7": "", `"../x"`: "", `""`: "", "null": "", "{}": "", strings.Repeat("1", 200): "", "": "",
	} {
		got, err := DecodePayment(paymentWith("id", text))
		if want == "" {
			require.Error(t, err, text)
			continue
		}
		require.NoError(t, err, text)
		require.Equal(t, want, got.ID)
	}
	for text, want := range map[string]string{
		`"A-77"`: "A-77", "1001": "1001", "null": "", "": "", `""`: "", "{}": "", "true": "", `" a "`: " a ",
		`"a\u0000b"`: "a\ufffdb", "\"a\xffb\"": "a\ufffdb", `"\ud800"`: "\ufffd",
		`"` + strings.Repeat("é", 300) + `"`: strings.Repeat("é", 256),
	} {
		raw := paymentWith("external_reference", text, "status_detail", text)
		got, err := DecodePayment(raw)
		require.NoError(t, err, text)
		require.Equal(t, want, got.Reference)
		require.Equal(t, raw, got.Raw, "kept byte for byte")
		require.NotContains(t, got.StatusDetail, "\x00")
		require.LessOrEqual(t, utf8.RuneCountInString(got.StatusDetail), maxStatus)
	}
	for _, absent := range []string{"", "null", `"yes"`, "0", "{}"} {
		got, err := DecodePayment(paymentWith("live_mode", absent, "collector_id", absent, "operation_type", absent))
		require.NoError(t, err)
		require.False(t, got.LiveMode, "a payment is live when it says so")
		require.False(t, got.Validation)
	}
}

func TestDecodePaymentRefusesWhatItNeeds(t *testing.T) {
	t.Parallel()
	const body = "secret-of-the-body"
	for name, raw := range map[string][]byte{
		"empty": nil, "null": []byte("null"), "html": []byte("<html>" + body), "list": []byte("[]"), "cut": []byte(`{"id":1,"x":"` + body),
		"two objects": []byte("{}{}"), "deep": []byte(strings.Repeat(`{"a":`, 20_000)),
		"no status": paymentWith("status", ""), "null status": paymentWith("status", "null"), "status a number": paymentWith("status", "7"),
		"status in capitals":   bytes.ReplaceAll(paymentWith(), []byte(`"status"`), []byte(`"Status"`)),
		"no currency":          paymentWith("currency_id", ""),
		"currency in small":    paymentWith("currency_id", `"ars"`),
		"currency of two":      paymentWith("currency_id", `"AR"`),
		"currency not ASCII":   paymentWith("currency_id", `"ÄR"`),
		"currency of the body": paymentWith("currency_id", `"`+body+`"`),
	} {
		got, err := DecodePayment(raw)
		require.ErrorContains(t, err, "payment: ", name)
		if len(raw) == 0 || raw[0] != '{' {
			require.EqualError(t, err, "payment: not a JSON object", name)
		}
		require.NotContains(t, err.Error(), body, name)
		require.Zero(t, got, name)
	}
}

func TestDecodePaymentKeepsItsOwnCopy(t *testing.T) {
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
	f.Add(paymentWith("external_reference", `"\u0000\ud800"`, "date_last_updated", "null"))
	f.Fuzz(func(t *testing.T, raw []byte) {
		got, err := DecodePayment(raw)
		if err != nil {
			require.Zero(t, got)
			return
		}
		require.Equal(t, raw, got.Raw)
		require.True(t, validID(got.ID))
		require.Len(t, got.Currency, 3)
		require.NotEmpty(t, got.Status)
		require.False(t, got.Amount.IsNegative() || got.Refunded.IsNegative())
		require.True(t, got.Refunded.LessThanOrEqual(got.Amount))
		require.Less(t, len(got.Amount.String()), 100)
		for _, text := range []string{got.Reference, got.Status, got.StatusDetail} {
			require.True(t, utf8.ValidString(text))
			require.NotContains(t, text, "\x00")
		}
		again, err := DecodePayment(got.Raw)
		require.NoError(t, err)
		requirePayment(t, got, again)
	})
}
