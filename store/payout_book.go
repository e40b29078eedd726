package store

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/shopspring/decimal"
)

// A Movement is money that came to an account's available balance or went from it, as
// a row of a report says.
type Movement struct {
	// Row is the row's number in its file.
	Row      int64
	Currency string
	// HappenedAt is when, to the microsecond.
	HappenedAt time.Time
	// SourceID is the provider's id of what moved the money; empty when not said.
	SourceID string
	// RecordType and Description are the provider's words.
	RecordType, Description string
	// Class is what it is in our words.
	Class string
	// PaymentID is the payment that it is about, and Reference the order's; empty for
	// none.
	PaymentID, Reference string
	// Credit and Debit are what came and what went; neither is negative.
	Credit, Debit decimal.Decimal
	// Gross is the amount before deductions. The others are those, signed as what they
	// add to it. Not valid where the report has no such column.
	Gross, Fee, FinancingFee, ShippingFee, Taxes, Coupon decimal.NullDecimal
}

// The classes of movements. Some are stored by plain SQL, too.
const (
	MovementPayment    = "payment"
	MovementWithdrawal = "withdrawal"
	MovementPayout     = "payout"
)

// BookBatch is how many rows of a report are booked in one transaction.
const BookBatch = 2000

// ErrReportMoved means that somebody else books the same report.
var ErrReportMoved = newPlainError(Conflict, "state_conflict", "the report is being imported by somebody else",
	"Somebody else is importing the same file.")

// movementKey is what a row is known by, besides its account and its ordinal.
const movementKey = `currency, happened_at, source_id, record_type, description, credit, debit`

// BookRows books the report's next rows: rows of them, among which these are movements.
// A movement that another file has shown is the same one. It is all or nothing; the
// report says afterwards how far it is.
func (s *Store) BookRows(ctx context.Context, r *Report, rows int64, movements []Movement) error {
	next := *r
	err := s.inTx(ctx, func(tx pgx.Tx) error {
		next = *r
		var booked int64
		err := tx.QueryRow(ctx, `SELECT rows_booked FROM report_files WHERE id = $1 FOR UPDATE`, r.ID).Scan(&booked)
		if err != nil {
			return err
		}
		if booked != r.Booked {
			return ErrReportMoved
		}
		fresh, err := bookMovements(ctx, tx, *r, movements)
		if err != nil {
			return err
		}
		next.Booked, next.New = r.Booked+rows, r.New+fresh
		_, err = tx.Exec(ctx, `UPDATE report_files SET rows_booked = $2, new_movements = $3 WHERE id = $1`, r.ID, next.Booked, next.New)
		return err
	})
	if err != nil {
		return fmt.Errorf("book rows of the report %s: %w", r.Name, err)
	}
	*r = next
	return nil
}

// movementColumns are the batch's movements, column by column.
type movementColumns struct {
	currency, sourceID, recordType, description, class, paymentID, reference, credit, debit []string
	row                                                                                     []int64
	happenedAt                                                                              []time.Time
	gross, fee, financing, shipping, taxes, coupon                                          []*string
	ordinal, place                                                                          []int32
}

func columnsOf(movements []Movement) *movementColumns {
	c := &movementColumns{}
	for _, m := range movements {
		c.row = append(c.row, m.Row)
		c.currency, c.happenedAt = append(c.currency, m.Currency), append(c.happenedAt, m.HappenedAt)
		c.sourceID, c.recordType = append(c.sourceID, text(m.SourceID)), append(c.recordType, text(m.RecordType))
		c.description, c.class = append(c.description, text(m.Description)), append(c.class, m.Class)
		c.paymentID, c.reference = append(c.paymentID, text(m.PaymentID)), append(c.reference, text(m.Reference))
		c.credit, c.debit = append(c.credit, m.Credit.String()), append(c.debit, m.Debit.String())
		c.gross, c.fee = append(c.gross, amountText(m.Gross)), append(c.fee, amountText(m.Fee))
		c.financing, c.shipping = append(c.financing, amountText(m.FinancingFee)), append(c.shipping, amountText(m.ShippingFee))
		c.taxes, c.coupon = append(c.taxes, amountText(m.Taxes)), append(c.coupon, amountText(m.Coupon))
	}
	return c
}

func amountText(d decimal.NullDecimal) *string {
	if !d.Valid {
		return nil
	}
	s := d.Decimal.String()
	return &s
}

// keyArgs are the columns of movementKey, for movementKeys.
func (c *movementColumns) keyArgs() []any {
	return []any{c.currency, c.happenedAt, c.sourceID, c.recordType, c.description, c.credit, c.debit}
}

// movementKeys reads the columns of movementKey from arguments, the first of which
// is $4.
const movementKeys = `$4::text[], $5::timestamptz[], $6::text[], $7::text[], $8::text[], ($9::text[])::numeric[], ($10::text[])::numeric[]`

// bookMovements books movements of a report, and returns how many are new.
func bookMovements(ctx context.Context, tx pgx.Tx, r Report, movements []Movement) (fresh int64, err error) {
	if len(movements) == 0 {
		return 0, nil
	}
	c := columnsOf(movements)
	args := append([]any{r.ID, r.Source, r.CollectorID}, c.keyArgs()...)
	if err := c.number(ctx, tx, args); err != nil {
		return 0, err
	}
	fresh, err = c.insert(ctx, tx, r, append(args[1:len(args):len(args)], c.ordinal, c.place))
	if err != nil {
		return 0, err
	}
	_, err = tx.Exec(ctx, `
		INSERT INTO report_rows (file_id, movement_id, row)
		SELECT $1, m.id, b.row
		FROM unnest(`+movementKeys+`, $11::int[], $12::bigint[]) AS b (`+movementKey+`, ordinal, row)
		CROSS JOIN LATERAL (
			SELECT id FROM account_movements
			WHERE source = $2 AND collector_id = $3 AND (`+movementKey+`, ordinal)
			    = (b.currency, b.happened_at, b.source_id, b.record_type, b.description, b.credit, b.debit, b.ordinal) OFFSET 0
		) m`, append(args, c.ordinal, c.row)...)
	return fresh, err
}

// number gives each movement its ordinal among the equal rows of its file, and its
// place among those of its instant. Rows of one instant may be anywhere in a file.
// OFFSET 0 keeps the joins in this order, one row by its key at a time: the plan of a
// first import is made before the tables have statistics, and then reads all rows of the
// file for each row of the batch.
func (c *movementColumns) number(ctx context.Context, tx pgx.Tx, args []any) error {
	rows, _ := tx.Query(ctx, `
		WITH batch AS MATERIALIZED (
			SELECT * FROM unnest(`+movementKeys+`) WITH ORDINALITY AS b (`+movementKey+`, n)
		), earlier AS MATERIALIZED (
			SELECT m.currency, m.happened_at, m.source_id, m.record_type, m.description, m.credit, m.debit
			FROM (SELECT DISTINCT currency, happened_at FROM batch) b
			CROSS JOIN LATERAL (
				SELECT * FROM account_movements
				WHERE source = $2 AND collector_id = $3 AND currency = b.currency AND happened_at = b.happened_at OFFSET 0
			) m
			CROSS JOIN LATERAL (SELECT FROM report_rows WHERE file_id = $1 AND movement_id = m.id OFFSET 0) r
		), equal AS (
			SELECT `+movementKey+`, count(*) AS rows FROM earlier GROUP BY `+movementKey+`
		), instant AS (
			SELECT currency, happened_at, count(*) AS rows FROM earlier GROUP BY currency, happened_at
		)
		SELECT row_number() OVER (PARTITION BY `+movementKey+` ORDER BY n) + coalesce(equal.rows, 0),
		       row_number() OVER (PARTITION BY currency, happened_at ORDER BY n) + coalesce(instant.rows, 0)
		FROM batch LEFT JOIN equal USING (`+movementKey+`) LEFT JOIN instant USING (currency, happened_at)
		ORDER BY n`, args...)
	var ordinal, place int32
	_, err := pgx.ForEachRow(rows, []any{&ordinal, &place}, func() error {
		c.ordinal, c.place = append(c.ordinal, ordinal), append(c.place, place)
		return nil
	})
	if err == nil && len(c.ordinal) != len(c.currency) {
		err = errors.New("not every row was numbered")
	}
	return err
}

// insert inserts what no file has shown before. Of what is known it keeps the last
// place, which rows that came late have moved, and what only some files have. What
// changes the order has the payouts from there on explained again.
func (c *movementColumns) insert(ctx context.Context, tx pgx.Tx, r Report, args []any) (fresh int64, err error) {
	args = append(args, c.class, c.paymentID, c.reference, c.gross, c.fee, c.financing, c.shipping, c.taxes, c.coupon)
	rows, _ := tx.Query(ctx, `
		WITH booked AS (
			INSERT INTO account_movements AS known (source, collector_id, `+movementKey+`, ordinal, place, class,
				payment_id, order_reference, gross, fee, financing_fee, shipping_fee, taxes, coupon)
			SELECT $1, $2, `+movementKey+`, ordinal, place, class, nullif(payment_id, ''), nullif(order_reference, ''),
			       gross, fee, financing_fee, shipping_fee, taxes, coupon
			FROM unnest($3::text[], $4::timestamptz[], $5::text[], $6::text[], $7::text[], ($8::text[])::numeric[], ($9::text[])::numeric[],
			            $10::int[], $11::int[], $12::text[], $13::text[], $14::text[], ($15::text[])::numeric[], ($16::text[])::numeric[],
			            ($17::text[])::numeric[], ($18::text[])::numeric[], ($19::text[])::numeric[], ($20::text[])::numeric[])
			     AS b (`+movementKey+`, ordinal, place, class, payment_id, order_reference, gross, fee, financing_fee, shipping_fee, taxes, coupon)
			ORDER BY `+movementKey+`, ordinal
			ON CONFLICT (source, collector_id, `+movementKey+`, ordinal) DO UPDATE SET
				place = greatest(known.place, excluded.place), order_reference = coalesce(known.order_reference, excluded.order_reference),
				gross = coalesce(known.gross, excluded.gross), fee = coalesce(known.fee, excluded.fee),
				financing_fee = coalesce(known.financing_fee, excluded.financing_fee),
				shipping_fee = coalesce(known.shipping_fee, excluded.shipping_fee),
				taxes = coalesce(known.taxes, excluded.taxes), coupon = coalesce(known.coupon, excluded.coupon)
			WHERE excluded.place > known.place
			   OR num_nonnulls(known.order_reference, known.gross, known.fee, known.financing_fee, known.shipping_fee, known.taxes, known.coupon)
			    < num_nonnulls(coalesce(known.order_reference, excluded.order_reference), coalesce(known.gross, excluded.gross),
			                   coalesce(known.fee, excluded.fee), coalesce(known.financing_fee, excluded.financing_fee),
			                   coalesce(known.shipping_fee, excluded.shipping_fee), coalesce(known.taxes, excluded.taxes),
			                   coalesce(known.coupon, excluded.coupon))
			RETURNING currency, happened_at, xmax = 0 AS fresh
		)
		SELECT currency, min(happened_at), max(happened_at), count(*) FILTER (WHERE fresh) FROM booked GROUP BY currency ORDER BY currency`, args...)
	type change struct {
		Currency    string
		From, Until time.Time
		Fresh       int64
	}
	changes, err := pgx.CollectRows(rows, pgx.RowToStructByPos[change])
	if err != nil {
		return 0, err
	}
	for _, change := range changes {
		fresh += change.Fresh
		if err := markStale(ctx, tx, account{r.Source, r.CollectorID, change.Currency}, change.From, change.Until); err != nil {
			return 0, err
		}
	}
	return fresh, nil
}
