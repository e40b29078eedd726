package store

import (
	"context"
	"slices"

	"github.com/jackc/pgx/v5"
)

// lockPayments locks payments of a source, by one statement.
func lockPayments(ctx context.Context, tx pgx.Tx, source string, ids []string) error {
	names := make([]string, len(ids))
	for i, id := range ids {
		names[i] = source + "/" + id
	}
	return lockNames(ctx, tx, lockSeedPayment, names)
}

// lockNames takes the advisory locks of names in their order, which is that of every
// transaction that takes several.
func lockNames(ctx context.Context, tx pgx.Tx, seed int64, names []string) error {
	if len(names) == 0 {
		return nil
	}
	slices.Sort(names)
	_, err := tx.Exec(ctx, `SELECT pg_advisory_xact_lock(hashtextextended(n.name, $2)) FROM unnest($1::text[]) AS n (name)`, names, seed)
	return err
}
