package store_test

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/conciliar/conciliar/store"
	"github.com/conciliar/conciliar/store/storetest"
)

// A statementLog keeps the statements of its connections, and counts round trips.
type statementLog struct {
	mu         sync.Mutex
	statements []string
	trips      int
}

func (l *statementLog) note(trip bool, statement string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if trip {
		l.trips++
	}
	if statement != "" {
		l.statements = append(l.statements, statement)
	}
}

func (l *statementLog) TraceQueryStart(ctx context.Context, _ *pgx.Conn, data pgx.TraceQueryStartData) context.Context {
	l.note(true, data.SQL)
	return ctx
}

func (l *statementLog) TraceQueryEnd(context.Context, *pgx.Conn, pgx.TraceQueryEndData) {}

func (l *statementLog) TraceBatchStart(ctx context.Context, _ *pgx.Conn, _ pgx.TraceBatchStartData) context.Context {
	l.note(true, "")
	return ctx
}

func (l *statementLog) TraceBatchQuery(_ context.Context, _ *pgx.Conn, data pgx.TraceBatchQueryData) {
	l.note(false, data.SQL)
}

func (l *statementLog) TraceBatchEnd(context.Context, *pgx.Conn, pgx.TraceBatchEndData) {}

// take returns what was noted since the last time.
func (l *statementLog) take() (statements []string, trips int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	statements, trips = l.statements, l.trips
	l.statements, l.trips = nil, 0
	return statements, trips
}

// loggedPool is a single connection to the database of another pool, whose statements are
// noted.
func loggedPool(t *testing.T, of *pgxpool.Pool) (*pgxpool.Pool, *statementLog) {
	t.Helper()
	log := &statementLog{}
	config := of.Config()
	config.MaxConns, config.MinConns, config.ConnConfig.Tracer = 1, 0, log
	pool, err := pgxpool.NewWithConfig(t.Context(), config)
	require.NoError(t, err)
	t.Cleanup(pool.Close)
	return pool, log
}

// logged is the crowd's store on such a connection.
func (c *crowd) logged(t *testing.T) (*bundle, *statementLog) {
	t.Helper()
	pool, log := loggedPool(t, c.pool)
	return onPool(t, pool), log
}

// What a group costs does not depend on how many events it has: neither on their number
// nor on that of their orders and payments.
func TestGroup_CostsAsManyStatementsWhateverItsSize(t *testing.T) {
	t.Parallel()
	c := newCrowd(t)
	b, log := c.logged(t)
	settler := b.settler(t, store.SettlerOptions{})
	var counted [][]string
	for _, waiting := range [][]store.Waiting{c.waiting[:4], c.waiting[4:8], c.waiting[8:31], c.waiting[31:]} {
		log.take()
		for _, e := range settler.EndTogether(t.Context(), waiting) {
			require.NoError(t, e.Err)
			require.False(t, e.Alone)
		}
		statements, trips := log.take()
		require.LessOrEqual(t, trips, 8, statements)
		statements = slices.DeleteFunc(statements, func(s string) bool { return s == "DISCARD PLANS" })
		counted = append(counted, statements)
	}
	c.requirePaid(t, crowdSize)
	require.LessOrEqual(t, len(counted[1]), 30)
	require.Len(t, counted[2], len(counted[1]), "23 events")
	require.Len(t, counted[3], len(counted[1]), "69 events")

	log.take()
	var starting sync.WaitGroup
	for _, w := range c.waiting {
		starting.Go(func() { _, _ = settler.Start(t.Context(), w.Attempt.QueueID) })
	}
	starting.Wait()
	_, trips := log.take()
	require.Less(t, trips, crowdSize)
}

// A plan is made while the tables are empty, and analyzed as such, when any index looks
// as good as any other. As they grow each statement of a group finds its rows by the
// beginning of an index.
func TestGroup_FindsItsRowsByIndexesOnTablesThatWereEmpty(t *testing.T) {
	t.Parallel()
	c := newCrowd(t)
	c.exec(t, `ANALYZE`)
	b, log := c.logged(t)
	settler := b.settler(t, store.SettlerOptions{})
	for _, waiting := range [][]store.Waiting{c.waiting[:31], c.waiting[31:]} {
		log.take()
		for _, e := range settler.EndTogether(t.Context(), waiting) {
			require.NoError(t, e.Err)
			require.False(t, e.Alone)
		}
	}
	statements, _ := log.take()

	b.exec(t, `SET plan_cache_mode = force_generic_plan`)
	grown := []string{"payments", "payment_logs", "orders", "order_logs", "order_events", "webhook_queue", "river_job"}
	looked := 0
	for _, s := range statements {
		name, parameters := "", 0
		err := b.pool.QueryRow(t.Context(), `SELECT name, cardinality(parameter_types) FROM pg_prepared_statements WHERE statement = $1 AND generic_plans > 0`, s).
			Scan(&name, &parameters)
		if err != nil || parameters == 0 {
			require.NotContains(t, s, "unnest", "a statement with a plan of its own")
			continue
		}
		var plans []struct{ Plan planNode }
		var text []byte
		arguments := strings.TrimSuffix(strings.Repeat("NULL,", parameters), ",")
		require.NoError(t, b.pool.QueryRow(t.Context(), fmt.Sprintf(`EXPLAIN (FORMAT JSON) EXECUTE %q (%s)`, name, arguments)).Scan(&text), s)
		require.NoError(t, json.Unmarshal(text, &plans))
		plans[0].Plan.each(func(n planNode) {
			if n.Index == "" {
				require.NotEqual(t, "Seq Scan", n.Type, s)
				return
			}
			var table, first string
			require.NoError(t, b.pool.QueryRow(t.Context(), `SELECT indrelid::regclass::text, pg_get_indexdef(indexrelid, 1, true) FROM pg_index WHERE indexrelid = $1::regclass`,
				storetest.Schema+"."+n.Index).Scan(&table, &first))
			if slices.Contains(grown, table) {
				looked++
				require.Contains(t, n.Condition, first, "%s by %s:\n%s", table, n.Index, s)
			}
		})
	}
	require.Positive(t, looked)
	c.requirePaid(t, crowdSize)
}

// A planNode is a node of a plan as EXPLAIN tells it.
type planNode struct {
	Type      string     `json:"Node Type"`
	Table     string     `json:"Relation Name"`
	Index     string     `json:"Index Name"`
	Condition string     `json:"Index Cond"`
	Filter    string     `json:"Filter"`
	OneTime   string     `json:"One-Time Filter"`
	Plans     []planNode `json:"Plans"`
}

func (n planNode) each(do func(planNode)) {
	do(n)
	for _, child := range n.Plans {
		child.each(do)
	}
}
