package dashboard

import (
	"net/url"
	"slices"
	"strconv"

	"github.com/conciliar/conciliar/store"
)

// deadLettersView is the body of the list of dead letters.
type deadLettersView struct {
	listing

	// Groups are the open ones by cause, whatever the list is narrowed to.
	Groups table
	// ReplayAll and DismissAll lead to where all open ones that match are replayed or
	// dismissed; empty where the list has others.
	ReplayAll, DismissAll string
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
	groups, err := d.deps.Storage.OpenDeadLetters(c.ctx)
	if err != nil {
		return err
	}
	v := deadLettersView{Groups: c.groupTable(groups)}
	stakes, err := d.deps.Storage.Stakes(c.ctx, found.Items)
	if err != nil {
		return err
	}
	columns, acts := deadLetterColumns(stakes), roleFrom(c.Context()).Allows(RoleOperator)
	if acts {
		columns = append(columns, column[store.DeadLetter]{"field.action", partActs, deadLetterActs})
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
		params := f.params().Encode()
		v.ReplayAll, v.DismissAll = Base+"/dead-letters/replay?"+params, Base+"/dead-letters/dismiss?"+params
	}
	return d.show(c, "deadletters", &page{Title: "nav.dead_letters", Nav: "dead_letters", Refresh: v.First, Body: v})
}

// deadLetterColumns show dead letters with what is known of their money.
func deadLetterColumns(stakes map[int64]store.Stake) []column[store.DeadLetter] {
	return []column[store.DeadLetter]{
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
		{"field.about", "", func(d store.DeadLetter) cell {
			stake, known := stakes[d.ID]
			if !known {
				return idCell(d.ResourceID)
			}
			return idCell(d.ResourceID).over(linkCell(plain(stake.Reference), orderPath), moneyCell(stake.Amount, stake.Currency))
		}},
		{"field.attempts", partMinorNumber, func(d store.DeadLetter) cell { return numberCell(d.Attempts) }},
		{"field.event", partMinor, func(d store.DeadLetter) cell { return plainCell(d.QueueID).leading(eventPath(d.QueueID)) }},
	}
}

// groupTable is the open dead letters by cause, with what to do about each. The primary
// button is what the cause asks for.
func (c *call) groupTable(groups []store.DeadLetterGroup) table {
	columns := []column[store.DeadLetterGroup]{
		{"field.cause", partTitle, func(g store.DeadLetterGroup) cell {
			cause := wordCell("reason", g.Reason)
			if g.ErrorClass != "" {
				cause = wordCell("error_class", g.ErrorClass)
			}
			return cause.leading(Base + "/dead-letters?" + groupParams(g))
		}},
		{"field.count", partNumber, func(g store.DeadLetterGroup) cell { return numberCell(g.Count) }},
		{"field.oldest", "", func(g store.DeadLetterGroup) cell { return ageCell(g.Oldest) }},
		{"field.do", partCause, func(g store.DeadLetterGroup) cell { return plainCell(c.reader.Remedy(g.Reason, g.ErrorClass)) }},
	}
	if roleFrom(c.Context()).Allows(RoleOperator) {
		columns = append(columns, column[store.DeadLetterGroup]{"field.action", partActs, func(g store.DeadLetterGroup) cell {
			replay := act{Label: "deadletters.replay_these", Path: Base + "/dead-letters/replay?" + groupParams(g), Main: true}
			dismiss := act{Label: "deadletters.dismiss_these", Path: Base + "/dead-letters/dismiss?" + groupParams(g)}
			if c.reader.Hopeless(g.ErrorClass) {
				replay.Main, dismiss.Main = false, true
				return cell{}.doing(dismiss, replay)
			}
			return cell{}.doing(replay, dismiss)
		}})
	}
	return tableOf("deadletters.groups_caption", "", groups, columns...)
}

func groupParams(g store.DeadLetterGroup) string {
	return url.Values{"reason": {g.Reason}, "class": {g.ErrorClass}}.Encode()
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
	return c.done(eventPath(replay.QueueID), "replayed", "id", replay.ReplayOf)
}

// dismissDeadLetter files a dead letter away with a note.
func (d *dashboard) dismissDeadLetter(c *call, id int64) error {
	return c.actNoted(deadLetterPath(id), "dismissed", id, d.deps.Storage.DismissDeadLetter)
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
		return c.done("/dashboard/dead-letters", "replayed_some", "n", int64(replayed), "skipped", int64(skipped))
	}
	return c.done("/dashboard/dead-letters", "replayed_all", "n", int64(replayed))
}
