package dashboard

import (
	"strconv"
	"time"

	"github.com/conciliar/conciliar/store"
)

// confirmView is the body of the page before a bulk replay.
type confirmView struct {
	Count                     int64
	Reason, Class, Topic, Day string
}

// confirmReplay counts the open dead letters that match and asks before they
// are replayed.
func (d *dashboard) confirmReplay(c *call) error {
	q := c.filters()
	filter := deadLetterFilter(q)
	if q.refuseOthers(); q.err != nil {
		return q.err
	}
	count, err := d.deps.Storage.CountReplayable(c.ctx, filter)
	if err != nil {
		return err
	}
	return d.show(c, "confirmreplay", &page{Title: "bulk.title", Nav: "dead_letters", Body: confirmView{
		Count: count, Reason: filter.Reason, Class: filter.ErrorClass, Topic: filter.Topic, Day: q.get("day"),
	}})
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

// Running reports whether it can be cancelled.
func (v bulkView) Running() bool { return v.State == store.BulkReplayRunning }

// bulkReplay shows how far a bulk replay has come.
func (d *dashboard) bulkReplay(c *call, id int64) error {
	bulk, err := d.deps.Storage.BulkReplay(c.ctx, id)
	if err != nil {
		return err
	}
	return d.show(c, "bulkreplay", &page{Title: "bulk.title", Nav: "dead_letters", Refresh: bulk.FinishedAt == nil, Body: bulkView{BulkReplay: bulk, Now: d.now()}})
}

// cancelBulkReplay stops a bulk replay before its next step.
func (d *dashboard) cancelBulkReplay(c *call, id int64) error {
	if _, err := d.deps.Storage.CancelBulkReplay(c.ctx, id, c.actor()); err != nil {
		return err
	}
	return c.redirect("/dashboard/replays/%d?done=cancelled", id)
}
