package store

import (
	"context"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"
)

// restoreSkip is how many ids count as handed out between a backup and its restore at
// least. What is counted at most is as many as were ever handed out before it.
const restoreSkip = 1_000_000

// Restored is what was done after a restore.
type Restored struct {
	// Sequences are those that were moved.
	Sequences []MovedSequence `json:"sequences"`
}

// A MovedSequence is where the ids of a table go on.
type MovedSequence struct {
	Table string `json:"table"`
	// Stored is the highest id that is stored or was drawn, and Next the next one.
	Stored int64 `json:"stored"`
	Next   int64 `json:"next"`
}

// A LiveProcessesError means that a process of the service works with the database.
type LiveProcessesError struct{ Signs []string }

// Error implements error.
func (e *LiveProcessesError) Error() string {
	return "a process of the service works with this database; stop it (after a crash, try again a minute later): " + strings.Join(e.Signs, ", ")
}

// Problem classifies the error for the caller.
func (e *LiveProcessesError) Problem() Problem {
	return Problem{Class: Conflict, Code: "state_conflict", Text: capitalised(e.Error()) + "."}
}

// Restored makes a database that was restored from a backup safe to go on with: what was
// handed out after the backup is handed out to nobody else. Each sequence moves ahead by
// as many ids as it ever gave, and a million at least, cursors of the orders' feed from
// before are of another epoch, and the events without an end are listed anew. The error is a *LiveProcessesError while a process
// lives; application is what the service's sessions are called.
func (s *Store) Restored(ctx context.Context, by Actor, application string) (Restored, error) {
	done := Restored{Sequences: []MovedSequence{}}
	err := s.inTx(ctx, func(tx pgx.Tx) error {
		done.Sequences = done.Sequences[:0]
		if err := refuseLive(ctx, tx, application); err != nil {
			return err
		}
		owners, err := readAll[sequenceOwner](ctx, tx, ownedSequences)
		if err != nil {
			return err
		}
		for _, owner := range owners {
			moved, err := owner.move(ctx, tx)
			if err != nil {
				return fmt.Errorf("move the ids of %s: %w", owner.Table, err)
			}
			done.Sequences = append(done.Sequences, moved)
		}
		if err := ListEvents(ctx, tx); err != nil {
			return err
		}
		if err := execute(ctx, tx, `UPDATE order_feed SET epoch = replace(gen_random_uuid()::text, '-', '')`); err != nil {
			return err
		}
		return record(ctx, tx, act{by: by, action: ActionRestored, kind: TargetDatabase, count: len(done.Sequences)})
	})
	return done, wrap(err, "after a restore")
}

// refuseLive fails while a process lives, and keeps one from saying that it lives until
// the transaction ends.
func refuseLive(ctx context.Context, tx pgx.Tx, application string) error {
	if err := execute(ctx, tx, `LOCK TABLE processes IN SHARE ROW EXCLUSIVE MODE`); err != nil {
		return err
	}
	signs, err := SignsOfLife(ctx, tx, application)
	if err != nil {
		return err
	}
	if len(signs) > 0 {
		return &LiveProcessesError{signs}
	}
	return nil
}

// SignsOfLife says by what a process of the service lives: by its own word, by River's
// or by its sessions, which call themselves application.
func SignsOfLife(ctx context.Context, tx pgx.Tx, application string) ([]string, error) {
	return readColumn[string](ctx, tx, `
		SELECT format('%s (%s) on %s', id, role, host) FROM processes WHERE seen_at BETWEEN clock_timestamp() - interval '1 minute' AND clock_timestamp() + interval '1 minute'
		UNION ALL
		SELECT format('River''s leader %s', leader_id) FROM river_leader WHERE expires_at BETWEEN clock_timestamp() AND clock_timestamp() + interval '1 minute'
		UNION ALL
		SELECT format('%s sessions named %s', count(*), $1::text) FROM pg_stat_activity
		WHERE datname = current_database() AND application_name = $1 AND pid <> pg_backend_pid() HAVING count(*) > 0`, application)
}

// ownedSequences are the sequences that ids of our tables and River's come from. Those
// of the migrations' own record are nobody's.
const ownedSequences = `
	SELECT t.relname::text, s.oid::regclass::text, t.oid::regclass::text, quote_ident(a.attname)
	FROM pg_class s
	JOIN pg_depend d ON d.classid = 'pg_class'::regclass AND d.objid = s.oid AND d.deptype IN ('a', 'i') AND d.refclassid = 'pg_class'::regclass
	JOIN pg_class t ON t.oid = d.refobjid
	JOIN pg_attribute a ON a.attrelid = t.oid AND a.attnum = d.refobjsubid
	WHERE s.relkind = 'S' AND s.relnamespace = current_schema()::regnamespace AND t.relname <> 'conciliar_migrations'
	ORDER BY t.relname, a.attnum`

// A sequenceOwner is a table whose ids come from a sequence. All but Table are written
// as SQL names them.
type sequenceOwner struct{ Table, Sequence, Relation, Column string }

// move moves the sequence ahead.
func (o sequenceOwner) move(ctx context.Context, tx pgx.Tx) (MovedSequence, error) {
	stored := `(SELECT max(` + o.Column + `) FROM ` + o.Relation + `)`
	if o.Table == "webhook_queue" {
		stored = highestID
	}
	highest, err := readValue[int64](ctx, tx, `SELECT greatest(last_value, `+stored+`) FROM `+o.Sequence)
	if err != nil {
		return MovedSequence{}, err
	}
	moved := MovedSequence{o.Table, highest, highest + max(highest, restoreSkip)}
	return moved, execute(ctx, tx, `SELECT setval($1::text::regclass, $2, false)`, o.Sequence, moved.Next)
}
