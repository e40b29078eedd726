package dashboard

import (
	"net/http"
	"strings"
	"time"

	"github.com/conciliar/conciliar/jobs/health"
)

const (
	// decisionLate is how long what needs a decision may wait before it stands out.
	decisionLate = 3 * 24 * time.Hour
	// countedLate is how old the counts may be before the page warns. A minute is counted
	// two minutes after it at the earliest, by a job that runs each minute.
	countedLate = 5 * time.Minute
)

// levelUnknown is the level of a service that has not been seen to work yet.
const levelUnknown health.Level = "unknown"

// split tells what is wrong with the service from what waits for a person, each in
// the order of the money that it stops. level is that of the first alone.
func split(facts []health.Fact) (level health.Level, working, decisions []health.Fact) {
	level = health.Healthy
	for _, f := range facts {
		if f.Stops == health.Decision {
			decisions = append(decisions, f)
			continue
		}
		working = append(working, f)
		if level != health.Unhealthy {
			level = f.Health
		}
	}
	return level, working, decisions
}

// Headline says in one line what is wrong, since when and what waits because of it.
func (r *reader) Headline(f health.Fact) (string, error) {
	key := "headline." + f.Code
	if !r.Has("headline", f.Code) && !r.Has("headline", f.Code+".other") {
		return strings.TrimSuffix(r.Word("condition", f.Code), "."), nil
	}
	text, err := r.T(key, "n", f.Count, "names", strings.Join(f.Names, ", "), "cause", r.Word("error_class", f.Class))
	if err == nil && f.Since != nil {
		var since string
		if since, err = r.Moment(f.Since); err == nil {
			text, err = r.T("overview.headline_since", "what", text, "since", since)
		}
	}
	if err == nil && f.Waiting > 0 {
		text, err = r.T("overview.headline_waiting", "what", text, "n", f.Waiting)
	}
	return text, err
}

// Decisions is how many things wait for a person. A payment that cannot be booked is a
// failed event, too, and counts once.
func (v overviewView) Decisions() (n int64) {
	for _, f := range v.Deciding {
		if f.Code != "odd_payments_open" {
			n += f.Count
		}
	}
	return n
}

// DecisionsLate reports whether something has waited too long, or has a deadline.
func (v overviewView) DecisionsLate() bool {
	for _, f := range v.Deciding {
		if f.Code == "fraud_alert_open" || f.Code == "chargeback_documents_urgent" {
			return true
		}
	}
	oldest := v.OldestDecision()
	return oldest != nil && v.Now.Sub(*oldest) >= decisionLate
}

// OldestDecision is when the oldest of what waits for a person began; nil when nothing
// does.
func (v overviewView) OldestDecision() *time.Time {
	if len(v.Deciding) == 0 {
		return nil
	}
	return v.Status.Signals.Decisions.OldestAt
}

// OldestAge is how long that has waited.
func (v overviewView) OldestAge() time.Duration { return v.Now.Sub(*v.OldestDecision()) }

// CountedLate reports whether the counts are older than they should be.
func (v overviewView) CountedLate() bool {
	counted := v.Status.Signals.Machine.CountedUntil
	return counted != nil && v.Status.Signals.At.Sub(*counted) >= countedLate
}

// resumeQueue lets a paused queue be worked again.
func (d *dashboard) resumeQueue(c *call) error {
	resumed, err := d.deps.Operator.ResumeQueue(c.ctx, c.PostFormValue("queue"), c.actor())
	if err != nil {
		return err
	}
	if !resumed {
		return errNoPage
	}
	return c.done(Base, "resumed")
}

// webhookAddress is where the provider sends webhooks, as the reader's browser reaches
// this service.
func (d *dashboard) webhookAddress(r *http.Request) string {
	scheme := "http"
	if r.TLS != nil || strings.EqualFold(r.Header.Get("X-Forwarded-Proto"), "https") {
		scheme = "https"
	}
	return scheme + "://" + r.Host + d.deps.WebhookPath
}
