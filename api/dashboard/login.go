package dashboard

import (
	"bytes"
	"net/http"
	"time"
)

// What a LoginView's Problem may be.
const (
	LoginWrong   = "wrong_password"
	LoginTooMany = "too_many"
	LoginExpired = "expired"
)

// A LoginView is what the login page shows.
type LoginView struct {
	// Status is the answer's.
	Status int
	// Problem says why nobody is logged in, empty when nobody tried.
	Problem string
	// Next is where the login leads, a path on this host.
	Next string
	// RetryAfter is how long to wait after too many attempts.
	RetryAfter time.Duration
}

// LoginPage renders the login's form in the reader's language. It posts to
// /dashboard/login the fields password and next.
func LoginPage(w http.ResponseWriter, r *http.Request, view LoginView) error {
	words := textsFor(r)
	data := struct {
		Texts   texts
		Problem string
		Next    string
		Seconds int64
	}{Texts: words, Problem: words.Problems[view.Problem], Next: view.Next}
	if view.Problem == LoginTooMany {
		data.Seconds = max(1, int64((view.RetryAfter+time.Second-1)/time.Second))
	}
	w.Header().Set("Vary", "Accept-Language")
	return render(w, view.Status, "login.html", data)
}

func execute(name string, data any) ([]byte, error) {
	var body bytes.Buffer
	err := pages.ExecuteTemplate(&body, name, data)
	return body.Bytes(), err
}
