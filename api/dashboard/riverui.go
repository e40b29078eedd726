package dashboard

import (
	"html/template"
	"net/http"
)

// RiverUINote is what our own line in River's pages says, in the reader's language: the
// way back, and what their words are here. River UI's policy lets styles stand in the
// page, and it has none of ours.
func RiverUINote(r *http.Request) (template.HTML, error) {
	s, err := loadedSite()
	if err != nil {
		return "", err
	}
	reader := s.readerOf(r)
	back, err := reader.T("river.back")
	if err != nil {
		return "", err
	}
	hint, err := reader.T("river.hint")
	if err != nil {
		return "", err
	}
	return template.HTML(`<p lang="` + reader.Lang() + `" style="position:fixed;right:0;bottom:0;z-index:50;max-width:100%;margin:0;padding:.375rem .75rem;` + //nolint:gosec // the texts are ours, and escaped
		`border-radius:8px 0 0 0;font:.8125rem/1.4 system-ui,sans-serif;background:#0b6e6e;color:#fff"><a href="` + Base +
		`" style="color:#fff;font-weight:600;text-decoration:underline">` + template.HTMLEscapeString(back) + `</a> ` + template.HTMLEscapeString(hint) + `</p>`), nil
}
