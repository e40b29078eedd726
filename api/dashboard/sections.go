package dashboard

import (
	"slices"
	"strings"
)

// A section is an entry of the navigation.
type section struct {
	Name, Path string
	needs      Role
}

// sections are the navigation, in its order. Each has a text below nav.
var sections = []section{
	{"overview", "/dashboard", RoleViewer},
	{"events", "/dashboard/events", RoleViewer},
	{"orders", "/dashboard/orders", RoleViewer},
	{"payments", "/dashboard/payments", RoleViewer},
	{"payouts", "/dashboard/payouts", RoleViewer},
	{"dead_letters", "/dashboard/dead-letters", RoleViewer},
	{"anomalies", "/dashboard/anomalies", RoleViewer},
	{"runs", "/dashboard/runs", RoleViewer},
	{"deliveries", "/dashboard/deliveries", RoleViewer},
	{"refused", "/dashboard/refused", RoleViewer},
	{"actions", "/dashboard/actions", RoleOperator},
	{"logins", "/dashboard/logins", RoleAdmin},
}

// Sections are the navigation's entries that the reader may have.
func (p *page) Sections() []section {
	return slices.DeleteFunc(slices.Clone(sections), func(s section) bool { return !p.May(s.needs) })
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
