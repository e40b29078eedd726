package simulator

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/shopspring/decimal"
)

// A Plan says what Run is to do.
type Plan struct {
	// Orders is how many orders there are.
	Orders int
	// Concurrency is how many notifications are under way at a time; 8 when 0.
	Concurrency int
	// Rate is how many notifications a second are sent, redeliveries after a
	// failed one aside; 0 is as fast as possible.
	Rate float64
	// Window is how many orders live at the same time. When 0 it is four times
	// Concurrency, and no more than begin within about two seconds at Rate.
	Window int
	// Weights is how often each lifecycle occurs, by its name. Ordinary shares when nil; those not named do not occur.
	Weights map[string]int
	// ThroughOrders is the share of orders whose payments are made through orders of
	// Mercado Pago's, of each type: their notifications are about those.
	ThroughOrders float64
	// BothChannels is the share of these that are notified about their payments too.
	BothChannels float64
	// ReferencePrefix begins every order's reference; "order-" when empty. Each
	// Run of a simulator needs its own.
	ReferencePrefix string
	// Progress, when not nil, is told after each order whose last notification
	// has ended. It is called by one goroutine at a time.
	Progress func(done, total int)
}

// An OrderSpec is an order that the merchant must know of.
type OrderSpec struct {
	Reference string
	Amount    decimal.Decimal
	Currency  string
	// Lifecycle names the life that Run gives the order.
	Lifecycle string
	// Through is the kind of Mercado Pago order that each of its payments is made
	// through, 0 for none. With BothChannels Run notifies about the payments too.
	Through      ResourceKind
	BothChannels bool
}

// Orders tells which orders Run makes payments for. It depends on the seed,
// the currency, and the plan's Orders, Weights, shares and ReferencePrefix only. It
// returns none for a plan that Run refuses.
func (s *Simulator) Orders(plan Plan) []OrderSpec {
	plan, err := plan.complete()
	if err != nil {
		return nil
	}
	specs := make([]OrderSpec, 0, plan.Orders)
	for i := range plan.Orders {
		specs = append(specs, s.orderSpec(plan, i))
	}
	return specs
}

// complete fills in what the plan leaves open, or says what is wrong with it.
func (p Plan) complete() (Plan, error) {
	var problems []error
	if p.Orders < 1 {
		problems = append(problems, errors.New("no Orders"))
	}
	if p.Concurrency < 0 || p.Window < 0 {
		problems = append(problems, errors.New("negative Concurrency or Window"))
	}
	// Written so that NaN fails too.
	if !(p.Rate >= 0) {
		problems = append(problems, errors.New("negative Rate"))
	}
	if !isShare(p.ThroughOrders) || !isShare(p.BothChannels) {
		problems = append(problems, errors.New("ThroughOrders or BothChannels is not between 0 and 1"))
	}
	if p.Weights == nil {
		p.Weights = make(map[string]int)
		for _, l := range lifecycles {
			p.Weights[l.name] = l.weight
		}
	}
	total := 0
	for name, weight := range p.Weights {
		if _, ok := lifecycleNamed(name); !ok {
			problems = append(problems, fmt.Errorf("no lifecycle %q", name))
		}
		if weight < 0 {
			problems = append(problems, fmt.Errorf("negative weight of lifecycle %q", name))
		}
		total += max(weight, 0)
	}
	if total == 0 {
		problems = append(problems, errors.New("no lifecycle has a weight"))
	}
	p.ReferencePrefix = cmp.Or(p.ReferencePrefix, "order-")
	if len(p.ReferencePrefix) > 50 {
		problems = append(problems, errors.New("a ReferencePrefix of more than 50 bytes"))
	}
	if err := errors.Join(problems...); err != nil {
		return Plan{}, fmt.Errorf("simulator plan: %w", err)
	}
	p.Concurrency = cmp.Or(p.Concurrency, 8)
	if p.Window == 0 {
		p.Window = 4 * p.Concurrency
		if p.Rate > 0 {
			p.Window = min(p.Window, max(1, int(min(2*p.Rate, 1<<20))))
		}
	}
	return p, nil
}

// orderSpec draws the plan's order of an index. The plan is complete.
func (s *Simulator) orderSpec(plan Plan, index int) OrderSpec {
	chance := draws(s.cfg.Seed, forOrder, keyOf(plan.ReferencePrefix), uint64(index)) //nolint:gosec // not negative
	total := 0
	for _, weight := range plan.Weights {
		total += weight
	}
	chosen := ""
	n := chance.IntN(total)
	for _, l := range lifecycles {
		if n -= plan.Weights[l.name]; n < 0 {
			chosen = l.name
			break
		}
	}
	// From 100 to 99,999.99; the least can be cut in three in any currency.
	scale := scaleOf(s.cfg.Currency)
	value := decimal.New(10_000+chance.Int64N(9_990_000), -2).Truncate(scale)
	spec := OrderSpec{
		Reference: plan.ReferencePrefix + fmt.Sprintf("%06d", index+1),
		Amount:    value,
		Currency:  s.cfg.Currency,
		Lifecycle: chosen,
	}
	if chance.Float64() < plan.ThroughOrders {
		kinds := []ResourceKind{OnlineOrder, QROrder, PointOrder}
		spec.Through, spec.BothChannels = kinds[chance.IntN(len(kinds))], chance.Float64() < plan.BothChannels
	}
	return spec
}

// scaleOf is how many digits after the point amounts of a currency have in
// Mercado Pago.
func scaleOf(currency string) int32 {
	if slices.Contains([]string{"CLP", "COP"}, currency) {
		return 0
	}
	return 2
}

// spec is the payment that a step of an order's life creates.
func (st step) spec(s *Simulator, order OrderSpec) PaymentSpec {
	spec := PaymentSpec{
		Reference:    order.Reference,
		Amount:       st.pays.of(order.Amount, scaleOf(order.Currency)),
		Currency:     order.Currency,
		Status:       st.status,
		StatusDetail: st.detail,
		Refunded:     st.refunded.of(order.Amount, scaleOf(order.Currency)),
	}
	if st.otherCurrency {
		spec.Currency = "USD"
		if order.Currency == "USD" {
			spec.Currency = "ARS"
		}
	}
	if st.otherCollector {
		spec.CollectorID = s.cfg.CollectorID + 1
	}
	if st.otherMode {
		mode := !s.cfg.LiveMode
		spec.LiveMode = &mode
	}
	return spec
}

// A Report tells how a Run went. Sent is the sum of Acknowledged, Refused,
// Failed and Cut.
type Report struct {
	Orders        int // that were begun
	Payments      int // that were created
	Notifications int // that were due: for each state of each payment, in each of its channels
	NeverSent     int // notifications that were dropped before being sent
	Sent          int // requests written, or tried
	Acknowledged  int // requests answered 2xx
	Duplicates    int // of these, said to be duplicates
	Refused       int // requests answered anything else below 500
	Failed        int // requests answered 5xx, or not at all
	Cut           int // requests whose answer was not waited for
	Redelivered   int // of those sent, later tries
	Replayed      int // of those sent, byte for byte repetitions
	GivenUp       int // notifications, duplicates counted, whose last try was not acknowledged
	Elapsed       time.Duration
	// QueueIDs holds every queue_id that was acknowledged, sorted, each once.
	QueueIDs []int64
}

// String is the report on one line.
func (r Report) String() string {
	text := ""
	for _, count := range []struct {
		name string
		n    int
	}{
		{"orders", r.Orders},
		{"payments", r.Payments},
		{"notifications", r.Notifications},
		{"never sent", r.NeverSent},
		{"sent", r.Sent},
		{"acknowledged", r.Acknowledged},
		{"duplicates", r.Duplicates},
		{"refused", r.Refused},
		{"failed", r.Failed},
		{"cut", r.Cut},
		{"redelivered", r.Redelivered},
		{"replayed", r.Replayed},
		{"given up", r.GivenUp},
	} {
		text += strconv.Itoa(count.n) + " " + count.name + ", "
	}
	return text + "in " + r.Elapsed.Round(time.Millisecond).String()
}
