package store_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/conciliar/conciliar/store"
	"github.com/conciliar/conciliar/store/order"
)

// Whatever happens in whatever order: who follows the events knows at each moment how
// an order stands, and hears nothing when nothing happened.
func TestOrderEvents_FoldToTheOrder(t *testing.T) {
	t.Parallel()
	b := setup(t)
	in := b.inbox(t, store.InboxOptions{})
	number, history := 0, 0
	statuses := order.PaymentStatuses()
	rapid.Check(t, func(rt *rapid.T) {
		history++
		reference := "A-" + strconv.Itoa(history)
		for range rapid.IntRange(1, 8).Draw(rt, "steps") {
			before := b.count(t, `SELECT count(*) FROM order_events WHERE order_reference = $1`, reference)
			was := b.stateOf(t, reference)
			switch rapid.SampledFrom([]string{"pay", "pay", "pay", "register", "amend", "cancel", "sql", "resolve"}).Draw(rt, "what") {
			case "pay":
				number++
				id := fmt.Sprintf("%d%d", history, rapid.IntRange(1, 2).Draw(rt, "payment"))
				amount := rapid.SampledFrom([]string{"50", "100"}).Draw(rt, "amount")
				b.apply(t, in, number, fetched(id, reference, rapid.SampledFrom(statuses).Draw(rt, "status"), amount, rapid.IntRange(1, 9).Draw(rt, "minute")))
			case "register":
				_, err := b.RegisterOrder(t.Context(), reference, terms("100"))
				if was != "" && err != nil {
					require.ErrorAs(rt, err, new(*store.OrderConflictError))
				}
			case "amend":
				_, _ = b.AmendOrder(t.Context(), actOn(t, reference), terms(rapid.SampledFrom([]string{"50", "100", "150"}).Draw(rt, "terms")))
			case "cancel":
				_, _ = b.CancelOrder(t.Context(), actOn(t, reference))
			case "sql":
				b.exec(t, `INSERT INTO orders (reference, amount, currency) VALUES ($1, 100, 'ARS') ON CONFLICT (reference) DO UPDATE SET amount = 150 - orders.amount / 2`, reference)
				if rapid.Bool().Draw(rt, "swept") {
					_, _, err := b.SettleUnsettled(t.Context(), 100)
					require.NoError(rt, err)
				}
			case "resolve":
				rows, _ := b.pool.Query(t.Context(), `SELECT id FROM anomalies WHERE order_reference = $1 AND closed_at IS NULL`, reference)
				open, err := pgx.CollectRows(rows, pgx.RowTo[int64])
				require.NoError(rt, err)
				for _, id := range open {
					_, err := b.ResolveAnomaly(t.Context(), id, note(t, "known"), ana)
					require.NoError(rt, err)
				}
			}
			now := b.stateOf(t, reference)
			events := b.eventsOf(t, reference)
			if now == was {
				require.Len(rt, events, before, "nothing happened")
				continue
			}
			if len(events) == 0 {
				continue // nobody has registered it, or SQL's order was not settled yet
			}
			if b.count(t, `SELECT count(*) FROM orders WHERE reference = $1 AND settled_at IS NULL`, reference) == 0 {
				require.Equal(rt, now, b.foldOf(t, events))
			}
		}
	})
	b.sound(t)
}

// stateOf is an order as its events are to tell it; empty when there is none.
func (b *bundle) stateOf(t *testing.T, reference string) string {
	t.Helper()
	return one[string](t, b, `
		SELECT coalesce((
			SELECT concat_ws(' ', o.status, o.amount::numeric(20,2), o.paid_amount::numeric(20,2), o.refunded_amount::numeric(20,2), o.cancelled_at IS NOT NULL, (
				SELECT string_agg(a.kind || coalesce(a.payment_id, ''), ',' ORDER BY a.kind, a.payment_id)
				FROM anomalies a WHERE a.order_reference = o.reference AND a.closed_at IS NULL),
				CASE WHEN o.settled_at IS NULL THEN 'not settled' END)
			FROM orders o WHERE o.reference = '`+reference+`'), '')`)
}

// foldOf is what the events come to.
func (b *bundle) foldOf(t *testing.T, events []toldEvent) string {
	t.Helper()
	var o struct {
		Status    string  `json:"status"`
		Amount    string  `json:"amount"`
		Paid      string  `json:"paid_amount"`
		Refunded  string  `json:"refunded_amount"`
		Cancelled *string `json:"cancelled_at"`
		Anomalies []struct {
			ID        int64   `json:"id"`
			Kind      string  `json:"kind"`
			PaymentID *string `json:"payment_id"`
		} `json:"anomalies"`
	}
	flags := map[int64]bool{}
	for _, e := range events {
		require.NoError(t, json.Unmarshal(e.Data.Order, &o))
		if e.Data.Anomaly != nil {
			require.Equal(t, e.Type == store.OrderCleared, flags[e.Data.Anomaly.ID], "flagged and cleared by turns")
			flags[e.Data.Anomaly.ID] = e.Type == store.OrderFlagged
		}
	}
	var kinds []string
	for _, a := range o.Anomalies {
		require.True(t, flags[a.ID])
		kind := a.Kind
		if a.PaymentID != nil {
			kind += *a.PaymentID
		}
		kinds = append(kinds, kind)
		delete(flags, a.ID)
	}
	for _, flagged := range flags {
		require.False(t, flagged)
	}
	slices.Sort(kinds)
	state := fmt.Sprintf("%s %s %s %s %s", o.Status, o.Amount, o.Paid, o.Refunded, map[bool]string{true: "t", false: "f"}[o.Cancelled != nil])
	for i, kind := range kinds {
		state += map[bool]string{true: " ", false: ","}[i == 0] + kind
	}
	return state
}
