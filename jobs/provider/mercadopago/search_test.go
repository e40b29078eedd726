package mercadopago

import (
	"bytes"
	"net/url"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/conciliar/conciliar/jobs/provider"
)

func pageOf(paging string, results ...[]byte) []byte {
	return []byte(`{"paging":` + paging + `,"results":[` + string(bytes.Join(results, []byte(","))) + `]}`)
}

func TestDecodeSearchPage_ReadsPaymentsAndNumbers(t *testing.T) {
	t.Parallel()
	approved, refunded := fixture(t, "payments/approved"), fixture(t, "payments/partially_refunded")
	page, err := DecodeSearchPage(pageOf(`{"total":5,"limit":"2","offset":2}`, approved, refunded))
	require.NoError(t, err)
	require.Equal(t, [3]int{5, 2, 2}, [3]int{page.Total, page.Limit, page.Offset})
	require.Len(t, page.Payments, 2)
	require.Equal(t, "90210000001", page.Payments[0].ID)
	require.Equal(t, "90210000002", page.Payments[1].ID)
	require.Equal(t, bytes.TrimSpace(approved), page.Payments[0].Raw)
	require.Empty(t, page.Odd)

	page, err = DecodeSearchPage(pageOf(`{"total":0,"limit":30,"offset":0}`))
	require.NoError(t, err)
	require.Equal(t, provider.SearchPage{Limit: 30}, page)

	page, err = DecodeSearchPage(append([]byte("\xef\xbb\xbf"), pageOf(`{"total":1,"limit":30,"offset":0}`, approved)...))
	require.NoError(t, err)
	require.Len(t, page.Payments, 1)
}

func TestDecodeSearchPage_ReadsTheRestOfAPageWithOddRows(t *testing.T) {
	t.Parallel()
	page, err := DecodeSearchPage(pageOf(`{"total":4,"limit":50,"offset":0}`,
		paymentWith("id", "1", "status", ""), paymentWith("id", "2"), []byte("null"), []byte("7")))
	require.NoError(t, err)
	require.Len(t, page.Payments, 1)
	require.Equal(t, "2", page.Payments[0].ID)
	require.Len(t, page.Odd, 3)
	require.Equal(t, "1", page.Odd[0].ID)
	require.Equal(t, []provider.Field{provider.FieldStatus}, page.Odd[0].Fields)
	for i, raw := range []string{"null", "7"} {
		odd := page.Odd[i+1]
		require.Empty(t, odd.ID)
		require.Equal(t, []provider.Field{provider.FieldID}, odd.Fields)
		require.Equal(t, "payment: not a JSON object", odd.Problem)
		require.Equal(t, raw, string(odd.Raw))
	}
}

func TestDecodeSearchPage_IsNeverEmptyByMistake(t *testing.T) {
	t.Parallel()
	const paging = `{"total":0,"limit":30,"offset":0}`
	for _, raw := range []string{
		"", "null", "[]", "{}", "<html>", `{"results":[]}`, `{"paging":` + paging + `}`, `{"paging":` + paging + `,"results":null}`,
		`{"paging":` + paging + `,"results":{}}`, `{"paging":null,"results":[]}`, `{"paging":{"total":0,"limit":30},"results":[]}`,
		`{"paging":{"total":-1,"limit":30,"offset":0},"results":[]}`, `{"paging":{"total":1.5,"limit":30,"offset":0},"results":[]}`,
		`{"paging":{"total":1e2,"limit":30,"offset":0},"results":[]}`, `{"paging":{"total":99999999999,"limit":30,"offset":0},"results":[]}`,
	} {
		page, err := DecodeSearchPage([]byte(raw))
		require.ErrorContains(t, err, "search: ", raw)
		require.Zero(t, page)
	}
}

func TestSearchValues_AreThoseOfTheAPI(t *testing.T) {
	t.Parallel()
	west := time.FixedZone("", -4*60*60)
	got, err := searchValues(provider.SearchQuery{
		Begin:     time.Date(2026, 2, 3, 11, 0, 0, 999_999, west),
		End:       time.Date(2026, 2, 3, 12, 0, 0, 1, west),
		Reference: "A 77&b", CollectorID: "700100200", Limit: 20, Offset: 40,
	})
	require.NoError(t, err)
	require.Equal(t, url.Values{
		"sort": {"date_last_updated"}, "criteria": {"asc"}, "range": {"date_last_updated"},
		// The window never shrinks: its start is cut down, its end up.
		"begin_date": {"2026-02-03T15:00:00.000Z"}, "end_date": {"2026-02-03T16:00:00.001Z"},
		"external_reference": {"A 77&b"}, "collector.id": {"700100200"}, "limit": {"20"}, "offset": {"40"},
	}, got)

	got, err = searchValues(provider.SearchQuery{Reference: "A-77"})
	require.NoError(t, err)
	require.Equal(t, url.Values{
		"sort": {"date_last_updated"}, "criteria": {"asc"}, "range": {"date_last_updated"},
		"external_reference": {"A-77"}, "limit": {"50"}, "offset": {"0"},
	}, got)

	at := time.Unix(1_770_000_000, 0)
	got, err = searchValues(provider.SearchQuery{Begin: at, End: at})
	require.NoError(t, err)
	require.Equal(t, got.Get("begin_date"), got.Get("end_date"), "whole milliseconds stay")
	for _, wrong := range []provider.SearchQuery{
		{Begin: at}, {End: at}, {Begin: at, End: at.Add(-1)}, {Limit: 51}, {Limit: -1}, {Offset: -1}, {Offset: 10_001}, {CollectorID: "a&b"},
	} {
		_, err := searchValues(wrong)
		require.ErrorContains(t, err, "search: ")
	}
}
