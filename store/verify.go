package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"
)

// VerifyOptions say what Verify holds the ledger to.
type VerifyOptions struct {
	// RescueAfter is when a job whose worker died is tried again, as the service
	// is configured.
	RescueAfter time.Duration
	// Limit is how many rows each violation lists; the rest is counted.
	Limit int
}

// A VerifyReport says whether the ledger is sound, as of one moment.
type VerifyReport struct {
	// At is the moment: everything was read as it stood then.
	At time.Time `json:"at"`
	// What was looked at.
	Events   int64 `json:"events"`
	Archived int64 `json:"archived"`
	Jobs     int64 `json:"jobs"`
	Payments int64 `json:"payments"`
	Orders   int64 `json:"orders"`
	// Unfolded is how many payments and orders were settled under the rules of an
	// earlier release. They are brought under those of this one after an upgrade,
	// and are held to none until then.
	Unfolded int64 `json:"unfolded"`
	// Violations are the invariants that do not hold; empty when all do.
	Violations []Violation `json:"violations"`
}

// A Violation is an invariant that does not hold.
type Violation struct {
	// Invariant is its name in one stable word, Meaning what should hold.
	Invariant string `json:"invariant"`
	Meaning   string `json:"meaning"`
	// Total is how many rows break it; Rows are the first of them, each an object
	// that names what is broken.
	Total int64             `json:"total"`
	Rows  []json.RawMessage `json:"rows"`
}

// An Invariant is something that holds at every moment, whatever is under way.
type Invariant struct {
	// Name is its stable word, Meaning what should hold.
	Name, Meaning string
}

// Invariants are all that Verify holds the ledger to.
func Invariants() []Invariant {
	var all []Invariant
	for _, known := range invariants {
		all = append(all, known.Invariant)
	}
	for _, known := range computedInvariants {
		all = append(all, known.Invariant)
	}
	return all
}

// verifyPatience bounds one statement of Verify. It is longer than the service
// allows itself: a ledger that has grown takes the time that it takes.
const verifyPatience = 15 * time.Minute

// verifySettings hold for Verify's transaction only. Sorting and hashing a
// million rows in memory is what makes it quick.
var verifySettings = []string{
	fmt.Sprintf(`SET LOCAL statement_timeout = %d`, verifyPatience.Milliseconds()),
	fmt.Sprintf(`SET LOCAL idle_in_transaction_session_timeout = %d`, verifyPatience.Milliseconds()),
	`SET LOCAL work_mem = '128MB'`,
	`SET LOCAL jit = off`,
}

// Verify holds the ledger to its invariants. It reads one snapshot and locks
// nothing, so it may run while everything moves: each step of the service is one
// transaction, and what is seen is before or after it.
func (s *Store) Verify(ctx context.Context, o VerifyOptions) (VerifyReport, error) {
	if o.RescueAfter <= 0 || o.Limit < 1 {
		return VerifyReport{}, errors.New("verify: the time to a rescue and the limit must be positive")
	}
	report := VerifyReport{Violations: []Violation{}}
	err := s.readSnapshot(ctx, func(tx pgx.Tx) error {
		for _, setting := range verifySettings {
			if _, err := tx.Exec(ctx, setting); err != nil {
				return err
			}
		}
		err := tx.QueryRow(ctx, `
			SELECT now(), (SELECT count(*) FROM webhook_queue), (SELECT count(*) FROM webhook_archive),
			       (SELECT count(*) FROM river_job), (SELECT count(*) FROM payments), (SELECT count(*) FROM orders),
			       (SELECT count(*) FROM payments WHERE`+beforeFold+`) + (SELECT count(*) FROM orders WHERE`+beforeFold+`AND settled_at IS NOT NULL)`).
			Scan(&report.At, &report.Events, &report.Archived, &report.Jobs, &report.Payments, &report.Orders, &report.Unfolded)
		if err != nil {
			return err
		}
		toUTC(&report.At)
		for _, i := range invariants {
			if err := i.verify(ctx, tx, o, &report); err != nil {
				return fmt.Errorf("%s: %w", i.Name, err)
			}
		}
		for _, i := range computedInvariants {
			v := Violation{Invariant: i.Name, Meaning: i.Meaning}
			if err := i.find(s, ctx, tx, func(row any) { v.add(row, o.Limit) }); err != nil {
				return fmt.Errorf("%s: %w", i.Name, err)
			}
			report.add(v)
		}
		return nil
	})
	return report, wrap(err, "verify")
}

// verify adds a violation to the report when the invariant does not hold.
func (i invariant) verify(ctx context.Context, tx pgx.Tx, o VerifyOptions, report *VerifyReport) error {
	args := []any{o.Limit}
	if i.args != nil {
		args = append(args, i.args(o)...)
	}
	rows, _ := tx.Query(ctx, `
		WITH broken AS MATERIALIZED (`+i.broken+`)
		SELECT (SELECT count(*) FROM broken), row_to_json(b) FROM (SELECT * FROM broken ORDER BY 1 LIMIT $1) b`, args...)
	v := Violation{Invariant: i.Name, Meaning: i.Meaning}
	var row json.RawMessage
	_, err := pgx.ForEachRow(rows, []any{&v.Total, &row}, func() error {
		v.Rows = append(v.Rows, row)
		return nil
	})
	report.add(v)
	return err
}

// add adds a violation, unless no row breaks the invariant.
func (r *VerifyReport) add(v Violation) {
	if v.Total > 0 {
		r.Violations = append(r.Violations, v)
	}
}

// add adds a row that breaks the invariant, up to the limit of those shown.
func (v *Violation) add(row any, limit int) {
	if v.Total++; len(v.Rows) < limit {
		v.Rows = append(v.Rows, mustJSON(row))
	}
}

// A computedInvariant takes more than a query: find adds what breaks it.
type computedInvariant struct {
	Invariant
	find func(s *Store, ctx context.Context, tx pgx.Tx, add func(row any)) error
}

var computedInvariants = []computedInvariant{
	{Invariant{"order_folds", "an order is the fold of its payments"}, (*Store).unfoldedOrders},
	{Invariant{"anomaly_stands", "an open anomaly that closes by itself is one that its order or its payment yields"}, (*Store).staleAnomalies},
	{Invariant{"order_terms", "an order that waits to be settled has terms that a payment can meet"}, (*Store).unpayableOrders},
}

// verifyBatch is how many orders that differ are looked at again at a time.
const verifyBatch = 1000

// unfoldedOrders holds every settled order against the fold of its payments. What
// follows from a payment that is not a state that was applied says nothing of the
// order, and that payment is a violation itself; whether it is one is asked for
// orders that differ only, because it costs most.
func (s *Store) unfoldedOrders(ctx context.Context, tx pgx.Tx, add func(row any)) error {
	var differ []string
	err := eachFold(ctx, tx, `true`, `true`, nil, func(fold orderFold) {
		if s.compareFold(fold) != nil {
			differ = append(differ, fold.reference)
		}
	})
	for batch := range slices.Chunk(differ, verifyBatch) {
		if err != nil {
			break
		}
		err = eachFold(ctx, tx, soundColumn, `o.reference = ANY ($1)`, []any{batch}, func(fold orderFold) {
			if len(fold.suspects) == 0 {
				d := s.compareFold(fold)
				add(struct {
					Reference string            `json:"order_reference"`
					Detail    map[string]string `json:"detail"`
				}{d.Reference, d.Detail})
			}
		})
	}
	return err
}
