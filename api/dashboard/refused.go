package dashboard

import (
	"net/url"
	"slices"
	"strconv"
	"time"

	"github.com/conciliar/conciliar/jobs/provider"
	"github.com/conciliar/conciliar/store"
)

// refusedReasons are the words that the reader can narrow the list to. What a
// provider refuses for another one is found without a filter.
var refusedReasons = []string{
	"signature_mismatch", "missing_signature_header", "malformed_signature_header", "ambiguous_signature_header", "missing_timestamp",
	"missing_hash", "timestamp_out_of_tolerance", "ambiguous_data_id", "malformed_data_id", "ambiguous_id", "malformed_id",
	"ambiguous_request_id", "malformed_request_id", "unexpected_method", "source_not_allowed", "body_too_large", "path_unknown", "method_not_allowed",
	"missing_authorization", "wrong_authorization", "ambiguous_header", "source_unknown",
}

// refused lists deliveries that were refused, newest first.
func (d *dashboard) refused(c *call) error {
	f := c.filters()
	filter := store.RefusedFilter{Reason: f.suggested("reason", "field.reason", "refusal", refusedReasons), Source: f.typed("source", "field.source", 12)}
	filter.Since, filter.Until = f.on("day", "field.day")
	hour := f.hour("hour", "field.hour")
	if !hour.IsZero() {
		filter.Since, filter.Until = hour, hour.Add(time.Hour)
	}
	found, err := read(c, f, d.deps.Storage.RefusedDeliveries, filter, f.page())
	if err != nil {
		return err
	}
	if c.hidesPayerData() {
		for i, r := range found.Items {
			found.Items[i] = r.WithoutContent()
		}
	}
	v := f.listed("/dashboard/refused", tableOf("refused.caption", "refused.none", found.Items, refusedColumns...).unseen(), idText(found.Next))
	v.Hint = "refused.hint"
	body := refusedView{listing: v}
	// One group and what follows on later pages would only be said again.
	if v.First && hour.IsZero() {
		body.Groups, err = d.deps.Storage.RefusedGroups(c.ctx, filter, func(r store.RefusedDetail) (string, error) {
			diagnosis, err := d.deps.Diagnose(r)
			return diagnosis.Verdict, err
		})
		if err != nil {
			return err
		}
	}
	return d.show(c, "refused", &page{Title: "nav.refused", Nav: "refused", Refresh: v.First, Body: body})
}

// refusedView is the body of the list of refused deliveries.
type refusedView struct {
	listing

	Groups []store.RefusedGroup
}

// Proxied are the groups whose signatures a proxy has most likely broken.
func (v refusedView) Proxied() []store.RefusedGroup {
	return slices.DeleteFunc(slices.Clone(v.Groups), func(g store.RefusedGroup) bool {
		return g.ForeignRequestIDs == 0 || g.Reason != "signature_mismatch"
	})
}

// GroupTable are groups of refused deliveries as a part of a page.
func (p *page) GroupTable(groups []store.RefusedGroup) table {
	return tableOf("refused.groups", "", groups, groupColumns...).unseen()
}

var groupColumns = []column[store.RefusedGroup]{
	{"field.reason", partTitle, func(g store.RefusedGroup) cell { return wordCell("refusal", g.Reason).leading(groupPath(g)) }},
	{"field.hour", "", func(g store.RefusedGroup) cell { return timeCell(g.Hour) }},
	{"field.count", partNumber, func(g store.RefusedGroup) cell { return numberCell(g.Count) }},
	{"field.source", "", func(g store.RefusedGroup) cell { return plainCell(g.Source) }},
	{"refused.verdict", partCause, func(g store.RefusedGroup) (c cell) {
		for _, v := range g.Verdicts {
			if v.Verdict != "" {
				c = c.over(wordCell("verdict", v.Verdict).leading(Base + "/refused/" + idText(v.NewestID)))
			}
		}
		return c
	}},
}

// groupPath are the deliveries of a group.
func groupPath(g store.RefusedGroup) string {
	return Base + "/refused?" + url.Values{"reason": {g.Reason}, "source": {g.Source}, "hour": {g.Hour.Format(hourForm)}}.Encode()
}

var refusedColumns = []column[store.RefusedDelivery]{
	{"field.refusal", partTitle, func(r store.RefusedDelivery) cell {
		return plainCell(r.ID).leading(Base + "/refused/" + strconv.FormatInt(r.ID, 10))
	}},
	{"field.time", "", func(r store.RefusedDelivery) cell { return timeCell(r.RefusedAt) }},
	{"field.reason", partCause, func(r store.RefusedDelivery) cell { return wordCell("refusal", r.Reason) }},
	{"field.address", "", func(r store.RefusedDelivery) cell { return plainCell(r.RemoteIP) }},
	{"field.query", partMinor, func(r store.RefusedDelivery) cell { return codeCell(r.Method + " ?" + r.Query) }},
	{"field.request_id", partMinor, func(r store.RefusedDelivery) cell { return codeCell(r.XRequestID) }},
}

// refusalView is the body of a refused delivery's page.
type refusalView struct {
	store.RefusedDetail

	Diagnosis provider.Diagnosis
}

// refusal shows one refused delivery with the doctor's verdict.
func (d *dashboard) refusal(c *call, id int64) error {
	refused, err := d.deps.Storage.RefusedDelivery(c.ctx, id)
	if err != nil {
		return err
	}
	v := refusalView{}
	if v.Diagnosis, err = d.deps.Diagnose(refused); err != nil {
		return err
	}
	if c.hidesPayerData() {
		refused = refused.WithoutContent()
	}
	v.RefusedDetail = refused
	return d.show(c, "refusal", &page{Title: "nav.refused", About: "refused.name", ID: id, Nav: "refused", Body: v})
}
