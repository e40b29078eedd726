package store

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/shopspring/decimal"

	"github.com/conciliar/conciliar/store/payout"
)

const (
	// chainRead is how many movements are read at a time.
	chainRead = 5000
	// chainStep is after how many movements the explanation of an account's payouts is
	// committed, at the next payout.
	chainStep = 50_000
)

// chainOrder is the order in which movements happened: by their date, then by their
// place in a file. What came late has its place by the files that have it; where that
// says nothing, a payout is the last of its instant, and the rest makes the order one
// that does not depend on which file was read first.
const chainOrder = `happened_at, place, class = '` + MovementPayout + `', source_id, record_type, description, credit, debit, ordinal`

// ExplainPayouts says of each payout what it is made of, wherever movements or balances
// came since that was said last.
func (s *Store) ExplainPayouts(ctx context.Context) error {
	for {
		rows, _ := s.pool.Query(ctx, `
			SELECT source, collector_id, currency FROM account_chains WHERE stale_from IS NOT NULL ORDER BY source, collector_id, currency`)
		stale, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (a account, err error) {
			return a, row.Scan(&a.source, &a.collectorID, &a.currency)
		})
		if err != nil || len(stale) == 0 {
			return wrap(err, "accounts whose payouts are to be explained")
		}
		for _, a := range stale {
			if err := s.inTx(ctx, func(tx pgx.Tx) error { return explainStep(ctx, tx, a) }); err != nil {
				return fmt.Errorf("explain the payouts of account %s in %s: %w", a.collectorID, a.currency, err)
			}
		}
	}
}

// A chainMovement is a movement in the chain of its account.
type chainMovement struct {
	id         int64
	happenedAt time.Time
	place      int32
	sourceID   string
	payout     bool
	net        decimal.Decimal
	payoutID   string
	// The rest of what orders it.
	recordType, description string
	credit, debit           decimal.Decimal
	ordinal                 int32
}

// A chainWalk explains the payouts of one account in order.
type chainWalk struct {
	tx      pgx.Tx
	account account
	chain   *payout.Chain
	// claims are what reports say of the balance, by time; those that were passed are
	// gone.
	claims []KnownBalance
	// assigned has the payout of each movement of the link that has one already.
	assigned map[int64]string
	// until is up to when something has changed.
	until time.Time
	read  int
}

// explainStep explains the payouts of an account from where that is to be done, up to
// a payout that nothing has changed, to the end, or so many that the rest is another
// step's.
func explainStep(ctx context.Context, tx pgx.Tx, a account) error {
	var from, until *time.Time
	err := tx.QueryRow(ctx, `
		SELECT stale_from, stale_until FROM account_chains WHERE source = $1 AND collector_id = $2 AND currency = $3 FOR UPDATE`,
		a.source, a.collectorID, a.currency).Scan(&from, &until)
	if err != nil || from == nil {
		return err // somebody else has done it
	}
	w := &chainWalk{tx: tx, account: a, until: *until, assigned: map[int64]string{}}
	begin, err := w.resume(ctx, *from)
	if err != nil {
		return err
	}
	rest, err := w.walk(ctx, begin)
	if err != nil {
		return err
	}
	if rest.IsZero() {
		_, err = tx.Exec(ctx, `
			UPDATE account_chains SET stale_from = NULL, stale_until = NULL WHERE source = $1 AND collector_id = $2 AND currency = $3`,
			a.source, a.collectorID, a.currency)
		return err
	}
	_, err = tx.Exec(ctx, `UPDATE account_chains SET stale_from = $4, stale_until = greatest(stale_until, $4)
		WHERE source = $1 AND collector_id = $2 AND currency = $3`, a.source, a.collectorID, a.currency, rest)
	return err
}

// resume finds the last payout before a time, from where the chain goes on, and reads
// what is claimed of the balance since. Nil is the chain's beginning.
func (w *chainWalk) resume(ctx context.Context, from time.Time) (*chainMovement, error) {
	var kept decimal.NullDecimal
	last, err := scanChain(w.tx.QueryRow(ctx, `
		SELECT `+chainColumns+`, p.balance_kept
		FROM payouts p JOIN account_movements m ON m.id = p.movement_id
		WHERE m.source = $1 AND m.collector_id = $2 AND m.currency = $3 AND m.happened_at < $4 AND m.class = '`+MovementPayout+`'
		ORDER BY `+reversed(chainOrder)+` LIMIT 1`, w.account.source, w.account.collectorID, w.account.currency, from), &kept)
	begin, since := &last, last.happenedAt
	if errors.Is(err, pgx.ErrNoRows) {
		begin, err = nil, nil
	}
	if err != nil {
		return nil, err
	}
	w.chain = payout.Resume(kept)
	// A claim at the payout's own instant came before it.
	w.claims, err = readAll[KnownBalance](ctx, w.tx, `
		SELECT currency, known_at, balance FROM account_balances
		WHERE source = $1 AND collector_id = $2 AND currency = $3 AND ($4 OR known_at > $5) ORDER BY known_at, balance`,
		w.account.source, w.account.collectorID, w.account.currency, begin == nil, since)
	return begin, err
}

const chainColumns = `m.id, m.happened_at, m.place, m.source_id, m.class = '` + MovementPayout + `', coalesce(m.payout_id, ''),
	m.record_type, m.description, m.credit, m.debit, m.ordinal`

func scanChain(row pgx.Row, extra ...any) (m chainMovement, err error) {
	err = row.Scan(append([]any{&m.id, &m.happenedAt, &m.place, &m.sourceID, &m.payout, &m.payoutID,
		&m.recordType, &m.description, &m.credit, &m.debit, &m.ordinal}, extra...)...)
	m.net = m.credit.Sub(m.debit)
	return m, err
}

// walk goes on after a movement. It returns from when on the rest is to be explained;
// zero when there is none.
func (w *chainWalk) walk(ctx context.Context, after *chainMovement) (rest time.Time, err error) {
	settled := time.Time{} // the payout at which the step may end
	for {
		movements, err := w.next(ctx, after)
		if err != nil {
			return rest, err
		}
		for i := range movements {
			m := &movements[i]
			if !settled.IsZero() && m.happenedAt.After(settled) {
				return m.happenedAt, nil
			}
			if err := w.claimUntil(ctx, m.happenedAt); err != nil {
				return rest, err
			}
			if !m.payout {
				w.chain.Add(m.id, m.net)
				if m.payoutID != "" {
					w.assigned[m.id] = m.payoutID
				}
				continue
			}
			same, err := w.pay(ctx, m)
			if err != nil {
				return rest, err
			}
			if same && m.happenedAt.After(w.until) {
				return rest, nil
			}
			if w.read >= chainStep {
				settled = m.happenedAt
			}
		}
		if w.read += len(movements); len(movements) < chainRead {
			return rest, w.release(ctx, w.chain.Outside())
		}
		after = &movements[len(movements)-1]
	}
}

// next reads the movements after one, in the chain's order.
func (w *chainWalk) next(ctx context.Context, after *chainMovement) ([]chainMovement, error) {
	where, args := "", []any{w.account.source, w.account.collectorID, w.account.currency, chainRead}
	if after != nil {
		where = ` AND happened_at >= $5 AND (` + chainOrder + `) > ($5, $6, $7::boolean, $8, $9, $10, $11::numeric, $12::numeric, $13)`
		args = append(args, after.happenedAt, after.place, after.payout, after.sourceID, after.recordType, after.description,
			after.credit.String(), after.debit.String(), after.ordinal)
	}
	rows, _ := w.tx.Query(ctx, `
		SELECT `+chainColumns+` FROM account_movements m
		WHERE source = $1 AND collector_id = $2 AND currency = $3`+where+` ORDER BY `+chainOrder+` LIMIT $4`, args...)
	return pgx.CollectRows(rows, func(row pgx.CollectableRow) (chainMovement, error) { return scanChain(row) })
}

// claimUntil tells the chain what reports say of the balance up to a time.
func (w *chainWalk) claimUntil(ctx context.Context, at time.Time) error {
	for len(w.claims) > 0 && !w.claims[0].At.After(at) {
		n := 1
		for n < len(w.claims) && w.claims[n].At.Equal(w.claims[0].At) {
			n++
		}
		var balances []decimal.Decimal
		for _, claim := range w.claims[:n] {
			balances = append(balances, claim.Balance)
		}
		w.claims = w.claims[n:]
		if err := w.release(ctx, w.chain.Claim(balances)); err != nil {
			return err
		}
	}
	return nil
}

// release takes movements out of the payouts that they were a part of.
func (w *chainWalk) release(ctx context.Context, ids []int64) error {
	if len(ids) == 0 {
		return nil
	}
	return w.assign(ctx, ids, "")
}

// assign makes movements a part of a payout; of none when it is empty.
func (w *chainWalk) assign(ctx context.Context, ids []int64, payoutID string) error {
	ids = slices.DeleteFunc(ids, func(id int64) bool { return w.assigned[id] == payoutID })
	for batch := range slices.Chunk(ids, chainRead) {
		if _, err := w.tx.Exec(ctx, `UPDATE account_movements SET payout_id = nullif($1, '') WHERE id = ANY ($2)`, payoutID, batch); err != nil {
			return err
		}
	}
	clear(w.assigned)
	return nil
}

// pay writes what a payout is made of, and reports whether that is as it was.
func (w *chainWalk) pay(ctx context.Context, m *chainMovement) (same bool, err error) {
	e, links := w.chain.Pay(m.net.Neg())
	id := m.payoutID
	if id == "" {
		if id, err = w.newID(ctx, m); err != nil {
			return false, err
		}
	}
	if m.payoutID != "" {
		w.assigned[m.id] = id
	}
	if err := w.assign(ctx, append(links, m.id), id); err != nil {
		return false, err
	}
	tag, err := w.tx.Exec(ctx, `
		INSERT INTO payouts AS known (id, movement_id, source, collector_id, currency, paid_at, amount, state,
			opening_balance, unexplained_amount, balance_kept)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)
		ON CONFLICT (movement_id) DO UPDATE SET
			state = excluded.state, opening_balance = excluded.opening_balance,
			unexplained_amount = excluded.unexplained_amount, balance_kept = excluded.balance_kept
		WHERE (known.state, known.opening_balance, known.unexplained_amount, known.balance_kept)
		      IS DISTINCT FROM (excluded.state, excluded.opening_balance, excluded.unexplained_amount, excluded.balance_kept)`,
		id, m.id, w.account.source, w.account.collectorID, w.account.currency, m.happenedAt, e.Amount, e.State(),
		e.Opening, e.Unexplained, e.Kept)
	return tag.RowsAffected() == 0, err
}

// newID is the id of a payout that is new: the provider's, with a number where another
// payout has it. It stays, whatever comes to be known.
func (w *chainWalk) newID(ctx context.Context, m *chainMovement) (string, error) {
	id := m.sourceID
	if id == "" {
		id = m.happenedAt.UTC().Format("20060102T150405Z")
	}
	for candidate, n := id, 2; ; n++ {
		var taken bool
		if err := w.tx.QueryRow(ctx, `SELECT EXISTS (SELECT FROM payouts WHERE id = $1)`, candidate).Scan(&taken); err != nil || !taken {
			return candidate, err
		}
		candidate = fmt.Sprintf("%s-%d", id, n)
	}
}

// reversed is an order backwards.
func reversed(order string) string {
	columns := strings.Split(order, ", ")
	for i := range columns {
		columns[i] += " DESC"
	}
	return strings.Join(columns, ", ")
}
