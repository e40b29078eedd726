package store

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"
)

// A ListedReport is a money report that an account has ready.
type ListedReport struct {
	Name string
	// Begin and End are the period that it covers; zero where that isn't said.
	Begin, End time.Time
}

// A ReportPeriod is a period of which a report is asked for.
type ReportPeriod struct {
	Begin, End time.Time
	// WantedAt is when it was first wanted.
	WantedAt time.Time
}

// claimFor is how long one process has to ask for a report, before another may.
const claimFor = 10 * time.Minute

// FollowReports says that an account's reports are read in a mode, "read" or
// "request".
func (s *Store) FollowReports(ctx context.Context, a Account, mode string) error {
	_, err := s.pool.Exec(ctx, `
		INSERT INTO report_accounts (source, collector_id, mode) VALUES ($1, $2, $3)
		ON CONFLICT (source, collector_id) DO UPDATE SET mode = excluded.mode WHERE report_accounts.mode <> excluded.mode`,
		a.Source, a.CollectorID, mode)
	return wrap(err, "reports of %s", a)
}

// UnfollowReports forgets which accounts' reports are read, but for these.
func (s *Store) UnfollowReports(ctx context.Context, but []Account) error {
	sources, collectors := make([]string, len(but)), make([]string, len(but))
	for i, a := range but {
		sources[i], collectors[i] = a.Source, a.CollectorID
	}
	_, err := s.pool.Exec(ctx, `
		DELETE FROM report_accounts WHERE (source, collector_id) NOT IN (SELECT * FROM unnest($1::text[], $2::text[]))`, sources, collectors)
	return wrap(err, "reports that are not read any more")
}

// ReportsFailed notes that an account could not be asked for its reports, with a text
// that is safe to keep.
func (s *Store) ReportsFailed(ctx context.Context, a Account, problem string) error {
	_, err := s.pool.Exec(ctx, `
		UPDATE report_accounts SET failing_since = coalesce(failing_since, now()), error = $3
		WHERE source = $1 AND collector_id = $2`, a.Source, a.CollectorID, text(problem))
	return wrap(err, "reports of %s", a)
}

// ReportsListed keeps what an account lists as ready.
func (s *Store) ReportsListed(ctx context.Context, a Account, reports []ListedReport) error {
	n := len(reports)
	names, begins, ends := make([]string, n), make([]*time.Time, n), make([]*time.Time, n)
	for i, r := range reports {
		names[i], begins[i], ends[i] = text(r.Name), orNull(r.Begin), orNull(r.End)
	}
	err := s.inTx(ctx, func(tx pgx.Tx) error {
		_, err := tx.Exec(ctx, `
			INSERT INTO report_downloads (source, collector_id, name, begin_at, end_at)
			SELECT $1, $2, r.* FROM unnest($3::text[], $4::timestamptz[], $5::timestamptz[]) AS r (name, begin_at, end_at)
			ORDER BY r.name ON CONFLICT DO NOTHING`, a.Source, a.CollectorID, names, begins, ends)
		if err != nil {
			return err
		}
		_, err = tx.Exec(ctx, `
			UPDATE report_accounts SET looked_at = now(), failing_since = NULL, error = NULL WHERE source = $1 AND collector_id = $2`,
			a.Source, a.CollectorID)
		return err
	})
	return wrap(err, "reports of %s", a)
}

// NextReport is the account's next report that is to be booked, the oldest period
// first; nil when there is none at the moment. Those that failed come again later, or
// now when again is true.
func (s *Store) NextReport(ctx context.Context, a Account, but []string, again bool) (*ListedReport, error) {
	rows, _ := s.pool.Query(ctx, `
		SELECT name, begin_at, end_at FROM report_downloads
		WHERE source = $1 AND collector_id = $2 AND file_id IS NULL AND (`+due("next_try_at", mostReportWait)+` OR $4) AND name <> ALL ($3)
		ORDER BY begin_at NULLS FIRST, end_at, name LIMIT 1`, a.Source, a.CollectorID, but, again)
	found, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (ListedReport, error) {
		var r ListedReport
		var begin, end *time.Time
		err := row.Scan(&r.Name, &begin, &end)
		r.Begin, r.End = deref(begin), deref(end)
		return r, err
	})
	if err != nil || len(found) == 0 {
		return nil, wrap(err, "reports of %s", a)
	}
	return &found[0], nil
}

// ReportBooked notes what a listed report was booked as.
func (s *Store) ReportBooked(ctx context.Context, a Account, name string, fileID int64) error {
	_, err := s.pool.Exec(ctx, `
		UPDATE report_downloads SET file_id = $4, error = NULL WHERE source = $1 AND collector_id = $2 AND name = $3`,
		a.Source, a.CollectorID, name, fileID)
	return wrap(err, "report %s", name)
}

// mostReportWait is the longest that a report which could not be booked waits for its
// next try.
const mostReportWait = 12 * time.Hour

// ReportNotBooked notes why a listed report was not booked, with a text that is safe
// to keep. The waits between tries double.
func (s *Store) ReportNotBooked(ctx context.Context, a Account, name, problem string) error {
	_, err := s.pool.Exec(ctx, `
		UPDATE report_downloads
		SET tries = tries + 1, error = $4, next_try_at = now() + least($5::interval, interval '15 minutes' * 2 ^ least(tries, 10))
		WHERE source = $1 AND collector_id = $2 AND name = $3`,
		a.Source, a.CollectorID, name, text(problem), mostReportWait)
	return wrap(err, "report %s", name)
}

// WantReports has reports of these periods asked for once on a day.
func (s *Store) WantReports(ctx context.Context, a Account, day time.Time, periods []ReportPeriod) error {
	err := s.inTx(ctx, func(tx pgx.Tx) error {
		for _, p := range periods {
			if _, err := tx.Exec(ctx, `
				INSERT INTO report_requests (source, collector_id, begin_at, end_at, asked_on) VALUES ($1, $2, $3, $4, $5)
				ON CONFLICT DO NOTHING`, a.Source, a.CollectorID, p.Begin, p.End, day); err != nil {
				return err
			}
		}
		return nil
	})
	return wrap(err, "reports of %s", a)
}

// ClaimReportRequest is the account's next report that is to be asked for; nil when
// there is none that another process isn't asking for at this moment. What was wanted
// on an earlier day is not asked for any more.
func (s *Store) ClaimReportRequest(ctx context.Context, a Account, day time.Time) (*ReportPeriod, error) {
	rows, _ := s.pool.Query(ctx, `
		UPDATE report_requests r SET claimed_at = now()
		FROM (SELECT ctid FROM report_requests
		      WHERE source = $1 AND collector_id = $2 AND asked_on = $3 AND asked_at IS NULL AND (claimed_at IS NULL OR NOT `+within("claimed_at", "$4::interval")+`)
		      ORDER BY begin_at LIMIT 1 FOR UPDATE SKIP LOCKED) next
		WHERE r.ctid = next.ctid RETURNING r.begin_at, r.end_at, r.created_at`, a.Source, a.CollectorID, day, claimFor)
	found, err := pgx.CollectRows(rows, pgx.RowToStructByPos[ReportPeriod])
	if err != nil || len(found) == 0 {
		return nil, wrap(err, "reports of %s", a)
	}
	p := found[0]
	toUTC(&p.Begin, &p.End, &p.WantedAt)
	return &p, nil
}

// ReportRequested notes that the provider took the request of a claimed period.
func (s *Store) ReportRequested(ctx context.Context, a Account, day time.Time, p ReportPeriod) error {
	_, err := s.pool.Exec(ctx, `
		UPDATE report_requests SET asked_at = now() WHERE source = $1 AND collector_id = $2 AND begin_at = $3 AND asked_on = $4`,
		a.Source, a.CollectorID, p.Begin, day)
	return wrap(err, "reports of %s", a)
}

// AccountCurrency is the currency of an account's payments; empty where there are none,
// or of several currencies.
func (s *Store) AccountCurrency(ctx context.Context, source, collectorID string) (string, error) {
	var currency string
	err := s.pool.QueryRow(ctx, `
		SELECT CASE WHEN count(DISTINCT currency) = 1 THEN min(currency) ELSE '' END
		FROM (SELECT currency FROM payments WHERE source = $1 AND collector_id = $2 AND currency IS NOT NULL
		      ORDER BY updated_at DESC LIMIT 1000) latest`, source, collectorID).Scan(&currency)
	return currency, wrap(err, "the currency of account %s", collectorID)
}

// A ReportState is how an account's money reports do.
type ReportState struct {
	// Account is its name.
	Account string
	Mode    string
	// Age is how long ago what its booked reports cover ended, or it was first followed.
	Age time.Duration
	// FailingFor is for how long it could not be asked; 0 while it can.
	FailingFor time.Duration
	// Stuck counts reports that could not be booked in three tries or more, and Error is
	// why one of them, or the list, fails; empty when nothing does.
	Stuck int64
	Error string
}

// stuckTries is after how many tries a report counts as one that can't be booked.
const stuckTries = 3

// reportStates reads how each account does whose reports are read.
func reportStates(ctx context.Context, tx pgx.Tx) ([]ReportState, error) {
	rows, _ := tx.Query(ctx, `
		SELECT a.source, a.collector_id, a.mode,
		       extract(epoch FROM greatest(now() - coalesce(f.end_at, a.created_at), interval '0'))::float8,
		       coalesce(extract(epoch FROM now() - a.failing_since), 0)::float8, d.stuck, coalesce(a.error, d.error, '')
		FROM report_accounts a
		CROSS JOIN LATERAL (
			SELECT max(f.end_at) AS end_at FROM report_downloads l JOIN report_files f ON f.id = l.file_id
			WHERE l.source = a.source AND l.collector_id = a.collector_id AND f.finished_at IS NOT NULL) f
		CROSS JOIN LATERAL (
			SELECT count(*) AS stuck, max(l.error) AS error FROM report_downloads l
			WHERE l.source = a.source AND l.collector_id = a.collector_id AND l.file_id IS NULL AND l.tries >= $1) d
		ORDER BY 1, 2`, stuckTries)
	return pgx.CollectRows(rows, func(row pgx.CollectableRow) (ReportState, error) {
		var r ReportState
		var account Account
		var age, failing float64
		err := row.Scan(&account.Source, &account.CollectorID, &r.Mode, &age, &failing, &r.Stuck, &r.Error)
		r.Account = account.String()
		r.Age, r.FailingFor = time.Duration(age*float64(time.Second)), time.Duration(failing*float64(time.Second))
		return r, err
	})
}
