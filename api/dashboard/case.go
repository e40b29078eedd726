package dashboard

import (
	"encoding/json"
	"mime"
	"net/http"
	"net/url"

	"github.com/conciliar/conciliar/jobs/verdict"
	"github.com/conciliar/conciliar/store"
)

// A VerdictDocument is a verdict by its codes, and in English.
type VerdictDocument struct {
	Code string       `json:"code"`
	Tone verdict.Tone `json:"tone"`
	// Said is the verdict with what qualifies it.
	Said []string `json:"said"`
	// Act is the code of what to do, and Do the same in words; null where there is
	// nothing.
	Act *string `json:"act"`
	Do  *string `json:"do"`
}

// NewVerdictDocument returns the document of what the facts of an order come to.
func NewVerdictDocument(provider string, facts store.OrderFacts) (*VerdictDocument, error) {
	v := verdict.Of(facts)
	words, err := InEnglish(provider, v)
	if err != nil {
		return nil, err
	}
	doc := VerdictDocument{Code: v.Code, Tone: v.Tone, Said: words.Said}
	if v.Act.Code != "" {
		doc.Act, doc.Do = &v.Act.Code, &words.Do
	}
	return &doc, nil
}

// NewCaseDocument returns the document of a case with the verdict on it.
func NewCaseDocument(provider, version string, c store.Case) (store.CaseDocument, error) {
	said, err := NewVerdictDocument(provider, c.OrderFacts)
	return store.NewCaseDocument(version, c, said), err
}

// orderCase sends all that is known of an order, without personal data, as a file.
func (d *dashboard) orderCase(c *call) error {
	q := c.query()
	reference := q.text("reference")
	if q.err != nil {
		return q.err
	}
	known, err := d.deps.Storage.OrderCase(c.ctx, reference)
	if err != nil {
		return err
	}
	doc, err := NewCaseDocument(d.deps.Provider, d.deps.Version, known)
	if err != nil {
		return err
	}
	body, err := json.MarshalIndent(doc, "", "  ")
	if err != nil {
		return err
	}
	h := c.ResponseWriter.Header()
	h.Set("Content-Type", "application/json")
	h.Set("Content-Disposition", mime.FormatMediaType("attachment", map[string]string{"filename": "conciliar-case-" + url.PathEscape(reference) + ".json"}))
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	c.WriteHeader(http.StatusOK)
	_, _ = c.ResponseWriter.Write(append(body, '\n')) // a reader who has gone away is nobody's error
	return nil
}

// CaseLink leads to the case of an order.
func (p *page) CaseLink(reference string) string {
	return Base + "/orders/case?" + url.Values{"reference": {reference}}.Encode()
}
