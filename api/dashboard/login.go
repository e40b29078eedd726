package dashboard

import (
	"cmp"
	"net/http"
	"strconv"
	"time"
)

// What a LoginView's Problem may be.
const (
	LoginWrongPassword = "wrong_password"
	LoginTooMany       = "too_many"
	LoginExpired       = "expired"
)

// A LoginView is what the login page shows.
type LoginView struct {
	// Status is the answer's HTTP status; 0 means 200.
	Status int
	// Problem says why the operator is not logged in, one of the three; empty at
	// first.
	Problem string
	// Named is true when operators have names, which the form then asks for; Name
	// is what was typed.
	Named bool
	Name  string
	// Next is the local path that the operator goes to afterwards.
	Next string
	// RetryAfter is how long no further attempt is taken, with LoginTooMany.
	RetryAfter time.Duration
}

// LoginPage writes the login form in the browser's language. It posts the
// fields username, password and next to /dashboard/login.
func LoginPage(w http.ResponseWriter, r *http.Request, view LoginView) error {
	s, err := loadedSite()
	if err != nil {
		return err
	}
	if s.choose(w, r) {
		return nil
	}
	p := &page{reader: s.readerOf(r), Title: "login.title", Bare: true, Body: view}
	status := view.Status
	status = cmp.Or(status, http.StatusOK)
	if view.RetryAfter > 0 {
		w.Header().Set("Retry-After", strconv.FormatInt(int64((view.RetryAfter+time.Second-1)/time.Second), 10))
	}
	return s.render(w, r, status, "login", p)
}
