package jobs

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"time"

	"github.com/riverqueue/river"

	"github.com/conciliar/conciliar/jobs/provider"
	"github.com/conciliar/conciliar/store"
)

const (
	// ReportsRead takes the reports that an account's own schedule makes, ReportsRequest
	// asks for one a day as well.
	ReportsRead    = "read"
	ReportsRequest = "request"

	// reportsEvery is how often reports are looked for: a few calls an hour.
	reportsEvery = 15 * time.Minute
	// reportTimeout bounds one job. It books a file whose download and rows take that
	// long in several, each of which goes on where the one before ended.
	reportTimeout = 15 * time.Minute
	// reportsPause is how long the next file waits, and what is more urgent goes first.
	reportsPause = time.Second
	// reportsPoll is how often it is looked whether one that was asked for is ready.
	reportsPoll = 2 * time.Minute
	// reportDays are the days before today of which a report is asked for: the last rows
	// of a day may come a day later.
	reportDays = 2

	// byReports is who imports what the job fetches.
	byReports = "reports"
)

// A ReportProvider has an account's money reports.
type ReportProvider interface {
	// Reports lists them.
	Reports(ctx context.Context) ([]provider.ReportFile, error)
	// Report downloads one as it is.
	Report(ctx context.Context, name string, to io.Writer) error
	// RequestReport asks for one of [begin, end].
	RequestReport(ctx context.Context, begin, end time.Time) error
}

// MoneyReports say how money reports are fetched.
type MoneyReports struct {
	// Mode is ReportsRead or ReportsRequest; reports are not fetched when it is empty.
	Mode string
	// Open reads the header of an account's report. Rows that name no currency have the
	// one given.
	Open func(file io.Reader, collectorID, currency string) (ReportReader, error)
}

// ReportArgs are the arguments of the job that fetches money reports. They are stored
// data: fields are added, never renamed.
type ReportArgs struct{}

// Kind is the job's name in the database.
func (ReportArgs) Kind() string { return "money_report" }

// InsertOpts makes the job the only one of its kind that is not over.
func (ReportArgs) InsertOpts() river.InsertOpts { return onlyOne() }

// reportWorker fetches money reports.
type reportWorker struct {
	river.WorkerDefaults[ReportArgs]
	*ReportFetcher
}

// Timeout is the job's own: a long file is downloaded and booked in one go, and what
// was booked stays booked.
func (*reportWorker) Timeout(*river.Job[ReportArgs]) time.Duration { return reportTimeout }

// Work does the next steps of each account, and comes back for the rest.
func (w *reportWorker) Work(ctx context.Context, _ *river.Job[ReportArgs]) error {
	wait, err := w.step(ctx)
	if err == nil && wait > 0 {
		return river.JobSnooze(wait)
	}
	return err
}

// A ReportFetcher fetches money reports.
type ReportFetcher struct {
	store    *store.Store
	accounts accounts
	reports  MoneyReports
	now      func() time.Time
	logger   *slog.Logger
}

// NewReportFetcher returns one for a command.
func NewReportFetcher(deps Deps) *ReportFetcher {
	return &ReportFetcher{store: deps.Store, accounts: accountsOf(deps), reports: deps.Reports, now: time.Now, logger: deps.Logger}
}

// step asks, looks, and books one file of each account. It returns after which time
// there is more to do; 0 when there is nothing before the next regular look.
func (f *ReportFetcher) step(ctx context.Context) (wait time.Duration, err error) {
	all := f.accounts.All()
	if f.reports.Mode == "" {
		all = []store.Account{}
	}
	if err := f.store.UnfollowReports(ctx, all); err != nil {
		return 0, err
	}
	var failed []error
	for _, account := range all {
		next, err := f.fetch(ctx, account)
		if next > 0 && (wait == 0 || next < wait) {
			wait = next
		}
		failed = append(failed, err)
	}
	return wait, errors.Join(failed...)
}

// fetch does an account's next steps, and returns as step does. What the provider
// refuses is noted, and fails nothing else.
func (f *ReportFetcher) fetch(ctx context.Context, account store.Account) (wait time.Duration, err error) {
	asks, ok := f.accounts.fetcher(account).(ReportProvider)
	collector, err := f.collector(ctx, account)
	if err != nil || !ok || collector == "" {
		return 0, err
	}
	if err := f.store.FollowReports(ctx, account, f.reports.Mode); err != nil {
		return 0, err
	}
	files, err := asks.Reports(ctx)
	asked := false
	if err == nil && f.reports.Mode == ReportsRequest {
		asked, err = f.ask(ctx, asks, account, files)
	}
	if err != nil {
		return 0, f.refused(ctx, account, err)
	}
	if err := f.store.ReportsListed(ctx, account, ready(files)); err != nil {
		return 0, err
	}
	next, err := f.store.NextReport(ctx, account, []string{}, false)
	switch {
	case err != nil:
		return 0, err
	case next != nil:
		if _, err := f.book(ctx, asks, account, collector, *next, byReports, nil); err != nil && ctx.Err() != nil {
			return 0, err
		}
		return reportsPause, nil // an error is noted with the file
	case asked || f.pending(files):
		return reportsPoll, nil
	}
	return 0, nil
}

// pending reports whether something that was asked for is being made.
func (f *ReportFetcher) pending(files []provider.ReportFile) bool {
	for _, file := range files {
		if file.Requested && !file.Ready && !file.Failed && f.now().Sub(file.MadeAt) < 24*time.Hour {
			return true
		}
	}
	return false
}

// collector is the account's id; empty while it isn't known.
func (f *ReportFetcher) collector(ctx context.Context, account store.Account) (string, error) {
	if account.CollectorID != "" {
		return account.CollectorID, nil
	}
	return f.store.LoadAccount(ctx)
}

// refused notes that the provider doesn't give an account's reports.
func (f *ReportFetcher) refused(ctx context.Context, account store.Account, err error) error {
	failed, ok := errors.AsType[*provider.Error](err)
	if !ok || ctx.Err() != nil {
		return err
	}
	f.logger.WarnContext(ctx, "money reports could not be asked for", "account", account.String(), "error", failed)
	return f.store.ReportsFailed(ctx, account, failed.Error())
}

// ready are the reports that can be booked.
func ready(files []provider.ReportFile) []store.ListedReport {
	var reports []store.ListedReport
	for _, file := range files {
		if file.Ready && file.Readable {
			reports = append(reports, store.ListedReport{Name: file.Name, Begin: file.Begin, End: file.End})
		}
	}
	return reports
}

// ask asks for the reports of the last days, once a day each. A request whose answer was
// lost is found in the list, and not repeated. It reports whether any was asked for.
func (f *ReportFetcher) ask(ctx context.Context, asks ReportProvider, account store.Account, files []provider.ReportFile) (asked bool, err error) {
	today := f.now().UTC().Truncate(24 * time.Hour)
	var days []store.ReportPeriod
	for n := 1; n <= reportDays; n++ {
		begin := today.AddDate(0, 0, -n)
		days = append(days, store.ReportPeriod{Begin: begin, End: begin.AddDate(0, 0, 1).Add(-time.Second)})
	}
	if err := f.store.WantReports(ctx, account, today, days); err != nil {
		return false, err
	}
	for {
		wanted, err := f.store.ClaimReportRequest(ctx, account, today)
		if err != nil || wanted == nil {
			return asked, err
		}
		if !alreadyAsked(files, *wanted) {
			if err := asks.RequestReport(ctx, wanted.Begin, wanted.End); err != nil {
				return asked, err
			}
		}
		if err := f.store.ReportRequested(ctx, account, today, *wanted); err != nil {
			return asked, err
		}
		asked = true
	}
}

// alreadyAsked reports whether a request for the period was taken since it was wanted,
// give or take how far two clocks are apart.
func alreadyAsked(files []provider.ReportFile, wanted store.ReportPeriod) bool {
	for _, file := range files {
		if file.Requested && !file.Failed && file.Begin.Equal(wanted.Begin) && file.End.Equal(wanted.End) &&
			file.MadeAt.After(wanted.WantedAt.Add(-time.Minute)) {
			return true
		}
	}
	return false
}

// book downloads a report and books it. An error is noted with the file.
func (f *ReportFetcher) book(ctx context.Context, asks ReportProvider, account store.Account, collector string, listed store.ListedReport, by string, progress func(float64, string)) (ReportResult, error) {
	result, err := f.download(ctx, asks, store.Account{Source: account.Source, CollectorID: collector}, listed, by, progress)
	if err != nil {
		if ctx.Err() == nil {
			f.logger.WarnContext(ctx, "a money report was not booked", "account", account.String(), "report", listed.Name, "error", err)
			err = errors.Join(err, f.store.ReportNotBooked(ctx, account, listed.Name, err.Error()))
		}
		return ReportResult{}, fmt.Errorf("%s: %w", listed.Name, err)
	}
	f.logger.InfoContext(ctx, "money report booked", "account", account.String(), "report", listed.Name, "rows", result.Rows, "new_movements", result.New)
	return result, f.store.ReportBooked(ctx, account, listed.Name, result.FileID)
}

// download brings a report into a file of our own, which is read twice, and imports it.
func (f *ReportFetcher) download(ctx context.Context, asks ReportProvider, of store.Account, listed store.ListedReport, by string, progress func(float64, string)) (ReportResult, error) {
	currency, err := f.store.AccountCurrency(ctx, of.Source, of.CollectorID)
	if err != nil {
		return ReportResult{}, err
	}
	file, err := os.CreateTemp("", "conciliar-report-*")
	if err != nil {
		return ReportResult{}, err
	}
	defer func() {
		_ = file.Close()
		_ = os.Remove(file.Name())
	}()
	if err := asks.Report(ctx, listed.Name, file); err != nil {
		return ReportResult{}, err
	}
	return ReportImport{
		Store: f.store, Source: of.Source, CollectorID: of.CollectorID, Name: listed.Name, By: by,
		Begin: listed.Begin, End: listed.End, Progress: progress,
		Open: func(r io.Reader) (ReportReader, error) { return f.reports.Open(r, of.CollectorID, currency) },
	}.Run(ctx, file)
}

// Sync books every report that an account has ready and that isn't booked yet, also
// those that failed before. progress is told of each file. What was booked is returned
// with the error.
func (f *ReportFetcher) Sync(ctx context.Context, by string, progress func(name string) func(float64, string)) ([]ReportResult, error) {
	results := []ReportResult{}
	var failed []error
	for _, account := range f.accounts.All() {
		asks, ok := f.accounts.fetcher(account).(ReportProvider)
		collector, err := f.collector(ctx, account)
		if err != nil {
			return results, err
		}
		if !ok || collector == "" {
			continue
		}
		files, err := asks.Reports(ctx)
		if err != nil {
			failed = append(failed, fmt.Errorf("account %s: %w", collector, err))
			continue
		}
		if err := f.store.ReportsListed(ctx, account, ready(files)); err != nil {
			return results, err
		}
		tried := []string{}
		for {
			next, err := f.store.NextReport(ctx, account, tried, true)
			if err != nil {
				return results, err
			}
			if next == nil {
				break
			}
			tried = append(tried, next.Name)
			result, err := f.book(ctx, asks, account, collector, *next, by, progress(next.Name))
			if ctx.Err() != nil {
				return results, ctx.Err()
			}
			if err != nil {
				failed = append(failed, err)
				continue
			}
			results = append(results, result)
		}
	}
	return results, errors.Join(failed...)
}
