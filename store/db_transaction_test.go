package store_test

import (
	"bytes"
	"cmp"
	"context"
	"net"
	"net/url"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/conciliar/conciliar/store"
	"github.com/conciliar/conciliar/store/order"
)

// failFirst makes the first order that is inserted run the statement.
func (b *bundle) failFirst(t *testing.T, statement string) {
	t.Helper()
	b.exec(t, `CREATE SEQUENCE tries`)
	b.exec(t, `CREATE FUNCTION fail_first() RETURNS trigger LANGUAGE plpgsql AS $$
		BEGIN
			-- A sequence remembers what is rolled back.
			IF nextval('tries') = 1 THEN `+statement+`; END IF;
			RETURN NEW;
		END $$`)
	b.exec(t, `CREATE TRIGGER fail_first BEFORE INSERT ON orders FOR EACH ROW EXECUTE FUNCTION fail_first()`)
}

func TestInTx_IsRetriedWhereThatIsSafe(t *testing.T) {
	t.Parallel()
	for what, c := range map[string]struct {
		statement string
		again     bool
	}{
		"serialization failure": {`RAISE EXCEPTION 'x' USING ERRCODE = '40001'`, true},
		"deadlock":              {`RAISE EXCEPTION 'x' USING ERRCODE = '40P01'`, true},
		"administrator's end":   {`PERFORM pg_terminate_backend(pg_backend_pid())`, true},
		"restored tables":       {`RAISE EXCEPTION 'cached plan must not change result type' USING ERRCODE = '0A000'`, true},
		"unknown statement":     {`RAISE EXCEPTION 'x' USING ERRCODE = '26000'`, true},
		"not supported":         {`RAISE EXCEPTION 'x' USING ERRCODE = '0A000'`, false},
		"statement timeout":     {`RAISE EXCEPTION 'x' USING ERRCODE = '57014'`, false},
		"lock timeout":          {`RAISE EXCEPTION 'x' USING ERRCODE = '55P03'`, false},
		"disk full":             {`RAISE EXCEPTION 'x' USING ERRCODE = '53100'`, false},
		"bad data":              {`RAISE EXCEPTION 'x' USING ERRCODE = '22000'`, false},
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			b.failFirst(t, c.statement)

			created, err := b.RegisterOrder(t.Context(), "A-1", terms("150.05"))

			if c.again {
				require.NoError(t, err)
				require.True(t, created)
				require.Equal(t, 1, b.count(t, `SELECT count(*) FROM order_logs`))
				return
			}
			require.Error(t, err)
			require.Equal(t, 1, b.count(t, `SELECT last_value FROM tries`), "it was tried once")
			require.Zero(t, b.count(t, `SELECT count(*) FROM orders`))
		})
	}
}

// After a failover the old primary may still answer, and take no writes.
func TestInTx_LeavesAReadOnlyServer(t *testing.T) {
	t.Parallel()
	b := setup(t)
	const readOnly = `DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET default_transaction_read_only = on', current_database()); END $$`
	const writable = `DO $$ BEGIN EXECUTE format('ALTER DATABASE %I RESET default_transaction_read_only', current_database()); END $$`
	b.exec(t, readOnly)
	b.pool.Reset()
	_, err := b.RegisterOrder(t.Context(), "A-1", terms("150.05"))
	require.Error(t, err)
	require.Equal(t, 1, b.count(t, `SELECT (current_setting('transaction_read_only') = 'on')::int`), "the session remembers")
	// Another session puts it right; those of the pool don't hear of it.
	b.behindTheScenes(t, writable)

	_, err = b.RegisterOrder(t.Context(), "A-1", terms("150.05"))

	require.NoError(t, err)
}

// behindTheScenes runs a statement in a session that may write.
func (b *bundle) behindTheScenes(t *testing.T, statement string) {
	t.Helper()
	config := b.pool.Config().ConnConfig.Copy()
	config.RuntimeParams["default_transaction_read_only"] = "off"
	conn, err := pgx.ConnectConfig(t.Context(), config)
	require.NoError(t, err)
	_, err = conn.Exec(t.Context(), statement)
	require.NoError(t, err)
	require.NoError(t, conn.Close(t.Context()))
}

// A cutter stands between a pool and PostgreSQL and cuts the connection at a call, a
// COMMIT: before PostgreSQL hears it, or after PostgreSQL did it.
type cutter struct {
	before, after atomic.Bool
	// at is what the call has in it, when it is not a COMMIT.
	at string
}

// through returns a pool on the bundle's database whose connections it cuts.
func (c *cutter) through(t *testing.T, b *bundle) *pgxpool.Pool {
	t.Helper()
	u, err := url.Parse(b.pool.Config().ConnString())
	require.NoError(t, err)
	server := u.Host
	ln, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { _ = ln.Close() })
	go func() {
		for {
			client, err := ln.Accept()
			if err != nil {
				return
			}
			go c.relay(client, server)
		}
	}()
	u.Host = ln.Addr().String()
	pool, err := pgxpool.New(t.Context(), u.String())
	require.NoError(t, err)
	t.Cleanup(pool.Close)
	return pool
}

func (c *cutter) relay(client net.Conn, address string) {
	defer func() { _ = client.Close() }()
	server, err := (&net.Dialer{}).DialContext(context.Background(), "tcp", address)
	if err != nil {
		return
	}
	defer func() { _ = server.Close() }()
	var deaf atomic.Bool
	go func() {
		answers := make([]byte, 1<<16)
		for {
			n, err := server.Read(answers)
			if err != nil || deaf.Load() {
				_ = client.Close()
				return
			}
			if _, err := client.Write(answers[:n]); err != nil {
				return
			}
		}
	}()
	calls := make([]byte, 1<<16)
	for {
		n, err := client.Read(calls)
		if err != nil {
			return
		}
		if bytes.Contains(calls[:n], []byte(cmp.Or(c.at, "commit\x00"))) {
			if c.before.CompareAndSwap(true, false) {
				return
			}
			// The answer comes after the call, so it is not heard.
			deaf.Store(c.after.CompareAndSwap(true, false))
		}
		if _, err := server.Write(calls[:n]); err != nil {
			return
		}
	}
}

// A settlement whose COMMIT got no answer is tried again: its fence stops it when
// it had been done. Either way the payment is applied once.
func TestSettle_IsRetriedAfterACommitWithoutAnAnswer(t *testing.T) {
	t.Parallel()
	b := setup(t)
	var cut cutter
	far := onPool(t, cut.through(t, b))
	_, err := b.RegisterOrder(t.Context(), "A-1", terms("150.05"))
	require.NoError(t, err)
	settle := func(number int, paymentID string) error {
		a := b.startAttempt(t, b.accept(t, signed(number, paymentID)))
		_, err := far.Settle(t.Context(), a, fetched(paymentID, "A-1", order.PaymentApproved, "150.05", 1), complete(a))
		return err
	}

	cut.before.Store(true)
	require.NoError(t, settle(1, "1"))
	cut.after.Store(true)
	require.ErrorIs(t, settle(2, "2"), store.ErrStaleAttempt)

	require.False(t, cut.before.Load() || cut.after.Load())
	require.Equal(t, 2, b.count(t, `SELECT count(*) FROM webhook_queue WHERE outcome = 'settled'`))
	require.Equal(t, 2, b.count(t, `SELECT count(*) FROM payment_logs`))
	b.requireOrder(t, "A-1", order.StatusPaid, "300.10", "0")
}

// Accepting events is tried again when it got no answer: a signed one is there once
// all the same. One without a signature may be there twice, as it would be when its
// sender had been told to deliver it again.
func TestInbox_TriesAgainWhatGotNoAnswer(t *testing.T) {
	t.Parallel()
	b := setup(t)
	cut := cutter{at: "the call"}
	in := onPool(t, cut.through(t, b)).inbox(t, store.InboxOptions{})
	accept := func(event store.NewEvent) store.Receipt {
		event.RequestID = cut.at
		receipt, err := in.Accept(t.Context(), event)
		require.NoError(t, err)
		require.False(t, cut.before.Load() || cut.after.Load())
		return receipt
	}

	cut.before.Store(true)
	require.False(t, accept(signed(1, "1")).Duplicate)
	cut.after.Store(true)
	second := accept(signed(2, "1"))
	require.True(t, second.Duplicate)
	require.Equal(t, 2, b.count(t, `SELECT count(*) FROM webhook_queue`))
	require.Equal(t, 1, b.count(t, `SELECT count(*) FROM webhook_queue WHERE id = $1`, second.QueueID))

	unsigned := signed(0, "1")
	unsigned.Signed, unsigned.Signature = false, nil
	cut.before.Store(true)
	require.False(t, accept(unsigned).Duplicate)
	require.Equal(t, 3, b.count(t, `SELECT count(*) FROM webhook_queue`))
	cut.after.Store(true)
	require.False(t, accept(unsigned).Duplicate)
	require.Eventually(t, func() bool { return b.count(t, `SELECT count(*) FROM webhook_queue`) == 5 }, 30*time.Second, 10*time.Millisecond)
	require.Equal(t, 5, b.count(t, `SELECT count(*) FROM river_job j JOIN webhook_queue q ON q.job_id = j.id`))
}

// What a database or role says of synchronous_commit decides nothing about what we
// answer for, unless it asks for more.
func TestTransactions_AreDurableWhateverTheDatabaseSays(t *testing.T) {
	t.Parallel()
	for set, want := range map[string]string{"off": "on", "local": "on", "on": "on", "remote_write": "remote_write", "remote_apply": "remote_apply"} {
		t.Run(set, func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			b.exec(t, `DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET synchronous_commit = `+set+`', current_database()); END $$`)
			b.exec(t, `CREATE TABLE seen (setting text, isolation text)`)
			b.exec(t, `CREATE FUNCTION see() RETURNS trigger LANGUAGE plpgsql AS $$
				BEGIN
					INSERT INTO seen VALUES (current_setting('synchronous_commit'), current_setting('transaction_isolation'));
					RETURN NEW;
				END $$`)
			for _, table := range []string{"orders", "webhook_queue", "river_job"} {
				b.exec(t, `CREATE TRIGGER see BEFORE INSERT ON `+table+` FOR EACH ROW EXECUTE FUNCTION see()`)
			}
			b.exec(t, `DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET default_transaction_isolation = serializable', current_database()); END $$`)
			b.pool.Reset()

			_, err := b.RegisterOrder(t.Context(), "A-1", terms("150.05"))
			require.NoError(t, err)
			b.accept(t, signed(1, "1"))

			require.Equal(t, 3, b.count(t, `SELECT count(*) FROM seen`))
			require.Zero(t, b.count(t, `SELECT count(*) FROM seen WHERE setting <> $1`, want))
			// An event is one statement, to which isolation makes no difference.
			require.Equal(t, 1, b.count(t, `SELECT count(*) FROM seen WHERE isolation = 'read committed'`))
			require.Equal(t, 1, b.count(t, `SELECT (current_setting('synchronous_commit') = $1)::int`, set), "the session keeps its owner's setting")
		})
	}
}
