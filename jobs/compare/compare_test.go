package compare_test

import (
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/conciliar/conciliar/jobs/compare"
	"github.com/conciliar/conciliar/store"
	"github.com/conciliar/conciliar/store/order"
	"github.com/conciliar/conciliar/store/storetest"
)

// ledger is a store whose orders the SQL made.
func ledger(t *testing.T, statements ...string) *store.Store {
	t.Helper()
	pool := storetest.Pool(t)
	storage, err := store.New(pool, store.Options{
		Rules: order.Rules{Mode: order.ModeAny}, UnknownOrder: store.UnknownOrderWait, Logger: slog.New(slog.DiscardHandler),
	})
	require.NoError(t, err)
	for _, statement := range statements {
		insert(t, pool, statement)
	}
	return storage
}

func insert(t *testing.T, pool *pgxpool.Pool, statement string) {
	t.Helper()
	_, err := pool.Exec(t.Context(), statement)
	require.NoError(t, err)
}

func run(t *testing.T, storage *store.Store, content string, opts compare.Options, mappings ...string) (compare.Result, error) {
	t.Helper()
	opts.Statuses = compare.Statuses{}
	for _, m := range mappings {
		require.NoError(t, opts.Statuses.Add(m))
	}
	if opts.Limit == 0 {
		opts.Limit = 100
	}
	return compare.Run(t.Context(), storage, strings.NewReader(content), opts)
}

const someOrders = `INSERT INTO orders (reference, amount, currency, status, paid_amount, refunded_amount, updated_at) VALUES
	('equal', 150, 'ARS', 'paid', 150, 0, '2026-03-01'), ('lost', 150, 'ARS', 'paid', 150, 0, '2026-03-01'), ('twice', 0.3, 'ARS', 'paid', 0.3, 0, '2026-03-01'),
	('back', 150, 'ARS', 'refunded', 150, 150, '2026-03-01'), ('terms', 150, 'ARS', 'pending', 0, 0, '2026-03-01'), ('old', 1, 'ARS', 'pending', 0, 0, '2026-01-01'),
	('unsaid', 1, 'ARS', 'rejected', 0, 0, '2026-03-01')`

const somePayments = `INSERT INTO payments (source, payment_id, order_reference, status, amount, refunded_amount, currency, live_mode, date_last_updated, fetched_at, raw) VALUES
	('mercadopago', '1', 'lost', 'approved', 150, 0, 'ARS', true, now(), now(), ''), ('mercadopago', '2', 'back', 'refunded', 150, 150, 'ARS', true, now(), now(), ''),
	('mercadopago', '3', 'unknown', 'approved', 10, 0, 'ARS', true, now(), now(), '')`

func TestCompare_NamesWhatDiffersAndWhy(t *testing.T) {
	t.Parallel()
	storage := ledger(t, someOrders, somePayments)

	result, err := run(t, storage, "\ufeffStatus;reference;paid_amount;refunded_amount;amount;currency;note\r\n"+
		"done;equal;150,00;0;150.0;ARS;\"a;b\"\r\n"+
		"open;lost;;;150;ARS;\r\n"+
		"done;twice;0,60;;;;\r\n"+
		"done;back;150;;;;\r\n"+
		"open;terms;0;0;15,00;BRL;\r\n"+
		"open;unknown;;;;;\r\n"+
		"open;nowhere;;;;;\r\n", compare.Options{Since: time.Date(2026, 2, 1, 0, 0, 0, 0, time.UTC)}, "done=paid", "open=pending,in_process,rejected")

	require.NoError(t, err)
	require.False(t, result.Equal())
	require.Equal(t, [4]int{1, 4, 2, 1}, [4]int{result.Same, result.Different, result.Unregistered, result.NotInFile})
	line := func(n int) *int { return &n }
	text := func(s string) *string { return &s }
	require.Equal(t, []compare.Difference{
		{compare.Differs, "lost", line(3), []compare.Fact{{"status", text("open"), text("paid")}},
			"the amount is there: payment 1 approved 150.00 ARS; registered for 150.00 ARS"},
		{compare.Differs, "twice", line(4), []compare.Fact{{"paid_amount", text("0,60"), text("0.30")}},
			"the amount is there: no payment names it; registered for 0.30 ARS"},
		{compare.Differs, "back", line(5), []compare.Fact{{"status", text("done"), text("refunded")}},
			"all of the money went back: payment 2 refunded 150.00 ARS, of it back 150.00; registered for 150.00 ARS"},
		{compare.Differs, "terms", line(6), []compare.Fact{{"currency", text("BRL"), text("ARS")}, {"amount", text("15,00"), text("150.00")}},
			"registered for 150.00 ARS"},
		{compare.Unregistered, "unknown", line(7), []compare.Fact{{"status", text("open"), nil}}, "not registered: payment 3 approved 10.00 ARS"},
		{compare.Unregistered, "nowhere", line(8), []compare.Fact{{"status", text("open"), nil}}, "not registered: no payment names it"},
		{compare.NotInFile, "unsaid", nil, []compare.Fact{{"status", nil, text("rejected")}}, "the file doesn't have it; it changed at 2026-03-01T00:00:00Z"},
	}, result.Differences)
}

func TestCompare_KeepsSoManyAndCountsAll(t *testing.T) {
	t.Parallel()
	storage := ledger(t, `INSERT INTO orders (reference, amount, currency) SELECT 'o-' || n, 1, 'ARS' FROM generate_series(1, 1200) n`)
	var content strings.Builder
	content.WriteString("reference,status\n")
	for n := range 1200 {
		fmt.Fprintf(&content, "o-%d,%s\n", n+1, []string{"paid", "pending"}[n%2])
	}
	result, err := run(t, storage, content.String(), compare.Options{Limit: 2})
	require.NoError(t, err)
	require.Equal(t, [2]int{600, 600}, [2]int{result.Same, result.Different})
	require.Len(t, result.Differences, 2)
	require.True(t, result.More)
}

func TestCompare_RefusesAFileThatItCantReadToItsEnd(t *testing.T) {
	t.Parallel()
	storage := ledger(t)
	for name, c := range map[string]struct{ content, says string }{
		"nothing":             {"", "line 1: the file is empty"},
		"no status":           {"reference,state\n", `line 1, column "status": is missing; the columns are reference, state`},
		"a column twice":      {"reference,status,Status\n", `line 1, column "status": stands there twice`},
		"a row too short":     {"reference,status\no-1,paid\no-2\n", "line 3: wrong number of fields"},
		"no reference":        {"reference,status\n,paid\n", `line 2, column "reference": must have 1 to 64 characters`},
		"an order twice":      {"reference,status\no-1,paid\no-1,paid\n", `line 3, column "reference": "o-1" stands in line 2 already`},
		"no amount":           {"reference,status,amount\no-1,paid,1e3\n", `line 2, column "amount": "1e3" must be digits with at most one point, like "150.00"`},
		"a comma of what":     {"reference;status;amount\no-1;paid;1,500\n", `line 2, column "amount": "1,500" can't be read in one way only: write it without thousands, like "1500.00"`},
		"a quote without end": {"reference,status\no-1,\"paid\n", `line 2: extraneous or missing " in quoted-field`},
		"unknown statuses": {"reference,status\na,open\nb,done\nc,open\n", `statuses that are not mapped: "open" (rows: 2, the first in line 2), "done" (rows: 1, the first in line 3). ` +
			`Say what each means, like --status 'open=pending'; ours are pending, in_process, authorized, rejected, cancelled, partially_paid, paid, partially_refunded, refunded, in_mediation, charged_back`},
	} {
		_, err := run(t, storage, c.content, compare.Options{})
		require.EqualError(t, err, c.says, name)
	}
}

func TestStatuses_AreMappedOnceToKnownOnes(t *testing.T) {
	t.Parallel()
	statuses := compare.Statuses{}
	require.NoError(t, statuses.Add("a=b=paid, partially_paid"))
	require.Equal(t, compare.Statuses{"a=b": {order.StatusPaid, order.StatusPartiallyPaid}}, statuses)
	require.Error(t, statuses.Add("a=b=paid"))
	require.Error(t, statuses.Add("paid"))
	require.Error(t, statuses.Add("x=settled"))
}
