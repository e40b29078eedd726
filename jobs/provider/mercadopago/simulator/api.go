package simulator

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strconv"
	"time"
)

// Handler answers the API: GET /v1/payments/{id}, its refunds, GET /v1/payments/search,
// GET /v1/orders, GET /merchant_orders/{id}, GET /users/me, the GET of each
// ResourceKind, and the money reports. At PayPath it takes purchases.
func (s *Simulator) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /v1/payments/{id}", s.guarded(s.getPayment))
	mux.HandleFunc("GET /v1/payments/{id}/refunds", s.guarded(s.listRefunds))
	mux.HandleFunc("POST /v1/payments/{id}/refunds", s.guarded(s.askRefund))
	mux.HandleFunc("GET /v1/payments/search", s.guarded(s.searchPayments))
	mux.HandleFunc("POST "+PayPath, s.servePay)
	mux.HandleFunc("GET /v1/orders", s.guarded(s.searchOrders))
	mux.HandleFunc("GET /merchant_orders/{id}", s.guarded(s.getMerchantOrder))
	s.handleResources(mux)
	s.handleReports(mux)
	mux.HandleFunc("GET /users/me", s.guarded(s.getUser))
	mux.HandleFunc("/", s.guarded(func(http.ResponseWriter, *http.Request) error {
		return &apiError{status: http.StatusNotFound, message: "resource not found", word: "not_found"}
	}))
	return mux
}

// An apiError is an answer in the API's error shape.
type apiError struct {
	status     int
	message    string
	word       string // the error field
	cause      *apiCause
	retryAfter string // the Retry-After header
}

// An apiCause is one entry of an error's cause.
type apiCause struct {
	Code        int     `json:"code"`
	Description string  `json:"description"`
	Data        *string `json:"data"`
}

func (e *apiError) Error() string { return e.message }

// badRequest is a 400 with a code of the payments reference.
func badRequest(code int, message, description string) *apiError {
	return &apiError{
		status: http.StatusBadRequest, message: message, word: "bad_request",
		cause: &apiCause{Code: code, Description: description},
	}
}

// write writes the error as an answer.
func (e *apiError) write(w http.ResponseWriter) {
	causes := []apiCause{}
	if e.cause != nil {
		causes = append(causes, *e.cause)
	}
	if e.retryAfter != "" {
		w.Header().Set("Retry-After", e.retryAfter)
	}
	writeJSON(w, e.status, encoded(struct {
		Message string     `json:"message"`
		Error   string     `json:"error"`
		Status  int        `json:"status"`
		Cause   []apiCause `json:"cause"`
	}{e.message, e.word, e.status, causes}))
}

// encoded is a value of ours as JSON: every field is of a type that encodes.
func encoded(value any) []byte {
	body, err := json.Marshal(value)
	if err != nil {
		panic("simulator: encoding an answer or a notification: " + err.Error())
	}
	return body
}

// writeJSON writes an answer. That it does not arrive is the caller's matter.
func writeJSON(w http.ResponseWriter, status int, body []byte) {
	w.Header().Set("Content-Type", "application/json;charset=UTF-8")
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(status)
	_, _ = w.Write(body)
}

// guarded puts the latency, the outage and the token before a handler.
func (s *Simulator) guarded(handle func(http.ResponseWriter, *http.Request) error) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if !pause(r.Context(), s.cfg.Faults.Latency) {
			return
		}
		account, down, ok := s.authorized(r)
		if s.outage.Load() || down {
			s.refuse(w)
			return
		}
		if !ok {
			s.counters.unauthorized.Add(1)
			(&apiError{status: http.StatusUnauthorized, message: "invalid access token", word: "unauthorized"}).write(w)
			return
		}
		if answer, ok := s.answerAt(r.URL.Path); ok {
			answer.write(w)
			return
		}
		err := handle(w, r.WithContext(context.WithValue(r.Context(), accountKey{}, account)))
		if err == nil {
			return
		}
		var answer *apiError
		if !errors.As(err, &answer) {
			panic("simulator: not an answer: " + err.Error())
		}
		answer.write(w)
	}
}

// refuse answers a call during an outage.
func (s *Simulator) refuse(w http.ResponseWriter) {
	switch s.counters.outages.Add(1) % 4 {
	case 0:
		panic(http.ErrAbortHandler) // closes the connection without an answer
	case 3:
		w.Header().Set("Content-Type", "text/html")
		w.WriteHeader(http.StatusServiceUnavailable)
		_, _ = w.Write([]byte("<html><body><h1>503 Service Unavailable</h1></body></html>\n"))
	default:
		(&apiError{
			status: http.StatusServiceUnavailable, message: "service unavailable", word: "service_unavailable",
		}).write(w)
	}
}

// fault draws whether a call is limited or fails.
func (s *Simulator) fault(p purpose, keys ...uint64) *apiError {
	f := s.cfg.Faults
	if f.RateLimited == 0 && f.Errors5xx == 0 {
		return nil
	}
	chance := draws(s.cfg.Seed, p, keys...).Float64()
	switch {
	case chance < f.RateLimited:
		// An HTTP date has whole seconds: two from now are at least one.
		retryAfter := "1"
		if s.counters.rateLimited.Add(1)%2 == 0 {
			retryAfter = s.now().Add(2 * time.Second).UTC().Format(http.TimeFormat)
		}
		return &apiError{
			status: http.StatusTooManyRequests, message: "too_many_requests", word: "too_many_requests",
			retryAfter: retryAfter,
		}
	case chance < f.RateLimited+f.Errors5xx:
		s.counters.error5xx.Add(1)
		return &apiError{
			status: http.StatusInternalServerError, message: "internal_error", word: "internal_server_error",
		}
	}
	return nil
}

// getPayment answers GET /v1/payments/{id}.
func (s *Simulator) getPayment(w http.ResponseWriter, r *http.Request) error {
	s.counters.gets.Add(1)
	p, err := s.payment(r.PathValue("id"))
	if err != nil || !s.shows(s.accountOf(r.Context()), p.collectorID) {
		return s.paymentNotFound()
	}
	if fault := s.fault(forCall, p.seq, uint64(p.gets.Add(1))); fault != nil { //nolint:gosec // counts up from 1
		return fault
	}
	if p.hidden.CompareAndSwap(true, false) {
		return s.paymentNotFound()
	}
	p.unlisted.Store(false)
	s.counters.answered.Add(1)
	snap := p.current.Load()
	snap.served.Add(1)
	writeJSON(w, http.StatusOK, snap.body())
	return nil
}

// paymentNotFound is the answer for a payment that does not exist, or not yet.
func (s *Simulator) paymentNotFound() *apiError {
	n := s.counters.notFound.Add(1)
	data := s.now().UTC().Format("02-01-2006T15:04:05UTC;") +
		uuidFrom(draws(s.cfg.Seed, forCall, uint64(n))) //nolint:gosec // counts up from 1
	return &apiError{
		status: http.StatusNotFound, message: "Payment not found", word: "not_found",
		cause: &apiCause{Code: 2000, Description: "Payment not found", Data: &data},
	}
}

// getUser answers GET /users/me with the account that the token belongs to.
func (s *Simulator) getUser(w http.ResponseWriter, r *http.Request) error {
	s.counters.users.Add(1)
	writeJSON(w, http.StatusOK, encoded(object{
		"id":                s.accountOf(r.Context()),
		"nickname":          "SIMULATED_SHOP",
		"registration_date": "2020-01-06T11:31:42.000-04:00",
		"country_id":        "AR",
		"site_id":           "MLA",
		"user_type":         "normal",
		"email":             "shop@testuser.example",
		"identification":    object{"type": "DNI", "number": "12345678"},
		"tags":              []string{"normal"},
	}))
	return nil
}

// pause waits for d and reports whether it did, or was cut short by ctx.
func pause(ctx context.Context, d time.Duration) bool {
	if d <= 0 {
		return ctx.Err() == nil
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}
