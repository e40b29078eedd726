package dashboard

import (
	"cmp"
	"net/url"
	"slices"
	"strconv"

	"github.com/conciliar/conciliar/store"
)

// deadLettersView is the body of the list of dead letters.
type deadLettersView struct {
	store.List[store.DeadLetter]

	// Groups are the open ones by cause, whatever the list is narrowed to.
	Groups          []store.DeadLetterGroup
	States, Reasons []string
	// What the list is narrowed to; State is "all" for all states.
	State, Reason, Class, Topic, Day string
	// ReplayAll leads to the page that replays all open ones that match.
	ReplayAll string
}

// deadLetterFilter reads the filter that the list and its bulk replay share.
func deadLetterFilter(q *query) store.DeadLetterFilter {
	filter := store.DeadLetterFilter{
		Reason: q.word("reason", store.DeadLetterReasons()), ErrorClass: q.text("class"), Topic: q.text("topic"),
	}
	filter.Since, filter.Until = q.day("day")
	return filter
}

// deadLetters lists dead letters, newest first, the open ones unless the reader
// asks for others, and all open ones by their cause.
func (d *dashboard) deadLetters(c *call) error {
	q := c.query()
	filter := deadLetterFilter(q)
	v := deadLettersView{
		States: store.DeadLetterStates(), Reasons: store.DeadLetterReasons(),
		State:  q.word("state", append(store.DeadLetterStates(), allStates)),
		Reason: filter.Reason, Class: filter.ErrorClass, Topic: filter.Topic, Day: q.get("day"),
	}
	v.State = cmp.Or(v.State, store.DeadLetterOpen)
	if v.State != allStates {
		filter.State = v.State
	}
	at := q.page()
	v.ReplayAll = Base + "/dead-letters/replay?" + filterParams(v.Reason, v.Class, v.Topic, v.Day).Encode()
	var err error
	if v.List, err = read(c, q, d.deps.Storage.DeadLetters, filter, at); err != nil {
		return err
	}
	if v.Groups, err = d.deps.Storage.OpenDeadLetters(c.ctx); err != nil {
		return err
	}
	return d.show(c, "deadletters", &page{Title: "nav.dead_letters", Nav: "dead_letters", Refresh: at.Before == 0, Body: v})
}

// filterParams are the parameters of a filter; those that narrow nothing are
// left out.
func filterParams(reason, class, topic, day string) url.Values {
	params := url.Values{}
	for name, value := range map[string]string{"reason": reason, "class": class, "topic": topic, "day": day} {
		if value != "" {
			params.Set(name, value)
		}
	}
	return params
}

// deadLetter shows one dead letter: what it died of, what to do, and the forms
// that do it.
func (d *dashboard) deadLetter(c *call, id int64) error {
	letter, err := d.deps.Storage.DeadLetter(c.ctx, id)
	if err != nil {
		return err
	}
	return d.show(c, "deadletter", &page{Title: "nav.dead_letters", About: "deadletter.name", ID: id, Nav: "dead_letters", Body: letter})
}

// replayDeadLetter makes a new event of a dead letter's delivery.
func (d *dashboard) replayDeadLetter(c *call, id int64) error {
	replay, err := d.deps.Storage.ReplayDeadLetter(c.ctx, id, c.actor())
	if err != nil {
		return err
	}
	return c.redirect("/dashboard/events/%d?done=replayed&id=%d", replay.QueueID, replay.ReplayOf)
}

// dismissDeadLetter files a dead letter away with a note.
func (d *dashboard) dismissDeadLetter(c *call, id int64) error {
	return c.actNoted("/dashboard/dead-letters/%d?done=dismissed", id, d.deps.Storage.DismissDeadLetter)
}

// replayChosen replays the dead letters whose boxes were ticked. What somebody
// else dealt with meanwhile is passed over and counted.
func (d *dashboard) replayChosen(c *call) error {
	if err := c.form(); err != nil {
		return err
	}
	chosen := c.PostForm["id"]
	if len(chosen) > pageRows {
		return errBadInput
	}
	ids := make([]int64, 0, len(chosen))
	for _, text := range chosen {
		id, err := strconv.ParseInt(text, 10, 64)
		if err != nil || id < 1 {
			return errBadInput
		}
		ids = append(ids, id)
	}
	slices.Sort(ids)
	ids = slices.Compact(ids)
	if len(ids) == 0 {
		return &failure{status: errBadInput.status, key: "none_chosen"}
	}
	replayed, skipped := 0, 0
	for _, id := range ids {
		_, err := d.deps.Storage.ReplayDeadLetter(c.ctx, id, c.actor())
		if err == nil {
			replayed++
			continue
		}
		switch store.ProblemOf(err).Class {
		case store.Conflict, store.NotFound:
			skipped++
		case store.Internal, store.Unavailable, store.Invalid, store.Unauthenticated:
			return err
		}
	}
	if skipped > 0 {
		return c.redirect("/dashboard/dead-letters?done=replayed_some&n=%d&skipped=%d", replayed, skipped)
	}
	return c.redirect("/dashboard/dead-letters?done=replayed_all&n=%d", replayed)
}
