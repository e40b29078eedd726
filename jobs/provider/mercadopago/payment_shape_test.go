package mercadopago

import (
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/conciliar/conciliar/jobs/provider"
)

func TestDecodePayment_ReadsDatesInEachForm(t *testing.T) {
	t.Parallel()
	at := func(d int) time.Time { return time.Date(2026, 1, d, 0, 0, 0, 0, time.UTC) }
	for text, want := range map[string]time.Time{
		`"2026-01-03T00:00:00Z"`: at(3), `"2026-01-02T20:00:00.000-04:00"`: at(3), `"2026-01-02T20:00:00.000-0400"`: at(3),
		`"2026-01-02T20:00:00-04"`: at(3), `"2026-01-03t00:00:00z"`: at(3), `" 2026-01-03T00:00:00.000Z "`: at(3),
		`"2026-01-02T20:00:00.000"`: at(3), `"2026-01-02T20:00:00"`: at(3), `"2026-01-02 20:00:00"`: at(3), `"2026-01-02 20:00:00.000"`: at(3),
		`"2026-01-02 20:00:00 -04:00"`: at(3), `"2026-01-02 20:00:00-0400"`: at(3), `"2026-01-03 00:00:00Z"`: at(3),
		`"2026-01-03T00:00:00.123456789Z"`: at(3).Add(123456 * time.Microsecond),
		`"2026-01-03T00:00:00,5Z"`:         at(3).Add(500 * time.Millisecond),
		`"2099-01-01T00:00:00.000-04:00"`:  time.Date(2099, 1, 1, 4, 0, 0, 0, time.UTC), // as reported, however far ahead
		`"2026-01-01T00:00:5704:00"`:       {}, `"2026-13-01T00:00:00Z"`: {}, `"2026-01-03"`: {}, `"03/01/2026"`: {}, `"***"`: {}, `"yesterday"`: {},
		"1767225600": {}, "{}": {}, "[]": {}, "true": {}, `" "`: {}, `""`: {}, "null": {}, "": {},
		`"0001-01-01T00:00:00.000-04:00"`: {}, `"1970-01-01T00:00:00.000-00:00"`: {}, `"1999-12-31T23:59:59Z"`: {},
	} {
		// Another date tells when something else happened, not when the payment
		// changed: a refund taken for as old as its approval would be passed over.
		got := decode(t, "date_last_updated", text, "date_approved", `"2026-01-01T00:00:00Z"`, "date_created", `"2026-01-01T00:00:00Z"`)
		require.Equal(t, want, got.UpdatedAt, text)
	}
	for _, useless := range []string{"", "null", `"***"`, `"never"`, "{}"} {
		got := decode(t, "date_last_updated", `"2026-01-03T00:00:00Z"`, "date_approved", useless, "money_release_date", useless)
		require.Equal(t, at(3), got.UpdatedAt)
	}
}

func TestDecodePayment_ReadsIDsInEachShape(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"217000061307271123": "217000061307271123", `"217000061307271123"`: "217000061307271123", `" 7 "`: "7",
		"81000000001.0": "81000000001", "8.1000000001e+10": "81000000001", "1e5": "100000",
		"007": "", "1.5": "", "-7": "", "-7.0": "", "0.0": "", "1e999999999": "", `"../x"`: "", `""`: "", "null": "", "{}": "", "[7]": "", "true": "",
		`{"id":7}`: "", strings.Repeat("1", 200): "", "": "",
	} {
		raw := paymentWith("id", text)
		switch {
		case text == "007":
			_, err := DecodePayment(raw)
			require.ErrorIs(t, err, errNotJSON)
		case want == "":
			require.Empty(t, requireOdd(t, raw, provider.FieldID).ID)
		default:
			require.Equal(t, want, decode(t, "id", text).ID)
		}
	}
	for text, want := range map[string]string{
		"724484980": "724484980", `"724484980"`: "724484980", `{"id":724484980}`: "724484980", `{"id":"724484980","name":"x"}`: "724484980",
		"7.24484980e8": "724484980", "null": "", "{}": "", `"***"`: "", "true": "", "[7]": "", `{"id":{"id":7}}`: "", "": "",
	} {
		require.Equal(t, want, decode(t, "collector_id", text).CollectorID, text)
		require.Equal(t, want, decode(t, "collector_id", "null", "collector", text).CollectorID, text)
		require.Equal(t, "5", decode(t, "collector_id", "5", "collector", text).CollectorID, text)
		require.Equal(t, want, decode(t, "order", text).MerchantOrderID, text)
	}
}

func TestDecodePayment_ReadsWordsInAnyCase(t *testing.T) {
	t.Parallel()
	for status := range paymentStatuses {
		for _, text := range []string{status, strings.ToUpper(status), " " + strings.Title(status) + " "} { //nolint:staticcheck // ASCII words
			got := decode(t, "status", strconv.Quote(text), "status_detail", `" Reimbursed "`)
			require.Equal(t, status, got.Status)
			require.Equal(t, "reimbursed", got.StatusDetail)
		}
	}
	// A word that nobody knows stays what it is, and what it needs is unknown.
	for text, want := range map[string]string{`"On_Hold"`: "On_Hold", `"***"`: "***", `"canceled"`: "canceled", `"approved!"`: "approved!", "7": "7"} {
		got := decode(t, "status", text, "transaction_amount", "null", "currency_id", `"x"`, "external_reference", "true", "transaction_amount_refunded", "true")
		require.Equal(t, want, got.Status)
	}
	for _, missing := range []string{"", "null", `""`, `" "`, "true", "{}", `["approved"]`} {
		requireOdd(t, paymentWith("status", missing), provider.FieldStatus)
	}
	require.Equal(t, "ARS", decode(t, "currency_id", `" ars "`).Currency)
	for _, wrong := range []string{"", "null", `""`, `"AR"`, `"ÄR"`, `"ARSS"`, `"***"`, "32", "{}", `["ARS"]`} {
		for _, status := range statusesWithMoney(t, true) {
			requireOdd(t, paymentWith("currency_id", wrong, "status", status), provider.FieldCurrency)
		}
	}
	require.True(t, decode(t, "operation_type", `"CARD_VALIDATION"`).Validation)
	require.False(t, decode(t, "operation_type", `"***"`).Validation)
}

func TestDecodePayment_ReadsTruthInEachShape(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]bool{
		"true": true, `"true"`: true, `"TRUE"`: true, `" True "`: true, "1": true, `"1"`: true,
		"false": false, `"false"`: false, "0": false, `"0"`: false,
		// A payment is live when it says so.
		"": false, "null": false, `""`: false, `"yes"`: false, `"***"`: false, "2": false, "{}": false, "[true]": false,
	} {
		require.Equal(t, want, decode(t, "live_mode", text).LiveMode, text)
	}
}

func TestDecodePayment_TakesTheLastOfEqualNames(t *testing.T) {
	t.Parallel()
	got, err := DecodePayment([]byte(`{"id":7,"status":"pending","status":"approved","transaction_amount":1,"transaction_amount":10.0,` +
		`"currency_id":"ARS","collector_id":1,"collector_id":{"id":1,"id":2}}`))
	require.NoError(t, err)
	require.Equal(t, "approved", got.Status)
	require.Equal(t, "10", got.Amount.Decimal.String())
	require.Equal(t, "2", got.CollectorID)
}

func TestDecodePayment_ReadsBehindAByteOrderMark(t *testing.T) {
	t.Parallel()
	raw := append([]byte("\xef\xbb\xbf"), paymentWith()...)
	got, err := DecodePayment(raw)
	require.NoError(t, err)
	require.Equal(t, "7", got.ID)
	require.Equal(t, raw, got.Raw, "kept byte for byte")
}
