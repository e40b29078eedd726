package simulator

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
)

// An Answer is what the API says at a path instead of its own answer.
type Answer struct {
	// Status is the HTTP status; 200 when 0.
	Status int
	// Header has what is sent beside it; the Content-Type is JSON's unless it says
	// otherwise.
	Header http.Header
	// Body is sent byte for byte.
	Body []byte
}

// SetAnswer makes the API answer so at a path, such as "/v1/payments/7" or
// "/users/me", from now on. The outage, the token and the latency come first; the
// drawn faults don't. A search shows what it showed before: see SetFields.
func (s *Simulator) SetAnswer(path string, a Answer) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.answers[path] = a
}

// answerAt is the answer that was set for a path.
func (s *Simulator) answerAt(path string) (Answer, bool) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	a, ok := s.answers[path]
	return a, ok
}

func (a Answer) write(w http.ResponseWriter) {
	w.Header().Set("Content-Type", "application/json;charset=UTF-8")
	maps.Copy(w.Header(), a.Header)
	status := a.Status
	status = cmp.Or(status, http.StatusOK)
	w.WriteHeader(status)
	_, _ = w.Write(a.Body)
}

// SetFields replaces fields of a payment's body, in GET and in searches and in
// each state from now on: whatever JSON is given, and nothing where it is nil.
// Nil for all takes the replacements away. The ledger goes by what the payment
// is, and not by what its body says: see Truth. The error is ErrUnknownPayment,
// or says which field is not JSON.
func (s *Simulator) SetFields(id string, fields map[string]json.RawMessage) error {
	p, err := s.payment(id)
	if err != nil {
		return err
	}
	for name, value := range fields {
		if value != nil && !json.Valid(value) {
			return fmt.Errorf("payment %s: field %s is not JSON", id, name)
		}
	}
	fields = maps.Clone(fields)
	p.fields.Store(&fields)
	return nil
}

// replaced is the body with the payment's replacements in it.
func (p *payment) replaced(body []byte) []byte {
	fields := p.fields.Load()
	if fields == nil || len(*fields) == 0 {
		return body
	}
	var all map[string]json.RawMessage
	if err := json.Unmarshal(body, &all); err != nil {
		panic("simulator: reading a payment of its own: " + err.Error())
	}
	for name, value := range *fields {
		if value == nil {
			delete(all, name)
		} else {
			all[name] = value
		}
	}
	return encoded(all)
}
