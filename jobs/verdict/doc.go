// Package verdict says why an order is as it is and what is to be done: one sentence
// and one act, from all that is known under its reference. It is a pure function of
// those facts, and knows no clock, no database and no language.
package verdict
