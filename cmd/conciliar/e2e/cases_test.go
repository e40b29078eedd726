package e2e

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/shopspring/decimal"
	"github.com/stretchr/testify/require"

	"github.com/conciliar/conciliar/store"
	"github.com/conciliar/conciliar/store/storetest"
)

// A reviewCase is one odd but real situation and what must come of it: a file of
// testdata/cases, whose README says what the keys mean.
type reviewCase struct {
	Name     string            `json:"name"`
	Why      string            `json:"why"`
	Settings map[string]string `json:"settings"`
	Orders   []caseOrder       `json:"orders"`
	Steps    []caseStep        `json:"steps"`
	Expect   caseExpectation   `json:"expect"`
}

type caseOrder struct {
	Reference string `json:"reference"`
	Amount    string `json:"amount"`
	Currency  string `json:"currency"`
}

type caseStep struct {
	SetPayment  json.RawMessage `json:"set_payment"`
	SetPayments *struct {
		Count   int             `json:"count"`
		Payment json.RawMessage `json:"payment"`
	} `json:"set_payments"`
	SpreadMS   int           `json:"spread_ms"`
	Notify     bool          `json:"notify"`
	Raw        string        `json:"raw"`
	HTTPStatus int           `json:"http_status"`
	Answer     *caseAnswer   `json:"answer"`
	Deliver    *caseDelivery `json:"deliver"`
	Search     *searchBend   `json:"search"`
	PutOrder   *caseOrder    `json:"put_order"`
	Answers    int           `json:"answers"`
	Reconcile  bool          `json:"reconcile"`
	Run        string        `json:"run"`
	// WaitSeconds is how long the case lets time pass. The test awaits instead
	// what is to happen in that time.
	WaitSeconds int  `json:"wait_seconds"`
	AtOnce      bool `json:"at_once"`
}

type caseAnswer struct {
	Path   string          `json:"path"`
	Status int             `json:"status"`
	Body   json.RawMessage `json:"body"`
	Clear  bool            `json:"clear"`
}

type caseDelivery struct {
	Path     string          `json:"path"`
	Query    string          `json:"query"`
	SignedID string          `json:"signed_id"`
	Twice    string          `json:"twice"`
	Body     json.RawMessage `json:"body"`
}

type caseExpectation struct {
	Orders             map[string]map[string]any `json:"orders"`
	AsText             bool                      `json:"as_text"`
	Anomalies          map[string][]string       `json:"anomalies"`
	AnomaliesByKind    map[string]int            `json:"anomalies_by_kind"`
	AnomalyDetailNames []string                  `json:"anomaly_detail_names"`
	DeadLetters        []string                  `json:"dead_letters"`
	Circuit            string                    `json:"circuit"`
	Health             string                    `json:"health"`
	Fetches            map[string]int            `json:"fetches"`
}

// caseAccount is the account that the cases' payments are paid to.
const caseAccount = "724484980"

// TestCases_OfTheReviewEndAsTheyShould plays each case. A service costs far more than most
// cases do, so those that change nothing but their own orders share one, one after another.
func TestCases_OfTheReviewEndAsTheyShould(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("testdata/cases/*.json")
	require.NoError(t, err)
	var alone, together []reviewCase
	references := map[string]string{}
	for _, file := range files {
		text, err := os.ReadFile(file)
		require.NoError(t, err)
		var c reviewCase
		require.NoError(t, json.Unmarshal(text, &c))
		if c.needsItsOwnService() {
			alone = append(alone, c)
			continue
		}
		together = append(together, c)
		for _, o := range c.Orders {
			require.Empty(t, references[o.Reference], "%s has an order of this case too: %s", c.Name, o.Reference)
			references[o.Reference] = c.Name
		}
	}
	require.NotEmpty(t, alone)
	require.NotEmpty(t, together)
	for _, c := range alone {
		t.Run(c.Name, func(t *testing.T) {
			t.Parallel()
			newCaseService(t, c.Settings).run(t, c).play()
		})
	}
	t.Run("together", func(t *testing.T) {
		t.Parallel()
		s := newCaseService(t, nil)
		for _, c := range together {
			t.Run(c.Name, func(t *testing.T) { s.run(t, c).play() }) //nolint:paralleltest // one service, in turns
		}
	})
}

// needsItsOwnService reports whether a case would disturb another, or another it: it has
// settings, bends what is not only its own, counts all there is, or depends on time.
func (c reviewCase) needsItsOwnService() bool {
	return c.Settings != nil || c.Expect.Health != "" || c.Expect.AnomaliesByKind != nil || slices.ContainsFunc(c.Steps, func(s caseStep) bool {
		return s.Search != nil || s.Reconcile || s.WaitSeconds > 0 || s.Answer != nil && s.Answer.Path == "/users/me"
	})
}

// A caseService is a service that plays cases, and the Mercado Pago that it asks.
type caseService struct {
	service string
	pool    *pgxpool.Pool
	answers *scriptedProvider
}

func newCaseService(t *testing.T, settings map[string]string) *caseService {
	t.Helper()
	s := &caseService{answers: newScriptedProvider(t)}
	changes := map[string]string{"MERCADOPAGO_COLLECTOR_ID": caseAccount, "RETRY_BASE_DELAY": "20ms", "PROVIDER_RATE_LIMIT": "200"}
	maps.Copy(changes, settings)
	databaseURL := storetest.URL(t)
	s.pool = storetest.Open(t, databaseURL)
	p := start(t, environment(databaseURL, s.answers.URL, changes), "serve")
	s.service = "http://" + p.err.await(t, serveLogPattern)[1]
	return s
}

// A caseRun is a case under way.
type caseRun struct {
	reviewCase
	*caseService

	t *testing.T
	// lastEvent and lastLetter are the last ids of what earlier cases left.
	lastEvent, lastLetter int64
	// delivered counts the deliveries since the queue was empty, and askedBefore
	// the calls to Mercado Pago until then.
	delivered, askedBefore int
}

func (s *caseService) run(t *testing.T, c reviewCase) *caseRun {
	t.Helper()
	r := &caseRun{reviewCase: c, caseService: s, t: t}
	require.NoError(t, s.pool.QueryRow(t.Context(), `
		SELECT (SELECT coalesce(max(id), 0) FROM webhook_queue), (SELECT coalesce(max(id), 0) FROM webhook_dead_letter)`).
		Scan(&r.lastEvent, &r.lastLetter))
	return r
}

func (r *caseRun) play() {
	for _, o := range r.Orders {
		require.NoError(r.t, r.register(o))
	}
	for n, step := range r.Steps {
		r.step(n, step)
	}
	var missing string
	defer func() {
		if missing != "" {
			r.t.Log(missing)
		}
	}()
	eventually(r.t, func() bool { missing = r.missing(); return missing == "" }, r.Why)
	for path, most := range r.Expect.Fetches {
		require.LessOrEqual(r.t, r.answers.asked(path), most, path)
	}
}

func (r *caseRun) register(o caseOrder) error {
	return register(r.t.Context(), r.service, o.Reference, decimal.RequireFromString(o.Amount), o.Currency)
}

func (r *caseRun) step(n int, step caseStep) {
	switch {
	case step.SetPayment != nil:
		id := r.answers.set(r.filled(step.SetPayment, 0), r.text(step.Raw, 0), step.HTTPStatus)
		if step.Notify {
			r.deliver(n, caseDelivery{
				Query: "data.id=" + id + "&type=payment", SignedID: id,
				Body: json.RawMessage(`{"action":"payment.updated","type":"payment","date_created":"NOW","data":{"id":"` + id + `"}}`),
			}, http.StatusOK)
		}
	case step.SetPayments != nil:
		for k := range step.SetPayments.Count {
			r.answers.setNth(r.filled(step.SetPayments.Payment, k), k, time.Duration(k*step.SpreadMS)*time.Millisecond)
		}
	case step.Answer != nil:
		r.answers.answer(*step.Answer, r.filled(step.Answer.Body, 0))
	case step.Deliver != nil:
		want := step.Answers
		if want == 0 {
			want = http.StatusOK
		}
		r.deliver(n, *step.Deliver, want)
	case step.Search != nil:
		r.answers.bend(*step.Search)
	case step.PutOrder != nil:
		require.ErrorContains(r.t, r.register(*step.PutOrder), fmt.Sprintf("answer %d", step.Answers), "step %d", n)
	case step.Reconcile:
		r.reconcile(n, step.Run)
	}
	switch {
	case step.WaitSeconds > 0 && step.AtOnce:
		eventually(r.t, func() bool { return r.answers.askedAtAll() >= r.askedBefore+r.delivered },
			"step %d: not every delivery was followed by a call", n)
	case !step.AtOnce && step.WaitSeconds == 0:
		r.awaitQuiet(n)
		r.delivered = 0
	}
}

// deliver sends a signed delivery and requires its answer.
func (r *caseRun) deliver(n int, d caseDelivery, want int) {
	path := d.Path
	if path == "" {
		path = "/api/checkout/webhook"
	}
	body := strings.NewReader(string(r.filled(d.Body, 0)))
	req, err := http.NewRequestWithContext(r.t.Context(), http.MethodPost, r.service+path+"?"+d.Query, body)
	require.NoError(r.t, err)
	req.Header.Set("Content-Type", "application/json")
	sign(req.Header, testSecret, d.SignedID)
	if d.Twice != "" {
		req.Header.Add(d.Twice, req.Header.Get(d.Twice))
	}
	if r.delivered++; r.delivered == 1 {
		r.askedBefore = r.answers.askedAtAll()
	}
	status, answer, err := answerTo(req)
	require.NoError(r.t, err)
	require.Equal(r.t, want, status, "step %d: %s", n, answer)
}

// reconcile makes a run and requires its end.
func (r *caseRun) reconcile(n int, want string) {
	req, err := http.NewRequestWithContext(r.t.Context(), http.MethodPost, r.service+"/api/webhooks/reconcile?wait=30s", nil)
	require.NoError(r.t, err)
	req.Header.Set("Authorization", "Bearer "+reconcileToken)
	_, body, err := answerTo(req)
	require.NoError(r.t, err)
	var run store.Run
	require.NoError(r.t, json.Unmarshal([]byte(body), &run), body)
	eventually(r.t, func() bool {
		r.read(fmt.Sprintf("/api/webhooks/runs/%d", run.ID), &run)
		return run.Status != store.RunRunning
	}, "step %d: the run never ends", n)
	require.Equal(r.t, want, run.Status, "step %d: %s", n, body)
}

// caseStatus is what the cases look at of the status.
type caseStatus struct {
	Health   string          `json:"health"`
	Reasons  json.RawMessage `json:"reasons"`
	Provider struct {
		Circuit string `json:"circuit"`
	} `json:"provider"`
	Anomalies struct {
		ByKind map[string]int `json:"by_kind"`
	} `json:"anomalies"`
}

// awaitQuiet waits until every event of the case has its end. It asks the database: the status is
// far more work, and would be asked for again and again.
func (r *caseRun) awaitQuiet(n int) {
	var open []string
	eventually(r.t, func() bool {
		rows, err := r.pool.Query(r.t.Context(), `SELECT status || ' ' || resource_id FROM webhook_queue_status WHERE id > $1 AND status NOT IN ('completed', 'dead_letter')`, r.lastEvent)
		require.NoError(r.t, err)
		open, err = pgx.CollectRows(rows, pgx.RowTo[string])
		require.NoError(r.t, err)
		return len(open) == 0
	}, "step %d: the queue is never empty: %v", n, &open)
}

// read reads what the status token may see.
func (r *caseRun) read(path string, into any) {
	status, body := get(r.t, r.service+path, statusToken)
	require.Equal(r.t, http.StatusOK, status, body)
	require.NoError(r.t, json.Unmarshal([]byte(body), into), body)
}

// A caseRecord is what the cases look at of an anomaly or a dead letter.
type caseRecord struct {
	ID         int64           `json:"id"`
	Kind       string          `json:"kind"`
	Reference  string          `json:"order_reference"`
	Detail     json.RawMessage `json:"detail"`
	ErrorClass string          `json:"error_class"`
}

func (r *caseRun) records(path string) []caseRecord {
	var list struct {
		Items []caseRecord `json:"items"`
	}
	r.read(path+"?state=open&limit=100", &list)
	return list.Items
}

// missing says what is not as the case expects it; empty when nothing is.
func (r *caseRun) missing() string {
	var wrong []string
	expect := func(what string, want, is any) {
		if fmt.Sprint(want) != fmt.Sprint(is) {
			wrong = append(wrong, fmt.Sprintf("%s: want %v, is %v", what, want, is))
		}
	}
	for reference, want := range r.Expect.Orders {
		r.order(reference, want, expect)
	}
	var st caseStatus
	r.read("/api/webhooks/status", &st)
	if r.Expect.Circuit != "" {
		expect("circuit", r.Expect.Circuit, st.Provider.Circuit)
	}
	if r.Expect.Health != "" {
		expect("health, "+string(st.Reasons), r.Expect.Health, st.Health)
	}
	for kind, n := range r.Expect.AnomaliesByKind {
		expect("anomalies of kind "+kind, n, st.Anomalies.ByKind[kind])
	}
	anomalies := r.records("/api/webhooks/anomalies")
	for reference, kinds := range r.Expect.Anomalies {
		open := []string{}
		for _, a := range anomalies {
			if a.Reference == reference {
				open = append(open, a.Kind)
			}
		}
		expect("anomalies of "+reference, slices.Sorted(slices.Values(kinds)), slices.Sorted(slices.Values(open)))
	}
	for _, name := range r.Expect.AnomalyDetailNames {
		expect("an anomaly that names "+name, true, slices.ContainsFunc(anomalies, func(a caseRecord) bool {
			return a.Kind == "unknown_order" && strings.Contains(string(a.Detail), name)
		}))
	}
	if r.Expect.DeadLetters != nil {
		classes := []string{}
		for _, d := range r.records("/api/webhooks/dead-letters") {
			if d.ID > r.lastLetter {
				classes = append(classes, d.ErrorClass)
			}
		}
		expect("dead letters", slices.Sorted(slices.Values(r.Expect.DeadLetters)), slices.Sorted(slices.Values(classes)))
	}
	return strings.Join(wrong, "\n")
}

func (r *caseRun) order(reference string, want map[string]any, expect func(what string, want, is any)) {
	req, err := http.NewRequestWithContext(r.t.Context(), http.MethodGet, r.service+"/api/orders/"+url.PathEscape(reference), nil)
	require.NoError(r.t, err)
	req.Header.Set("Authorization", "Bearer "+ordersToken)
	status, body, err := answerTo(req)
	require.NoError(r.t, err)
	require.Equal(r.t, http.StatusOK, status, body)
	var is map[string]any
	require.NoError(r.t, json.Unmarshal([]byte(body), &is))
	for field, value := range want {
		what := field + " of " + reference
		if wanted, isText := value.(string); isText && !r.Expect.AsText && strings.Contains(field, "amount") {
			given, err := decimal.NewFromString(fmt.Sprint(is[field]))
			require.NoError(r.t, err, what)
			expect(what, decimal.RequireFromString(wanted).Normalize(), given.Normalize())
			continue
		}
		expect(what, value, is[field])
	}
}
