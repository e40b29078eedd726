package store

import (
	"context"
	"maps"
	"slices"
	"time"
)

// RollUpAhead is RollUp as it will be when so much time has passed.
func (s *Store) RollUpAhead(ctx context.Context, span, ahead time.Duration) (RollUp, error) {
	return s.rollUp(ctx, span, ahead)
}

// CheckReleasesBy is CheckReleases with so many payments to a page.
func (s *Store) CheckReleasesBy(ctx context.Context, page int) error {
	return s.checkReleasesBy(ctx, page)
}

// PoolStrain is what a heart tells of its pool.
var PoolStrain = poolStrain

// Erasures returns what forgetting a payer does to each column, by "table.column".
// What it doesn't name is left as it is.
func Erasures() map[string]string {
	all := map[string]string{}
	for _, e := range erasures {
		for what, columns := range map[string][]string{Emptied: e.documents, Replaced: e.words, Named: e.named} {
			for _, column := range columns {
				all[e.table+"."+column] = what
			}
		}
		if e.address {
			all[e.table+".remote_ip"] = Emptied
		}
	}
	return all
}

// Retentions returns the table of what is kept for how long. What it doesn't name is
// kept for ever.
func Retentions() []Retention {
	rows := []Retention{hintsKept}
	for _, r := range retentions {
		rows = append(rows, r.Retention)
	}
	return rows
}

// HighestID is what the sequence of events is held above, BehindStored whether it is.
const HighestID, BehindStored = highestID, behindStored

// ClockColumns are the times that are stored, by table and column.
func ClockColumns() (columns []string) {
	for _, t := range clockTimes {
		for _, name := range slices.Concat(t.passed, slices.Collect(maps.Keys(t.ahead)), t.said) {
			columns = append(columns, t.table+"."+name)
		}
	}
	return columns
}

// DueNotices returns a function that says which queues' producers are to be told at a
// time, and one that receives the queues they are told of later.
func DueNotices() (due func(queues []string, now time.Time) []string, late <-chan string) {
	told := make(chan string, 10)
	return newNotices(func(queue string) { told <- queue }).due, told
}

// A Waiting is an event that waits for its end, see Settler.
type Waiting struct {
	Attempt Attempt
	// Outcome is of an event that needs no settlement; Fetched is nil for one.
	Outcome string
	Fetched *Fetched
}

// An Ended is what became of one.
type Ended struct {
	Result SettleResult
	Err    error
	// Alone is true when it was not settled in the group.
	Alone bool
}

// EndTogether ends events as one group, and then alone, in their order, what the group
// leaves.
func (s *Settler) EndTogether(ctx context.Context, waiting []Waiting) []Ended {
	endings, ended := make([]*ending, len(waiting)), make([]Ended, len(waiting))
	for i, w := range waiting {
		endings[i] = &ending{ctx: ctx, attempt: w.Attempt, outcome: w.Outcome, fetched: w.Fetched, done: make(chan struct{})}
	}
	s.end(endings)
	for i, e := range endings {
		ended[i] = Ended{e.result, e.err, e.alone}
		if e.alone {
			ended[i] = s.store.EndAlone(ctx, waiting[i], CompleteJobOf(e.attempt))
			ended[i].Alone = true
		}
	}
	return ended
}

// EndAlone ends an event alone.
func (s *Store) EndAlone(ctx context.Context, w Waiting, complete CompleteJob) (ended Ended) {
	if w.Fetched == nil {
		return Ended{SettleResult{Outcome: w.Outcome}, s.Complete(ctx, w.Attempt, w.Outcome, complete), true}
	}
	result, err := s.Apply(ctx, w.Attempt, *w.Fetched, complete)
	return Ended{result, err, true}
}
