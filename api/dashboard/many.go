package dashboard

import (
	"context"
	"net/url"
	"strconv"
	"time"

	"github.com/conciliar/conciliar/store"
)

// manyView is the body of the page that asks before something is done to many things:
// how many there are, what selects them, and for what reason.
type manyView struct {
	// Count is how many things the filters select, At most so many are acted on.
	Count, AtMost int64
	Fields        []field
	// Until is when they were counted: what came since is left alone.
	Until string
	// Path is where the form is sent, and Back the list.
	Path, Back string
	// Hint and Button are keys of texts.
	Hint, Button string
	// Noted is true for what needs a reason.
	Noted bool
}

// asked is the body of the page that asks about what the filters select.
func (f *filters) asked(v manyView, m store.Matching) manyView {
	for _, l := range f.fields {
		if l.Active() {
			v.Fields = append(v.Fields, l)
		}
	}
	if v.Count, v.AtMost = m.Count, m.Count; v.Noted { // a replay goes by steps
		v.AtMost = min(m.Count, store.MostAtOnce)
	}
	v.Until = m.At.UTC().Format(time.RFC3339Nano)
	return v
}

// agreed reads the form of that page: how many were agreed to, and until when they were
// counted.
func (f *filters) agreed() (count int64, until time.Time) {
	count, err := strconv.ParseInt(f.get("count"), 10, 64)
	if err != nil || count < 1 {
		f.err = errBadInput
	}
	if until, err = time.Parse(time.RFC3339Nano, f.get("until")); err != nil {
		f.err = errBadInput
	}
	return count, until
}

// confirm asks before something is done to the things that the filters select.
func confirm[F any](d *dashboard, c *call, read func(*filters) F, count func(context.Context, F) (store.Matching, error), v manyView, p *page) error {
	f := c.filters()
	filter := read(f)
	if f.refuseOthers(); f.err != nil {
		return f.err
	}
	m, err := count(c.ctx, filter)
	if err != nil {
		return err
	}
	p.Body = f.asked(v, m)
	return d.show(c, "confirm", p)
}

func (d *dashboard) confirmDismiss(c *call) error {
	return confirm(d, c, deadLetterFilter, d.deps.Storage.MatchingDeadLetters, manyView{
		Path: "/dashboard/dead-letters/dismiss", Back: "/dashboard/dead-letters", Hint: "deadletter.dismiss_hint", Button: "many.dismiss", Noted: true,
	}, &page{Title: "many.dismiss_title", Nav: "dead_letters"})
}

func (d *dashboard) confirmResolve(c *call) error {
	return confirm(d, c, openAnomalyFilter, d.deps.Storage.MatchingAnomalies, manyView{
		Path: "/dashboard/anomalies/resolve", Back: "/dashboard/anomalies", Hint: "anomaly.resolve_hint", Button: "many.resolve", Noted: true,
	}, &page{Title: "many.resolve_title", Nav: "anomalies"})
}

// dismissAll dismisses the open dead letters that match, and none beyond the count that
// was shown or that failed since.
func (d *dashboard) dismissAll(c *call) error {
	note, err := c.note()
	if err != nil {
		return err
	}
	f := &filters{query: c.sent()}
	filter := deadLetterFilter(f)
	count, until := f.agreed()
	if f.err != nil {
		return f.err
	}
	if filter.Until.IsZero() || until.Before(filter.Until) {
		filter.Until = until
	}
	done, err := d.deps.Storage.DismissDeadLetters(c.ctx, filter, count, note, c.actor())
	if err != nil {
		return err
	}
	return c.done("/dashboard/dead-letters", "dismissed_all", "n", done.Done)
}

// resolveAll resolves the open anomalies that match, as dismissAll does.
func (d *dashboard) resolveAll(c *call) error {
	note, err := c.note()
	if err != nil {
		return err
	}
	f := &filters{query: c.sent()}
	filter := openAnomalyFilter(f)
	count, until := f.agreed()
	if f.err != nil {
		return f.err
	}
	filter.Until = until
	done, err := d.deps.Storage.ResolveAnomalies(c.ctx, filter, count, note, c.actor())
	if err != nil {
		return err
	}
	return c.done("/dashboard/anomalies", "resolved_all", "n", done.Done)
}

// reopenDeadLetter and reopenAnomaly take a dismissal or a resolution back.
func (d *dashboard) reopenDeadLetter(c *call, id int64) error {
	if err := d.deps.Storage.ReopenDeadLetter(c.ctx, id, c.actor()); err != nil {
		return err
	}
	return c.done(deadLetterPath(id), "reopened")
}

func (d *dashboard) reopenAnomaly(c *call, id int64) error {
	if err := d.deps.Storage.ReopenAnomaly(c.ctx, id, c.actor()); err != nil {
		return err
	}
	return c.done(anomalyPath(id), "reopened")
}

// bulkReplays lists bulk replays, the newest first.
func (d *dashboard) bulkReplays(c *call) error {
	f := c.filters()
	found, err := read(c, f, func(ctx context.Context, _ struct{}, at store.Page) (store.List[store.BulkReplay], error) {
		return d.deps.Storage.BulkReplays(ctx, at)
	}, struct{}{}, f.page())
	if err != nil {
		return err
	}
	v := f.listed("/dashboard/replays", tableOf("bulk.caption", "bulk.none", found.Items, bulkReplayColumns...).unseen(), idText(found.Next))
	return d.show(c, "list", &page{Title: "bulk.list", Nav: "dead_letters", Refresh: v.First, Body: v})
}

var bulkReplayColumns = []column[store.BulkReplay]{
	{"bulk.title", partTitle, func(b store.BulkReplay) cell { return plainCell(b.ID).leading(Base + "/replays/" + idText(b.ID)) }},
	{"field.started", "", func(b store.BulkReplay) cell { return timeCell(b.StartedAt) }},
	{"field.state", partState, func(b store.BulkReplay) cell { return badgeCell("bulk_replay_state", b.State) }},
	{"field.cause", partCause, func(b store.BulkReplay) cell {
		return wordCell("error_class", b.Filter.ErrorClass).over(wordCell("reason", b.Filter.Reason), plainCell(b.Filter.Topic))
	}},
	{"field.replayed", partNumber, func(b store.BulkReplay) cell { return numberCell(b.Replayed) }},
	{"field.asked_by", "", func(b store.BulkReplay) cell { return plainCell(b.RequestedBy) }},
	{"field.events", "", func(b store.BulkReplay) cell {
		return numberCell(b.Replayed).leading(Base + "/events?" + url.Values{"bulk": {idText(b.ID)}}.Encode())
	}},
}
