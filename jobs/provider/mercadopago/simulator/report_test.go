package simulator

import (
	"encoding/csv"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

const reportPath = "/v1/account/release_report"

func ask(t *testing.T, s *Simulator, body string) *httptest.ResponseRecorder {
	t.Helper()
	req := httptest.NewRequestWithContext(t.Context(), http.MethodPost, reportPath, strings.NewReader(body))
	req.Header.Set("Authorization", "Bearer "+testToken)
	rec := httptest.NewRecorder()
	s.Handler().ServeHTTP(rec, req)
	return rec
}

func listed(t *testing.T, s *Simulator) (list []map[string]any) {
	t.Helper()
	require.NoError(t, json.Unmarshal(get(t, s, reportPath+"/list").Body.Bytes(), &list))
	return list
}

func TestReports_AreAskedForAndReadyLater(t *testing.T) {
	t.Parallel()
	clock := newClock()
	s := setup(t, Config{Clock: clock.Now, Money: Money{ReleaseAfter: day}, Reports: Reports{ReadyAfter: time.Minute}})
	id := s.CreatePayment(PaymentSpec{Reference: "A-1", Amount: money("100"), Status: Approved, StatusDetail: "accredited"})
	clock.Add(2 * day)

	answer := ask(t, s, `{"begin_date":"2026-03-02T00:00:00Z","end_date":"2026-03-02T23:59:59Z"}`)
	require.Equal(t, http.StatusAccepted, answer.Code)
	task := decode(t, answer.Body)
	require.Equal(t, "pending", task["status"])
	require.Equal(t, "pending", listed(t, s)[0]["status"])
	name, _ := listed(t, s)[0]["file_name"].(string)
	require.Equal(t, http.StatusNotFound, get(t, s, reportPath+"/"+name).Code)
	clock.Add(time.Minute)
	require.Equal(t, "processed", listed(t, s)[0]["status"])
	number, _ := task["id"].(json.Number)
	require.Equal(t, "done", decode(t, get(t, s, reportPath+"/task/"+number.String()).Body)["status"])
	rows, err := csv.NewReader(get(t, s, reportPath+"/"+name).Body).ReadAll()
	require.NoError(t, err)
	require.Len(t, rows, 4)
	require.Equal(t, []string{"2026-03-02T11:00:00.000-04:00", id, "A-1", "release", "payment", "95.91", "0.00", "100.00", "-4.09"}, rows[2][:9])
	require.Equal(t, "total", rows[3][3])
	require.Equal(t, 1, s.ReportRequests())

	for body, word := range map[string]string{
		`{"begin_date":"soon","end_date":"2026-03-02T23:59:59Z"}`:                 "invalid_begin_date",
		`{"begin_date":"2026-03-02T23:59:59Z"}`:                                   "invalid_end_date",
		`{"begin_date":"2026-03-02T00:00:00Z","end_date":"2026-03-01T00:00:00Z"}`: "end_date_before_begin_date",
	} {
		answer := ask(t, s, body)
		require.Equal(t, http.StatusBadRequest, answer.Code)
		require.Equal(t, word, decode(t, answer.Body)["error"])
	}
}

func TestReports_AScheduleMakesOneOfEachDay(t *testing.T) {
	t.Parallel()
	clock := newClock()
	s := setup(t, Config{Clock: clock.Now, Money: Money{ReleaseAfter: time.Hour}, Reports: Reports{Scheduled: true}})
	s.CreatePayment(PaymentSpec{Amount: money("100"), Status: Approved, StatusDetail: "accredited"})
	require.Empty(t, listed(t, s))
	clock.Add(2 * day)
	require.Len(t, listed(t, s), 2)
	require.Len(t, listed(t, s), 2, "each is made once")
	require.Equal(t, "schedule", listed(t, s)[0]["created_from"])
	require.Equal(t, true, decode(t, get(t, s, reportPath+"/config").Body)["scheduled"])
	require.Zero(t, s.ReportRequests())
}

func TestReports_LateRowsComeTheNextDay(t *testing.T) {
	t.Parallel()
	clock := newClock()
	s := setup(t, Config{Clock: clock.Now, Money: Money{ReleaseAfter: time.Hour, LateShare: 1, LateBy: day}})
	s.CreatePayment(PaymentSpec{Amount: money("100"), Status: Approved, StatusDetail: "accredited"})
	clock.Add(2 * time.Hour)
	begin := clock.Now().Truncate(day)
	require.NotContains(t, string(s.Report(DefaultCollectorID, begin, begin.Add(day))), "payment")
	clock.Add(day)
	require.Contains(t, string(s.Report(DefaultCollectorID, begin, begin.Add(day))), "payment")
}

func TestReports_AreWrittenAsTheAccountIsSetUp(t *testing.T) {
	t.Parallel()
	clock := newClock()
	s := setup(t, Config{Clock: clock.Now, Money: Money{ReleaseAfter: time.Hour}, Reports: Reports{
		Separator: ";", Language: "es", DecimalComma: true, ByteOrderMark: true, CRLF: true, Zone: time.UTC,
		Columns: []string{"DATE", "SOURCE_ID", "RECORD_TYPE", "NET_CREDIT_AMOUNT"},
	}})
	id := s.CreatePayment(PaymentSpec{Amount: money("100"), Status: Approved, StatusDetail: "accredited"})
	clock.Add(2 * time.Hour)
	require.Equal(t, "\uFEFFFECHA DE LIBERACIÓN;ID DE OPERACIÓN EN MERCADO PAGO;TIPO DE REGISTRO;MONTO NETO ACREDITADO\r\n"+
		"2026-03-01T00:00:00.000+00:00;;initial_available_balance;0,00\r\n"+
		"2026-03-01T16:00:00.000+00:00;"+id+";release;95,91\r\n"+
		"2026-03-02T00:00:00.000+00:00;;total;95,91\r\n",
		string(s.Report(DefaultCollectorID, clock.Now().Truncate(day), clock.Now().Truncate(day).Add(day))))
}
