package dashboard

import (
	"cmp"
	"net/http"
	"strings"
	"time"
	_ "time/tzdata" // readers' zones, also where the system knows none

	"golang.org/x/text/language"
	"golang.org/x/text/message"
	"golang.org/x/text/number"
)

const (
	languageCookie = "conciliar_language"
	zoneCookie     = "conciliar_zone"
	// preferenceAge is how long a choice is kept.
	preferenceAge = 365 * 24 * time.Hour
)

// A reader is for whom a page is written: their language, the form of their
// numbers and dates, and their time zone.
type reader struct {
	texts catalogue
	// now is when the page was asked for; zero on pages that tell no times.
	now time.Time
	// zone is the reader's own, for times of day, and days the merchant's, for days.
	zone, days *time.Location
	// numbers is the form of numbers.
	numbers language.Tag
	// point and group stand between an amount's parts; minGrouped is how many
	// digits before the point are the first to be grouped.
	point, group string
	minGrouped   int
}

// readerOf reads the request's preferences: what was chosen, else what the
// browser asks for.
func (s *site) readerOf(r *http.Request) *reader {
	var wanted []language.Tag
	if c, err := r.Cookie(languageCookie); err == nil {
		if texts, ok := s.catalogue(c.Value); ok {
			wanted = append(wanted, texts.tag)
		}
	}
	// A header that can't be parsed asks for nothing.
	accepted, _, _ := language.ParseAcceptLanguage(r.Header.Get("Accept-Language"))
	// Of several, the matcher takes the first that is spoken here.
	_, index, _ := s.matcher.Match(append(wanted, accepted...)...)
	texts := s.catalogues[index]
	days := cmp.Or(s.days, time.UTC)
	zone := days
	if c, err := r.Cookie(zoneCookie); err == nil {
		if named, ok := zoneNamed(c.Value); ok {
			zone = named
		}
	}
	return newReader(texts, numberTag(texts, accepted), zone, days)
}

func newReader(texts catalogue, numbers language.Tag, zone, days *time.Location) *reader {
	r := &reader{texts: texts, zone: zone, days: days, numbers: numbers, point: ".", minGrouped: 4}
	// The library knows each region's signs but writes floats; an amount is
	// written by us, digit by digit, between the signs that it shows.
	probe := message.NewPrinter(numbers).Sprint(number.Decimal(1234567.5))
	if first, _, ok := strings.Cut(probe, "234"); ok {
		r.group = strings.TrimPrefix(first, "1")
	}
	if _, rest, ok := strings.Cut(probe, "567"); ok {
		r.point = strings.TrimSuffix(rest, "5")
	}
	if !strings.Contains(message.NewPrinter(numbers).Sprint(number.Decimal(1234)), r.group) {
		r.minGrouped = 5
	}
	return r
}

// numberTag is the reader's own variant of the language, so that a Mexican and
// an Argentine each read their own numbers.
func numberTag(texts catalogue, accepted []language.Tag) language.Tag {
	base, _ := texts.tag.Base()
	for _, tag := range accepted {
		if b, _ := tag.Base(); b == base {
			return tag
		}
	}
	return texts.tag
}

// zoneNamed returns the zone of an IANA name.
func zoneNamed(name string) (*time.Location, bool) {
	if name == "" || name == "Local" || len(name) > 64 {
		return nil, false
	}
	zone, err := time.LoadLocation(name)
	return zone, err == nil
}

// choose keeps a preference that the query sets (lang, zone) and sends the
// browser to the page without it. It reports whether it did.
func (s *site) choose(w http.ResponseWriter, r *http.Request) bool {
	q := r.URL.Query()
	if r.Method != http.MethodGet || !q.Has("lang") && !q.Has("zone") {
		return false
	}
	if texts, ok := s.catalogue(q.Get("lang")); ok {
		setPreference(w, r, languageCookie, texts.code)
	}
	if _, ok := zoneNamed(q.Get("zone")); ok {
		setPreference(w, r, zoneCookie, q.Get("zone"))
	}
	q.Del("lang")
	q.Del("zone")
	http.Redirect(w, r, localPath(r.URL.Path, q.Encode()), http.StatusSeeOther) //nolint:gosec // localPath leads nowhere else
	return true
}

// localPath is a path of ours with its query: never one that a browser takes
// for another host.
func localPath(path, query string) string {
	path = "/" + strings.TrimLeft(path, `/\`)
	if query != "" {
		path += "?" + query
	}
	return path
}

func setPreference(w http.ResponseWriter, r *http.Request, name, value string) {
	http.SetCookie(w, &http.Cookie{ //nolint:gosec // it holds no secret, and the zone is for the script
		Name: name, Value: value, Path: "/dashboard", MaxAge: int(preferenceAge.Seconds()),
		// The script reads the zone, to set it once.
		HttpOnly: name != zoneCookie, SameSite: http.SameSiteLaxMode, Secure: r.TLS != nil,
	})
}

func (s *site) catalogue(code string) (catalogue, bool) {
	for _, c := range s.catalogues {
		if c.code == code {
			return c, true
		}
	}
	return catalogue{}, false
}

// Lang is the page's language tag.
func (r *reader) Lang() string { return r.texts.code }

// Days names the zone of the merchant's days.
func (r *reader) Days() string { return r.days.String() }

// Zone names the zone that times are shown in.
func (r *reader) Zone() string { return cmp.Or(r.zone.String(), "UTC") }
