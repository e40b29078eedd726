package jobs

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"iter"
	"time"

	"github.com/shopspring/decimal"

	"github.com/conciliar/conciliar/jobs/provider"
	"github.com/conciliar/conciliar/store"
)

// A ReportReader yields the rows of a money report, and ends after an error.
type ReportReader interface {
	Report() provider.MoneyReport
	All() iter.Seq2[provider.Movement, error]
}

// ErrNotRelease means that a file is another report than the one that has payouts.
var ErrNotRelease = errors.New("this is a settlement report (account money), which has neither balances nor releases, so it explains no payout: import the release report of the same days")

// A ReportImport is how a money report is imported.
type ReportImport struct {
	Store *store.Store
	// Open reads a report's header.
	Open func(file io.Reader) (ReportReader, error)
	// Source and CollectorID are whose report it is, Name what it is called, and By who
	// imports it.
	Source, CollectorID, Name, By string
	// Begin and End are the period that it covers, where its maker says so; zero where
	// only its rows do.
	Begin, End time.Time
	// Progress, which may be nil, is told how much is done.
	Progress func(share float64, doing string)
}

// A ReportResult is what an import came to.
type ReportResult struct {
	FileID int64  `json:"file_id"`
	Name   string `json:"name"`
	// Rows is how many rows the file has, Movements how many of them are, and New how
	// many of these no file had before.
	Rows      int64 `json:"rows"`
	Movements int64 `json:"movements"`
	New       int64 `json:"new_movements"`
	// Known is true for a file that was imported before.
	Known  bool        `json:"known"`
	Totals []ReportSum `json:"totals"`
}

// A ReportSum is what a report has in one currency.
type ReportSum struct {
	Currency string `json:"currency"`
	// Initial is the balance that it begins with, and Total the one of its total row; nil
	// where it has none.
	Initial *decimal.Decimal `json:"initial_balance"`
	Total   *decimal.Decimal `json:"total"`
	Credit  decimal.Decimal  `json:"credit"`
	Debit   decimal.Decimal  `json:"debit"`
	// Difference is the total less what the rows come to; nil where that can't be said.
	Difference *decimal.Decimal `json:"difference"`

	first time.Time
}

// Parts of an import's progress.
const (
	checkedShare = 0.2
	bookedShare  = 0.9
)

// Run imports a report: its rows are checked, booked and looked at. The same file
// again books nothing, and one whose import was interrupted goes on where it was. A file
// with a row that can't be read books none. The error wraps ErrNotRelease,
// store.ErrReportMoved, or is that of Open and its rows.
func (i ReportImport) Run(ctx context.Context, file io.ReadSeeker) (ReportResult, error) {
	if i.Progress == nil {
		i.Progress = func(float64, string) {}
	}
	i.Progress(0, "checking")
	found, err := i.check(ctx, file)
	if err != nil {
		return ReportResult{}, err
	}
	report, err := i.Store.KeepReport(ctx, found.NewReport, file)
	if err != nil {
		return ReportResult{}, err
	}
	result := ReportResult{
		FileID: report.ID, Name: i.Name, Rows: report.Rows, Movements: found.movements, Known: report.Finished, Totals: found.sums,
	}
	if !report.Finished {
		if err := i.book(ctx, file, &report); err != nil {
			return ReportResult{}, err
		}
		if err := i.Store.FinishReport(ctx, report); err != nil {
			return ReportResult{}, err
		}
		result.New = report.New
	}
	i.Progress(bookedShare, "explaining the payouts")
	if err := i.Store.ExplainPayouts(ctx); err != nil {
		return ReportResult{}, err
	}
	if err := i.Store.CheckReleases(ctx); err != nil {
		return ReportResult{}, err
	}
	i.Progress(1, "done")
	return result, nil
}

// rows yields a file's rows from its beginning.
func (i ReportImport) rows(ctx context.Context, file io.ReadSeeker, through func(io.Reader) io.Reader) iter.Seq2[provider.Movement, error] {
	return func(yield func(provider.Movement, error) bool) {
		_, err := file.Seek(0, io.SeekStart)
		var reader ReportReader
		if err == nil {
			reader, err = i.Open(through(file))
		}
		if err == nil && reader.Report() != provider.ReleaseReport {
			err = ErrNotRelease
		}
		if err != nil {
			yield(provider.Movement{}, err)
			return
		}
		for m, err := range reader.All() {
			if ctx.Err() != nil {
				m, err = provider.Movement{}, ctx.Err()
			}
			if !yield(m, err) || err != nil {
				return
			}
		}
	}
}

// checked is what a file has, read once.
type checked struct {
	store.NewReport

	movements int64
	sums      []ReportSum
}

// check reads a file once: whether every row can be read, what it covers, and whether
// its rows come to its total.
func (i ReportImport) check(ctx context.Context, file io.ReadSeeker) (checked, error) {
	c := checked{NewReport: store.NewReport{
		Source: i.Source, CollectorID: i.CollectorID, Name: i.Name, ImportedBy: i.By, Begin: i.Begin, End: i.End,
	}}
	size, err := file.Seek(0, io.SeekEnd)
	if err != nil {
		return c, err
	}
	hash := sha256.New()
	counted := &countingReader{}
	var balances []provider.Movement
	var first, last time.Time
	for m, err := range i.rows(ctx, file, func(r io.Reader) io.Reader {
		counted.r = io.TeeReader(r, hash)
		return counted
	}) {
		if err != nil {
			return c, err
		}
		if c.Rows++; c.Rows%reportProgress == 0 {
			i.Progress(checkedShare*float64(counted.n)/float64(max(size, counted.n)), "checking")
		}
		if !m.HappenedAt.IsZero() {
			if first.IsZero() || m.HappenedAt.Before(first) {
				first = m.HappenedAt
			}
			if m.HappenedAt.After(last) {
				last = m.HappenedAt
			}
		}
		switch m.Kind { //nolint:exhaustive // the others say nothing that is not in these
		case provider.MovementRow:
			c.movements++
			c.add(m)
		case provider.InitialBalanceRow, provider.TotalRow:
			balances = append(balances, m)
		}
	}
	// What the reader left, such as blank lines, is a part of the file.
	if _, err := io.Copy(io.Discard, counted); err != nil {
		return c, err
	}
	c.Bytes = counted.n
	hash.Sum(c.SHA256[:0])
	if c.Begin.IsZero() {
		c.Begin = first
	}
	if c.End.IsZero() {
		c.End = last
	}
	c.balance(balances)
	return c, nil
}

// reportProgress is after how many rows progress is told.
const reportProgress = 1000

// add adds a movement to the sums.
func (c *checked) add(m provider.Movement) {
	sum := c.sum(m.Currency)
	sum.Credit, sum.Debit = sum.Credit.Add(m.Credit), sum.Debit.Add(m.Debit)
	if sum.first.IsZero() || m.HappenedAt.Before(sum.first) {
		sum.first = m.HappenedAt
	}
}

func (c *checked) sum(currency string) *ReportSum {
	for k := range c.sums {
		if c.sums[k].Currency == currency {
			return &c.sums[k]
		}
	}
	c.sums = append(c.sums, ReportSum{Currency: currency})
	return &c.sums[len(c.sums)-1]
}

// balance reads the rows that are no movements. One without a currency has that of the
// movements where they have one only, and an initial balance without a date is the one
// before the first of them.
func (c *checked) balance(rows []provider.Movement) {
	for _, m := range rows {
		currency := m.Currency
		if currency == "" && len(c.sums) == 1 {
			currency = c.sums[0].Currency
		}
		if currency == "" {
			continue
		}
		sum, net := c.sum(currency), m.Net()
		if m.Kind == provider.TotalRow {
			sum.Total = &net
			continue
		}
		at := m.HappenedAt
		if at.IsZero() {
			at = sum.first
		}
		sum.Initial = &net
		if !at.IsZero() {
			c.Balances = append(c.Balances, store.KnownBalance{Currency: currency, At: at, Balance: net})
		}
	}
	for k := range c.sums {
		if sum := &c.sums[k]; sum.Initial != nil && sum.Total != nil {
			difference := sum.Total.Sub(sum.Initial.Add(sum.Credit).Sub(sum.Debit))
			sum.Difference = &difference
		}
	}
}

// book books the rows that are not booked yet, in batches.
func (i ReportImport) book(ctx context.Context, file io.ReadSeeker, report *store.Report) error {
	var batch []store.Movement
	row, held := int64(0), int64(0)
	flush := func() error {
		err := i.Store.BookRows(ctx, report, held, batch)
		batch, held = batch[:0], 0
		i.Progress(checkedShare+(bookedShare-checkedShare)*float64(report.Booked)/float64(max(report.Rows, 1)), "booking")
		return err
	}
	for m, err := range i.rows(ctx, file, func(r io.Reader) io.Reader { return r }) {
		if err != nil {
			return err
		}
		if row++; row <= report.Booked {
			continue
		}
		if held++; m.Kind == provider.MovementRow {
			batch = append(batch, movementOf(m))
		}
		if held == store.BookBatch {
			if err := flush(); err != nil {
				return err
			}
		}
	}
	if row != report.Rows {
		return fmt.Errorf("the file changed while it was read: it had %d rows, and now %d", report.Rows, row)
	}
	if held > 0 {
		return flush()
	}
	return nil
}

// movementOf is a row as the store books it.
func movementOf(m provider.Movement) store.Movement {
	booked := store.Movement{
		Row: int64(m.Row), Currency: m.Currency, HappenedAt: m.HappenedAt, SourceID: m.SourceID,
		RecordType: m.RecordType, Description: m.Description, Class: string(m.Class), Reference: m.Reference,
		Credit: m.Credit, Debit: m.Debit, Gross: m.Gross, Fee: m.Fee, FinancingFee: m.FinancingFee, ShippingFee: m.ShippingFee,
		Taxes: m.Taxes, Coupon: m.Coupon,
	}
	if m.Class != provider.PayoutMovement && m.Class != provider.WithdrawalMovement {
		booked.PaymentID = m.SourceID
	}
	return booked
}

// A countingReader counts what was read.
type countingReader struct {
	r io.Reader
	n int64
}

func (c *countingReader) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.n += int64(n)
	return n, err
}
