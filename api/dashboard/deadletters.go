package dashboard

import (
	"slices"
	"strconv"

	"github.com/conciliar/conciliar/store"
)

// deadLettersView is the body of the list of dead letters.
type deadLettersView struct {
	listing

	// Groups are the open ones by cause, whatever the list is narrowed to.
	Groups []store.DeadLetterGroup
	// ReplayAll leads to the page that replays all open ones that match; empty where
	// the list has others.
	ReplayAll string
}

// deadLetterFilter reads the filter that the list and what is done to all share.
func deadLetterFilter(f *filters) store.DeadLetterFilter {
	filter := store.DeadLetterFilter{
		Reason:     choice(f, "reason", "field.reason", "reason", store.DeadLetterReasons()),
		ErrorClass: f.typed("class", "field.class", 20), Topic: f.typed("topic", "field.topic", 14),
	}
	filter.Since, filter.Until = f.on("day", "field.died_on")
	return filter
}

// deadLetters lists dead letters, newest first, the open ones unless the reader
// asks for others, and all open ones by their cause.
func (d *dashboard) deadLetters(c *call) error {
	f := c.filters()
	state := f.state("dead_letter_state", store.DeadLetterOpen, store.DeadLetterStates())
	filter := deadLetterFilter(f)
	filter.State = state
	found, err := read(c, f, d.deps.Storage.DeadLetters, filter, f.page())
	if err != nil {
		return err
	}
	v := deadLettersView{}
	if v.Groups, err = d.deps.Storage.OpenDeadLetters(c.ctx); err != nil {
		return err
	}
	columns, acts := deadLetterColumns, roleFrom(c.Context()).Allows(RoleOperator)
	if acts {
		columns = append(slices.Clone(columns), column[store.DeadLetter]{"field.action", partActs, deadLetterActs})
	}
	t := tableOf("deadletters.caption", "deadletters.none", found.Items, columns...)
	if acts {
		t.Form = "chosen"
		for i, letter := range found.Items {
			if c.reader.Replayable(letter.State) {
				t.Rows[i].Box = letter.ID
			}
		}
	}
	v.listing = f.listed("/dashboard/dead-letters", t, idText(found.Next))
	if state == store.DeadLetterOpen {
		v.ReplayAll = Base + "/dead-letters/replay?" + f.params().Encode()
	}
	return d.show(c, "deadletters", &page{Title: "nav.dead_letters", Nav: "dead_letters", Refresh: v.First, Body: v})
}

var deadLetterColumns = []column[store.DeadLetter]{
	{"field.dead_letter", partTitle, func(d store.DeadLetter) cell { return plainCell(d.ID).leading(deadLetterPath(d.ID)) }},
	{"field.died", "", func(d store.DeadLetter) cell { return ageCell(d.CreatedAt) }},
	{"field.state", partState, func(d store.DeadLetter) cell { return badgeCell("dead_letter_state", d.State) }},
	{"field.cause", partCause, func(d store.DeadLetter) cell {
		if d.ErrorClass == "" {
			return wordCell("reason", d.Reason)
		}
		return wordCell("error_class", d.ErrorClass)
	}},
	{"field.topic", partTopic, func(d store.DeadLetter) cell { return plainCell(d.Topic) }},
	{"field.about", "", func(d store.DeadLetter) cell { return monoCell(d.ResourceID) }},
	{"field.attempts", partMinorNumber, func(d store.DeadLetter) cell { return numberCell(d.Attempts) }},
	{"field.event", partMinor, func(d store.DeadLetter) cell { return plainCell(d.QueueID).leading(eventPath(d.QueueID)) }},
}

// deadLetterActs are what can be done to a dead letter from its row.
func deadLetterActs(d store.DeadLetter) cell {
	if d.State != store.DeadLetterOpen {
		return cell{}
	}
	return cell{}.doing(act{Label: "event.replay", Path: deadLetterPath(d.ID) + "/replay", Post: true})
}

// deadLetterPath is a dead letter's page.
func deadLetterPath(id int64) string { return Base + "/dead-letters/" + strconv.FormatInt(id, 10) }

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
