package e2e

import (
	"bytes"
	"cmp"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

const (
	// providerTime is how Mercado Pago writes a time, and searchTime how its
	// search takes one.
	providerTime = "2006-01-02T15:04:05.000-07:00"
	searchTime   = "2006-01-02T15:04:05.000Z07:00"
	// searchCap is how many rows a search pages through (error 1000 of the
	// payments reference).
	searchCap = 1000
)

// caseTime is a time that a case names.
var caseTime = regexp.MustCompile(`"NOW(?:([+-]\d+)([smhd]))?"`)

// filled is JSON of a case with its times and its {n} put in.
func (r *caseRun) filled(raw json.RawMessage, n int) json.RawMessage {
	return json.RawMessage(r.text(string(raw), n))
}

func (r *caseRun) text(text string, n int) string {
	text = strings.ReplaceAll(text, "{n}", strconv.Itoa(n))
	return caseTime.ReplaceAllStringFunc(text, func(found string) string {
		at := time.Now()
		if part := caseTime.FindStringSubmatch(found); part[1] != "" {
			count, err := strconv.Atoi(part[1])
			require.NoError(r.t, err)
			unit := map[string]time.Duration{"s": time.Second, "m": time.Minute, "h": time.Hour, "d": 24 * time.Hour}[part[2]]
			at = at.Add(time.Duration(count) * unit)
		}
		return `"` + at.In(time.FixedZone("", -4*60*60)).Format(providerTime) + `"`
	})
}

// A searchBend says how the paging of a search is wrong.
type searchBend struct {
	Total    *int `json:"total"`
	TotalAdd int  `json:"total_add"`
}

// A scriptedProvider answers as a case says, byte for byte.
type scriptedProvider struct {
	*httptest.Server

	mu       sync.Mutex
	payments map[string]scriptedAnswer
	answers  map[string]scriptedAnswer
	search   searchBend
	calls    map[string]int
}

// A scriptedAnswer is one answer; the zero one is a 404 as Mercado Pago gives it.
type scriptedAnswer struct {
	status int
	body   []byte
	// fields are what a search looks at.
	fields struct {
		ID                json.Number     `json:"id"`
		Status            string          `json:"status"`
		ExternalReference json.RawMessage `json:"external_reference"`
		CollectorID       json.RawMessage `json:"collector_id"`
		DateLastUpdated   string          `json:"date_last_updated"`
	}
	updated time.Time
}

func newScriptedProvider(t *testing.T) *scriptedProvider {
	t.Helper()
	p := &scriptedProvider{payments: map[string]scriptedAnswer{}, answers: map[string]scriptedAnswer{}, calls: map[string]int{}}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /users/me", func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, `{"id":`+caseAccount+`}`)
	})
	mux.HandleFunc("GET /v1/payments/search", p.searchPayments)
	mux.HandleFunc("GET /v1/payments/{id}", func(w http.ResponseWriter, r *http.Request) {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.payments[r.PathValue("id")].write(w)
	})
	mux.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) { scriptedAnswer{}.write(w) })
	p.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		p.mu.Lock()
		p.calls[r.URL.Path]++
		scripted, ok := p.answers[r.URL.Path]
		p.mu.Unlock()
		if ok {
			scripted.write(w)
			return
		}
		mux.ServeHTTP(w, r)
	}))
	t.Cleanup(p.Close)
	return p
}

func (a scriptedAnswer) write(w http.ResponseWriter) {
	w.Header().Set("Content-Type", "application/json")
	if a.status == 0 {
		a.status = http.StatusNotFound
		a.body = []byte(`{"message":"Payment not found","error":"not_found","status":404,"cause":[{"code":2000,"description":"Payment not found"}]}`)
	}
	w.WriteHeader(a.status)
	_, _ = w.Write(a.body)
}

// set makes a payment known and returns its id; raw, when there is one, is
// answered instead.
func (p *scriptedProvider) set(payment json.RawMessage, raw string, status int) string {
	var a scriptedAnswer
	_ = json.Unmarshal(payment, &a.fields)
	a.status, a.body = cmp.Or(status, http.StatusOK), payment
	if raw != "" {
		a.body = []byte(raw)
	}
	a.updated, _ = time.Parse(providerTime, a.fields.DateLastUpdated)
	p.mu.Lock()
	defer p.mu.Unlock()
	p.payments[a.fields.ID.String()] = a
	return a.fields.ID.String()
}

// setNth makes the nth of many payments known, with an id and a date of its own.
func (p *scriptedProvider) setNth(payment json.RawMessage, n int, later time.Duration) {
	var fields map[string]json.RawMessage
	_ = json.Unmarshal(payment, &fields)
	first, _ := strconv.ParseInt(string(fields["id"]), 10, 64)
	at, _ := time.Parse(`"`+providerTime+`"`, string(fields["date_last_updated"]))
	fields["id"] = json.RawMessage(strconv.FormatInt(first+int64(n), 10))
	fields["date_last_updated"] = json.RawMessage(at.Add(later).Format(`"` + providerTime + `"`))
	whole, _ := json.Marshal(fields)
	p.set(whole, "", 0)
}

func (p *scriptedProvider) answer(a caseAnswer, body json.RawMessage) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if a.Clear {
		delete(p.answers, a.Path)
		return
	}
	p.answers[a.Path] = scriptedAnswer{status: cmp.Or(a.Status, http.StatusOK), body: body}
}

func (p *scriptedProvider) bend(search searchBend) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.search = search
}

// asked is how often a path was asked for.
func (p *scriptedProvider) asked(path string) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.calls[path]
}

// askedAtAll is how often anything was asked for.
func (p *scriptedProvider) askedAtAll() (n int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, calls := range p.calls {
		n += calls
	}
	return n
}

func (p *scriptedProvider) searchPayments(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	if q.Get("begin_date") == "" && q.Get("end_date") == "" { // all of a reference
		q.Set("begin_date", time.Now().AddDate(0, -3, 0).Format(searchTime))
		q.Set("end_date", time.Now().AddDate(0, 0, 1).Format(searchTime))
	}
	begin, beginErr := time.Parse(searchTime, q.Get("begin_date"))
	end, endErr := time.Parse(searchTime, q.Get("end_date"))
	limit, limitErr := strconv.Atoi(q.Get("limit"))
	offset, offsetErr := strconv.Atoi(q.Get("offset"))
	if beginErr != nil || endErr != nil || limitErr != nil || offsetErr != nil || offset+limit > searchCap {
		scriptedAnswer{status: http.StatusBadRequest, body: []byte(`{"message":"Invalid search","error":"bad_request","status":400,"cause":[]}`)}.write(w)
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	var found []scriptedAnswer
	for _, a := range p.payments {
		if !a.updated.Before(begin) && !a.updated.After(end) && asks(q, "external_reference", a.fields.ExternalReference) &&
			asks(q, "collector.id", a.fields.CollectorID) && (q.Get("status") == "" || q.Get("status") == a.fields.Status) {
			found = append(found, a)
		}
	}
	slices.SortFunc(found, func(a, b scriptedAnswer) int {
		by := cmp.Or(a.updated.Compare(b.updated), cmp.Compare(a.fields.ID, b.fields.ID))
		if q.Get("criteria") == "desc" {
			by = -by
		}
		return by
	})
	total := len(found) + p.search.TotalAdd
	if p.search.Total != nil {
		total = *p.search.Total
	}
	var rows [][]byte
	for _, a := range found[min(offset, len(found)):min(offset+limit, len(found))] {
		rows = append(rows, bytes.TrimPrefix(a.body, []byte("\xef\xbb\xbf")))
	}
	scriptedAnswer{status: http.StatusOK, body: []byte(`{"paging":{"total":` + strconv.Itoa(total) + `,"limit":` + strconv.Itoa(limit) +
		`,"offset":` + strconv.Itoa(offset) + `},"results":[` + string(bytes.Join(rows, []byte(","))) + `]}`)}.write(w)
}

// asks reports whether a filter of the query lets a value pass.
func asks(q url.Values, filter string, value json.RawMessage) bool {
	want := q.Get(filter)
	return want == "" || strings.Trim(string(value), `"`) == want
}
