package dashboard

import (
	"context"
	"encoding/json"
	"slices"
	"strconv"
	"strings"

	"github.com/shopspring/decimal"

	"github.com/conciliar/conciliar/store"
	"github.com/conciliar/conciliar/store/order"
)

// anomalies lists money that does not fit, newest first, the open ones unless
// the reader asks for others.
func (d *dashboard) anomalies(c *call) error {
	f := c.filters()
	filter := anomalyFilter(f)
	found, err := read(c, f, d.deps.Storage.Anomalies, filter, f.page())
	if err != nil {
		return err
	}
	v := f.listed("/dashboard/anomalies", anomalyTable(found.Items), idText(found.Next))
	v.Export = store.ExportAnomalies
	if filter.State == store.AnomalyOpen && len(found.Items) > 0 && roleFrom(c.Context()).Allows(RoleOperator) {
		v.Acts = []act{{Label: "anomalies.resolve_all", Path: Base + "/anomalies/resolve?" + f.params().Encode()}}
	}
	return d.show(c, "list", &page{Title: "nav.anomalies", Nav: "anomalies", Refresh: v.First, Body: v})
}

// anomalyFilter reads what the list of anomalies is narrowed to.
func anomalyFilter(f *filters) store.AnomalyFilter {
	state := f.state("anomaly_state", store.AnomalyOpen, store.AnomalyStates())
	filter := openAnomalyFilter(f)
	filter.State = state
	return filter
}

// openAnomalyFilter reads the filter that the list and what is done to all share.
func openAnomalyFilter(f *filters) store.AnomalyFilter {
	return store.AnomalyFilter{
		Kind:  string(choice(f, "kind", "field.anomaly", "anomaly", order.AnomalyKinds())),
		Order: f.typed("order", "field.order", 16), PaymentID: f.typed("payment", "field.payment", 14),
	}
}

// anomalyTable is a list of anomalies.
func anomalyTable(anomalies []store.Anomaly) table {
	return tableOf("anomalies.caption", "anomalies.none", anomalies, anomalyColumns...).unseen()
}

var anomalyColumns = []column[store.Anomaly]{
	{"field.anomaly", partTitle, func(a store.Anomaly) cell { return wordCell("anomaly", a.Kind).leading(anomalyPath(a.ID)) }},
	{"field.state", partState, func(a store.Anomaly) cell { return badgeCell("anomaly_state", anomalyState(a)) }},
	{"field.order", "", func(a store.Anomaly) cell { return linkCell(a.Reference, orderPath) }},
	{"field.payment", "", func(a store.Anomaly) cell { return linkCell(a.PaymentID, paymentPath) }},
	{"field.detail", partCause, func(a store.Anomaly) cell { return cell{Kind: cellDetails, Value: a} }},
	{"field.opened", "", func(a store.Anomaly) cell { return ageCell(a.OpenedAt) }},
	{"field.closed", partMinor, func(a store.Anomaly) cell {
		closed := timeCell(a.ClosedAt)
		if a.ClosedAt != nil {
			closed = closed.over(plainCell(a.ClosedBy), plainCell(a.Note))
		}
		return closed
	}},
}

func anomalyState(a store.Anomaly) string {
	if a.ClosedAt != nil {
		return store.AnomalyClosed
	}
	return store.AnomalyOpen
}

// anomalyPath is an anomaly's page.
func anomalyPath(id int64) string { return Base + "/anomalies/" + strconv.FormatInt(id, 10) }

// anomaly shows one anomaly with the form that resolves it.
func (d *dashboard) anomaly(c *call, id int64) error {
	// The list finds it by its id: the one before the next.
	found, err := d.deps.Storage.Anomalies(c.ctx, store.AnomalyFilter{}, store.Page{Before: id + 1, Limit: 1})
	if err != nil {
		return err
	}
	if len(found.Items) == 0 || found.Items[0].ID != id {
		return store.ErrAnomalyNotFound.With(id)
	}
	return d.show(c, "anomaly", &page{Title: "nav.anomalies", About: "anomaly.name", ID: id, Nav: "anomalies", Body: found.Items[0]})
}

// resolveAnomaly closes an anomaly with a note.
func (d *dashboard) resolveAnomaly(c *call, id int64) error {
	return c.actNoted(anomalyPath(id), "resolved", id, func(ctx context.Context, id int64, note store.Note, by store.Actor) error {
		_, err := d.deps.Storage.ResolveAnomaly(ctx, id, note, by)
		return err
	})
}

// moneyDetails are the details of an anomaly that are amounts in its currency.
var moneyDetails = map[string]bool{"amount": true, "paid": true, "refunded": true, "missing": true, "surplus": true,
	"net": true, "released": true, "difference": true}

// A detail is one of an anomaly. Links lead to what it names; where there are none, its
// value is shown.
type detail struct {
	Name, Value string
	Links       []namedLink
}

// A namedLink is a link and its text.
type namedLink struct{ Text, Path string }

// linksOf are the links of a detail: payments, and an order where it is plain that it is
// one, because a reference may have a comma.
func linksOf(name, text string) (links []namedLink) {
	switch {
	case name == "payment_ids":
		for _, id := range strings.Split(text, ",") {
			links = append(links, namedLink{id, paymentPath(id)})
		}
	case name == "near_orders" && !strings.Contains(text, ","):
		links = []namedLink{{text, orderPath(text)}}
	}
	return links
}

// Details are the details of an anomaly, amounts in the reader's form, by name.
// The database keep them as texts; whatever else stands there is shown as it is.
func (p *page) Details(a store.Anomaly) ([]detail, error) {
	var raw map[string]any
	decoder := json.NewDecoder(strings.NewReader(string(a.Detail)))
	decoder.UseNumber() // an amount must not become a float
	if err := decoder.Decode(&raw); err != nil {
		return []detail{{Name: "detail", Value: string(a.Detail)}}, nil //nolint:nilerr // no object: shown as it is
	}
	currency, _ := raw["currency"].(string)
	var details []detail
	for name, value := range raw {
		text, isText := value.(string)
		if !isText {
			encoded, err := json.Marshal(value)
			if err != nil {
				return nil, err
			}
			text = string(encoded)
		}
		switch _, err := decimal.NewFromString(text); {
		case name == "currency":
			continue
		case moneyDetails[name] && err == nil:
			if text, err = p.Money(text, currency); err != nil {
				return nil, err
			}
		case name == "status":
			text = p.Word("payment_status", text)
		case name == "reason":
			text = p.Word("release_reason", text)
		}
		details = append(details, detail{name, text, linksOf(name, text)})
	}
	slices.SortFunc(details, func(a, b detail) int { return strings.Compare(a.Name, b.Name) })
	return details, nil
}
