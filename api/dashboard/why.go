package dashboard

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/conciliar/conciliar/jobs/verdict"
)

// Said is a sentence about an order in the reader's words.
func (r *reader) Said(s verdict.Said) (string, error) { return r.sentence("why", s) }

// Act is what is to be done about an order in the reader's words.
func (r *reader) Act(s verdict.Said) (string, error) {
	// What a buyer can do about a rejected card depends on why it was.
	if s.Code == "rejected" && r.Has("status_detail.do", s.Detail) {
		return r.Word("status_detail.do", s.Detail), nil
	}
	return r.sentence("why.do", s)
}

func (r *reader) sentence(family string, s verdict.Said) (string, error) {
	amount, err := r.Money(s.Amount, s.Currency)
	if err != nil {
		return "", err
	}
	since, err := r.instant(s.Since)
	if err != nil {
		return "", err
	}
	until, err := r.instant(s.Until)
	if err != nil {
		return "", err
	}
	n := s.Count
	if n == 0 {
		n = int64(max(1, len(s.PaymentIDs)))
	}
	return r.T(family+"."+s.Code, "n", n, "payments", strings.Join(s.PaymentIDs, ", "), "amount", amount, "since", since, "until", until,
		"count", s.Count, "failed", s.Failed, "who", s.By, "note", s.Note, "account", s.Account, "order", s.ProviderOrderID,
		"reference", s.Reference, "status", r.Word("payment_status", s.Status), "detail", r.detailWords(s.Detail), "cause", r.classWords(s.ErrorClass))
}

// instant is a moment of an order's story, to the minute; empty for none.
func (r *reader) instant(at time.Time) (string, error) {
	if at.IsZero() {
		return "", nil
	}
	at = at.In(r.zone)
	day, err := r.date(at)
	if err != nil {
		return "", err
	}
	return r.T("time.at", "date", day, "time", at.Format("15:04"))
}

// detailWords is the provider's finer word for a payment's status.
func (r *reader) detailWords(detail string) string {
	if detail == "" {
		detail = "none"
	}
	return r.Word("status_detail", detail)
}

// classWords is why an event failed.
func (r *reader) classWords(class string) string {
	if class == "" {
		class = "internal"
	}
	return r.Word("error_class", class)
}

// Where is what a verdict's link leads to; empty for none, and for what the reader may
// not have.
func (p *page) Where(l verdict.Link) string {
	switch l.Kind {
	case verdict.LinkEvent:
		return Base + "/events/" + strconv.FormatInt(l.ID, 10)
	case verdict.LinkDeadLetter:
		return Base + "/dead-letters/" + strconv.FormatInt(l.ID, 10)
	case verdict.LinkDeadLetters:
		return Base + "/dead-letters"
	case verdict.LinkAnomaly:
		return Base + "/anomalies/" + strconv.FormatInt(l.ID, 10)
	case verdict.LinkRefused:
		return Base + "/refused/" + strconv.FormatInt(l.ID, 10)
	case verdict.LinkRefusals:
		return Base + "/refused"
	case verdict.LinkHeld:
		return Base + "/events?state=held"
	case verdict.LinkOrder:
		return orderPath(l.Reference)
	case verdict.LinkQueue:
		if p.May(RoleAdmin) {
			return "/riverui/queues/" + l.Reference
		}
	}
	return ""
}

// A Sentence is a verdict in words.
type Sentence struct {
	// Said is what the case is, with what qualifies it, and Do what is to be done; empty
	// where nothing is.
	Said []string
	Do   string
}

// breaking makes spaces of those that don't break, which pages alone need.
var breaking = strings.NewReplacer("\u00a0", " ", "\u202f", " ")

// InEnglish is a verdict in English, with times in UTC, for those who read no pages.
func InEnglish(provider string, v verdict.Verdict) (Sentence, error) {
	var s Sentence
	site, err := loadedSite()
	if err != nil {
		return s, err
	}
	texts, ok := site.naming(provider).catalogue("en")
	if !ok {
		return s, fmt.Errorf("there is no English catalogue")
	}
	r := newReader(texts, texts.tag, time.UTC, time.UTC)
	for _, said := range append([]verdict.Said{v.Said}, v.More...) {
		text, err := r.Said(said)
		if err != nil {
			return s, err
		}
		s.Said = append(s.Said, breaking.Replace(text))
	}
	if v.Act.Code != "" {
		s.Do, err = r.Act(v.Act)
		s.Do = breaking.Replace(s.Do)
	}
	return s, err
}
