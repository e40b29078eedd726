package store

import (
	"fmt"

	"github.com/conciliar/conciliar/store/order"
)

// foldVersion is the version of the rules that the ledger follows, as a column of
// any statement.
const foldVersion = `(SELECT fold_version FROM books)`

// A NewerLedgerError means that the ledger follows rules that this release does not
// know: a newer one has begun to work on them. Nothing was changed.
type NewerLedgerError struct {
	// Ledger is the version of the rules that it follows.
	Ledger int
}

func (e *NewerLedgerError) Error() string {
	return fmt.Sprintf("the ledger follows version %d of the rules, this release knows up to %d", e.Ledger, order.FoldVersion)
}

// Problem classifies the error for the caller.
func (e *NewerLedgerError) Problem() Problem {
	return Problem{Class: Unavailable, Code: "storage_unavailable", Text: "A newer release has taken over; this process is about to be replaced."}
}

// checkFold returns a *NewerLedgerError when the ledger follows newer rules. The
// version must have been read after the payment's or the order's lock was taken:
// what a newer release folds later takes that lock too.
func checkFold(ledger int) error {
	if ledger > order.FoldVersion {
		return &NewerLedgerError{Ledger: ledger}
	}
	return nil
}
