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
	all := make([]Invariant, len(invariants), len(invariants)+3)
	for i, known := range invariants {
		all[i] = known.Invariant
	}
	return append(all, orderFolds, anomaliesStand, termsPayable)
}

// verifyPatience bounds one statement of Verify. It is longer than the service
// allows itself: books that have grown take the time that they take.
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
		if err := s.verifyOrders(ctx, tx, o.Limit, &report); err != nil {
			return err
		}
		if err := s.verifyAnomalies(ctx, tx, o.Limit, &report); err != nil {
			return err
		}
		return s.verifyTerms(ctx, tx, o.Limit, &report)
	})
	return report, wrap(err, "verify")
}

// verify adds a violation to the report when the invariant does not hold.
func (i invariant) verify(ctx context.Context, tx pgx.Tx, o VerifyOptions, report *VerifyReport) error {
	args := []any{o.Limit}
	if i.args != nil {
		args = append(args, i.args(o)...)
	}
	rows, err := tx.Query(ctx, `
		WITH broken AS MATERIALIZED (`+i.broken+`)
		SELECT (SELECT count(*) FROM broken), row_to_json(b) FROM (SELECT * FROM broken ORDER BY 1 LIMIT $1) b`, args...)
	if err != nil {
		return err
	}
	v := Violation{Invariant: i.Name, Meaning: i.Meaning}
	var row json.RawMessage
	if _, err := pgx.ForEachRow(rows, []any{&v.Total, &row}, func() error {
		v.Rows = append(v.Rows, row)
		return nil
	}); err != nil {
		return err
	}
	if v.Total > 0 {
		report.Violations = append(report.Violations, v)
	}
	return nil
}

var orderFolds = Invariant{"order_folds", "an order is the fold of its payments"}

// verifyBatch is how many orders that differ are looked at again at a time.
const verifyBatch = 1000

// verifyOrders holds every settled order against the fold of its payments. What
// follows from a payment that is no state that was applied is no truth about the
// order, and that payment is a violation itself; whether it is one is asked for
// orders that differ only, because it costs most.
func (s *Store) verifyOrders(ctx context.Context, tx pgx.Tx, limit int, report *VerifyReport) error {
	var differ []string
	err := eachFold(ctx, tx, `true`, `true`, nil, func(fold orderFold) {
		if s.compareFold(fold) != nil {
			differ = append(differ, fold.reference)
		}
	})
	v := Violation{Invariant: orderFolds.Name, Meaning: orderFolds.Meaning}
	for batch := range slices.Chunk(differ, verifyBatch) {
		if err != nil {
			break
		}
		err = eachFold(ctx, tx, soundColumn, `o.reference = ANY ($1)`, []any{batch}, func(fold orderFold) {
			if len(fold.suspects) == 0 {
				v.add(s.compareFold(fold), limit)
			}
		})
	}
	if err != nil {
		return fmt.Errorf("%s: %w", v.Invariant, err)
	}
	if v.Total > 0 {
		report.Violations = append(report.Violations, v)
	}
	return nil
}

// add adds an order that differs.
func (v *Violation) add(d *Difference, limit int) {
	v.Total++
	if len(v.Rows) < limit {
		v.Rows = append(v.Rows, mustJSON(struct {
			Reference string            `json:"order_reference"`
			Detail    map[string]string `json:"detail"`
		}{d.Reference, d.Detail}))
	}
}
