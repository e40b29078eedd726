package e2e

import (
	"context"
	"log/slog"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/riverqueue/river"
	"github.com/riverqueue/river/riverdriver/riverpgxv5"
	"github.com/riverqueue/river/rivermigrate"
	"github.com/stretchr/testify/require"

	"github.com/conciliar/conciliar/store/storetest"
)

// sessionsIn returns a pool of a shop's own: its sessions look in the schemas named.
func sessionsIn(t *testing.T, databaseURL, schemas string) *pgxpool.Pool {
	t.Helper()
	config, err := pgxpool.ParseConfig(databaseURL)
	require.NoError(t, err)
	config.ConnConfig.RuntimeParams["search_path"] = schemas
	pool, err := pgxpool.NewWithConfig(t.Context(), config)
	require.NoError(t, err)
	t.Cleanup(pool.Close)
	return pool
}

// An Email is a job of the shop's.
type Email struct {
	// QueueID is what our jobs have, too.
	QueueID int64 `json:"queue_id"`
}

func (Email) Kind() string { return "webhook_payment" }

// shopsRiver is a shop that works jobs with River in public, of a kind and in a queue
// that have our names. It returns what has been worked.
func shopsRiver(t *testing.T, pool *pgxpool.Pool) (insert func(), worked <-chan int64) {
	t.Helper()
	quiet := slog.New(slog.DiscardHandler)
	migrator, err := rivermigrate.New(riverpgxv5.New(pool), &rivermigrate.Config{Logger: quiet})
	require.NoError(t, err)
	_, err = migrator.Migrate(t.Context(), rivermigrate.DirectionUp, nil)
	require.NoError(t, err)
	done := make(chan int64, 100)
	workers := river.NewWorkers()
	river.AddWorker(workers, river.WorkFunc(func(_ context.Context, job *river.Job[Email]) error {
		done <- job.Args.QueueID
		return nil
	}))
	client, err := river.NewClient(riverpgxv5.New(pool), &river.Config{
		Logger: quiet, Workers: workers, Queues: map[string]river.QueueConfig{"webhooks": {MaxWorkers: 2}},
	})
	require.NoError(t, err)
	require.NoError(t, client.Start(t.Context()))
	t.Cleanup(func() { require.NoError(t, client.Stop(context.WithoutCancel(t.Context()))) })
	return func() {
		_, err := client.Insert(t.Context(), Email{QueueID: 1}, &river.InsertOpts{Queue: "webhooks"})
		require.NoError(t, err)
	}, done
}

// A shop has tables and jobs with our names, and a database that looks there first.
func TestSchema_AShopsOwnTablesAreNeverMet(t *testing.T) {
	t.Parallel()
	databaseURL := storetest.EmptyURL(t)
	shop := sessionsIn(t, databaseURL, "public, conciliar")
	exec := func(statement string) {
		t.Helper()
		_, err := shop.Exec(t.Context(), statement)
		require.NoError(t, err)
	}
	exec(`CREATE TABLE orders (reference text PRIMARY KEY, status text NOT NULL DEFAULT 'new', amount numeric, currency text, settled_at timestamptz)`)
	exec(`CREATE TABLE payments (id bigserial PRIMARY KEY); CREATE TABLE webhook_queue (id bigserial PRIMARY KEY)`)
	exec(`DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET search_path = public, conciliar', current_database()); END $$`)
	insert, worked := shopsRiver(t, shop)
	insert()
	sim, provider := newProvider(t)
	environ := environment(databaseURL, provider, nil)

	got := execute(t, environ, "migrate")
	require.Equal(t, exitDone, got.code, got.err)
	p, service := serve(t, environ)
	exec(`INSERT INTO orders (reference, amount, currency) VALUES ('order-1', 150, 'ARS')`)
	buy(t, sim, service, "order-1")
	awaitBody(t, service+"/api/orders/order-1", ordersToken, `"status":"paid"`)
	exec(`INSERT INTO conciliar.orders (reference, amount, currency) VALUES ('order-2', 150, 'ARS')`)
	exec(`UPDATE conciliar.orders SET amount = 140 WHERE reference = 'order-1'`)
	awaitBody(t, service+"/api/orders/order-1", ordersToken, `"kind":"overpaid"`)
	insert()
	require.Equal(t, []int64{1, 1}, []int64{<-worked, <-worked})
	awaitBody(t, service+"/api/webhooks/status", statusToken, `"completed":1`)
	got = execute(t, environ, "verify")
	require.Equal(t, exitDone, got.code, got.out)
	require.Equal(t, exitDone, p.stop())

	var shops string
	require.NoError(t, shop.QueryRow(t.Context(), `
		SELECT concat_ws(' ', (SELECT string_agg(reference || ' ' || status || ' ' || (settled_at IS NULL), ', ') FROM public.orders), (SELECT count(*) FROM public.river_job WHERE state = 'completed'),
		                 (SELECT count(*) FROM public.webhook_queue), (SELECT count(*) FROM public.payments), (SELECT string_agg(name, ' ') FROM public.river_queue))`).Scan(&shops))
	require.Equal(t, "order-1 new true 2 0 0 webhooks", shops)
	require.Equal(t, outcome{code: exitDone}, execute(t, environ, "migrate", "--check"))
}

// An installation from before there were schemas: what waits in it is done after it was
// moved, and it is not moved under a process that lives.
func TestMigrate_MovesAnInstallation(t *testing.T) {
	t.Parallel()
	databaseURL := storetest.EmptyURL(t)
	sim, provider := newProvider(t)
	environ := environment(databaseURL, provider, nil)
	before := append(environ, "DATABASE_SCHEMA=public") //nolint:gocritic // environ stays as it is
	require.Equal(t, exitDone, execute(t, before, "migrate").code)
	p, service := serve(t, before, "--only", "api")
	buy(t, sim, service, "order-1")

	for _, args := range [][]string{{"serve"}, {"migrate"}, {"migrate", "--check"}, {"status"}} {
		got := execute(t, environ, args...)
		require.Equal(t, exitUsage, got.code, "%v", args)
		require.Contains(t, got.err, "DATABASE_SCHEMA: is conciliar, which holds no installation, and the schema public holds one: ")
		require.Contains(t, got.err, "'conciliar migrate --move-from public'")
	}
	require.Contains(t, findings(t, environ, exitFailed)["schema"].Says, "the schema public holds one")
	got := execute(t, environ, "migrate", "--move-from", "public")
	require.Equal(t, exitFailed, got.code)
	require.Contains(t, got.err, "a process works with public: stop every process, and move again")
	status, body := get(t, service+"/api/orders/order-1", ordersToken)
	require.Equal(t, 200, status, body)

	require.Equal(t, exitDone, p.stop())
	got = execute(t, environ, "migrate", "--move-from", "public")
	require.Equal(t, exitDone, got.code, got.err)
	require.Contains(t, got.err, "installation moved")

	p, service = serve(t, environ)
	awaitBody(t, service+"/api/orders/order-1", ordersToken, `"status":"paid"`)
	require.Equal(t, exitDone, execute(t, environ, "verify").code)
	require.Equal(t, exitDone, p.stop())
	got = execute(t, environ, "migrate", "--move-from", "public")
	require.Equal(t, exitFailed, got.code)
	require.Contains(t, got.err, "the schema public holds no installation")
	require.Equal(t, exitUsage, execute(t, before, "migrate", "--move-from", "public").code)
	conn, err := pgx.Connect(t.Context(), databaseURL)
	require.NoError(t, err)
	defer func() { require.NoError(t, conn.Close(context.WithoutCancel(t.Context()))) }()
	var left int
	require.NoError(t, conn.QueryRow(t.Context(), `SELECT count(*) FROM pg_class WHERE relnamespace = 'public'::regnamespace`).Scan(&left))
	require.Zero(t, left)
}

func TestServe_RefusesASchemaThatLacksATable(t *testing.T) {
	t.Parallel()
	databaseURL := storetest.URL(t)
	execSQL(t, databaseURL, `DROP TABLE webhook_refused; CREATE TABLE public.webhook_refused (id bigint); ALTER TABLE orders DROP COLUMN reference_key`)
	got := execute(t, environment(databaseURL, "http://127.0.0.1:1", nil), "serve")
	require.Equal(t, exitFailed, got.code)
	require.Contains(t, got.err, "the database's schema lacks what its steps have made: table webhook_refused, column orders.reference_key; restore it from a backup")
}
