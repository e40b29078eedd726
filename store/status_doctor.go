package store

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
)

// A Server is the database's server.
type Server struct {
	// Version is its number, for example 150018 for 15.18, Name how it writes it.
	Version int
	Name    string
	// Now is its clock's time.
	Now time.Time
	Durability
	// HasStandby is true when commits wait for a standby (synchronous_standby_names).
	HasStandby bool
}

// Durability is what the server's owner set of how safely a commit is kept, by
// PostgreSQL's names (PostgreSQL documentation, 20.5): SynchronousCommit for a
// session that says nothing of it. Our own commits demand it: see durableTx.
type Durability struct {
	Fsync             string `json:"fsync"`
	FullPageWrites    string `json:"full_page_writes"`
	SynchronousCommit string `json:"synchronous_commit"`
}

// Server asks the database who it is. It needs no schema.
func (s *Store) Server(ctx context.Context) (Server, error) {
	var found Server
	err := s.pool.QueryRow(ctx, `
		SELECT current_setting('server_version_num')::int, current_setting('server_version'), clock_timestamp(),
		       current_setting('fsync'), current_setting('full_page_writes'), current_setting('synchronous_commit'),
		       current_setting('synchronous_standby_names') <> ''`).
		Scan(&found.Version, &found.Name, &found.Now, &found.Fsync, &found.FullPageWrites, &found.SynchronousCommit, &found.HasStandby)
	return found, wrap(err, "ask the database")
}

// MayReindex reports whether our role may rebuild the indexes of River's jobs.
func (s *Store) MayReindex(ctx context.Context) (bool, error) {
	var may bool
	err := s.pool.QueryRow(ctx, `
		SELECT CASE WHEN pg_has_role(relowner, 'USAGE') THEN true
		            WHEN current_setting('server_version_num')::int >= 170000 THEN has_table_privilege(oid, 'MAINTAIN')
		            ELSE false END
		FROM pg_class WHERE oid = 'river_job'::regclass`).Scan(&may)
	return may, wrap(err, "ask for the right to reindex")
}

// Arrivals is what came lately.
type Arrivals struct {
	// LastAt is when the newest webhook was accepted; nil when none was among the
	// newest events.
	LastAt *time.Time
	// Refused24h counts the refused deliveries of the last day, and
	// LastRefusedID is the newest of them; 0 when there is none.
	Refused24h    int64
	LastRefusedID int64
	// LastReason is why that one was refused.
	LastReason string
}

// arrivalsLooked is how many events are looked at for a webhook: enough to pass
// over a bulk replay, few enough to be read at once.
const arrivalsLooked = 10_000

// Arrivals returns what came lately.
func (s *Store) Arrivals(ctx context.Context) (Arrivals, error) {
	var found Arrivals
	err := s.readSnapshot(ctx, func(tx pgx.Tx) error {
		for _, table := range []string{"webhook_queue", "webhook_archive"} {
			err := tx.QueryRow(ctx, `
				SELECT max(received_at) FROM (SELECT source, origin, received_at FROM `+table+` ORDER BY id DESC LIMIT $1) newest
				WHERE origin = $2 AND `+ofProviders("$3"), arrivalsLooked, OriginWebhook, s.providers).Scan(&found.LastAt)
			if err != nil {
				return err
			}
			if found.LastAt != nil {
				break
			}
		}
		return tx.QueryRow(ctx, `
			SELECT count(*), coalesce(max(id), 0), coalesce((array_agg(reason ORDER BY id DESC))[1], '')
			FROM webhook_refused WHERE refused_at > now() - interval '24 hours'`).
			Scan(&found.Refused24h, &found.LastRefusedID, &found.LastReason)
	})
	if err != nil {
		return Arrivals{}, fmt.Errorf("arrivals: %w", err)
	}
	toUTC(found.LastAt)
	return found, nil
}

// LivePaymentSeen reports whether a payment of live mode is in the ledger.
func (s *Store) LivePaymentSeen(ctx context.Context) (seen bool, err error) {
	err = s.pool.QueryRow(ctx, `SELECT EXISTS (SELECT FROM payments WHERE live_mode)`).Scan(&seen)
	return seen, wrap(err, "look for a live payment")
}
