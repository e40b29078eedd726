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

// HighestID is what the sequence of events is held above.
const HighestID = highestID

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
// time, as one process does.
func DueNotices() func(queues []string, now time.Time) []string { return new(notices).due }
