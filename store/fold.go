package store

import (
	"fmt"

	"github.com/conciliar/conciliar/store/order"
)

// foldVersion is the version of the rules that the books follow, as a column of
// any statement.
const foldVersion = `(SELECT fold_version FROM books)`

// A NewerBooksError means that the books follow rules that this release does not
// know: a newer one has begun to work on them. Nothing was changed.
type NewerBooksError struct {
	// Books is the version of the rules that they follow.
	Books int
}

func (e *NewerBooksError) Error() string {
	return fmt.Sprintf("the books follow version %d of the rules, this release knows up to %d", e.Books, order.FoldVersion)
}

// Problem implements the errors that ProblemOf knows.
func (e *NewerBooksError) Problem() Problem {
	return Problem{Class: Unavailable, Code: "storage_unavailable", Text: "A newer release has taken over; this process is about to be replaced."}
}

// checkFold returns a *NewerBooksError when the books follow newer rules. The
// version must have been read after the payment's or the order's lock was taken:
// what a newer release folds later takes that lock too.
func checkFold(books int) error {
	if books > order.FoldVersion {
		return &NewerBooksError{Books: books}
	}
	return nil
}
