package jobs

import "time"

// WithStepBudget makes the steps of runs hand over after the first piece of work
// that ends later than budget.
func (d Deps) WithStepBudget(budget time.Duration) Deps {
	d.stepBudget = &budget
	return d
}

// NextSpan is the span that a roll-up counts after one that took so long.
var NextSpan = nextSpan
