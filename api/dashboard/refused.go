package dashboard

import (
	"github.com/conciliar/conciliar/jobs/provider"
	"github.com/conciliar/conciliar/store"
)

// refusedView is the body of the list of refused deliveries.
type refusedView struct {
	store.List[store.RefusedDelivery]

	Reasons     []string
	Reason, Day string
}

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
	q := c.query()
	v := refusedView{Reasons: refusedReasons, Reason: q.text("reason"), Day: q.get("day")}
	filter := store.RefusedFilter{Reason: v.Reason}
	filter.Since, filter.Until = q.day("day")
	at := q.page()
	var err error
	if v.List, err = read(c, q, d.deps.Storage.RefusedDeliveries, filter, at); err != nil {
		return err
	}
	if c.hidesPayerData() {
		for i, r := range v.Items {
			v.Items[i] = r.WithoutContent()
		}
	}
	return d.show(c, "refused", &page{Title: "nav.refused", Nav: "refused", Refresh: at.Before == 0, Body: v})
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
