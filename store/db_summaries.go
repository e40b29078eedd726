package store

import (
	"context"
	"errors"

	"github.com/jackc/pgx/v5"
)

// summariesAtOnce is how many block ranges of an index are mended at once at most.
const summariesAtOnce = 8

// A blockIndex is a BRIN index that keeps the least and the most of each block range.
type blockIndex struct {
	// Index and Table are their names.
	Index, Table string
	// Beyond is a value, as SQL, that no row has more than.
	Beyond string
	// Range is how many blocks have one summary.
	Range int64
}

// blockIndexesSQL lists the indexes.
const blockIndexesSQL = `
	SELECT i.indexrelid::regclass::text, i.indrelid::regclass::text,
	       CASE o.opcname WHEN 'int8_minmax_ops' THEN '9223372036854775807' ELSE '''infinity''::timestamptz' END,
	       coalesce((SELECT option_value FROM pg_options_to_table(c.reloptions) WHERE option_name = 'pages_per_range'), '128')::bigint
	FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid JOIN pg_opclass o ON o.oid = i.indclass[0]
	WHERE c.relnamespace = current_schema()::regnamespace AND i.indisvalid AND i.indnatts = 1
	  AND o.opcname IN ('timestamptz_minmax_ops', 'int8_minmax_ops')
	ORDER BY 1`

// MendSummaries looks for block ranges of our BRIN indexes whose summary was begun and
// never finished, has them summarized anew, and returns how many those were. Autovacuum
// leaves one whenever it has to give way in the middle of it, and a crash does. VACUUM takes
// it for done, and a search by the index then reads that range and, in PostgreSQL 15, every
// one after it: most of the archive for each look at what happened in the last minute. What
// another transaction holds is an error, and left to the next time; the others are mended.
func (s *Store) MendSummaries(ctx context.Context) (mended int, err error) {
	rows, _ := s.pool.Query(ctx, blockIndexesSQL)
	indexes, err := pgx.CollectRows(rows, pgx.RowToStructByPos[blockIndex])
	if err != nil {
		return 0, wrap(err, "list the indexes of block ranges")
	}
	var failed []error
	for _, index := range indexes {
		n, err := s.mendIndex(ctx, index)
		mended += n
		failed = append(failed, err)
		if ctx.Err() != nil {
			break
		}
	}
	return mended, errors.Join(failed...)
}

// mendIndex is MendSummaries for one index.
func (s *Store) mendIndex(ctx context.Context, index blockIndex) (mended int, err error) {
	for range summariesAtOnce {
		first, found, err := s.unsummarized(ctx, index)
		if err != nil {
			return mended, wrap(err, "look for block ranges without a summary in %s", index.Index)
		}
		if !found {
			break
		}
		if err := execute(ctx, s.pool, `SELECT conciliar_summarize_anew($1::text::regclass, $2)`, index.Index, first); err != nil {
			return mended, wrap(err, "summarize blocks from %d in %s", first, index.Index)
		}
		mended++
	}
	return mended, nil
}

// unsummarized finds the first block of an index's table whose range lacks its summary. It
// asks for what no row has, so that all that is read is what has none: from that block to
// the table's end. The last ranges may have none yet.
func (s *Store) unsummarized(ctx context.Context, index blockIndex) (first int64, found bool, err error) {
	err = pgx.BeginTxFunc(ctx, s.pool, pgx.TxOptions{AccessMode: pgx.ReadOnly}, func(tx pgx.Tx) error {
		err := execute(ctx, tx, `SELECT set_config('lock_timeout', '500ms', true), set_config('enable_seqscan', 'off', true), set_config('enable_indexscan', 'off', true), set_config('max_parallel_workers_per_gather', '0', true)`)
		if err != nil {
			return err
		}
		key, err := readValue[string](ctx, tx, `SELECT pg_get_indexdef($1::text::regclass, 1, true)`, index.Index)
		if err != nil {
			return err
		}
		blocks, err := readValue[int64](ctx, tx, `SELECT pg_relation_size($1::text::regclass) / current_setting('block_size')::bigint`, index.Table)
		if err != nil {
			return err
		}
		explained, err := readValue[[1]struct {
			Plan struct {
				Read int64 `json:"Lossy Heap Blocks"`
			}
		}](ctx, tx, `EXPLAIN (ANALYZE, TIMING OFF, FORMAT JSON) SELECT FROM `+index.Table+` WHERE `+key+` > `+index.Beyond)
		if err != nil {
			return err
		}
		read := explained[0].Plan.Read
		first, found = max(blocks-read, 0)/index.Range*index.Range, read > 2*index.Range
		return nil
	})
	return first, found, err
}
