package dashboard

import (
	"net/url"
	"strconv"
	"time"

	"github.com/conciliar/conciliar/store"
)

// confirmReplay counts the open dead letters that match and asks before they
// are replayed.
func (d *dashboard) confirmReplay(c *call) error {
	return confirm(d, c, deadLetterFilter, d.deps.Storage.MatchingDeadLetters, manyView{
		Path: "/dashboard/dead-letters/replay", Back: "/dashboard/dead-letters", Hint: "bulk.hint", Button: "bulk.start",
	}, &page{Title: "bulk.title", Nav: "dead_letters"})
}

// replayAll replays the open dead letters that match, and no more than the
// count that was shown: what died since nobody has agreed to.
func (d *dashboard) replayAll(c *call) error {
	if err := c.form(); err != nil {
		return err
	}
	q := &filters{query: c.sent()}
	filter := deadLetterFilter(q)
	count, err := strconv.ParseInt(q.get("count"), 10, 64)
	if q.err != nil || err != nil || count < 1 {
		return errBadInput
	}
	bulk, err := d.deps.Operator.ReplayDeadLetters(c.ctx, filter, count, c.actor())
	if err != nil {
		return err
	}
	return c.redirect("/dashboard/replays/%d", bulk.ID)
}

// bulkView is the body of a bulk replay's page.
type bulkView struct {
	store.BulkReplay

	Now time.Time
}

// Done is how much of it is done, 0 to 100.
func (v bulkView) Done() int64 {
	if v.Total == 0 {
		return 100
	}
	return v.Replayed * 100 / v.Total
}

// Ended says how it ended, as a colour: well only when all of its events did.
func (v bulkView) Ended() string {
	switch {
	case v.State == store.BulkReplayStalled || v.Outcome.Failed > 0:
		return "bad"
	case v.State == store.BulkReplayRunning || v.Outcome.Waiting > 0:
		return "info"
	case v.State == store.BulkReplayDone:
		return "good"
	}
	return ""
}

// Events is the address of the list of the events that it made.
func (v bulkView) Events(state string) string {
	params := url.Values{"bulk": {idText(v.ID)}}
	if state != "" {
		params.Set("state", state)
	}
	return Base + "/events?" + params.Encode()
}

// Running reports whether it can be cancelled.
func (v bulkView) Running() bool { return v.State == store.BulkReplayRunning }

// bulkReplay shows how far a bulk replay has come.
func (d *dashboard) bulkReplay(c *call, id int64) error {
	bulk, err := d.deps.Storage.BulkReplay(c.ctx, id)
	if err != nil {
		return err
	}
	return d.show(c, "bulkreplay", &page{Title: "bulk.title", Nav: "dead_letters", Refresh: bulk.FinishedAt == nil || bulk.Outcome.Waiting > 0, Body: bulkView{BulkReplay: bulk, Now: d.now()}})
}

// cancelBulkReplay stops a bulk replay before its next step.
func (d *dashboard) cancelBulkReplay(c *call, id int64) error {
	if _, err := d.deps.Storage.CancelBulkReplay(c.ctx, id, c.actor()); err != nil {
		return err
	}
	return c.done(Base+"/replays/"+idText(id), "cancelled")
}
