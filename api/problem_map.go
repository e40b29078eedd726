package api

import (
	"errors"
	"slices"
	"time"

	"github.com/conciliar/conciliar/store"
)

// unavailableFor is when a caller should try again while the database is down
// or overloaded.
const unavailableFor = 5 * time.Second

// problemFor is the one place where an error becomes what a caller is told. What
// the error means is decided by the store, for the dashboard and the commands as
// well; here it gets its kind. What nobody knows is internal and not "send it
// again": a repetition would not help.
func problemFor(err error) *problem {
	if known, ok := errors.AsType[*problem](err); ok {
		return known
	}
	told := store.ProblemOf(err)
	p := newProblem(kindOf(told.Code), told.Text)
	switch told.Class {
	case store.NotFound, store.Conflict, store.Unauthenticated:
		return p
	case store.Invalid:
		return p.because(err)
	case store.Unavailable:
		return p.because(err).after(unavailableFor)
	case store.Internal:
	}
	return newProblem(problemInternal, internalDetail).because(err)
}

// ProblemOf returns the kind of problem that the API answers err with.
func ProblemOf(err error) ProblemKind { return *problemFor(err).kind }

// kindOf is the kind with that code.
func kindOf(code string) *ProblemKind {
	if i := slices.IndexFunc(catalogue, func(k *ProblemKind) bool { return k.Code == code }); i >= 0 {
		return catalogue[i]
	}
	return problemInternal
}
