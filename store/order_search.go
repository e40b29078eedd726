package store

import (
	"context"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/jackc/pgx/v5"

	"github.com/conciliar/conciliar/store/order"
)

// SearchedOrders is how many orders, those that changed last, are looked through for a
// part of a reference that it does not begin with. No index finds that: the extension
// that has one may not be there for a merchant's role.
const SearchedOrders = 50_000

// OrdersLike are orders whose references resemble a text, however it is cased, spaced or
// padded with zeros, see order.ReferenceKey. None is in two of the lists.
type OrdersLike struct {
	// Same have the text as their reference, Beginning begin with it, in the order of
	// their references, and Within have it elsewhere, the latest change first, among the
	// SearchedOrders that changed last.
	Same, Beginning, Within []OrderSummary
}

// OrdersLike returns the orders that a text may mean, at most limit of each kind. An order
// that was never settled is not among them for the moment until it is.
func (s *Store) OrdersLike(ctx context.Context, asked string, limit int) (OrdersLike, error) {
	key := order.ReferenceKey(asked)
	if key == "" || !utf8.ValidString(asked) || strings.ContainsRune(asked, 0) {
		return OrdersLike{}, nil
	}
	begin := beginOfKey(key)
	var same, beginning, within []string
	err := s.readSnapshot(ctx, func(tx pgx.Tx) error {
		var b pgx.Batch
		queueRows(&b, &same, pgx.RowTo[string], `SELECT reference FROM orders WHERE reference_key = $1 ORDER BY reference LIMIT $2`, key, limit)
		queueRows(&b, &beginning, pgx.RowTo[string], `
			SELECT reference FROM orders WHERE reference_key ~>=~ $1 AND reference_key ~<~ $2 AND reference_key <> $3
			ORDER BY reference_key USING ~<~, reference LIMIT $4`, begin, begin+string(utf8.MaxRune), key, limit)
		queueRows(&b, &within, pgx.RowTo[string], `
			SELECT reference FROM (SELECT reference, reference_key FROM orders ORDER BY updated_at DESC, reference DESC LIMIT $1) latest
			WHERE strpos(reference_key, $2) > 1 LIMIT $3`, SearchedOrders, key, limit)
		return tx.SendBatch(ctx, &b).Close()
	})
	if err != nil {
		return OrdersLike{}, wrap(err, "orders like %q", asked)
	}
	found, err := s.orderSummaries(ctx, slices.Concat(same, beginning, within))
	var like OrdersLike
	for _, list := range []struct {
		references []string
		orders     *[]OrderSummary
	}{{same, &like.Same}, {beginning, &like.Beginning}, {within, &like.Within}} {
		for _, reference := range list.references {
			if o, known := found[reference]; known {
				*list.orders = append(*list.orders, o)
				delete(found, reference)
			}
		}
	}
	return like, wrap(err, "orders like %q", asked)
}

// beginOfKey is what keys begin with whose text begins as the key's: a zero that ends it
// may lead a number, and is not in their keys then.
func beginOfKey(key string) string {
	begin := strings.TrimSuffix(key, "0")
	if last, _ := utf8.DecodeLastRuneInString(begin); begin != key && begin != "" && (last < '0' || last > '9') {
		return begin
	}
	return key
}

// orderSummaries are the orders with the references.
func (s *Store) orderSummaries(ctx context.Context, references []string) (map[string]OrderSummary, error) {
	rows, _ := s.pool.Query(ctx, `SELECT `+orderSummaryColumns+orderSummaryFrom+` WHERE reference = ANY ($1)`, references)
	orders, err := pgx.CollectRows(rows, scanOrderSummary)
	found := make(map[string]OrderSummary, len(orders))
	for _, o := range orders {
		found[o.Reference] = o
	}
	return found, err
}
