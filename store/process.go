package store

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

// Roles of a process.
const (
	RoleAll    = "all"
	RoleAPI    = "api"
	RoleWorker = "worker"
)

const (
	// beatEvery is how often a process says that it is alive, and beatTimeout
	// bounds each time.
	beatEvery = 15 * time.Second
	// filesEvery is which of the beats writes files that did not change.
	filesEvery  = 4
	beatTimeout = 5 * time.Second
	// farewell bounds taking the process off the list when it stops.
	farewell = time.Second
)

// A Process is a running part of the service, by its own word.
type Process struct {
	ID string
	// Host is the machine's name.
	Host string
	// Role is RoleAll, RoleAPI or RoleWorker.
	Role    string
	Version string
	// PoolMax is how many database connections it may hold, PoolInUse how many
	// it used when it was seen.
	PoolMax, PoolInUse int
	// PoolWait is how long a caller waited for one on average since the time
	// before, and PoolGaveUp how many callers got none.
	PoolWait   time.Duration
	PoolGaveUp int64
	// AccountKnown is false while it takes no payment for another account's, because
	// it does not know which account is ours.
	AccountKnown bool
	// NotAccepted counts the webhooks that it could not make durable since the time
	// before.
	NotAccepted int64
}

// A ProcessFile is a configuration file that a process reads again when it changes.
type ProcessFile struct {
	// Name is the variable that names it.
	Name string
	// Digest is of what is in use: processes that use the same have the same. It is
	// empty where there is no file.
	Digest string
	// Problem is why the file as it is now is not in use; empty while it is.
	Problem string
}

// A Heartbeat says every few seconds that this process is alive, and how its pool of
// connections fares.
type Heartbeat struct {
	store  *Store
	self   Process
	files  func() []ProcessFile
	before *pgxpool.Stat
	// beats is how many there were, written are the files as they were written last.
	beats   int
	written []ProcessFile
	// notAccepted is how many there were in all the time before.
	notAccepted int64
	stop        context.CancelFunc
	done        sync.WaitGroup
}

// NewHeartbeat starts one. Of self, Host, Role and Version count; files are those that
// the process has in use. Close stops it.
func NewHeartbeat(store *Store, self Process, files func() []ProcessFile) *Heartbeat {
	ctx, stop := context.WithCancel(context.Background())
	self.ID = rand.Text()
	self.Host = cmp.Or(self.Host, "unknown")
	h := &Heartbeat{store: store, self: self, files: files, before: store.pool.Stat(), stop: stop}
	h.done.Go(func() { h.run(ctx) })
	return h
}

// Close takes the process off the list, as far as a second allows, and stops.
func (h *Heartbeat) Close() {
	h.stop()
	h.done.Wait()
}

func (h *Heartbeat) run(ctx context.Context) {
	tick := time.Tick(beatEvery)
	for {
		h.beat(ctx)
		select {
		case <-tick:
		case <-ctx.Done():
			h.leave()
			return
		}
	}
}

func (h *Heartbeat) beat(ctx context.Context) {
	now := h.store.pool.Stat()
	h.self.PoolMax, h.self.PoolInUse = int(now.MaxConns()), int(now.AcquiredConns())
	h.self.PoolWait, h.self.PoolGaveUp = poolStrain(h.before, now)
	h.self.AccountKnown = h.store.rulesNow().CollectorID != ""
	notAccepted := h.store.acceptance.failed.Load()
	h.self.NotAccepted = notAccepted - h.notAccepted
	ctx, cancel := context.WithTimeout(ctx, beatTimeout)
	defer cancel()
	files := h.files()
	// Those that are as they were are seldom written again.
	known := h.beats%filesEvery != 0 && slices.Equal(files, h.written)
	err := h.store.beat(ctx, h.self, files, known)
	if err == nil {
		h.beats, h.written = h.beats+1, files
		// Not before: a pool that has no connection for this either must show
		// once it has one again.
		h.before, h.notAccepted = now, notAccepted
		return
	}
	if !errors.Is(err, context.Canceled) { // else the process is stopping
		h.store.logger.WarnContext(ctx, "process not noted as alive", "error", err)
	}
}

// poolStrain is the mean wait of a caller between two looks at a pool, and how
// many callers gave up.
func poolStrain(before, now *pgxpool.Stat) (wait time.Duration, gaveUp int64) {
	if acquired := now.AcquireCount() - before.AcquireCount(); acquired > 0 {
		wait = (now.EmptyAcquireWaitTime() - before.EmptyAcquireWaitTime()) / time.Duration(acquired)
	}
	return wait, now.CanceledAcquireCount() - before.CanceledAcquireCount()
}

// beat notes that the process is alive, and its files unless they are known, and forgets
// processes that died long ago.
func (s *Store) beat(ctx context.Context, p Process, files []ProcessFile, known bool) error {
	if known {
		return wrap(noteProcess(ctx, s.pool, p), "note a process")
	}
	err := s.inTx(ctx, func(tx pgx.Tx) error {
		if err := noteProcess(ctx, tx, p); err != nil {
			return err
		}
		names, digests, problems := make([]string, len(files)), make([]string, len(files)), make([]string, len(files))
		for i, f := range files {
			names[i], digests[i], problems[i] = f.Name, f.Digest, text(f.Problem)
		}
		return execute(ctx, tx, `
			INSERT INTO process_files AS known (process_id, name, digest, problem)
			SELECT $1, f.* FROM unnest($2::text[], $3::text[], $4::text[]) AS f (name, digest, problem)
			ON CONFLICT (process_id, name) DO UPDATE SET digest = excluded.digest, problem = excluded.problem
			WHERE (known.digest, known.problem) <> (excluded.digest, excluded.problem)`, p.ID, names, digests, problems)
	})
	return wrap(err, "note a process")
}

func noteProcess(ctx context.Context, q querier, p Process) error {
	return execute(ctx, q, `
		WITH dead AS (DELETE FROM processes WHERE (seen_at < now() - interval '1 hour' OR seen_at > now() + interval '1 minute') AND id <> $1)
		INSERT INTO processes (id, host, role, version, pool_max, pool_in_use, pool_wait_ms, pool_gave_up, account_known, not_accepted)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
		ON CONFLICT (id) DO UPDATE SET seen_at = now(), pool_max = excluded.pool_max, pool_in_use = excluded.pool_in_use,
			pool_wait_ms = excluded.pool_wait_ms, pool_gave_up = excluded.pool_gave_up, account_known = excluded.account_known,
			not_accepted = excluded.not_accepted`,
		p.ID, text(p.Host), p.Role, text(p.Version), p.PoolMax, p.PoolInUse, p.PoolWait.Milliseconds(), p.PoolGaveUp, p.AccountKnown, p.NotAccepted)
}

func (h *Heartbeat) leave() {
	ctx, cancel := context.WithTimeout(context.Background(), farewell)
	defer cancel()
	if _, err := h.store.pool.Exec(ctx, `DELETE FROM processes WHERE id = $1`, h.self.ID); err != nil {
		h.store.logger.DebugContext(ctx, "process not taken off the list", "error", err)
	}
}
