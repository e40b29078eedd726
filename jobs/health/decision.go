package health

import (
	"cmp"
	"encoding/json"
	"slices"
	"time"

	"github.com/conciliar/conciliar/store"
)

// How often an alert that stays open is spoken of again: once after the first of
// these, then each time after the second.
const (
	FirstReminder  = 4 * time.Hour
	LaterReminders = 24 * time.Hour
)

// retiredReason is why an alert closes whose condition no running release knows.
const retiredReason = "No running release evaluates this condition any more."

// A finding is a condition as it is now.
type finding struct {
	Condition
	active bool
	seen   json.RawMessage
}

// find judges every condition.
func find(st store.Status, m Moment) []finding {
	all := Conditions()
	found := make([]finding, len(all))
	for i, c := range all {
		found[i] = finding{Condition: c, active: c.active(st, m)}
		if found[i].active {
			// Words and numbers can always be written.
			found[i].seen, _ = json.Marshal(c.detail(st, m)) //nolint:errchkjson // see above
		}
	}
	return found
}

// Decide says what becomes of each alert in a status that was read at the
// moment, and what there is to tell; nothing is told without notify. Alerts of
// codes that this release does not know are left to the one that does while it
// evaluates, and closed when it no longer does. Decide depends on its arguments
// alone.
func Decide(book store.AlertBook, st store.Status, m Moment, notify bool) (store.AlertChanges, []Notice) {
	findings, now := find(st, m), m.Now
	d := decision{book: book, now: now, notify: notify, watches: map[string]store.AlertWatch{}}
	for _, f := range findings {
		d.watches[f.Code] = watch(book.Watches[f.Code], f, now)
	}
	closes := map[string]bool{}
	for _, f := range findings {
		_, open := book.Open[f.Code]
		closes[f.Code] = open && !f.active && d.watches[f.Code].Evaluations >= f.Lasting
	}
	d.covered = func(f finding) bool {
		return slices.ContainsFunc(f.Within, func(code string) bool {
			_, open := book.Open[code]
			return d.watches[code].Active || open && !closes[code]
		})
	}
	var changes store.AlertChanges
	for _, f := range findings {
		changes.Watches = append(changes.Watches, d.watches[f.Code])
		if alert, changed := d.alert(f); changed {
			changes.Alerts = append(changes.Alerts, alert)
		}
	}
	closed, forgotten := d.retire()
	changes.Alerts, changes.Forgotten = append(changes.Alerts, closed...), forgotten
	return changes, d.notices
}

// watch is the condition's watch after this evaluation.
func watch(before store.AlertWatch, f finding, now time.Time) store.AlertWatch {
	if before.Evaluations > 0 && before.Active == f.active {
		before.Evaluations++
		return before
	}
	return store.AlertWatch{Code: f.Code, Active: f.active, Since: now, Evaluations: 1}
}

// decision is one evaluation in the making.
type decision struct {
	book    store.AlertBook
	now     time.Time
	notify  bool
	watches map[string]store.AlertWatch
	// covered tells whether a worse condition speaks for this one.
	covered func(f finding) bool
	notices []Notice
}

// alert returns the condition's alert when there is one that is open, or closes
// now.
func (d *decision) alert(f finding) (store.Alert, bool) {
	alert, open := d.book.Open[f.Code]
	w := d.watches[f.Code]
	switch {
	case !open && (!f.active || w.Evaluations < f.Lasting):
		return store.Alert{}, false
	case !open:
		alert = store.Alert{Code: f.Code, OpenedAt: w.Since}
	case !f.active && w.Evaluations >= f.Lasting && !d.covered(f):
		alert.ClosedAt = &w.Since
		// Only what was told to begin is told to end.
		if alert.LastSentAt != nil && d.notify {
			d.tell(f, alert, NoticeEnded)
		}
		return alert, true
	}
	grown := open && f.active && f.Each != "" && hasNew(members(f.seen, f.Each), members(alert.Detail, f.Each))
	if f.active {
		alert.Detail = f.seen
	}
	if d.notify && !f.Quiet {
		d.speak(f, &alert, grown)
	}
	return alert, true
}

// members are the entries of a detail's member; none where it has no such member.
func members(detail json.RawMessage, name string) map[string]json.RawMessage {
	var all map[string]json.RawMessage
	var found map[string]json.RawMessage
	if json.Unmarshal(detail, &all) != nil || json.Unmarshal(all[name], &found) != nil {
		return nil
	}
	return found
}

// hasNew reports whether something is among the one and not among the other.
func hasNew(now, before map[string]json.RawMessage) bool {
	for name := range now {
		if _, known := before[name]; !known {
			return true
		}
	}
	return false
}

// speak tells of an open alert when it is time to, and at once when it has grown by
// a subject.
func (d *decision) speak(f finding, alert *store.Alert, grown bool) {
	switch {
	case alert.LastSentAt == nil:
		d.tell(f, *alert, NoticeBegan)
	case grown:
		d.tell(f, *alert, NoticeReminder)
	case !d.covered(f) && d.isTime(*alert.LastSentAt, pace(alert.Reminders)):
		alert.Reminders++
		d.tell(f, *alert, NoticeReminder)
	default:
		return
	}
	alert.LastSentAt = &d.now
}

// isTime reports whether a pace has passed since the last message. One in the future is
// of a clock that has been set back since.
func (d *decision) isTime(last time.Time, pace time.Duration) bool {
	return d.now.Sub(last) >= pace || last.After(d.now.Add(store.ClockSlack))
}

// retire ends what no running release knows: without it, an alert whose
// condition was renamed or removed would be open for ever. What another release
// still evaluates is left to it, for the two would open and close it in turns.
func (d *decision) retire() (closed []store.Alert, forgotten []string) {
	for code, w := range d.book.Watches {
		if _, known := d.watches[code]; !known && w.Abandoned {
			forgotten = append(forgotten, code)
		}
	}
	slices.Sort(forgotten)
	for code, alert := range d.book.Open {
		_, known := d.watches[code]
		w, watched := d.book.Watches[code]
		if known || watched && !w.Abandoned {
			continue
		}
		alert.ClosedAt = &d.now
		closed = append(closed, alert)
	}
	slices.SortFunc(closed, func(a, b store.Alert) int { return cmp.Compare(a.ID, b.ID) })
	for _, alert := range closed {
		if alert.LastSentAt != nil && d.notify {
			d.tell(finding{Condition: Condition{Code: alert.Code, Reason: retiredReason}}, alert, NoticeEnded)
		}
	}
	return closed, forgotten
}

func pace(reminders int) time.Duration {
	if reminders == 0 {
		return FirstReminder
	}
	return LaterReminders
}

func (d *decision) tell(f finding, alert store.Alert, state NoticeState) {
	d.notices = append(d.notices, Notice{
		Code: f.Code, State: state, Health: f.Health, Reason: f.Reason, Since: alert.OpenedAt, Until: alert.ClosedAt, Detail: alert.Detail,
	})
}
