package store

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
)

// States of an anomaly.
const (
	AnomalyOpen   = "open"
	AnomalyClosed = "closed"
)

// AnomalyStates lists every state of an anomaly.
func AnomalyStates() []string { return []string{AnomalyOpen, AnomalyClosed} }

// ErrAnomalyNotFound means that no anomaly has that id.
var ErrAnomalyNotFound = noSuch("anomaly", "anomaly_not_found")

// An AnomalyFilter selects anomalies; an empty field selects all.
type AnomalyFilter struct {
	// State is AnomalyOpen or AnomalyClosed.
	State     string
	Kind      string
	Order     string
	PaymentID string
	// Since and Until bound the time of opening: [Since, Until).
	Since, Until time.Time
}

func (f AnomalyFilter) narrow(c *conditions) error {
	switch f.State {
	case "":
	case AnomalyOpen:
		c.always("closed_at IS NULL")
	case AnomalyClosed:
		c.always("closed_at IS NOT NULL")
	default:
		return fmt.Errorf("anomalies: unknown state %q", f.State)
	}
	c.equal("kind", f.Kind)
	c.equal("order_reference", f.Order)
	c.equal("payment_id", f.PaymentID)
	c.between("opened_at", f.Since, f.Until)
	return nil
}

// Anomalies returns one page of the anomalies that the filter selects.
func (s *Store) Anomalies(ctx context.Context, filter AnomalyFilter, page Page) (List[Anomaly], error) {
	var c conditions
	if err := filter.narrow(&c); err != nil {
		return List[Anomaly]{}, err
	}
	return readPage(ctx, s, "anomalies", `SELECT `+anomalyColumns+` FROM anomalies`, "id", c, page, rowTo[Anomaly],
		func(a Anomaly) int64 { return a.ID })
}

// resolvable fails where an anomaly can't be resolved with the note or by the actor.
func resolvable(note Note, by Actor) error {
	if by.Name == closedBySettlement || by.Name == closedByReconciliation {
		return fmt.Errorf("%q is nobody", by.Name)
	}
	return note.check()
}

// ResolveAnomaly closes an open anomaly for the reason that note gives, and
// returns it. It does not open again over the same facts. The error wraps
// ErrAnomalyNotFound, or is a *StateError when the anomaly is closed.
func (s *Store) ResolveAnomaly(ctx context.Context, id int64, note Note, by Actor) (Anomaly, error) {
	if err := resolvable(note, by); err != nil {
		return Anomaly{}, fmt.Errorf("resolve anomaly %d: %w", id, err)
	}
	var resolved Anomaly
	err := s.inTx(ctx, func(tx pgx.Tx) (err error) {
		// The order's lock comes first, as it does in every settlement.
		reference, err := readValue[string](ctx, tx, `SELECT coalesce(order_reference, '') FROM anomalies WHERE id = $1`, id)
		if err = ErrAnomalyNotFound.ifNone(err, id); err != nil {
			return err
		}
		if err := lockOrders(ctx, tx, referencesOf(reference)); err != nil {
			return err
		}
		resolved, err = readOne[Anomaly](ctx, tx, `
			UPDATE anomalies SET closed_at = now(), closed_by = $2, note = $3
			WHERE id = $1 AND `+checked(`closed_at IS NULL`)+` RETURNING `+anomalyColumns, id, text(by.Name), note.text)
		if errors.Is(err, pgx.ErrNoRows) {
			return &StateError{What: "anomaly", ID: id, State: AnomalyClosed}
		}
		if err != nil {
			return err
		}
		if err := s.tellAnomalies(ctx, tx, settling{cause: causeOperator}, resolved.Reference); err != nil {
			return err
		}
		return record(ctx, tx, act{by: by, action: ActionResolve, kind: TargetAnomaly, target: id, count: 1, note: note.text})
	})
	return resolved, wrap(err, "resolve anomaly %d", id)
}
