// Package dashboard is what operators see in a browser. Who may see it is
// decided before it: package api has the login.
package dashboard

import (
	"embed"
	"fmt"
	"html/template"
	"net/http"
	"strconv"
)

// Base is the path that everything here is below.
const Base = "/dashboard"

//go:embed templates/*.html
var templateFiles embed.FS

var pages = template.Must(template.ParseFS(templateFiles, "templates/*.html"))

// Deps are the parts that the pages work with.
type Deps struct{}

// New returns the handler of everything below /dashboard for an operator who
// has logged in: the calls carry who it is, see WithActor.
func New(Deps) (http.Handler, error) {
	mux := http.NewServeMux()
	mux.HandleFunc("GET "+Base, home)
	mux.HandleFunc("GET "+Base+"/{$}", home)
	return mux, nil
}

// home is the landing page.
func home(w http.ResponseWriter, r *http.Request) {
	words := textsFor(r)
	w.Header().Set("Vary", "Accept-Language")
	// A failure to write means that the reader is gone; there is nobody to tell.
	_ = render(w, http.StatusOK, "home.html", struct{ Texts texts }{words})
}

// render answers a page, or nothing and an error.
func render(w http.ResponseWriter, status int, name string, data any) error {
	body, err := execute(name, data)
	if err != nil {
		return fmt.Errorf("dashboard: %s: %w", name, err)
	}
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(status)
	_, err = w.Write(body)
	return err
}
