package dashboard

import (
	"slices"
	"strings"

	"github.com/conciliar/conciliar/store"
)

// A section is an entry of the navigation.
type section struct {
	Name, Path string
	needs      Role
	// open is how much of it waits for a person; nil where nothing can.
	open func(store.OpenWork) int64
}

// firstSections are what a phone shows of the navigation beside the rest, and
// moreSections the rest, in their order. Each has a text below nav.
var (
	firstSections = []section{
		{"overview", "/dashboard", RoleViewer, nil},
		{"orders", "/dashboard/orders", RoleViewer, nil},
		{"dead_letters", "/dashboard/dead-letters", RoleViewer, func(w store.OpenWork) int64 { return w.DeadLetters }},
		{"anomalies", "/dashboard/anomalies", RoleViewer, func(w store.OpenWork) int64 { return w.Anomalies }},
	}
	moreSections = []section{
		{"events", "/dashboard/events", RoleViewer, nil},
		{"payments", "/dashboard/payments", RoleViewer, nil},
		{"refunds", "/dashboard/refunds", RoleViewer, nil},
		{"payouts", "/dashboard/payouts", RoleViewer, nil},
		{"runs", "/dashboard/runs", RoleViewer, nil},
		{"deliveries", "/dashboard/deliveries", RoleViewer, func(w store.OpenWork) int64 { return w.Deliveries }},
		{"refused", "/dashboard/refused", RoleViewer, nil},
		{"actions", "/dashboard/actions", RoleOperator, nil},
		{"logins", "/dashboard/logins", RoleAdmin, nil},
	}
)

// Sections are the navigation's first entries.
func (p *page) Sections() []section { return firstSections }

// More are the entries after those that the reader may have.
func (p *page) More() []section {
	return slices.DeleteFunc(slices.Clone(moreSections), func(s section) bool { return !p.May(s.needs) || s.Name == "refunds" && !p.Refunds })
}

// Open is how much of the section waits for a person.
func (p *page) Open(s section) int64 {
	if s.open == nil {
		return 0
	}
	return s.open(p.work)
}

// Most reports whether that is as far as is counted: it may be more.
func (p *page) Most(open int64) bool { return open >= store.OpenWorkMost }

// MoreOpen is how much waits in More.
func (p *page) MoreOpen() (n int64) {
	for _, s := range p.More() {
		n += p.Open(s)
	}
	return n
}

// A pair is one parameter of the page's address.
type pair struct{ Name, Value string }

// Kept are the parameters that the form for the time zone keeps.
func (p *page) Kept() []pair {
	var kept []pair
	for name, values := range p.query {
		if len(values) > 0 {
			kept = append(kept, pair{name, values[0]})
		}
	}
	slices.SortFunc(kept, func(a, b pair) int { return strings.Compare(a.Name, b.Name) })
	return kept
}

// Zones are those where the provider's merchants are; any other may be typed.
func (p *page) Zones() []string {
	return []string{
		"America/Argentina/Buenos_Aires", "America/Bogota", "America/Lima", "America/Manaus", "America/Mexico_City",
		"America/Montevideo", "America/Santiago", "America/Sao_Paulo", "America/Tijuana", "UTC",
	}
}
