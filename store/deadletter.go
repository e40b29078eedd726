package store

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"
)

// States of a dead letter.
const (
	// DeadLetterOpen waits for a person.
	DeadLetterOpen = "open"
	// DeadLetterReopened: its job was retried from elsewhere and lives again.
	DeadLetterReopened = "reopened"
	// DeadLetterReplayed: a new event took its place.
	DeadLetterReplayed = "replayed"
	// DeadLetterDismissed: a person decided that nothing is to be done.
	DeadLetterDismissed = "dismissed"
)

// DeadLetterStates lists every state of a dead letter.
func DeadLetterStates() []string {
	return []string{DeadLetterOpen, DeadLetterReopened, DeadLetterReplayed, DeadLetterDismissed}
}

// DeadLetterReasons lists every reason of a dead letter.
func DeadLetterReasons() []string {
	return []string{"retries_exhausted", "permanent_failure", "cancelled", "rescued_out", "unknown_kind", "deleted"}
}

// ErrDeadLetterNotFound means that no dead letter has that id.
var ErrDeadLetterNotFound = noSuch("dead letter", "dead_letter_not_found")

// A DeadLetterFilter selects dead letters; an empty field selects all. It is
// stored with a bulk replay: fields are added, never renamed.
type DeadLetterFilter struct {
	State      string `json:"state,omitempty"`
	Reason     string `json:"reason,omitempty"`
	ErrorClass string `json:"error_class,omitempty"`
	Topic      string `json:"topic,omitempty"`
	// Since and Until bound the time of death: [Since, Until).
	Since time.Time `json:"since,omitzero"`
	Until time.Time `json:"until,omitzero"`
}

// narrow adds the filter's terms. d is the dead letter, q its event.
func (f DeadLetterFilter) narrow(c *conditions) {
	c.equal("d.state", f.State)
	c.equal("d.reason", f.Reason)
	c.equal("d.error_class", f.ErrorClass)
	c.equal("q.topic", f.Topic)
	c.between("d.died_at", f.Since, f.Until)
}

// A DeadLetter is an event that will not be tried again by itself.
type DeadLetter struct {
	ID         int64  `json:"id"`
	QueueID    int64  `json:"queue_id"`
	State      string `json:"state"`
	Reason     string `json:"reason"`
	ErrorClass string `json:"error_class"`
	Error      string `json:"error"`
	Attempts   int    `json:"attempts"`
	// Deaths is how often it died; it was reopened in between.
	Deaths int `json:"deaths"`
	// CreatedAt is its first death, DiedAt its latest.
	CreatedAt  time.Time `json:"created_at"`
	DiedAt     time.Time `json:"died_at"`
	Note       string    `json:"note"`
	Source     string    `json:"source"`
	Topic      string    `json:"topic"`
	ResourceID string    `json:"resource_id"`
	ReceivedAt time.Time `json:"received_at"`
}

// A DeadLetterDetail is a dead letter with everything that explains it.
type DeadLetterDetail struct {
	DeadLetter
	// Errors are those of every attempt, oldest first.
	Errors []AttemptFailure `json:"errors"`
	Body
	Replays []ReplayedAs     `json:"replays"`
	Actions []OperatorAction `json:"actions"`
}

const deadLetterColumns = `d.id, d.queue_id, d.state, d.reason, d.error_class, d.error, d.attempts, d.deaths,
	d.created_at, d.died_at, d.note, q.source, q.topic, q.resource_id, q.received_at`

const deadLetterFrom = ` FROM webhook_dead_letter d JOIN webhook_queue q ON q.id = d.queue_id`

// DeadLetters returns one page of the dead letters that the filter selects.
func (s *Store) DeadLetters(ctx context.Context, filter DeadLetterFilter, page Page) (List[DeadLetter], error) {
	var c conditions
	filter.narrow(&c)
	return readPage(ctx, s, "dead letters", `SELECT `+deadLetterColumns+deadLetterFrom, "d.id", c, page,
		rowTo[DeadLetter], func(d DeadLetter) int64 { return d.ID })
}

// DeadLetter returns one dead letter, or ErrDeadLetterNotFound.
func (s *Store) DeadLetter(ctx context.Context, id int64) (DeadLetterDetail, error) {
	var d DeadLetterDetail
	err := s.readSnapshot(ctx, func(tx pgx.Tx) error {
		letter, err := readOne[struct {
			DeadLetter
			Failures          json.RawMessage
			Payload, Resource []byte
			Emptied           *time.Time
		}](ctx, tx, `SELECT `+deadLetterColumns+`, d.errors, q.payload, q.resource, q.emptied_at`+deadLetterFrom+` WHERE d.id = $1`, id)
		if err = ErrDeadLetterNotFound.ifNone(err, id); err != nil {
			return err
		}
		d = DeadLetterDetail{DeadLetter: letter.DeadLetter, Body: newBody(letter.Payload, letter.Resource, letter.Emptied)}
		if d.Errors, err = parseFailures(letter.Failures); err != nil {
			return err
		}
		if d.Replays, err = replaysOf(ctx, tx, letter.QueueID); err != nil {
			return err
		}
		d.Actions, err = actionsOnEvent(ctx, tx, letter.QueueID)
		return err
	})
	return d, wrap(err, "dead letter %d", id)
}

// DismissDeadLetter dismisses a dead letter that needs no action, for the reason that
// note gives. One that is not open is a *StateError.
func (s *Store) DismissDeadLetter(ctx context.Context, id int64, note Note, by Actor) error {
	if err := note.check(); err != nil {
		return fmt.Errorf("dismiss dead letter %d: %w", id, err)
	}
	err := s.inTx(ctx, func(tx pgx.Tx) error {
		letter, err := lockDeadLetter(ctx, tx, id, DeadLetterOpen)
		if err != nil {
			return err
		}
		if _, err := tx.Exec(ctx, `UPDATE webhook_dead_letter SET state = 'dismissed', note = $2 WHERE id = $1`, id, note.text); err != nil {
			return err
		}
		return record(ctx, tx, act{
			by: by, action: ActionDismiss, kind: TargetDeadLetter, target: id, events: []int64{letter.queueID}, count: 1, note: note.text,
		})
	})
	return wrap(err, "dismiss dead letter %d", id)
}

// A lockedLetter is a dead letter that the transaction holds.
type lockedLetter struct {
	queueID int64
	state   string
}

// lockDeadLetter locks a dead letter that must be in one of the states.
func lockDeadLetter(ctx context.Context, tx pgx.Tx, id int64, states ...string) (lockedLetter, error) {
	var l lockedLetter
	err := tx.QueryRow(ctx, `SELECT queue_id, state FROM webhook_dead_letter WHERE id = $1 FOR UPDATE`, id).Scan(&l.queueID, &l.state)
	if err = ErrDeadLetterNotFound.ifNone(err, id); err != nil {
		return l, err
	}
	if !slices.Contains(states, l.state) {
		return l, &StateError{What: "dead letter", ID: id, State: l.state}
	}
	return l, nil
}
