package mercadopago

import (
	"net/url"
	"strings"

	"github.com/conciliar/conciliar/jobs/provider"
)

// A query is what we read of a delivery's query string. A notification URL may
// carry parameters of the merchant's own: they come back on every call and are
// passed over, however odd they are.
type query struct {
	dataID, id, typ, topic param
}

// A param is one parameter of the query.
type param struct {
	// value is the last one that is not blank: Mercado Pago appends its
	// parameters to the merchant's.
	value string
	// distinct counts the values that differ, blank ones included.
	distinct int
	// broken: an escape that could not be read.
	broken bool
}

func parseQuery(raw string) query {
	var q query
	for pair := range strings.SplitSeq(raw, "&") {
		rawKey, rawValue, _ := strings.Cut(pair, "=")
		key, err := url.QueryUnescape(rawKey)
		if err != nil {
			continue
		}
		var p *param
		switch key {
		case "data.id":
			p = &q.dataID
		case "id":
			p = &q.id
		case "type":
			p = &q.typ
		case "topic":
			p = &q.topic
		default:
			continue
		}
		value, err := url.QueryUnescape(rawValue)
		if err != nil {
			p.broken = true
			p.distinct++
			continue
		}
		value = strings.TrimSpace(value)
		if p.distinct == 0 || value != p.value {
			p.distinct++
		}
		if value != "" {
			p.value = value
		}
	}
	return q
}

// absent tells whether the parameter says nothing: not there, or once and blank.
func (p param) absent() bool { return p.value == "" && p.distinct <= 1 && !p.broken }

// one returns the parameter as an id, empty when absent.
func (p param) one(ambiguous, badly string) (string, *provider.Refusal) {
	switch {
	case p.absent():
		return "", nil
	case p.distinct > 1:
		return "", malformed(ambiguous)
	case p.broken || !validID(p.value):
		return "", malformed(badly)
	}
	return p.value, nil
}

// signedID is the id that a signature covers. Only this one is.
func (q query) signedID() (string, *provider.Refusal) {
	return q.dataID.one(ReasonAmbiguousDataID, ReasonMalformedDataID)
}

// isIPN tells whether the query has the IPN form, ?topic=…&id=… (the IPN page),
// and not the Webhooks form, ?data.id=…&type=….
func (q query) isIPN() bool {
	return q.dataID.absent() && !q.topic.absent() && !q.id.absent()
}

// topicWord is the topic that the query names, empty when none.
func (q query) topicWord() string {
	if q.typ.value != "" {
		return q.typ.value
	}
	return q.topic.value
}
