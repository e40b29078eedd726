package store

import (
	"context"

	"github.com/jackc/pgx/v5"
)

// OrderVersions returns for each of the references a text that differs once
// anything has changed that Order returns. It says nothing else, and may differ
// although nothing has. A reference without an order has one too.
func (s *Store) OrderVersions(ctx context.Context, references []string) (map[string]string, error) {
	// The transaction that wrote a row is another one after each change; a time
	// is not, and a later one may be committed first.
	rows, _ := s.pool.Query(ctx, `
		SELECT r.reference, md5(concat_ws('/',
			coalesce(o.xmin::text, ''),
			coalesce((SELECT string_agg(p.xmin::text, ',' ORDER BY p.source, p.payment_id)
			          FROM payments p WHERE p.order_reference = r.reference), ''),
			coalesce((SELECT string_agg(a.xmin::text, ',' ORDER BY a.source, a.alias) FROM payment_aliases a WHERE a.order_reference = r.reference), ''),
			coalesce((SELECT string_agg(a.xmin::text, ',' ORDER BY a.id)
			          FROM anomalies a WHERE a.order_reference = r.reference AND `+checked(`a.closed_at IS NULL`)+`), ''),
			coalesce((SELECT string_agg(p.xmin::text || '.' || d.xmin::text, ',' ORDER BY p.queue_id)
			          FROM odd_payments p JOIN webhook_dead_letter d ON d.queue_id = p.queue_id WHERE p.order_reference = r.reference), ''),
			coalesce((SELECT string_agg(c.xmin::text, ',' ORDER BY c.source, c.chargeback_id) FROM chargebacks c WHERE `+chargebackOf("r.reference")+`), ''),
			coalesce((SELECT string_agg(c.xmin::text, ',' ORDER BY c.source, c.claim_id) FROM claims c WHERE `+claimOf("r.reference")+`), '')))
		FROM unnest($1::text[]) AS r (reference) LEFT JOIN orders o ON o.reference = r.reference`, references)
	versions := make(map[string]string, len(references))
	var reference, version string
	_, err := pgx.ForEachRow(rows, []any{&reference, &version}, func() error {
		versions[reference] = version
		return nil
	})
	return versions, wrap(err, "versions of %d orders", len(references))
}
