package dashboard

import (
	"strconv"

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
	filter := store.RefusedFilter{Reason: f.suggested("reason", "field.reason", "refusal", refusedReasons)}
	filter.Since, filter.Until = f.on("day", "field.day")
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
	return d.show(c, "list", &page{Title: "nav.refused", Nav: "refused", Refresh: v.First, Body: v})
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
