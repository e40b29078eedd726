package bench

import (
	"bufio"
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"github.com/shopspring/decimal"
)

const (
	// importOffered is how many webhooks a second are delivered beside an import, and
	// importAside for how long before it and after it.
	importOffered = 300
	importAside   = 20 * time.Second
	// importBar is the most memory that an import may take, in MiB.
	importBar = 64
	// payoutRows is after how many rows of the report a payout comes.
	payoutRows = 5000
)

// reports measures the import of a release report beside the settlement of webhooks.
func (b *harness) reports(ctx context.Context) (_ []Figure, err error) {
	rows := b.options.ImportRows
	dir, err := os.MkdirTemp("", "conciliar-bench-*")
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	file := filepath.Join(dir, "release.csv")
	b.say("making a report of %d rows, and the payments in it …", rows)
	if err := writeReport(file, rows); err != nil {
		return nil, err
	}
	if err := b.seedReleases(ctx, rows); err != nil {
		return nil, err
	}
	service, err := b.startService(ctx, "", "UNKNOWN_ORDER=create")
	if err != nil {
		return nil, err
	}
	defer service.stop()
	offering, stop := context.WithCancel(ctx)
	offered := make(chan error, 1)
	go func() {
		shape := loadShape{connections: 64, rate: importOffered, length: 24 * time.Hour}
		_, err := b.webhooksOf(service, b.payment).run(offering, shape)
		offered <- err
	}()
	figures, err := b.importBeside(ctx, file, rows)
	stop()
	return figures, errors.Join(err, <-offered)
}

// importBeside imports a report while webhooks are delivered.
func (b *harness) importBeside(ctx context.Context, file string, rows int) ([]Figure, error) {
	aside := func() error {
		if !sleepUntil(ctx, time.Now().Add(importAside)) {
			return ctx.Err()
		}
		return nil
	}
	before, err := b.settledOver(ctx, aside)
	if err != nil {
		return nil, err
	}
	b.say("settled before the import: %.0f a second; importing …", before)
	var memory float64
	began := time.Now()
	during, err := b.settledOver(ctx, func() (err error) {
		memory, err = b.importFile(ctx, file)
		return err
	})
	if err != nil {
		return nil, err
	}
	took := time.Since(began)
	after, err := b.settledOver(ctx, aside)
	if err != nil {
		return nil, err
	}
	var payouts, explained float64
	if err := b.pool.QueryRow(ctx, `SELECT count(*)::float8, (count(*) FILTER (WHERE state = 'explained'))::float8 FROM payouts`).Scan(&payouts, &explained); err != nil {
		return nil, err
	}
	return []Figure{
		{What: fmt.Sprintf("a report of %d rows, to its explained payouts", rows), Unit: "rows/s", Value: spreadOf(float64(rows) / took.Seconds())},
		{What: "most memory of the import", Unit: "MiB", Value: spreadOf(memory), Bars: []Bar{atMost("MiB", importBar, memory)}},
		{What: fmt.Sprintf("payouts explained, of %.0f", payouts), Unit: "payouts", Value: spreadOf(explained), Bars: []Bar{atLeast("payouts", payouts, explained)}},
		Figure{What: fmt.Sprintf("settled during it, %d a second offered", importOffered), Unit: "settled/s", Value: spreadOf(during)}.beside("before it", spreadOf(before)),
		{What: "settled after it", Unit: "settled/s", Value: spreadOf(after)},
	}, nil
}

// writeReport writes a release report: four rows to a payment, and a payout of all that
// came since the one before after every payoutRows.
func writeReport(path string, rows int) (err error) {
	file, err := os.Create(path) //nolint:gosec // in a directory of our own
	if err != nil {
		return err
	}
	w := bufio.NewWriterSize(file, 1<<16)
	defer func() { err = errors.Join(err, w.Flush(), file.Close()) }()
	_, _ = fmt.Fprint(w, "DATE,SOURCE_ID,EXTERNAL_REFERENCE,RECORD_TYPE,DESCRIPTION,NET_CREDIT_AMOUNT,NET_DEBIT_AMOUNT,GROSS_AMOUNT,CURRENCY\n",
		releasesBegin.Format(time.RFC3339), ",,,initial_available_balance,,0.00,0.00,0.00,ARS\n")
	kinds := []struct {
		description   string
		credit, debit decimal.Decimal
	}{
		{"payment", decimal.New(13846, -2), decimal.Zero},
		{"shipping", decimal.Zero, decimal.New(700, -2)},
		{"tax_withholding", decimal.Zero, decimal.New(150, -2)},
		{"cashback", decimal.New(30, -2), decimal.Zero},
	}
	balance := decimal.Zero
	for row, n := 1, 0; row <= rows; row++ {
		at := releasesBegin.Add(time.Duration(row) * 6 * time.Second).Format(time.RFC3339)
		if row%payoutRows == 0 {
			_, _ = fmt.Fprintf(w, "%s,%d,,release,payout,0.00,%s,0.00,ARS\n", at, 8_000_000_000+row, balance.StringFixed(2))
			balance = decimal.Zero
			continue
		}
		k, id := kinds[n%len(kinds)], releasedFrom+n/len(kinds)
		n++
		balance = balance.Add(k.credit).Sub(k.debit)
		_, _ = fmt.Fprintf(w, "%s,%d,seed-%d,release,%s,%s,%s,%s,ARS\n", at, id, id, k.description, k.credit.StringFixed(2), k.debit.StringFixed(2), k.credit.Sub(k.debit).StringFixed(2))
	}
	return nil
}

// releasedFrom is the id of the first payment that the report releases.
const releasedFrom = 900_000_000_000

var releasesBegin = time.Date(2026, 8, 1, 0, 0, 0, 0, time.UTC)

// seedReleases makes the payments that a report of so many rows releases.
func (b *harness) seedReleases(ctx context.Context, rows int) error {
	_, err := b.pool.Exec(ctx, `
		INSERT INTO payments (source, payment_id, order_reference, status, status_detail, amount, currency, collector_id, live_mode,
			date_last_updated, fetched_at, raw, fold_version, net_amount, release_date)
		SELECT 'mercadopago', ($1::bigint + n)::text, 'seed-' || ($1::bigint + n), 'approved', 'accredited', 150, 'ARS', '1', true,
		       now(), now(), '\x7b7d', `+foldVersion+`, 138.46, $2::timestamptz + n * interval '24 seconds'
		FROM generate_series(0, $3::bigint / 4) n`, releasedFrom, releasesBegin, rows)
	if err == nil {
		_, err = b.pool.Exec(ctx, `ANALYZE payments`)
	}
	return err
}

// settledOver is how many events a second were settled while something was done.
func (b *harness) settledOver(ctx context.Context, do func() error) (perSecond float64, err error) {
	const count = `SELECT count(*) FROM webhook_queue WHERE outcome = 'settled'`
	var before, after int64
	began := time.Now()
	err = b.pool.QueryRow(ctx, count).Scan(&before)
	if err == nil {
		err = do()
	}
	if err == nil {
		err = b.pool.QueryRow(ctx, count).Scan(&after)
	}
	return float64(after-before) / time.Since(began).Seconds(), err
}

// importFile imports a report by a process, and returns its most memory in MiB, 0 where
// there is no /proc.
func (b *harness) importFile(ctx context.Context, file string) (float64, error) {
	program, err := os.Executable()
	if err != nil {
		return 0, err
	}
	cmd := exec.CommandContext(ctx, program, "payouts", "import", file, "--collector-id", "1", "--json") //nolint:gosec // this very program
	cmd.Env = b.environ(rand.Text(), rand.Text())
	var said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &said, &said
	if err := cmd.Start(); err != nil {
		return 0, err
	}
	// What wait4 tells of a process is what its parent had when it was forked, if that
	// was more (Linux's getrusage(2), ru_maxrss): its own status is asked while it lives.
	done := make(chan error, 1)
	go func() { done <- cmd.Wait() }()
	look := time.NewTicker(20 * time.Millisecond)
	defer look.Stop()
	most := 0.0
	for {
		select {
		case err := <-done:
			if err != nil {
				return 0, fmt.Errorf("import: %w: %.500s", err, said.Bytes())
			}
			return most, nil
		case <-look.C:
			most = max(most, statusMB(cmd.Process.Pid, "VmHWM"))
		}
	}
}
