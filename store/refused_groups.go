package store

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"
)

const (
	// refusedGroups is how many groups of refused deliveries are made at most, and
	// refusedLooked how many of each are looked at.
	refusedGroups = 100
	refusedLooked = 10
)

// A RefusedGroup is the deliveries that one source had refused in one hour for one
// reason.
type RefusedGroup struct {
	// Hour is when it began.
	Hour   time.Time `json:"hour"`
	Source string    `json:"source"`
	Reason string    `json:"reason"`
	Count  int64     `json:"count"`
	// ForeignRequestIDs is how many came with an x-request-id that is not a UUID, and
	// RequestID the newest of these; empty where there is none. Where a signature covers
	// it and does not match, a proxy has most likely replaced it.
	ForeignRequestIDs int64  `json:"foreign_request_ids"`
	RequestID         string `json:"foreign_request_id"`
	// Verdicts say why the newest of them were refused.
	Verdicts []RefusedVerdict `json:"verdicts"`
}

// A RefusedVerdict is why deliveries of a group were refused, by what is accepted now.
type RefusedVerdict struct {
	// Verdict is the signature doctor's word; empty where it has none.
	Verdict string `json:"verdict"`
	// Count is how many of those that were looked at, and NewestID the newest.
	Count    int64 `json:"count"`
	NewestID int64 `json:"newest_id"`
}

func (f RefusedFilter) narrow(c *conditions) {
	c.equal("reason", f.Reason)
	c.equal("source", f.Source)
	if f.Named != "" {
		c.add(`(x_request_id = ? OR EXISTS (SELECT FROM regexp_split_to_table(query, '&') p
			WHERE lower(split_part(p, '=', 1)) IN ('data.id', 'data%2eid', 'id') AND split_part(p, '=', 2) = ?))`, text(f.Named))
	}
	c.between("refused_at", f.Since, f.Until)
}

// RefusedGroups groups the refused deliveries that the filter selects, the latest hour
// first, up to 100 groups. diagnose gives the verdict on a delivery; it is asked about
// the newest ten of each group.
func (s *Store) RefusedGroups(ctx context.Context, filter RefusedFilter, diagnose func(RefusedDetail) (string, error)) ([]RefusedGroup, error) {
	var c conditions
	filter.narrow(&c)
	const foreign = `FILTER (WHERE x_request_id <> '' AND x_request_id !~* '^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$')`
	where := c.sql()
	rows, _ := s.pool.Query(ctx, `
		SELECT date_trunc('hour', refused_at, 'UTC'), source, reason, count(*),
		       count(*) `+foreign+`, coalesce((array_agg(x_request_id ORDER BY id DESC) `+foreign+`)[1], '')
		FROM webhook_refused WHERE `+where+` GROUP BY 1, 2, 3 ORDER BY 1 DESC, 4 DESC, 2, 3 LIMIT `+c.arg(refusedGroups), c.args...)
	groups, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (g RefusedGroup, err error) {
		err = row.Scan(&g.Hour, &g.Source, &g.Reason, &g.Count, &g.ForeignRequestIDs, &g.RequestID)
		toUTC(&g.Hour)
		return g, err
	})
	if err == nil {
		err = s.judgeGroups(ctx, filter, groups, diagnose)
	}
	return groups, wrap(err, "groups of refused deliveries")
}

// judgeGroups fills in the groups' verdicts.
func (s *Store) judgeGroups(ctx context.Context, filter RefusedFilter, groups []RefusedGroup, diagnose func(RefusedDetail) (string, error)) error {
	hours, sources, reasons := make([]time.Time, len(groups)), make([]string, len(groups)), make([]string, len(groups))
	for i, g := range groups {
		hours[i], sources[i], reasons[i] = g.Hour, g.Source, g.Reason
		groups[i].Verdicts = []RefusedVerdict{}
	}
	var c conditions
	filter.narrow(&c)
	of := "unnest(" + c.arg(hours) + "::timestamptz[], " + c.arg(sources) + "::text[], " + c.arg(reasons) + "::text[]) WITH ORDINALITY AS g (hour, of_source, of_reason, n)"
	where := c.sql()
	rows, _ := s.pool.Query(ctx, `
		SELECT g.n, `+refusedColumns+`, x_signature, body FROM `+of+` CROSS JOIN LATERAL (
			SELECT * FROM webhook_refused
			WHERE `+where+` AND source = g.of_source AND reason = g.of_reason AND refused_at >= g.hour AND refused_at < g.hour + interval '1 hour'
			ORDER BY id DESC LIMIT `+c.arg(refusedLooked)+`) r
		ORDER BY g.n, id DESC`, c.args...)
	found, err := pgx.CollectRows(rows, pgx.RowToStructByPos[struct {
		N int64
		keptRefused
	}])
	if err != nil {
		return err
	}
	for _, r := range found {
		word, err := diagnose(r.detail())
		if err != nil {
			return err
		}
		groups[r.N-1].count(word, r.ID)
	}
	return nil
}

// count counts one verdict.
func (g *RefusedGroup) count(verdict string, id int64) {
	for i := range g.Verdicts {
		if g.Verdicts[i].Verdict == verdict {
			g.Verdicts[i].Count++
			return
		}
	}
	g.Verdicts = append(g.Verdicts, RefusedVerdict{Verdict: verdict, Count: 1, NewestID: id})
}
