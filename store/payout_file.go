package store

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/shopspring/decimal"
)

// A NewReport is a money report that is to be booked.
type NewReport struct {
	Source, CollectorID string
	// Name is what its maker calls it, and ImportedBy who brought it.
	Name, ImportedBy string
	SHA256           [32]byte
	Bytes            int64
	// Rows is how many rows it has.
	Rows int64
	// Begin and End are the period that it covers; zero where that is not known.
	Begin, End time.Time
	// Balances are what it says the balance was.
	Balances []KnownBalance
}

// A KnownBalance is what a report says that an account's balance was, before what
// happened from then on.
type KnownBalance struct {
	Currency string
	At       time.Time
	Balance  decimal.Decimal
}

// A Report is a money report that is being booked, or was.
type Report struct {
	ID                  int64
	Source, CollectorID string
	Name                string
	Rows                int64
	// Booked is how many of the rows are booked, and New how many of these no report
	// before had.
	Booked, New int64
	Finished    bool
}

const reportColumns = `id, source, collector_id, name, rows, rows_booked, new_movements, finished_at IS NOT NULL`

// reportPart is how much of a file is kept in one row, at most, unless a line is
// longer. Parts are of whole lines, so that what names a payer is in one of them.
const reportPart = 16 << 10

// KeepReport keeps a report as it was read, or finds the one with the same content:
// its rows that are booked already are not to be booked again. The content is read
// from its beginning, once for each try of the transaction.
func (s *Store) KeepReport(ctx context.Context, r NewReport, content io.ReadSeeker) (Report, error) {
	var kept Report
	err := s.inTx(ctx, func(tx pgx.Tx) (err error) {
		// The statement waits for whoever keeps the same content at this moment.
		kept, err = readOne[Report](ctx, tx, `
			INSERT INTO report_files AS known (source, collector_id, name, sha256, bytes, imported_by, begin_at, end_at, rows)
			VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)
			ON CONFLICT (source, collector_id, sha256) DO UPDATE SET
				begin_at = least(known.begin_at, excluded.begin_at), end_at = greatest(known.end_at, excluded.end_at)
			RETURNING `+reportColumns,
			r.Source, text(r.CollectorID), text(r.Name), r.SHA256[:], r.Bytes, text(r.ImportedBy), orNull(r.Begin), orNull(r.End), r.Rows)
		if err != nil || kept.Finished {
			return err
		}
		if err := keepBalances(ctx, tx, r); err != nil {
			return err
		}
		// Parts from an import that was killed may have been emptied since.
		if _, err := tx.Exec(ctx, `DELETE FROM report_file_parts WHERE file_id = $1`, kept.ID); err != nil {
			return err
		}
		return keepParts(ctx, tx, kept.ID, content)
	})
	return kept, wrap(err, "keep the report %s", r.Name)
}

func keepParts(ctx context.Context, tx pgx.Tx, fileID int64, content io.ReadSeeker) error {
	if _, err := content.Seek(0, io.SeekStart); err != nil {
		return err
	}
	lines := bufio.NewReaderSize(content, reportPart)
	var part bytes.Buffer
	for ended := false; !ended; {
		line, err := lines.ReadSlice('\n')
		ended = errors.Is(err, io.EOF)
		if err != nil && !ended && !errors.Is(err, bufio.ErrBufferFull) {
			return err
		}
		full := part.Len()+len(line) > reportPart && part.Len() > 0 && bytes.HasSuffix(part.Bytes(), []byte("\n"))
		if full {
			if err := keepPart(ctx, tx, fileID, &part); err != nil {
				return err
			}
		}
		_, _ = part.Write(line) // a buffer takes everything
	}
	return keepPart(ctx, tx, fileID, &part)
}

func keepPart(ctx context.Context, tx pgx.Tx, fileID int64, part *bytes.Buffer) error {
	if part.Len() == 0 {
		return nil
	}
	_, err := tx.Exec(ctx, `INSERT INTO report_file_parts (file_id, content) VALUES ($1, $2)`, fileID, part.Bytes())
	part.Reset()
	return err
}

// keepBalances keeps what the report says of balances, each of which the payouts from
// then on are held against.
func keepBalances(ctx context.Context, tx pgx.Tx, r NewReport) error {
	for _, b := range r.Balances {
		tag, err := tx.Exec(ctx, `
			INSERT INTO account_balances (source, collector_id, currency, known_at, balance) VALUES ($1, $2, $3, $4, $5)
			ON CONFLICT DO NOTHING`, r.Source, text(r.CollectorID), b.Currency, b.At, b.Balance)
		if err == nil && tag.RowsAffected() > 0 {
			err = markStale(ctx, tx, account{r.Source, r.CollectorID, b.Currency}, b.At, b.At)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// An account is one in one currency.
type account struct{ source, collectorID, currency string }

// markStale has the payouts of an account explained again from a time on.
func markStale(ctx context.Context, tx pgx.Tx, a account, from, until time.Time) error {
	_, err := tx.Exec(ctx, `
		INSERT INTO account_chains AS known (source, collector_id, currency, stale_from, stale_until) VALUES ($1, $2, $3, $4, $5)
		ON CONFLICT (source, collector_id, currency) DO UPDATE SET
			stale_from = least(known.stale_from, excluded.stale_from), stale_until = greatest(known.stale_until, excluded.stale_until)`,
		a.source, text(a.collectorID), a.currency, from, until)
	return err
}

// FinishReport ends the import of a report of which every row is booked. What names a
// forgotten payer is not kept of it.
func (s *Store) FinishReport(ctx context.Context, r Report) error {
	err := s.inTx(ctx, func(tx pgx.Tx) error {
		tag, err := tx.Exec(ctx, `
			UPDATE report_files SET finished_at = now() WHERE id = $1 AND rows_booked = rows AND finished_at IS NULL`, r.ID)
		if err != nil || tag.RowsAffected() == 0 {
			return err
		}
		return s.emptyForgotten(ctx, tx, r)
	})
	return wrap(err, "finish the report %s", r.Name)
}

// emptyForgotten empties the parts of a file that name a payer who was forgotten, or a
// payment of one.
func (s *Store) emptyForgotten(ctx context.Context, tx pgx.Tx, r Report) error {
	var forgotten bool
	if err := tx.QueryRow(ctx, `SELECT EXISTS (SELECT FROM forgotten_payers) OR EXISTS (SELECT FROM forgotten_payments)`).Scan(&forgotten); err != nil || !forgotten {
		return err
	}
	var after int64
	for {
		var part []byte
		err := tx.QueryRow(ctx, `SELECT id, content FROM report_file_parts WHERE file_id = $1 AND id > $2 ORDER BY id LIMIT 1`, r.ID, after).
			Scan(&after, &part)
		if errors.Is(err, pgx.ErrNoRows) {
			return nil
		}
		if err != nil {
			return err
		}
		hashes, err := s.payerHashes(ctx, tx, r.Source, part)
		if err != nil {
			return err
		}
		if _, err := tx.Exec(ctx, `
			UPDATE report_file_parts SET content = '' WHERE id = $1 AND (
				EXISTS (SELECT FROM forgotten_payers WHERE hash = ANY ($2)) OR
				EXISTS (SELECT FROM forgotten_payments WHERE source = $3 AND payment_id = ANY ($4)))`,
			after, hashes, r.Source, numbersIn(part)); err != nil {
			return fmt.Errorf("part %d: %w", after, err)
		}
	}
}

// emptyReports removes what is kept of reports as they were read. The reports
// themselves stay, with their hash: the same file again is known.
func emptyReports(ctx context.Context, tx pgx.Tx, keep Keep, _ *retentionCursor) (int64, error) {
	var file int64
	err := tx.QueryRow(ctx, `
		SELECT id FROM report_files WHERE emptied_at IS NULL AND created_at < now() - make_interval(secs => $1)
		ORDER BY created_at LIMIT 1 FOR UPDATE SKIP LOCKED`, keep.Payloads.Seconds()).Scan(&file)
	if errors.Is(err, pgx.ErrNoRows) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	removed := int64(0)
	for _, table := range []string{"report_file_parts", "report_rows"} {
		tag, err := tx.Exec(ctx, `
			DELETE FROM `+table+` WHERE ctid IN (SELECT ctid FROM `+table+` WHERE file_id = $1 LIMIT $2)`, file, retentionBatch-removed)
		if err != nil {
			return 0, err
		}
		if removed += tag.RowsAffected(); removed >= retentionBatch {
			return removed, nil
		}
	}
	_, err = tx.Exec(ctx, `UPDATE report_files SET emptied_at = now() WHERE id = $1`, file)
	return retentionBatch, err // another file may be next
}
