package store

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/conciliar/conciliar/store/order"
)

// A ProblemClass says what kind of problem an error is to the caller. It
// decides the HTTP status of the API and of the dashboard, and a command's exit
// code.
type ProblemClass string

// The classes.
const (
	// Internal is our fault, or unknown: asking again helps by chance only.
	Internal ProblemClass = "internal"
	// Unavailable passes: the same call may succeed in a moment.
	Unavailable ProblemClass = "unavailable"
	// Invalid is a value of the caller's that cannot be taken.
	Invalid ProblemClass = "invalid"
	// Unauthenticated needs a login.
	Unauthenticated ProblemClass = "unauthenticated"
	// NotFound is what is not there.
	NotFound ProblemClass = "not_found"
	// Conflict is there, in a state that rules out what was asked for.
	Conflict ProblemClass = "conflict"
)

// A Problem is what an error means to the caller. The API, the dashboard and
// the commands each show it in their own form; none of them judges an error of
// the store itself.
type Problem struct {
	Class ProblemClass
	// Code is the stable word; a problem of the API has the same.
	Code string
	// Text is one sentence for a person. It names nothing internal.
	Text string
	// Args are what the text names, as pairs of a name and a value, for a text
	// in another language.
	Args []any
}

// ProblemOf says what the error means: what the error says of itself, what
// happened to the database, or else an internal problem.
func ProblemOf(err error) Problem {
	var told interface {
		error
		Problem() Problem
	}
	if errors.As(err, &told) {
		return told.Problem()
	}
	failure, failed := FailureOf(err)
	switch {
	case failed && failure != DatabaseRefused && failure != DatabaseError:
		return Problem{Class: Unavailable, Code: "storage_unavailable", Text: "The database is unavailable or too busy right now."}
	case errors.Is(err, context.Canceled):
		// The caller has gone away, or the process is stopping.
		return Problem{Class: Unavailable, Code: "shutting_down", Text: "The work was stopped before its end."}
	}
	return Problem{Class: Internal, Code: "internal", Text: "Something went wrong on our side."}
}

// A NotFoundError means that nothing of its kind has the id that was asked for.
// It is the ErrXNotFound of its kind (errors.Is).
type NotFoundError struct {
	// What names the kind, and ID what was asked for: a number, or a text of the
	// caller's; nil when unknown.
	What string
	ID   any
	code string
}

func noSuch(what, code string) *NotFoundError { return &NotFoundError{What: what, code: code} }

// With returns the error for one id.
func (e *NotFoundError) With(id any) error { return &NotFoundError{What: e.What, ID: id, code: e.code} }

// ifNone returns err, and the error for the id where err says that there is no row.
func (e *NotFoundError) ifNone(err error, id any) error {
	if errors.Is(err, pgx.ErrNoRows) {
		return e.With(id)
	}
	return err
}

// Is reports whether target is the error of the same kind without an id.
func (e *NotFoundError) Is(target error) bool {
	kind, ok := target.(*NotFoundError)
	return ok && kind.ID == nil && kind.What == e.What
}

func (e *NotFoundError) Error() string { return "no such " + e.What }

// Problem classifies the error for the caller.
func (e *NotFoundError) Problem() Problem {
	p := Problem{Class: NotFound, Code: e.code}
	switch id := e.ID.(type) {
	case nil:
		p.Text = fmt.Sprintf("There is no such %s.", e.What)
		return p
	case string:
		p.Text = fmt.Sprintf("There is no %s %q.", e.What, id)
	default:
		p.Text = fmt.Sprintf("There is no %s %v.", e.What, id)
	}
	p.Args = []any{"id", e.ID}
	return p
}

// A StateError means that something is in a state that rules out what was asked
// for.
type StateError struct {
	// What and ID name it; State is where it stands.
	What  string
	ID    int64
	State string
}

func (e *StateError) Error() string { return fmt.Sprintf("%s %d is %s", e.What, e.ID, e.State) }

// Problem classifies the error for the caller.
func (e *StateError) Problem() Problem {
	return Problem{
		Class: Conflict, Code: "state_conflict", Args: []any{"id", e.ID},
		Text: fmt.Sprintf("%s %d is already %s.", capitalised(e.What), e.ID, e.State),
	}
}

// A ReplayWaitsError means that an earlier replay of the event has not ended
// yet, so that another one would do the same work twice.
type ReplayWaitsError struct {
	// QueueID is the event, Replay the event that replays it.
	QueueID, Replay int64
}

func (e *ReplayWaitsError) Error() string {
	return fmt.Sprintf("event %d is being replayed as event %d, which has not ended yet", e.QueueID, e.Replay)
}

// Problem classifies the error for the caller.
func (e *ReplayWaitsError) Problem() Problem {
	return Problem{
		Class: Conflict, Code: "replay_waits", Text: capitalised(e.Error()) + ".",
		Args: []any{"id", e.QueueID, "replay", e.Replay},
	}
}

// A PayloadExpiredError means that an event's body was emptied, and was all that
// there was to do: the event names nothing that could be fetched.
type PayloadExpiredError struct{ QueueID int64 }

func (e *PayloadExpiredError) Error() string {
	return fmt.Sprintf("the body of event %d is no longer kept, and the event names nothing to fetch", e.QueueID)
}

// Problem classifies the error for the caller.
func (e *PayloadExpiredError) Problem() Problem {
	return Problem{Class: Conflict, Code: "payload_expired", Text: capitalised(e.Error()) + ".", Args: []any{"id", e.QueueID}}
}

// An OrderConflictError means that an order is registered with other terms.
type OrderConflictError struct {
	Reference string
	// Known are the terms that stand, Asked those that contradict them.
	Known, Asked order.Terms
}

func (e *OrderConflictError) Error() string {
	known, asked := e.words()
	return fmt.Sprintf("order %q is registered with %s, not with %s", e.Reference, known, asked)
}

// Problem classifies the error for the caller.
func (e *OrderConflictError) Problem() Problem {
	known, asked := e.words()
	return Problem{
		Class: Conflict, Code: "order_conflict", Args: []any{"id", e.Reference},
		Text: fmt.Sprintf("The order is registered with %s; this call says %s.", known, asked),
	}
}

// words are the terms, with their accounts where these differ.
func (e *OrderConflictError) words() (known, asked string) {
	known, asked = price(e.Known), price(e.Asked)
	if e.Known.CollectorID != e.Asked.CollectorID {
		known, asked = known+accountWords(e.Known), asked+accountWords(e.Asked)
	}
	return known, asked
}

func accountWords(t order.Terms) string {
	if t.CollectorID == "" {
		return " for the main account"
	}
	return " for account " + t.CollectorID
}

// An OrderCancelledError means that the merchant has cancelled the order, so that
// its terms stand.
type OrderCancelledError struct{ Reference string }

func (e *OrderCancelledError) Error() string {
	return fmt.Sprintf("order %q is cancelled", e.Reference)
}

// Problem classifies the error for the caller.
func (e *OrderCancelledError) Problem() Problem {
	return Problem{
		Class: Conflict, Code: "order_cancelled", Args: []any{"id", e.Reference},
		Text: "The order is cancelled; its terms can't be amended.",
	}
}

// price writes the terms as money.
func price(t order.Terms) string {
	return order.FormatAmount(t.Amount, t.Currency) + " " + t.Currency
}

// An InvalidError means that a value of the caller's cannot be taken. It is the
// error of its kind that has no reason, such as ErrRunWindow (errors.Is).
type InvalidError struct {
	// What names the value, and Why says what is wrong with it: the rest of a
	// sentence that begins with the name.
	What, Why string
	code      string
}

func (e *InvalidError) because(why string, args ...any) error {
	return &InvalidError{What: e.What, Why: fmt.Sprintf(why, args...), code: e.code}
}

// Is reports whether target is the error of the same kind without a reason.
func (e *InvalidError) Is(target error) bool {
	kind, ok := target.(*InvalidError)
	return ok && kind.Why == "" && kind.What == e.What
}

func (e *InvalidError) Error() string {
	if e.Why == "" {
		return e.What + " cannot be taken"
	}
	return e.What + " " + e.Why
}

// Problem classifies the error for the caller.
func (e *InvalidError) Problem() Problem {
	return Problem{Class: Invalid, Code: e.code, Text: capitalised(e.Error()) + "."}
}

// A SchemaError means that the schema refuses a value of the caller's that our
// own checks let through: a constraint or a trigger that the database's owner
// has added.
type SchemaError struct {
	// What is what was to be written.
	What string
	// Err is the database's error; it names the constraint.
	Err error
}

// refusedBySchema returns err as a SchemaError if the schema refused the value.
func refusedBySchema(what string, err error) error {
	if failure, _ := FailureOf(err); failure == DatabaseRefused {
		return &SchemaError{What: what, Err: err}
	}
	return err
}

func (e *SchemaError) Error() string { return fmt.Sprintf("%s: %v", e.What, e.Err) }

func (e *SchemaError) Unwrap() error { return e.Err }

// Problem classifies the error for the caller.
func (e *SchemaError) Problem() Problem {
	return Problem{
		Class: Invalid, Code: "refused_by_schema",
		Text: fmt.Sprintf("A rule of the database refuses the %s.", e.What),
	}
}

// A plainError is an error that always means the same.
type plainError struct {
	text    string
	problem Problem
}

func newPlainError(class ProblemClass, code, text, sentence string) error {
	return &plainError{text: text, problem: Problem{Class: class, Code: code, Text: sentence}}
}

func (e *plainError) Error() string { return e.text }

// Problem classifies the error for the caller.
func (e *plainError) Problem() Problem { return e.problem }

// capitalised begins the text, which is ours, with a capital letter.
func capitalised(text string) string { return strings.ToUpper(text[:1]) + text[1:] }
