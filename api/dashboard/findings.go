package dashboard

import (
	"encoding/json"
	"net/url"
	"slices"
	"strings"

	"github.com/conciliar/conciliar/store"
)

// findings lists what a reconciliation found, and what became of it.
func (d *dashboard) findings(c *call, id int64) error {
	if _, err := d.deps.Storage.Run(c.ctx, id); err != nil {
		return err
	}
	f := c.filters()
	filter := store.FindingFilter{
		RunID: id, Kind: choice(f, "kind", "field.kind", "finding", store.FindingKinds()),
		State: choice(f, "state", "field.state", "finding_state", store.FindingStates()),
	}
	found, err := read(c, f, d.deps.Storage.Findings, filter, f.page())
	if err != nil {
		return err
	}
	v := f.listed(findingsPath(id), findingTable(found.Items), idText(found.Next))
	v.Hint = "findings.hint"
	return d.show(c, "list", &page{Title: "findings.title", About: "run.name", ID: id, Nav: "runs", Refresh: v.First, Body: v})
}

// findingsPath is the list of what a run found.
func findingsPath(run int64) string { return runPath(run) + "/findings" }

// runPath is a reconciliation's page.
func runPath(id int64) string { return Base + "/runs/" + idText(id) }

func findingTable(found []store.Finding) table {
	return tableOf("findings.title", "findings.none", found, findingColumns...).unseen()
}

var findingColumns = []column[store.Finding]{
	{"field.kind", partTitle, func(f store.Finding) cell { return wordCell("finding", f.Kind) }},
	{"field.state", partState, func(f store.Finding) cell { return badgeCell("finding_state", f.State) }},
	{"field.payment", "", func(f store.Finding) cell { return linkCell(plain(f.PaymentID), paymentPath) }},
	{"field.order", "", func(f store.Finding) cell { return linkCell(plain(f.OrderReference), orderPath) }},
	{"field.detail", partCause, func(f store.Finding) cell { return cell{Kind: cellDifference, Value: f.Detail} }},
	{"field.event", "", func(f store.Finding) cell {
		if f.QueueID == nil {
			return cell{}
		}
		event := plainCell(*f.QueueID).leading(eventPath(*f.QueueID))
		if f.DeadLetterID != nil {
			return event.over(wordCell("event_status", f.EventStatus).leading(Base + "/dead-letters/" + idText(*f.DeadLetterID)))
		}
		return event.over(wordCell("event_status", f.EventStatus), wordCell("outcome", f.Outcome))
	}},
	{"field.found", partMinor, func(f store.Finding) cell { return timeCell(f.FoundAt) }},
}

// FindingTable is a list of findings as a part of a page.
func (p *page) FindingTable(found []store.Finding) table { return findingTable(found) }

// FindingsLink leads to what a run found of a kind, and what became of it.
func (p *page) FindingsLink(run int64, kind, state string) string {
	q := url.Values{}
	for name, value := range map[string]string{"kind": kind, "state": state} {
		if value != "" {
			q.Set(name, value)
		}
	}
	return localPath(findingsPath(run), q.Encode())
}

// Differences are what differs, by field: what is held, and what it was held against.
func (r *reader) Differences(detail json.RawMessage) []pair {
	var values map[string]string
	if json.Unmarshal(detail, &values) != nil {
		return []pair{{"detail", string(detail)}}
	}
	fields := map[string][2]string{}
	for name, value := range values {
		prefix, field, split := strings.Cut(name, "_")
		if strings.HasSuffix(name, "status") {
			value = r.differing(field, value)
		}
		both := fields[field]
		switch {
		case split && prefix == "held":
			both[0] = value
		case split && slices.Contains([]string{"found", "logged", "settled"}, prefix):
			both[1] = value
		default:
			field, both = name, [2]string{"", value}
			if name == "against" {
				both[1] = r.Word("against", value)
			}
		}
		fields[field] = both
	}
	var pairs []pair
	for field, both := range fields {
		text := both[1]
		if _, was := values["held_"+field]; was {
			text = orDash(both[0]) + " → " + orDash(both[1])
		}
		pairs = append(pairs, pair{field, text})
	}
	slices.SortFunc(pairs, func(a, b pair) int { return strings.Compare(a.Name, b.Name) })
	return pairs
}

// differing is a state's word, an order's or a payment's.
func (r *reader) differing(field, value string) string {
	for _, family := range []string{"payment_status", "order_status"} {
		if field == "status" && r.Has(family, value) {
			return r.Word(family, value)
		}
	}
	return value
}

func orDash(text string) string {
	if text == "" {
		return "–"
	}
	return text
}
