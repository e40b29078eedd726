package dashboard

import (
	"cmp"
	"encoding/json"
	"slices"
	"strings"

	"github.com/shopspring/decimal"

	"github.com/conciliar/conciliar/store"
	"github.com/conciliar/conciliar/store/order"
)

// anomaliesView is the body of the list of anomalies.
type anomaliesView struct {
	store.List[store.Anomaly]

	States             []string
	Kinds              []order.AnomalyKind
	Kind               order.AnomalyKind
	State, Order, Paid string
}

// anomalies lists money that does not fit, newest first, the open ones unless
// the reader asks for others.
func (d *dashboard) anomalies(c *call) error {
	q := c.query()
	v := anomaliesView{
		States: store.AnomalyStates(), Kinds: order.AnomalyKinds(), State: q.word("state", append(store.AnomalyStates(), allStates)),
		Kind: oneOf(q, "kind", order.AnomalyKinds()), Order: q.text("order"), Paid: q.text("payment"),
	}
	v.State = cmp.Or(v.State, store.AnomalyOpen)
	filter := store.AnomalyFilter{State: v.State, Kind: string(v.Kind), Order: v.Order, PaymentID: v.Paid}
	if v.State == allStates {
		filter.State = ""
	}
	at := q.page()
	var err error
	if v.List, err = read(c, q, d.deps.Storage.Anomalies, filter, at); err != nil {
		return err
	}
	return d.show(c, "anomalies", &page{Title: "nav.anomalies", Nav: "anomalies", Refresh: at.Before == 0, Body: v})
}

// allStates is the word for no choice where no choice means the open ones.
const allStates = "all"

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
	note, err := c.note()
	if err != nil {
		return err
	}
	if _, err := d.deps.Storage.ResolveAnomaly(c.ctx, id, note, c.actor()); err != nil {
		return err
	}
	return c.redirect("/dashboard/anomalies/%d?done=resolved", id)
}

// moneyDetails are the details of an anomaly that are amounts in its currency.
var moneyDetails = map[string]bool{"amount": true, "paid": true, "refunded": true, "missing": true, "surplus": true,
	"net": true, "released": true, "difference": true}

// Details are the details of an anomaly, amounts in the reader's form, by name.
// The database keep them as texts; whatever else stands there is shown as it is.
func (p *page) Details(a store.Anomaly) ([]pair, error) {
	var raw map[string]any
	decoder := json.NewDecoder(strings.NewReader(string(a.Detail)))
	decoder.UseNumber() // an amount must not become a float
	if err := decoder.Decode(&raw); err != nil {
		return []pair{{Name: "detail", Value: string(a.Detail)}}, nil //nolint:nilerr // no object: shown as it is
	}
	currency, _ := raw["currency"].(string)
	var details []pair
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
		details = append(details, pair{name, text})
	}
	slices.SortFunc(details, func(a, b pair) int { return strings.Compare(a.Name, b.Name) })
	return details, nil
}
