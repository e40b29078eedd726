package store

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/conciliar/conciliar/store/order"
)

// foldForeignAfter is how long after the account became known orders are folded
// again: every process has read it by then.
const foldForeignAfter = 10 * time.Second

// An OtherAccountError means that the ledger belongs to another account than the
// one that our credentials are of.
type OtherAccountError struct {
	// Ledger is the account that the ledger belongs to, Ours that of the credentials.
	Ledger, Ours string
}

func (e *OtherAccountError) Error() string {
	return fmt.Sprintf("the ledger belongs to account %s, and the access token to account %s", e.Ledger, e.Ours)
}

// Problem classifies the error for the caller.
func (e *OtherAccountError) Problem() Problem {
	return Problem{Class: Conflict, Code: "state_conflict", Text: "The records belong to another account than the access token."}
}

// rulesNow are the rules with the sellers, and with the account that the ledger belongs
// to, where none was configured. Until it is known only what is a seller's is foreign
// to its orders.
func (s *Store) rulesNow() order.Rules {
	rules := s.rules
	if known := s.account.Load(); rules.CollectorID == "" && known != nil {
		rules.CollectorID = *known
	}
	rules.Sellers = s.sellerIDs()
	return rules
}

// MainAccount is the account that the ledger belongs to; empty until it is known.
func (s *Store) MainAccount() string { return s.rulesNow().CollectorID }

// LoadAccount reads the account that the ledger belongs to; empty while it isn't known.
func (s *Store) LoadAccount(ctx context.Context) (account string, err error) {
	if err := s.pool.QueryRow(ctx, `SELECT collector_id FROM books`).Scan(&account); err != nil {
		return "", fmt.Errorf("the account of the ledger: %w", err)
	}
	if account != "" {
		s.account.Store(&account)
	}
	return account, nil
}

// KeepAccount keeps the account that our credentials are of as the one that the
// ledger belongs to. The error is an *OtherAccountError when it belongs to another;
// nothing was changed then.
func (s *Store) KeepAccount(ctx context.Context, ours string) error {
	if _, err := s.pool.Exec(ctx, `
		UPDATE books SET collector_id = $1, collector_known_at = now() WHERE collector_id = ''`, text(ours)); err != nil {
		return fmt.Errorf("keep the account: %w", err)
	}
	kept, err := s.LoadAccount(ctx)
	if err != nil {
		return err
	}
	if kept != ours {
		return &OtherAccountError{Ledger: kept, Ours: ours}
	}
	return nil
}

// FoldForeign has the orders folded again that payments to other accounts moved
// before the account was known, once, and reports whether that is done. The orders
// are settled like those that plain SQL inserted, within seconds.
func (s *Store) FoldForeign(ctx context.Context) (done bool, err error) {
	err = s.inTx(ctx, func(tx pgx.Tx) error {
		account, err := readValue[string](ctx, tx, `
			SELECT collector_id FROM books
			WHERE NOT collector_folded AND NOT `+within("collector_known_at", "$1::interval")+` FOR UPDATE`, foldForeignAfter)
		if errors.Is(err, pgx.ErrNoRows) {
			return tx.QueryRow(ctx, `SELECT collector_folded FROM books`).Scan(&done)
		}
		if err != nil {
			return err
		}
		done = true
		return execute(ctx, tx, `
			WITH concerned AS (
				SELECT reference FROM orders WHERE settled_at IS NOT NULL AND reference IN (
					SELECT order_reference FROM payments WHERE collector_id NOT IN ('', $1))
				ORDER BY reference FOR UPDATE
			), unsettled AS (
				UPDATE orders o SET settled_at = NULL FROM concerned c WHERE o.reference = c.reference
			)
			UPDATE books SET collector_folded = true`, account)
	})
	return done, wrap(err, "fold the orders of other accounts' payments again")
}
