package health

import (
	"time"

	"github.com/conciliar/conciliar/store"
)

// reconciliationConditions are about reconciliations and money reports.
func reconciliationConditions() []Condition {
	return []Condition{
		{
			Code: "reconciliation_stalled", Health: Unhealthy, Stops: hidesLosses, Lasting: 2,
			Reason: "No reconciliation has succeeded for six periods of its schedule.",
			active: func(st store.Status, m Moment) bool { return overdue(st, m, overdueUnhealthy) },
			detail: successDetail,
			about:  func(st store.Status, _ Moment) About { return About{Since: st.LastSuccessAt} },
		},
		{
			Code: "reconciliation_failed", Health: Degraded, Stops: hidesLosses, Lasting: 1,
			Reason: "The latest reconciliation failed.",
			active: func(st store.Status, _ Moment) bool { return lastRunEnded(st, store.RunFailed) },
			detail: runDetail,
		},
		{
			Code: "reconciliation_limit_exceeded", Health: Degraded, Stops: hidesLosses, Lasting: 1,
			Reason: "The latest reconciliation stopped at its limit: it would have changed too many orders.",
			active: func(st store.Status, _ Moment) bool { return lastRunEnded(st, store.RunStoppedByCap) },
			detail: runDetail,
		},
		{
			// Such a run succeeds: it goes on with what the search shows.
			Code: "reconciliation_incomplete", Health: Degraded, Stops: hidesLosses, Lasting: 1,
			Reason: "The provider's search does not show all payments; reconciliations read it again for seven days.",
			active: func(st store.Status, _ Moment) bool { return len(unshown(st)) > 0 },
			detail: func(st store.Status, _ Moment) details {
				return details{"payments_by_reason": unshown(st), "changed_since": st.Signals.UnseenSince}
			},
		},
		{
			Code: "reconciliation_overdue", Health: Degraded, Stops: hidesLosses, Lasting: 2, Within: []string{"reconciliation_stalled"},
			Reason: "No reconciliation has succeeded for two periods of its schedule.",
			active: func(st store.Status, m Moment) bool {
				return overdue(st, m, overdueDegraded) && !overdue(st, m, overdueUnhealthy)
			},
			detail: successDetail,
			about:  func(st store.Status, _ Moment) About { return About{Since: st.LastSuccessAt} },
		},
		{
			// A run succeeds without a seller that can't be asked.
			Code: "seller_not_reconciled", Health: Degraded, Stops: hidesLosses, Lasting: 2, Each: "sellers",
			Reason: "The latest reconciliation did not see a seller's payments.",
			active: func(st store.Status, _ Moment) bool { return len(sellersWhere(st, isUnsearched)) > 0 },
			detail: func(st store.Status, _ Moment) details { return details{"sellers": sellersWhere(st, isUnsearched)} },
			about:  func(st store.Status, _ Moment) About { return About{Names: namesOf(sellersWhere(st, isUnsearched))} },
		},
		{
			Code: "reports_failing", Health: Degraded, Stops: warns, Lasting: 1,
			Reason: "Money reports can't be fetched or booked: payouts are not explained.",
			active: func(st store.Status, _ Moment) bool { return len(failingReports(st)) > 0 },
			detail: func(st store.Status, _ Moment) details { return failingReports(st) },
		},
		{
			Code: "reports_stale", Health: Degraded, Stops: warns, Lasting: 1,
			Reason: "Money reports end days ago: payouts since then are not explained.",
			active: func(st store.Status, _ Moment) bool { return len(staleReports(st)) > 0 },
			detail: func(st store.Status, _ Moment) details { return staleReports(st) },
		},
	}
}

func overdue(st store.Status, m Moment, periods int) bool {
	last := st.LastSuccessAt
	return last != nil && m.RunEvery > 0 && m.Now.Sub(*last) >= time.Duration(periods)*m.RunEvery
}

func successDetail(st store.Status, _ Moment) details {
	return details{"last_success_at": st.LastSuccessAt}
}

// lastFinished is the newest run that has ended; nil when there is none.
func lastFinished(st store.Status) *store.Run {
	for i := range st.RecentRuns {
		if st.RecentRuns[i].FinishedAt != nil {
			return &st.RecentRuns[i]
		}
	}
	return nil
}

// lastRunEnded reports whether the newest run that has ended did so like this. A
// state that is not known counts as a failure.
func lastRunEnded(st store.Status, status string) bool {
	run := lastFinished(st)
	if run == nil || run.Status == store.RunSucceeded {
		return false
	}
	if run.Status == store.RunStoppedByCap {
		return status == store.RunStoppedByCap
	}
	return status == store.RunFailed
}

func runDetail(st store.Status, _ Moment) details {
	run := lastFinished(st)
	if run == nil {
		return details{}
	}
	return details{"run_id": run.ID, "drift_found": run.DriftFound, "missing_found": run.MissingFound}
}

// unshown are the payments that the search did not show, by why, but those that
// it merely counts: its count may be wrong, and a reading of every row agreed
// with the one before.
func unshown(st store.Status) map[string]int64 {
	found := map[string]int64{}
	for reason, n := range st.Signals.Unseen {
		if n > 0 && reason != store.UnseenCounted {
			found[reason] = n
		}
	}
	return found
}

func isUnsearched(s store.SellerStatus) bool { return s.Unsearched }

// failingReports are the accounts whose reports can't be fetched or booked, with why.
func failingReports(st store.Status) details {
	failing := details{}
	for _, r := range st.Signals.Reports {
		if r.FailingFor >= reportsFailing || r.Stuck > 0 {
			failing[r.Account] = details{"error": r.Error, "reports": r.Stuck}
		}
	}
	return failing
}

// staleReports are the accounts whose reports end too long ago.
func staleReports(st store.Status) details {
	stale := details{}
	for _, r := range st.Signals.Reports {
		limit := reportsStaleRequest
		if r.Mode == "read" {
			limit = reportsStaleRead
		}
		if r.Age >= limit {
			stale[r.Account] = details{"age_seconds": int64(r.Age.Seconds())}
		}
	}
	return stale
}
