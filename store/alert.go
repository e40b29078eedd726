package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
)

// States of an alert.
const (
	AlertOpen   = "open"
	AlertClosed = "closed"
)

// AlertStates lists every state of an alert.
func AlertStates() []string { return []string{AlertOpen, AlertClosed} }

// An Alert is one time that a condition was active.
type Alert struct {
	ID int64 `json:"id"`
	// Code is the condition's.
	Code string `json:"code"`
	// OpenedAt is when the condition was first seen active, ClosedAt when it was
	// first seen inactive; nil while the alert is open.
	OpenedAt time.Time  `json:"opened_at"`
	ClosedAt *time.Time `json:"closed_at"`
	// LastSentAt is when a message was last made that speaks of it; nil when
	// none was. Reminders counts those after the first.
	LastSentAt *time.Time `json:"last_sent_at"`
	Reminders  int        `json:"reminders"`
	// Detail is what was seen last while it was active.
	Detail json.RawMessage `json:"detail"`
}

// An AlertWatch is one condition as evaluations saw it.
type AlertWatch struct {
	Code   string
	Active bool
	// Since is when it was first seen as it is, and Evaluations how many have
	// seen it so in a row.
	Since       time.Time
	Evaluations int
	// Abandoned is true when no evaluation has written the watch for ten minutes:
	// no running release knows the condition any more.
	Abandoned bool
}

// AlertBook is what evaluations know: the conditions by their codes, and the
// open alerts by theirs.
type AlertBook struct {
	Watches map[string]AlertWatch
	Open    map[string]Alert
}

// AlertChanges are what an evaluation changes.
type AlertChanges struct {
	Watches []AlertWatch
	// Forgotten are the codes of watches that nobody needs any more.
	Forgotten []string
	// Alerts are those that are open, or close now. One without an ID is new.
	Alerts []Alert
	// Message is the body of the message to send; nil for none.
	Message json.RawMessage
}

// SendMessage inserts the job that sends a message about alerts, to run at the
// given time, and returns the job's id. Any error rolls the transaction back.
type SendMessage func(ctx context.Context, tx pgx.Tx, messageID int64, at time.Time) (jobID int64, err error)

// ErrEvaluatedLately means that somebody else evaluated moments ago.
var ErrEvaluatedLately = errors.New("alerts were evaluated moments ago")

// evaluationGap is the least time between two evaluations: a condition counts as
// lasting when several saw it, so two in one moment must not count as two.
const evaluationGap = 30 * time.Second

// abandonedAfter is how long a watch is nobody's after its last evaluation, of
// which there is one a minute. Releases that run side by side evaluate by turns.
const abandonedAfter = 10 * time.Minute

// EvaluateAlerts gives decide what is known, and writes what it changes: all of
// it or nothing, and with a message the job that sends it. Evaluations take
// turns, and one that comes moments after another gets ErrEvaluatedLately.
// decide may be called again and must have no effect of its own.
func (s *Store) EvaluateAlerts(ctx context.Context, at time.Time, decide func(AlertBook) (AlertChanges, error), send SendMessage) error {
	err := s.inTx(ctx, func(tx pgx.Tx) error {
		last, err := readValue[*time.Time](ctx, tx, `SELECT evaluated_at FROM alert_evaluation FOR UPDATE`)
		if err != nil {
			return err
		}
		// One in the future is of a clock that has been set back since.
		if last != nil && !last.After(at.Add(evaluationGap)) && at.Sub(*last) < evaluationGap {
			return ErrEvaluatedLately
		}
		if _, err := tx.Exec(ctx, `UPDATE alert_evaluation SET evaluated_at = $1`, at); err != nil {
			return err
		}
		book, err := readAlertBook(ctx, tx)
		if err != nil {
			return err
		}
		changes, err := decide(book)
		if err != nil {
			return err
		}
		if err := writeAlerts(ctx, tx, changes); err != nil {
			return err
		}
		return addMessage(ctx, tx, changes.Message, send)
	})
	return wrap(err, "evaluate alerts")
}

func readAlertBook(ctx context.Context, tx pgx.Tx) (AlertBook, error) {
	book := AlertBook{Watches: map[string]AlertWatch{}, Open: map[string]Alert{}}
	watches, err := readAll[AlertWatch](ctx, tx, `
		SELECT code, holds, since, evaluations, NOT `+within("updated_at", "make_interval(secs => $1)")+` FROM alert_watches`, abandonedAfter.Seconds())
	if err != nil {
		return book, err
	}
	for _, w := range watches {
		book.Watches[w.Code] = w
	}
	open, err := openAlerts(ctx, tx)
	for _, a := range open {
		book.Open[a.Code] = a
	}
	return book, err
}

// keepWatches writes all watches by one statement: they are some twenty each minute.
var keepWatches = writeRows([]column[AlertWatch]{
	value("code", "text", func(w AlertWatch) string { return w.Code }),
	value("holds", "boolean", func(w AlertWatch) bool { return w.Active }),
	value("since", "timestamptz", func(w AlertWatch) time.Time { return w.Since }),
	value("evaluations", "int", func(w AlertWatch) int { return w.Evaluations }),
}, 0, func(x string) string {
	return `
		INSERT INTO alert_watches (code, holds, since, evaluations) SELECT code, holds, since, evaluations FROM ` + x + `
		ON CONFLICT (code) DO UPDATE SET holds = excluded.holds, since = excluded.since, evaluations = excluded.evaluations`
})

func writeAlerts(ctx context.Context, tx pgx.Tx, changes AlertChanges) error {
	batch := &pgx.Batch{}
	if len(changes.Watches) > 0 {
		sql, args := keepWatches.of(changes.Watches)
		batch.Queue(sql, args...)
	}
	batch.Queue(`DELETE FROM alert_watches WHERE code = ANY($1)`, changes.Forgotten)
	for _, a := range changes.Alerts {
		if a.ID == 0 {
			batch.Queue(`INSERT INTO alerts (code, opened_at, last_sent_at, detail) VALUES ($1, $2, $3, $4)`, a.Code, a.OpenedAt, a.LastSentAt, a.Detail)
			continue
		}
		batch.Queue(`UPDATE alerts SET closed_at = $2, last_sent_at = $3, reminders = $4, detail = $5 WHERE id = $1`,
			a.ID, a.ClosedAt, a.LastSentAt, a.Reminders, a.Detail)
	}
	return tx.SendBatch(ctx, batch).Close()
}

func addMessage(ctx context.Context, tx pgx.Tx, body json.RawMessage, send SendMessage) error {
	if body == nil {
		return nil
	}
	var id int64
	var at time.Time
	err := tx.QueryRow(ctx, `INSERT INTO alert_messages (body) VALUES ($1) RETURNING id, created_at`, body).Scan(&id, &at)
	if err != nil {
		return err
	}
	jobID, err := send(ctx, tx, id, at)
	if err != nil {
		return err
	}
	return execute(ctx, tx, `UPDATE alert_messages SET job_id = $2 WHERE id = $1`, id, jobID)
}

const alertColumns = `id, code, opened_at, closed_at, last_sent_at, reminders, detail`

func openAlerts(ctx context.Context, q querier) ([]Alert, error) {
	return readAll[Alert](ctx, q, `SELECT `+alertColumns+` FROM alerts WHERE closed_at IS NULL ORDER BY id`)
}

// OpenAlerts returns the alerts that are open, the oldest first.
func (s *Store) OpenAlerts(ctx context.Context) ([]Alert, error) {
	open, err := openAlerts(ctx, s.pool)
	return open, wrap(err, "open alerts")
}

// An AlertFilter selects alerts; an empty field selects all.
type AlertFilter struct {
	// State is AlertOpen or AlertClosed.
	State string
	Code  string
	// Since and Until bound the time of opening: [Since, Until).
	Since, Until time.Time
}

// Alerts returns one page of the alerts that the filter selects.
func (s *Store) Alerts(ctx context.Context, filter AlertFilter, page Page) (List[Alert], error) {
	var c conditions
	switch filter.State {
	case "":
	case AlertOpen:
		c.always("closed_at IS NULL")
	case AlertClosed:
		c.always("closed_at IS NOT NULL")
	default:
		return List[Alert]{}, fmt.Errorf("alerts: unknown state %q", filter.State)
	}
	c.equal("code", filter.Code)
	c.between("opened_at", filter.Since, filter.Until)
	return readPage(ctx, s, "alerts", `SELECT `+alertColumns+` FROM alerts`, "id", c, page, rowTo[Alert], func(a Alert) int64 { return a.ID })
}
