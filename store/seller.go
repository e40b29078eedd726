package store

import (
	"context"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"
)

// A Seller is an account beside the main one, whose payments pay its own orders.
type Seller struct {
	CollectorID string
	// Name is what people call it.
	Name string
	// TokenSHA256 is the hash of its access token, to know another from.
	TokenSHA256 []byte
}

// A SellerStatus is how a seller's account does.
type SellerStatus struct {
	CollectorID string `json:"collector_id"`
	// Name is what people call it.
	Name    string       `json:"name"`
	Circuit CircuitState `json:"circuit"`
	// Since is when the circuit opened or closed last; nil when it never did.
	Since *time.Time `json:"since"`
	// Reason is ReasonUnavailable or ReasonCredentialsRejected; empty while closed.
	Reason string `json:"reason"`
	// DeauthorizedAt is when the seller withdrew its consent; nil while it stands.
	DeauthorizedAt *time.Time `json:"deauthorized_at"`
	// SearchedUntil is up to when reconciliations have seen all of its payments; nil
	// before the first.
	SearchedUntil *time.Time `json:"searched_until"`
	// Unsearched is true when the last run that succeeded did not see all of them.
	Unsearched bool `json:"-"`
}

// UseSellers makes these accounts those of the sellers, for this process.
func (s *Store) UseSellers(accounts []string) { s.sellers.Store(&accounts) }

// KeepSellers makes these the sellers of a source in the ledger, each with an account.
// One whose access token is another counts as authorized again. A process that was not
// told of sellers is not declared: it removes them only where no living process has
// a file of them.
func (s *Store) KeepSellers(ctx context.Context, source string, sellers []Seller, declared bool) error {
	n := len(sellers)
	ids, names, tokens := make([]string, n), make([]string, n), make([][]byte, n)
	for i, seller := range sellers {
		ids[i], names[i], tokens[i] = seller.CollectorID, text(seller.Name), seller.TokenSHA256
	}
	err := s.inTx(ctx, func(tx pgx.Tx) error {
		_, err := tx.Exec(ctx, `
			INSERT INTO sellers AS known (source, collector_id, name, token_sha256)
			SELECT $1, e.* FROM unnest($2::text[], $3::text[], $4::bytea[]) AS e (collector_id, name, token_sha256)
			ORDER BY e.collector_id
			ON CONFLICT (source, collector_id) DO UPDATE SET
				name = excluded.name, token_sha256 = excluded.token_sha256, removed_at = NULL,
				authorized_at = CASE WHEN known.token_sha256 <> excluded.token_sha256 THEN now() ELSE known.authorized_at END
			WHERE (known.name, known.token_sha256) <> (excluded.name, excluded.token_sha256) OR known.removed_at IS NOT NULL`,
			source, ids, names, tokens)
		if err != nil {
			return err
		}
		return execute(ctx, tx, `
			UPDATE sellers SET removed_at = now() WHERE source = $1 AND removed_at IS NULL AND collector_id <> ALL ($2)
			  AND ($3 OR NOT EXISTS (SELECT FROM process_files f JOIN processes p ON p.id = f.process_id
			                         WHERE f.name = 'MERCADOPAGO_SELLERS_FILE' AND f.digest <> '' AND p.seen_at > now() - interval '1 minute'))`,
			source, ids, declared)
	})
	return wrap(err, "keep the sellers")
}

// LoadSellers reads the sellers as a process with their file has kept them.
func (s *Store) LoadSellers(ctx context.Context) error {
	ids, err := readColumn[string](ctx, s.pool, `SELECT collector_id FROM sellers WHERE removed_at IS NULL ORDER BY collector_id`)
	if err != nil {
		return wrap(err, "the sellers")
	}
	s.sellers.Store(&ids)
	return nil
}

// sellerIDs are the sellers' accounts as this process knows them.
func (s *Store) sellerIDs() []string {
	if known := s.sellers.Load(); known != nil {
		return *known
	}
	return []string{}
}

// deauthorized selects whether the seller s has withdrawn its consent and not given
// it again.
const deauthorized = `s.deauthorized_at > coalesce(s.authorized_at, '-infinity')`

func readSellers(ctx context.Context, tx pgx.Tx, st *Status) error {
	var err error
	st.Sellers, err = readAll[SellerStatus](ctx, tx, `
		SELECT s.collector_id, s.name, coalesce(p.circuit, 'closed'), p.since, coalesce(p.reason, ''),
		       CASE WHEN `+deauthorized+` THEN s.deauthorized_at END, s.searched_until,
		       coalesce(coalesce(CASE WHEN `+passed("s.searched_until")+` THEN s.searched_until END, s.created_at) < (
		           SELECT max(window_end) FROM webhook_reconciliation_logs WHERE scope = 'regular' AND status = 'succeeded' AND `+passed("window_end")+`), false)
		FROM sellers s LEFT JOIN provider_state p ON p.source = s.source || '/' || s.collector_id
		WHERE s.removed_at IS NULL ORDER BY s.source, s.collector_id`)
	return err
}

// NoteAuthorization ends an event which says that a seller gave its consent or
// withdrew it, and keeps that for the seller. What is told late changes nothing.
func (s *Store) NoteAuthorization(ctx context.Context, a Attempt, account Account, given bool, complete CompleteJob) error {
	column := "deauthorized_at"
	if given {
		column = "authorized_at"
	}
	return s.end(ctx, a, OutcomeKept, complete, func(tx pgx.Tx) error {
		// The notification's own date orders two of them; it is not ahead of its receipt.
		return execute(ctx, tx, `
			UPDATE sellers s SET `+column+` = greatest(s.`+column+`, q.told_at)
			FROM (SELECT least(coalesce(notified_at, received_at), received_at) AS told_at FROM webhook_queue WHERE id = $1) q
			WHERE s.source = $2 AND s.collector_id = $3`, a.QueueID, account.Source, account.CollectorID)
	})
}

// AssignAccount notes whose account an event is to be asked for with, as was found
// out. A stale attempt notes nothing.
func (s *Store) AssignAccount(ctx context.Context, a Attempt, collectorID string) error {
	return wrap(execute(ctx, s.pool, `
		UPDATE webhook_queue SET collector_id = $5
		WHERE id = $1 AND completed_at IS NULL
		  AND EXISTS (SELECT FROM river_job WHERE `+runsAttempt("$2", "$3", "$4")+`)`,
		a.QueueID, a.JobID, a.Number, a.At, collectorID), "assign event %d to an account", a.QueueID)
}

// SellerOf returns the seller whose account an event is likely about, going by what
// is known: the payment that it names, or the order with this reference, which may be
// empty. It is empty where nothing known names a seller.
func (s *Store) SellerOf(ctx context.Context, event AttemptStart, reference string) (string, error) {
	sellers := s.sellerIDs()
	if len(sellers) == 0 {
		return "", nil
	}
	named, err := readColumn[string](ctx, s.pool, `
		SELECT collector_id FROM payments WHERE source = $1 AND payment_id = $2
		UNION
		SELECT o.collector_id FROM payments p JOIN orders o ON o.reference = p.order_reference WHERE p.source = $1 AND p.payment_id = $2
		UNION
		SELECT collector_id FROM orders WHERE reference = $3`, event.Source, event.ResourceID, text(reference))
	if err != nil {
		return "", wrap(err, "the seller that an event is about")
	}
	for _, id := range named {
		if slices.Contains(sellers, id) {
			return id, nil
		}
	}
	return "", nil
}
