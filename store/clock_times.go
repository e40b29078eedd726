package store

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
)

// ClockSlack is how far a time may be ahead of PostgreSQL's clock that is of a moment
// which has passed: processes whose own clock differs write some.
const ClockSlack = time.Minute

// The bounds of how far ahead our own times are.
const (
	// probeAhead is the longest that a probe of a provider is put off.
	probeAhead = 20 * time.Second
	// jobAhead is the longest wait that can be configured, with what is added to it.
	jobAhead = 36 * 24 * time.Hour
	// deliveryAhead is the longest wait between two attempts of a delivery.
	deliveryAhead = 27 * time.Hour
	// lanesAhead is the longest that a lane of tries to log in is spent for.
	lanesAhead = 5 * time.Hour
	// leaderAhead is how long River's leader is one without saying so again.
	leaderAhead = time.Minute
)

// looking says how the status, which is read all the time, looks for a time that is
// ahead. Verify looks at all rows.
type looking string

const (
	// lookAll is for tables with few rows.
	lookAll looking = "all"
	// lookNewest looks at the newest rows by id: those that a clock that was ahead wrote.
	lookNewest looking = "newest"
	// lookVerify leaves it to Verify.
	lookVerify looking = "verify"
	// lookNever is for what others say, or what is copied from there.
	lookNever looking = "never"
)

// newestTimes is how many rows lookNewest looks at.
const newestTimes = 1000

// storedTimes are the bounds of the times that are stored, by table and column. A column
// without a bound is of a moment that has passed.
type storedTimes struct {
	table string
	look  looking
	// passed are of moments that have passed, ahead are bounded, and said are others'
	// words, about which nothing can be known.
	passed []string
	ahead  map[string]time.Duration
	said   []string
}

// clockTimes has every time that is stored; a test holds it to the catalogue.
var clockTimes = []storedTimes{
	{table: "account_balances", look: lookNever, said: []string{"known_at"}},
	{table: "account_chains", look: lookNever, said: []string{"stale_from", "stale_until"}},
	{table: "account_movements", look: lookVerify, passed: []string{"created_at"}, said: []string{"happened_at"}},
	{table: "alert_evaluation", look: lookAll, passed: []string{"evaluated_at"}},
	{table: "alert_messages", look: lookNewest, passed: []string{"created_at", "delivered_at", "failed_at"}},
	{table: "alert_watches", look: lookAll, passed: []string{"since", "updated_at"}},
	{table: "alerts", look: lookNewest, passed: []string{"closed_at", "last_sent_at", "opened_at"}},
	{table: "anomalies", look: lookNewest, passed: []string{"closed_at", "opened_at", "updated_at"}},
	{table: "books", look: lookAll, passed: []string{"collector_known_at"}},
	{table: "chargebacks", look: lookVerify, passed: []string{"created_at", "fetched_at"}, said: []string{"date_documentation_deadline", "date_last_updated"}},
	{table: "claims", look: lookVerify, passed: []string{"created_at", "fetched_at"}, said: []string{"date_last_updated"}},
	{table: "deliveries", look: lookNewest, passed: []string{"created_at", "ended_at", "updated_at"}, ahead: map[string]time.Duration{"next_attempt_at": deliveryAhead}},
	{table: "delivery_attempts", look: lookVerify, passed: []string{"ended_at"}},
	{table: "delivery_receivers", look: lookAll, passed: []string{"since", "stopped_at", "updated_at"}},
	{table: "forgotten_payers", look: lookVerify, passed: []string{"forgotten_at"}},
	{table: "forgotten_payments", look: lookVerify, passed: []string{"forgotten_at"}},
	{table: "odd_payments", look: lookVerify, passed: []string{"fetched_at"}},
	{table: "operator_actions", look: lookNewest, passed: []string{"acted_at"}},
	{table: "operator_devices", look: lookAll, passed: []string{"created_at", "last_used_at"}, ahead: map[string]time.Duration{"expires_at": DeviceLife}},
	{table: "operator_login_lanes", look: lookVerify, ahead: map[string]time.Duration{"spent_until": lanesAhead}},
	{table: "operator_sessions", look: lookAll, passed: []string{"created_at", "last_seen_at"}, ahead: map[string]time.Duration{"expires_at": SessionIdle}},
	{table: "order_events", look: lookNewest, passed: []string{"created_at"}},
	{table: "order_logs", look: lookNewest, passed: []string{"changed_at"}},
	{table: "order_money_quarters", look: lookVerify, passed: []string{"began_at"}},
	{table: "orders", look: lookVerify, passed: []string{"cancelled_at", "created_at", "settled_at", "updated_at"}},
	{
		table: "payment_aliases", look: lookVerify, passed: []string{"created_at", "fetched_at", "looked_at", "updated_at"},
		ahead: map[string]time.Duration{"next_look_at": jobAhead}, said: []string{"order_created_at", "order_updated_at"},
	},
	{table: "payment_logs", look: lookNewest, passed: []string{"applied_at"}, said: []string{"changed_at", "date_last_updated"}},
	{
		table: "payments", look: lookVerify, passed: []string{"cost_read_at", "created_at", "fetched_at", "updated_at"},
		said: []string{"changed_at", "date_created", "date_last_updated", "release_date"},
	},
	{table: "payouts", look: lookVerify, passed: []string{"created_at", "updated_at"}, said: []string{"paid_at"}},
	{table: "processes", look: lookAll, passed: []string{"seen_at", "started_at"}},
	{table: "provider_outages", look: lookNewest, passed: []string{"closed_at", "first_failure_at", "opened_at", "released_at", "updated_at"}},
	{table: "refunds", look: lookVerify, passed: []string{"ended_at", "requested_at", "sent_at"}},
	{table: "provider_state", look: lookAll, passed: []string{"since", "updated_at"}, ahead: map[string]time.Duration{"next_probe_at": probeAhead}},
	{table: "release_checks", look: lookNever, said: []string{"checked_until"}},
	{table: "report_accounts", look: lookAll, passed: []string{"created_at", "failing_since", "looked_at"}},
	{table: "report_downloads", look: lookVerify, passed: []string{"listed_at"}, ahead: map[string]time.Duration{"next_try_at": mostReportWait}, said: []string{"begin_at", "end_at"}},
	{table: "report_requests", look: lookVerify, passed: []string{"asked_at", "claimed_at", "created_at"}, said: []string{"begin_at", "end_at"}},
	{table: "report_files", look: lookNewest, passed: []string{"created_at", "emptied_at", "finished_at"}, said: []string{"begin_at", "end_at"}},
	{
		table: "river_job", look: lookNewest, passed: []string{"attempted_at", "finalized_at"},
		ahead: map[string]time.Duration{"scheduled_at": jobAhead},
		// The clock of the machine that inserted it, until River knows PostgreSQL's.
		said: []string{"created_at"},
	},
	{table: "river_leader", look: lookAll, passed: []string{"elected_at"}, ahead: map[string]time.Duration{"expires_at": leaderAhead}},
	{table: "river_migration", look: lookVerify, passed: []string{"created_at"}},
	{table: "river_notification", look: lookVerify, passed: []string{"created_at"}},
	{table: "river_queue", look: lookAll, passed: []string{"created_at", "paused_at", "updated_at"}},
	{table: "sellers", look: lookAll, passed: []string{"authorized_at", "created_at", "deauthorized_at", "removed_at", "searched_until", "updated_at"}},
	{table: "webhook_accepted_hours", look: lookVerify, passed: []string{"began_at"}},
	{table: "webhook_activity_hours", look: lookVerify, passed: []string{"began_at"}},
	{table: "webhook_activity_minutes", look: lookVerify, passed: []string{"began_at"}},
	{table: "webhook_archive", look: lookVerify, passed: []string{"asked_again_at", "completed_at", "emptied_at", "received_at", "updated_at"}, said: []string{"notified_at"}},
	{table: "webhook_bulk_replays", look: lookNewest, passed: []string{"finished_at", "started_at", "updated_at"}},
	{table: "webhook_completed", look: lookVerify, passed: []string{"completed_at"}},
	{table: "webhook_completed_slots", look: lookVerify, passed: []string{"began_at", "counted_at"}},
	{table: "webhook_dead_letter", look: lookNewest, passed: []string{"created_at", "died_at", "kind_reopened_at", "updated_at"}},
	{table: "webhook_latency_hours", look: lookVerify, passed: []string{"began_at"}},
	{table: "webhook_latency_minutes", look: lookVerify, passed: []string{"began_at"}},
	{table: "webhook_learned_sources", look: lookAll, passed: []string{"first_seen_at", "last_seen_at"}},
	{table: "webhook_queue", look: lookNewest, passed: []string{"asked_again_at", "completed_at", "emptied_at", "received_at", "updated_at"}, said: []string{"notified_at"}},
	{table: "webhook_reconciliation_findings", look: lookVerify, passed: []string{"found_at", "repaired_at"}},
	{table: "webhook_reconciliation_inquiries", look: lookVerify, passed: []string{"asked_at"}},
	{table: "webhook_reconciliation_logs", look: lookNewest, passed: []string{"finished_at", "position", "started_at", "updated_at", "window_end", "window_start"}},
	{table: "webhook_reconciliation_unseen", look: lookVerify, passed: []string{"found_at", "read_at", "seen_at"}, said: []string{"begin_at", "end_at"}},
	{table: "webhook_refused", look: lookNewest, passed: []string{"refused_at"}},
	{table: "webhook_rollup", look: lookAll, passed: []string{"covered_from", "covered_until", "rolled_at"}},
}

// aheadOf selects, for each column that is looked at, how many rows are ahead of the
// clock by more than its rule, and the furthest time; nothing for a column without any.
func aheadOf(looks func(looking) bool, rows func(storedTimes) string) string {
	var selects []string
	for _, t := range clockTimes {
		if !looks(t.look) {
			continue
		}
		// Rows without any ahead are passed over first: they are nearly all.
		var columns, someAhead []string
		add := func(column string, ahead time.Duration) {
			columns = append(columns, "('"+column+"', t."+column+", "+seconds(ahead+ClockSlack)+")")
			someAhead = append(someAhead, "t."+column+" > clock_timestamp() + "+seconds(ahead+ClockSlack))
		}
		for _, column := range t.passed {
			add(column, 0)
		}
		for column, ahead := range t.ahead {
			add(column, ahead)
		}
		selects = append(selects, fmt.Sprintf(`SELECT '%s.' || c.name AS stored_in, count(*) AS rows, max(c.at) AS furthest
			FROM %s t CROSS JOIN LATERAL (VALUES %s) c (name, at, ahead)
			WHERE (%s) AND isfinite(c.at) AND c.at > clock_timestamp() + c.ahead GROUP BY c.name`,
			t.table, rows(t), strings.Join(columns, ", "), strings.Join(someAhead, " OR ")))
	}
	return strings.Join(selects, "\nUNION ALL ")
}

// A TimeAhead is a column with times ahead of PostgreSQL's clock by more than their own
// rule allows: the clock was ahead, and has been set back.
type TimeAhead struct {
	// StoredIn is the table and column.
	StoredIn string    `json:"stored_in"`
	Rows     int64     `json:"rows"`
	Furthest time.Time `json:"furthest"`
}

// allTimesAhead is for Verify, and timesAhead for what is asked all the time.
var (
	allTimesAhead = aheadOf(func(l looking) bool { return l != lookNever }, func(t storedTimes) string { return t.table })
	timesAhead    = sync.OnceValue(func() string {
		return aheadOf(func(l looking) bool { return l == lookAll || l == lookNewest }, func(t storedTimes) string {
			if t.look == lookAll {
				return t.table
			}
			return fmt.Sprintf("(SELECT * FROM %s ORDER BY id DESC LIMIT %d)", t.table, newestTimes)
		})
	})
)

// TimesAhead returns what is ahead of the clock among what is few or new.
func (s *Store) TimesAhead(ctx context.Context) (ahead []TimeAhead, err error) {
	err = s.readSnapshot(ctx, func(tx pgx.Tx) error {
		ahead, err = readTimesAhead(ctx, tx)
		return err
	})
	return ahead, wrap(err, "times ahead of the clock")
}

func readTimesAhead(ctx context.Context, tx pgx.Tx) ([]TimeAhead, error) {
	ahead, err := readAll[TimeAhead](ctx, tx, timesAhead()+` ORDER BY stored_in`)
	for i := range ahead {
		toUTC(&ahead[i].Furthest)
	}
	return ahead, err
}
