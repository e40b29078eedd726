package store_test

import (
	"fmt"
	"strconv"
	"testing"
	"time"

	"github.com/shopspring/decimal"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/conciliar/conciliar/store"
	"github.com/conciliar/conciliar/store/order"
)

// A purchase is one payment of the other side's ledger: it goes through states, each of
// which both sides may tell.
type purchase struct {
	number  int
	minute  int // of its creation
	amount  int64
	inOrder bool
	counter bool // its order names its number
	states  []purchaseState
}

type purchaseState struct {
	status   order.PaymentStatus
	refunded int64
	minute   int
}

func drawPurchase(t *rapid.T, number int) purchase {
	p := purchase{
		number: number, minute: rapid.IntRange(0, 40).Draw(t, "made at"), amount: rapid.SampledFrom([]int64{50, 100}).Draw(t, "amount"),
		inOrder: rapid.IntRange(0, 3).Draw(t, "in an order") > 0, counter: rapid.IntRange(0, 3).Draw(t, "at a counter") == 0,
	}
	add := func(status order.PaymentStatus, refunded int64) {
		p.states = append(p.states, purchaseState{status, refunded, p.minute + len(p.states)})
	}
	switch rapid.SampledFrom([]string{"declined", "paid", "paid", "paid", "pending, then paid"}).Draw(t, "how it began") {
	case "declined":
		add(order.PaymentRejected, 0)
		return p
	case "pending, then paid":
		add(order.PaymentPending, 0)
	}
	add(order.PaymentApproved, 0)
	switch rapid.SampledFrom([]string{"", "", "refund", "part", "part, then all", "chargeback"}).Draw(t, "how it went on") {
	case "refund":
		add(order.PaymentRefunded, p.amount)
	case "part":
		add(order.PaymentApproved, 20)
	case "part, then all":
		add(order.PaymentApproved, 20)
		add(order.PaymentRefunded, p.amount)
	case "chargeback":
		add(order.PaymentChargedBack, 0)
	}
	return p
}

// payment is the payment's side of one of its states.
func (p purchase) payment(reference string, n int) store.FetchedPayment {
	s := p.states[n]
	f := fetched(strconv.Itoa(1000+p.number), reference, s.status, strconv.FormatInt(p.amount, 10), s.minute)
	f.Payment.Refunded = decimal.NewFromInt(s.refunded)
	f.Payment.CreatedAt = epoch.Add(time.Duration(p.minute) * time.Minute)
	return f
}

// ordered is the order's side.
func (p purchase) ordered(reference string, n int, shown bool) store.OrderedPayment {
	s := p.states[n]
	o := ordered(fmt.Sprintf("PAY%d", p.number), reference, s.status, strconv.FormatInt(p.amount, 10), s.minute)
	o.OrderCreatedAt = epoch.Add(time.Duration(p.minute) * time.Minute)
	o.Payment.Refunded, o.Provisional, o.Awaited = decimal.NewFromInt(s.refunded), !shown, s.status.HasMoney()
	if p.counter {
		o.PaymentID, o.Numbered, o.Provisional, o.Awaited = strconv.Itoa(1000+p.number), true, false, false
	}
	return o
}

// final is the state that the other side's ledger ends with.
func (p purchase) final() int { return len(p.states) - 1 }

// A history of purchases of one order is told from both sides, in any order, with
// repeats, with what is lost, and with a search that lags. At no moment does more count
// than the other side's ledger ever had of purchases that were told, and once each
// payment is known the order is what the ledger says, which is sound throughout.
func TestProvisional_EachPaymentCountsOnce(t *testing.T) {
	t.Parallel()
	b := setup(t, orders)
	in := b.inbox(t, store.InboxOptions{})
	number := 0
	rapid.Check(t, func(rt *rapid.T) {
		number++
		reference, run := fmt.Sprintf("R-%d", number), number*10_000
		purchases := make([]purchase, rapid.IntRange(1, 4).Draw(rt, "purchases"))
		for i := range purchases {
			purchases[i] = drawPurchase(rt, number*10+i)
		}
		event := func() int { run++; return run }
		came := map[int]bool{} // by purchase
		// most is what may count: each purchase of which money was told, once.
		requireBound := func() {
			o, err := b.Order(t.Context(), reference)
			require.NoError(rt, err)
			var most int64
			for i, p := range purchases {
				if came[i] {
					most += p.amount
				}
			}
			require.True(rt, o.Paid.LessThanOrEqual(decimal.NewFromInt(most)), "%s counts of %d", o.Paid, most)
		}
		tell := func(i, n int, asOrder, shown bool) {
			p := purchases[i]
			came[i] = came[i] || p.states[n].status.HasMoney()
			if asOrder {
				b.told(t, in, event(), p.ordered(reference, n, shown))
			} else {
				b.apply(t, in, event(), p.payment(reference, n))
			}
			requireBound()
		}
		registered := rapid.Bool().Draw(rt, "registered first")
		if registered {
			b.register(t, reference, "100", "ARS")
		} else {
			b.exec(t, `INSERT INTO orders (reference, amount, currency) VALUES ($1, 100, 'ARS')`, reference)
		}
		for range rapid.IntRange(0, 12).Draw(rt, "told") {
			i := rapid.IntRange(0, len(purchases)-1).Draw(rt, "which")
			n := rapid.IntRange(0, purchases[i].final()).Draw(rt, "which state")
			asOrder := purchases[i].inOrder && rapid.Bool().Draw(rt, "by its order")
			tell(i, n, asOrder, asOrder && rapid.Bool().Draw(rt, "shown by the search"))
			if rapid.IntRange(0, 9).Draw(rt, "swept") == 0 {
				_, _, err := b.SettleUnsettled(t.Context(), 10)
				require.NoError(rt, err)
			}
		}
		// What was lost is found in the end: each payment in its last state.
		for _, i := range rapid.Permutation(indexes(len(purchases))).Draw(rt, "found") {
			tell(i, purchases[i].final(), false, false)
		}
		b.register(t, reference, "100", "ARS")
		_, _, err := b.SettleUnsettled(t.Context(), 10)
		require.NoError(rt, err)

		known := make([]order.Payment, len(purchases))
		for i, p := range purchases {
			known[i] = p.payment(reference, p.final()).Payment
		}
		truth, err := order.Settle(order.Terms{Amount: decimal.NewFromInt(100), Currency: "ARS"}, order.Rules{Mode: order.ModeAny}, known)
		require.NoError(rt, err)
		o, err := b.Order(t.Context(), reference)
		require.NoError(rt, err)
		require.Equal(rt, truth.Status, o.Status)
		require.True(rt, truth.Paid.Equal(o.Paid) && truth.Refunded.Equal(o.Refunded), "%s/%s, not %s/%s", o.Paid, o.Refunded, truth.Paid, truth.Refunded)
		for _, p := range o.ProvisionalPayments {
			require.False(rt, p.Payment.Status.HasMoney(), "%s is still provisional", p.Payment.ID)
		}
	})
	b.sound(t)
}

func indexes(n int) []int {
	list := make([]int, n)
	for i := range list {
		list[i] = i
	}
	return list
}
