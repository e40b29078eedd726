package simulator

import (
	"bytes"
	"cmp"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/shopspring/decimal"
)

// Reports is how the account has set up its money reports, and when they are ready.
type Reports struct {
	// Separator stands between columns; "," when empty.
	Separator string
	// Language is that of the titles: "en", "es" or "pt"; the API's own names when
	// empty.
	Language string
	// DecimalComma, ByteOrderMark and CRLF are how some exports are written.
	DecimalComma, ByteOrderMark, CRLF bool
	// Zone is what dates are written in; −04:00 when nil.
	Zone *time.Location
	// Columns are the columns of the release report by the API's names; all when nil.
	Columns []string
	// Scheduled makes a release report of each day in UTC once it is over.
	Scheduled bool
	// ReadyAfter is how long a report takes.
	ReadyAfter time.Duration
}

// Kinds of reports, as they stand in paths.
const (
	releaseReport    = "release_report"
	settlementReport = "settlement_report"
)

// A report is one that was asked for, or made by schedule.
type report struct {
	id          int64
	account     int64
	kind        string
	begin, end  time.Time
	askedAt     time.Time
	createdFrom string
	fileName    string
	content     []byte // nil until it was made
}

// handleReports adds the reports' part of the API.
func (s *Simulator) handleReports(mux *http.ServeMux) {
	for _, kind := range []string{releaseReport, settlementReport} {
		base := "/v1/account/" + kind
		for pattern, handle := range map[string]func(http.ResponseWriter, *http.Request, string) error{
			"POST " + base: s.askForReport, "GET " + base + "/list": s.listReports, "GET " + base + "/config": s.getReportConfig,
			"GET " + base + "/task/{id}": s.getReportTask, "GET " + base + "/{file}": s.getReportFile,
		} {
			mux.HandleFunc(pattern, s.guarded(func(w http.ResponseWriter, r *http.Request) error {
				if fault := s.fault(forReport, uint64(s.counters.reports.Add(1))); fault != nil { //nolint:gosec // counts up from 1
					return fault
				}
				return handle(w, r, kind)
			}))
		}
	}
}

// ReportRequests counts the reports that were asked for.
func (s *Simulator) ReportRequests() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := 0
	for _, r := range s.reports {
		if r.createdFrom == "manual" {
			n++
		}
	}
	return n
}

// askForReport answers POST.
func (s *Simulator) askForReport(w http.ResponseWriter, r *http.Request, kind string) error {
	var asked struct {
		Begin string `json:"begin_date"`
		End   string `json:"end_date"`
	}
	bad := func(word string) error {
		return &apiError{status: http.StatusBadRequest, message: word, word: word}
	}
	if json.NewDecoder(http.MaxBytesReader(w, r.Body, 1<<16)).Decode(&asked) != nil {
		return bad("invalid_body")
	}
	begin, err := time.Parse(time.RFC3339, asked.Begin)
	if err != nil {
		return bad("invalid_begin_date")
	}
	end, err := time.Parse(time.RFC3339, asked.End)
	if err != nil {
		return bad("invalid_end_date")
	}
	if end.Before(begin) {
		return bad("end_date_before_begin_date")
	}
	s.mu.Lock()
	made := s.newReport(s.accountOf(r.Context()), kind, "manual", begin, end)
	s.mu.Unlock()
	answer := made.describe(false)
	answer["status"], answer["report_id"] = "pending", made.id+1
	delete(answer, "file_name")
	writeJSON(w, http.StatusAccepted, encoded(answer))
	return nil
}

// newReport enters a report. The caller holds s.mu.
func (s *Simulator) newReport(account int64, kind, from string, begin, end time.Time) *report {
	id := 40_000_000 + 2*int64(len(s.reports))
	made := &report{
		id: id, account: account, kind: kind, begin: begin, end: end, askedAt: s.now(), createdFrom: from,
		fileName: fmt.Sprintf("%s-%d-%s-%d.csv", strings.ReplaceAll(kind, "_", "-"), account, s.now().UTC().Format("2006-01-02"), id),
	}
	s.reports = append(s.reports, made)
	return made
}

// describe is a report in the list.
func (r *report) describe(ready bool) object {
	status := "pending"
	if ready {
		status = "processed"
	}
	return object{
		"id": r.id, "user_id": r.account, "begin_date": r.begin.UTC().Format(time.RFC3339), "end_date": r.end.UTC().Format(time.RFC3339),
		"created_from": r.createdFrom, "date_created": date(r.askedAt), "generation_date": date(r.askedAt), "file_name": r.fileName,
		"format": "CSV", "status": status, "is_reserve": false, "is_test": false, "sub_type": "release",
	}
}

// reportsOf are an account's reports of a kind, with those that its schedule made in
// the meantime; each is written once, when it is ready. The caller holds s.mu.
func (s *Simulator) reportsOf(account int64, kind string) []*report {
	if kind == releaseReport && s.cfg.Reports.Scheduled {
		s.makeScheduled(account)
	}
	var found []*report
	for _, r := range s.reports {
		if r.account != account || r.kind != kind {
			continue
		}
		if r.content == nil && s.ready(r) {
			r.content = s.writeReport(r)
		}
		found = append(found, r)
	}
	return found
}

func (s *Simulator) ready(r *report) bool {
	return !s.now().Before(r.askedAt.Add(s.cfg.Reports.ReadyAfter))
}

// makeScheduled makes the reports of the days that are over.
func (s *Simulator) makeScheduled(account int64) {
	const day = 24 * time.Hour
	begin := s.scheduledUntil[account]
	if begin.IsZero() {
		for _, a := range s.accountsOf(account) {
			if len(a.movements) > 0 {
				begin = a.movements[0].At.UTC().Truncate(day)
			}
		}
	}
	if begin.IsZero() {
		return
	}
	for ; !begin.Add(day).After(s.now()); begin = begin.Add(day) {
		s.newReport(account, releaseReport, "schedule", begin, begin.Add(day-time.Second))
	}
	s.scheduledUntil[account] = begin
}

// listReports answers GET …/list, the newest first.
func (s *Simulator) listReports(w http.ResponseWriter, r *http.Request, kind string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	list := []object{}
	for _, one := range slices.Backward(s.reportsOf(s.accountOf(r.Context()), kind)) {
		list = append(list, one.describe(one.content != nil))
	}
	writeJSON(w, http.StatusOK, encoded(list))
	return nil
}

func noReport() error {
	return &apiError{status: http.StatusNotFound, message: "report not found", word: "not_found"}
}

// getReportTask answers GET …/task/{id}.
func (s *Simulator) getReportTask(w http.ResponseWriter, r *http.Request, kind string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, one := range s.reportsOf(s.accountOf(r.Context()), kind) {
		if strconv.FormatInt(one.id, 10) == r.PathValue("id") {
			answer := one.describe(one.content != nil)
			answer["status"] = "in_progress"
			if one.content != nil {
				answer["status"] = "done"
			}
			writeJSON(w, http.StatusOK, encoded(answer))
			return nil
		}
	}
	return noReport()
}

// getReportFile answers GET …/{file}.
func (s *Simulator) getReportFile(w http.ResponseWriter, r *http.Request, kind string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, one := range s.reportsOf(s.accountOf(r.Context()), kind) {
		if one.fileName == r.PathValue("file") && one.content != nil {
			w.Header().Set("Content-Type", "text/csv")
			_, _ = w.Write(one.content)
			return nil
		}
	}
	return noReport()
}

// getReportConfig answers GET …/config.
func (s *Simulator) getReportConfig(w http.ResponseWriter, _ *http.Request, kind string) error {
	columns := []object{}
	for _, name := range s.columns(kind) {
		columns = append(columns, object{"key": name})
	}
	writeJSON(w, http.StatusOK, encoded(object{
		"file_name_prefix": strings.ReplaceAll(kind, "_", "-"), "scheduled": s.cfg.Reports.Scheduled, "separator": cmp.Or(s.cfg.Reports.Separator, ","),
		"display_timezone": "GMT-04", "report_translation": s.cfg.Reports.Language, "columns": columns,
		"frequency": object{"type": "daily", "hour": 0, "value": 0},
	}))
	return nil
}

// Report is a release report of [begin, end] as it would be made now.
func (s *Simulator) Report(collectorID int64, begin, end time.Time) []byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.writeReport(&report{account: collectorID, kind: releaseReport, begin: begin, end: end})
}

// writeReport writes a report as it is made now. The caller holds s.mu.
func (s *Simulator) writeReport(r *report) []byte {
	columns := s.columns(r.kind)
	titles := make([]string, len(columns))
	language := max(0, slices.Index([]string{"", "en", "es", "pt"}, s.cfg.Reports.Language))
	for i, name := range columns {
		titles[i] = name
		for _, c := range columnsOf[r.kind] {
			if c[0] == name {
				titles[i] = c[language]
			}
		}
	}
	var out bytes.Buffer
	if s.cfg.Reports.ByteOrderMark {
		out.WriteString("\uFEFF")
	}
	w := csv.NewWriter(&out)
	w.Comma, w.UseCRLF = []rune(cmp.Or(s.cfg.Reports.Separator, ","))[0], s.cfg.Reports.CRLF
	_ = w.Write(titles) // a buffer takes everything
	write := func(fields map[string]string) {
		record := make([]string, len(columns))
		for i, name := range columns {
			record[i] = fields[name]
		}
		_ = w.Write(record)
	}
	for _, a := range s.accountsOf(r.account) {
		s.writeAccount(r, a, write)
	}
	w.Flush()
	return out.Bytes()
}

// writeAccount writes the rows of a report about one currency.
func (s *Simulator) writeAccount(r *report, a *account, write func(map[string]string)) {
	initial, shown := decimal.Zero, []Movement(nil)
	for _, m := range a.movements {
		switch {
		case m.At.Before(r.begin):
			initial = m.Balance
		case !m.At.After(r.end) && !m.shownFrom.After(s.now()):
			shown = append(shown, m)
		}
	}
	if r.kind == settlementReport {
		for _, m := range shown {
			write(s.settlementRow(m))
		}
		return
	}
	total := initial
	for _, m := range shown {
		total = total.Add(m.Net)
	}
	sum := func(kind string, at time.Time, balance decimal.Decimal) {
		m := Movement{At: at, RecordType: kind, Gross: balance, Net: balance, Currency: a.currency, Balance: balance}
		write(s.releaseRow(m))
	}
	sum("initial_available_balance", r.begin, initial)
	for _, m := range shown {
		write(s.releaseRow(m))
	}
	sum("total", r.end, total)
}

// releaseRow is a movement in the release report.
func (s *Simulator) releaseRow(m Movement) map[string]string {
	zero := s.number(decimal.Zero, m.Currency)
	return map[string]string{
		"DATE": s.reportDate(m.At), "SOURCE_ID": m.SourceID, "EXTERNAL_REFERENCE": m.Reference, "RECORD_TYPE": m.RecordType, "DESCRIPTION": m.Description,
		"NET_CREDIT_AMOUNT": s.number(decimal.Max(m.Net, decimal.Zero), m.Currency), "NET_DEBIT_AMOUNT": s.number(decimal.Max(m.Net.Neg(), decimal.Zero), m.Currency),
		"GROSS_AMOUNT": s.number(m.Gross, m.Currency), "MP_FEE_AMOUNT": s.number(m.Fee, m.Currency), "TAXES_AMOUNT": s.number(m.Taxes, m.Currency),
		"FINANCING_FEE_AMOUNT": zero, "SHIPPING_FEE_AMOUNT": zero, "COUPON_AMOUNT": zero,
		"BALANCE_AMOUNT": s.number(m.Balance, m.Currency), "CURRENCY": m.Currency,
	}
}

// settlementRow is a movement in the settlement report.
func (s *Simulator) settlementRow(m Movement) map[string]string {
	return map[string]string{
		"EXTERNAL_REFERENCE": m.Reference, "SOURCE_ID": m.SourceID, "TRANSACTION_TYPE": m.detail.kind,
		"TRANSACTION_AMOUNT": s.number(m.Gross, m.Currency), "TRANSACTION_CURRENCY": m.Currency, "TRANSACTION_DATE": s.reportDate(m.detail.approvedAt),
		"FEE_AMOUNT": s.number(m.Fee, m.Currency), "TAXES_AMOUNT": s.number(m.Taxes, m.Currency), "SETTLEMENT_NET_AMOUNT": s.number(m.Net, m.Currency),
		"SETTLEMENT_CURRENCY": m.Currency, "SETTLEMENT_DATE": s.reportDate(m.At),
	}
}

// number writes an amount as reports do.
func (s *Simulator) number(d decimal.Decimal, currency string) string {
	text := d.StringFixed(max(scaleOf(currency), -d.Exponent()))
	if s.cfg.Reports.DecimalComma {
		text = strings.Replace(text, ".", ",", 1)
	}
	return text
}

func (s *Simulator) reportDate(t time.Time) string {
	zone := s.cfg.Reports.Zone
	if zone == nil {
		zone = apiZone
	}
	return t.In(zone).Format(dateLayout)
}
