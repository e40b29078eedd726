package store

import (
	"fmt"
	"time"
)

// PostgreSQL's clock may have been ahead, and every time that it wrote then lies in the
// future now. So each time of ours that decides that something need not be done yet is
// read through one of these conditions; clockTimes tells of the times themselves.

// due is true of a time that has come, and of one that is further ahead than longest,
// the longest wait that we ever set.
func due(column string, longest time.Duration) string {
	return fmt.Sprintf("(%[1]s <= clock_timestamp() OR %[1]s > clock_timestamp() + %[2]s)", column, seconds(longest+ClockSlack))
}

// passed is true of a time that has passed: one that is ahead proves nothing.
func passed(column string) string {
	return fmt.Sprintf("%s <= now() + %s", column, seconds(ClockSlack))
}

// within is true of a time that has passed, and not longer ago than span, an interval in
// SQL.
func within(column, span string) string {
	return fmt.Sprintf("(%s > now() - %s AND %s)", column, span, passed(column))
}

func seconds(d time.Duration) string {
	return fmt.Sprintf("interval '%d seconds'", int64(d/time.Second))
}
