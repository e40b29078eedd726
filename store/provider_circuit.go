package store

import (
	"context"
	"errors"
	"time"

	"github.com/jackc/pgx/v5"
)

// A CircuitState says whether calls to a provider are let through.
type CircuitState string

// The states.
const (
	CircuitClosed CircuitState = "closed"
	CircuitOpen   CircuitState = "open"
	// CircuitHalfOpen: one process is trying the provider; all others still wait.
	CircuitHalfOpen CircuitState = "half_open"
)

// Why a circuit is not closed.
const (
	// ReasonUnavailable: the provider does not answer, or answers with errors.
	ReasonUnavailable = "unavailable"
	// ReasonCredentialsRejected: the provider answers and refuses our credentials.
	ReasonCredentialsRejected = "credentials_rejected"
)

// A ProviderState is what is known of a provider as a whole, as one account asks it.
type ProviderState struct {
	// Source names the provider; empty before any had an outage.
	Source string `json:"source,omitempty"`
	// CollectorID is the seller whose account it is about; empty for the main one.
	CollectorID string       `json:"collector_id,omitempty"`
	Circuit     CircuitState `json:"circuit"`
	// Since is when the circuit opened or closed last; nil when it never did. A
	// probe in between, which is half open, leaves it as it is.
	Since *time.Time `json:"since"`
	// Reason is ReasonUnavailable or ReasonCredentialsRejected; empty while closed.
	Reason string `json:"reason"`
}

// A Circuit is a provider's state as those need it who act on it.
type Circuit struct {
	ProviderState
	// Revision counts the changes: of two looks the one with the higher is newer.
	Revision int64
	// Unreleased is true while events wait to be let go after an outage.
	Unreleased bool
}

// Account is the account that it is about.
func (p ProviderState) Account() Account {
	return Account{Source: p.Source, CollectorID: p.CollectorID}
}

// named takes over the name of an account, as it is stored.
func (p *ProviderState) named(name string) {
	account := AccountNamed(name)
	p.Source, p.CollectorID = account.Source, account.CollectorID
}

// Circuits returns the circuits by account. One that never had an outage is not
// among them: its circuit is closed.
func (s *Store) Circuits(ctx context.Context) (map[Account]Circuit, error) {
	rows, _ := s.pool.Query(ctx, `
		SELECT p.source, p.circuit, p.since, p.reason, p.revision,
		       EXISTS (SELECT FROM provider_outages o WHERE o.source = p.source AND o.closed_at IS NOT NULL AND o.released_at IS NULL)
		FROM provider_state p`)
	circuits := map[Account]Circuit{}
	var c Circuit
	var name string
	_, err := pgx.ForEachRow(rows, []any{&name, &c.Circuit, &c.Since, &c.Reason, &c.Revision, &c.Unreleased}, func() error {
		c.named(name)
		circuits[c.Account()] = c
		c.Since = nil
		return nil
	})
	return circuits, wrap(err, "circuits")
}

// Provider returns the state of the provider that is worst off, as the main account
// asks it.
func (s *Store) Provider(ctx context.Context) (ProviderState, error) {
	var st Status
	err := s.readSnapshot(ctx, func(tx pgx.Tx) error { return readProvider(ctx, tx, &st) })
	return st.Provider, wrap(err, "provider")
}

func readProvider(ctx context.Context, tx pgx.Tx, st *Status) error {
	p := ProviderState{Circuit: CircuitClosed}
	err := tx.QueryRow(ctx, `
		SELECT source, circuit, since, reason FROM provider_state WHERE position('/' IN source) = 0
		ORDER BY array_position(ARRAY['open', 'half_open', 'closed'], circuit), since DESC LIMIT 1`).
		Scan(&p.Source, &p.Circuit, &p.Since, &p.Reason)
	if err != nil && !errors.Is(err, pgx.ErrNoRows) {
		return err
	}
	toUTC(p.Since)
	st.Provider = p
	return nil
}

// OpenCircuit opens an account's circuit, and so begins an outage, whose first
// failure was failingFor ago. It reports whether this call did. An outage that
// goes on already only learns of an earlier first failure, or that our
// credentials are refused. The first probe is due after probeAfter.
func (s *Store) OpenCircuit(ctx context.Context, account Account, reason string, failingFor, probeAfter time.Duration) (c Circuit, opened bool, err error) {
	err = s.inTx(ctx, func(tx pgx.Tx) error {
		opened = false
		if _, err := tx.Exec(ctx, `INSERT INTO provider_state (source) VALUES ($1) ON CONFLICT DO NOTHING`, account.String()); err != nil {
			return err
		}
		state, err := readValue[CircuitState](ctx, tx, `SELECT circuit FROM provider_state WHERE source = $1 FOR UPDATE`, account.String())
		if err != nil {
			return err
		}
		opened = state == CircuitClosed
		statement := `
			UPDATE provider_outages
			SET first_failure_at = least(first_failure_at, now() - make_interval(secs => $3)),
			    reason = CASE WHEN $2 = 'credentials_rejected' THEN $2 ELSE reason END
			WHERE source = $1 AND closed_at IS NULL`
		if opened {
			statement = `INSERT INTO provider_outages (source, reason, first_failure_at, opened_at) VALUES ($1, $2, now() - make_interval(secs => $3), now())`
		}
		if _, err := tx.Exec(ctx, statement, account.String(), reason, max(0, failingFor).Seconds()); err != nil {
			return err
		}
		c, err = scanCircuit(tx.QueryRow(ctx, `
			UPDATE provider_state SET
				circuit = CASE WHEN circuit = 'closed' THEN 'open' ELSE circuit END,
				reason = CASE WHEN circuit = 'closed' OR $2 = 'credentials_rejected' THEN $2 ELSE reason END,
				since = CASE WHEN circuit = 'closed' THEN now() ELSE since END,
				next_probe_at = CASE WHEN circuit = 'closed' THEN now() + make_interval(secs => $3) ELSE next_probe_at END,
				-- What changes nothing must not take a probe's hold from it.
				revision = revision + CASE WHEN circuit = 'closed' THEN 1 ELSE 0 END
			WHERE source = $1
			RETURNING `+circuitColumns, account.String(), reason, probeAfter.Seconds()))
		return err
	})
	return c, opened, wrap(err, "open the circuit of %s", account)
}

const circuitColumns = `source, circuit, since, reason, revision`

func scanCircuit(row pgx.Row) (Circuit, error) {
	var c Circuit
	var name string
	err := row.Scan(&name, &c.Circuit, &c.Since, &c.Reason, &c.Revision)
	c.named(name)
	return c, err
}

// ClaimProbe gives the caller the next probe of an account whose circuit is not
// closed, if it is due and nobody else has it, and half-opens the circuit. A
// probe whose process died is given again after hold, which is also the longest
// that any probe is put off: what is due later than that was put off by a clock
// that has been set back since.
//
// The turn stands in the row and is not an advisory lock: no connection is kept for
// it, and a process that stops answering does not keep it.
func (s *Store) ClaimProbe(ctx context.Context, account Account, hold time.Duration) (c Circuit, claimed bool, err error) {
	c, err = scanCircuit(s.pool.QueryRow(ctx, `
		UPDATE provider_state
		SET circuit = 'half_open', next_probe_at = clock_timestamp() + make_interval(secs => $2), revision = revision + 1
		WHERE source = $1 AND circuit <> 'closed'
		  AND NOT (next_probe_at > clock_timestamp() AND next_probe_at <= clock_timestamp() + make_interval(secs => $2))
		RETURNING `+circuitColumns, account.String(), hold.Seconds()))
	if errors.Is(err, pgx.ErrNoRows) {
		return Circuit{}, false, nil
	}
	return c, err == nil, wrap(err, "claim a probe of %s", account)
}

// FailProbe ends a probe that found the outage going on, for the given reason.
// The next is due after next. The revision is the claim's: a probe that lost its
// turn changes nothing.
func (s *Store) FailProbe(ctx context.Context, account Account, revision int64, reason string, next time.Duration) error {
	err := s.inTx(ctx, func(tx pgx.Tx) error {
		tag, err := tx.Exec(ctx, `
			UPDATE provider_state
			SET circuit = 'open', reason = $3, next_probe_at = now() + make_interval(secs => $4), revision = revision + 1
			WHERE source = $1 AND revision = $2 AND circuit = 'half_open'`, account.String(), revision, reason, next.Seconds())
		if err != nil || tag.RowsAffected() == 0 {
			return err
		}
		return execute(ctx, tx, `UPDATE provider_outages SET reason = $2 WHERE source = $1 AND closed_at IS NULL`, account.String(), reason)
	})
	return wrap(err, "fail a probe of %s", account)
}

// CloseCircuit ends a probe that found the provider working, and with it the
// outage, which it returns. The revision is the claim's: a probe that lost its
// turn closes nothing. A seller whose credentials had been rejected counts as
// authorized again.
func (s *Store) CloseCircuit(ctx context.Context, account Account, revision int64) (ended Outage, closed bool, err error) {
	err = s.inTx(ctx, func(tx pgx.Tx) error {
		closed = false
		tag, err := tx.Exec(ctx, `
			UPDATE provider_state
			SET circuit = 'closed', reason = '', since = now(), next_probe_at = NULL, revision = revision + 1
			WHERE source = $1 AND revision = $2 AND circuit = 'half_open'`, account.String(), revision)
		if err != nil || tag.RowsAffected() == 0 {
			return err
		}
		rows, _ := tx.Query(ctx, `
			UPDATE provider_outages SET closed_at = greatest(now(), opened_at) WHERE source = $1 AND closed_at IS NULL RETURNING `+outageColumns, account.String())
		if ended, err = pgx.CollectExactlyOneRow(rows, scanOutage); err != nil {
			return err
		}
		if ended.Reason == ReasonCredentialsRejected {
			_, err = tx.Exec(ctx, `
				UPDATE sellers SET authorized_at = now() WHERE source = $1 AND collector_id = $2 AND deauthorized_at IS NOT NULL`,
				account.Source, account.CollectorID)
		}
		closed = err == nil
		return err
	})
	return ended, closed, wrap(err, "close the circuit of %s", account)
}
