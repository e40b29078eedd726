package order

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/shopspring/decimal"
)

// The oracle is the tables once more, written in another way than the code
// under test: whole centavos, one list of facts per payment, and the rows as
// data. It knows only amounts of whole cents and payments without errors.

type cents int64

func inCents(d decimal.Decimal) cents { return cents(d.Shift(2).IntPart()) }

// verdict is a settlement in a form that compares with ==.
type verdict struct {
	status         Status
	paid, refunded cents
	anomalies      string
}

func verdictOf(s Settlement) verdict {
	return verdict{
		status:    s.Status,
		paid:      cents(s.Paid.Shift(2).IntPart()),
		refunded:  cents(s.Refunded.Shift(2).IntPart()),
		anomalies: inShort(s.Anomalies),
	}
}

// oracleChanged is when a state counts as changed.
func oracleChanged(p Payment) time.Time {
	if p.UpdatedAt.Sub(p.FetchedAt) > 5*time.Minute {
		return p.FetchedAt
	}
	return p.UpdatedAt
}

// oracleLatest keeps each state that no other state of its payment beats. Where
// the rule cannot tell two apart it fails: the caller gives no such states.
func oracleLatest(states []Payment) []Payment {
	const rank = "pending in_process authorized rejected cancelled approved in_mediation refunded charged_back"
	beats := func(p, q Payment) bool {
		if a, b := oracleChanged(p), oracleChanged(q); !a.Equal(b) {
			return a.After(b)
		}
		if p.Status != q.Status {
			ranks := strings.Fields(rank)
			return slices.Index(ranks, string(p.Status)) > slices.Index(ranks, string(q.Status))
		}
		if p.FetchMark != q.FetchMark {
			return p.FetchMark > q.FetchMark
		}
		return p.FetchedAt.After(q.FetchedAt)
	}
	var latest []Payment
	for i, p := range states {
		unbeaten := true
		for j, q := range states {
			if i == j || p.ID != q.ID {
				continue
			}
			if !beats(p, q) && !beats(q, p) {
				panic(fmt.Sprintf("the rule does not tell %+v and %+v apart", p, q))
			}
			unbeaten = unbeaten && beats(p, q)
		}
		if unbeaten {
			latest = append(latest, p)
		}
	}
	return latest
}

// A paidSum is the money of one payment.
type paidSum struct {
	id             string
	amount, ship   cents
	given, back    cents // given back by the provider's word, and of what was so counted
	subscription   string
	chargeNumber   int64
	counted        cents
	partOfSchedule bool
}

func (m paidSum) net() cents { return m.counted - m.back }

func total(sums []paidSum, of func(paidSum) cents) (sum cents) {
	for _, m := range sums {
		sum += of(m)
	}
	return sum
}

func oracle(t Terms, r Rules, states []Payment) verdict {
	price := inCents(t.Amount)
	var anomalies, disputed []string
	var sums []paidSum
	words := map[string]bool{}
	for _, p := range oracleLatest(states) {
		if p.Validation || p.Amount.Valid && p.Amount.Decimal.IsZero() {
			continue
		}
		worth := string(p.Status)
		if worth == "charged_back" && p.StatusDetail == "reimbursed" {
			worth = "approved"
		}
		var wrong []string
		if p.Currency != t.Currency && !(p.Currency == "" && strings.Contains("authorized in_process pending rejected cancelled", worth)) {
			wrong = append(wrong, "currency_mismatch:"+p.ID)
		}
		account := t.CollectorID
		if account == "" {
			account = r.CollectorID
		}
		if account != "" && account != p.CollectorID || account == "" && len(r.Sellers) > 0 && r.Sellers[0] == p.CollectorID {
			wrong = append(wrong, "foreign_collector:"+p.ID)
		}
		if p.LiveMode && r.Mode == "test" || !p.LiveMode && r.Mode == "live" {
			wrong = append(wrong, "wrong_mode:"+p.ID)
		}
		if wrong != nil {
			moneyLeft := worth == "approved" && inCents(p.Refunded) < inCents(p.Amount.Decimal)
			if moneyLeft || worth == "charged_back" || worth == "in_mediation" || worth == "authorized" {
				anomalies = append(anomalies, wrong...)
			}
			continue
		}
		switch worth {
		case "approved", "refunded":
			m := paidSum{id: p.ID, amount: inCents(p.Amount.Decimal), ship: inCents(p.Shipping), given: inCents(p.Refunded),
				subscription: p.SubscriptionID, chargeNumber: p.SubscriptionNumber}
			if worth == "refunded" {
				m.given = 1 << 40
			}
			sums = append(sums, m)
		case "charged_back", "in_mediation":
			disputed = append(disputed, "disputed_payment:"+p.ID)
			words[worth] = true
		default:
			words[worth] = true
		}
	}

	// Shipping for all of them or for none.
	ship := total(sums, func(m paidSum) cents { return m.amount }) < price ||
		slices.ContainsFunc(sums, func(m paidSum) bool { return m.ship > 0 && m.amount+m.ship == price })
	for i := range sums {
		m := &sums[i]
		m.counted = m.amount
		if ship {
			m.counted += m.ship
		}
		m.back = min(m.given, m.counted)
	}
	paid := total(sums, func(m paidSum) cents { return m.counted })
	back := total(sums, func(m paidSum) cents { return m.back })
	net := paid - back

	status := ""
	for _, row := range []struct {
		status string
		holds  bool
	}{
		{"paid", net >= price},
		{"charged_back", words["charged_back"]},
		{"in_mediation", words["in_mediation"]},
		{"refunded", paid > 0 && back == paid},
		{"partially_refunded", paid >= price && back > 0 && net < price},
		{"partially_paid", 0 < net && net < price},
		{"authorized", words["authorized"]},
		{"cancelled", t.Cancelled},
		{"in_process", words["in_process"]},
		{"pending", words["pending"]},
		{"rejected", words["rejected"]},
		{"cancelled", words["cancelled"]},
		{"pending", true},
	} {
		if row.holds {
			status = row.status
			break
		}
	}
	if status == "paid" {
		anomalies = append(anomalies, disputed...)
	}
	switch {
	case t.Cancelled && net > 0:
		anomalies = append(anomalies, "paid_after_cancel")
	case status == "partially_paid":
		anomalies = append(anomalies, "underpaid")
	case status == "paid":
		anomalies = append(anomalies, oracleSurplus(price, sums)...)
	}
	slices.Sort(anomalies)
	return verdict{Status(status), paid, back, strings.Join(anomalies, " ")}
}

// oracleSurplus is the anomaly of a surplus, of payments in the order of their
// ids.
func oracleSurplus(price cents, sums []paidSum) []string {
	for i := range sums {
		m := &sums[i]
		m.partOfSchedule = m.subscription != "" && m.chargeNumber > 0 && m.amount+m.ship > m.given &&
			!slices.ContainsFunc(sums[:i], func(o paidSum) bool {
				return o.partOfSchedule && o.subscription == m.subscription && o.chargeNumber == m.chargeNumber
			})
	}
	// What is due beside the schedule, and what came beside it, with shipping where
	// it counts and without any.
	due, came, dueBare, cameBare := price, cents(0), price, cents(0)
	for _, m := range sums {
		bare := m.amount - min(m.given, m.amount)
		if m.partOfSchedule {
			due, dueBare = due-m.net(), dueBare-bare
		} else {
			came, cameBare = came+m.net(), cameBare+bare
		}
	}
	due, dueBare = max(0, due), max(0, dueBare)
	for _, m := range sums {
		if !m.partOfSchedule && m.net() > 0 && came-m.net() >= due {
			return []string{"duplicate_payment"}
		}
	}
	if came > due && cameBare > dueBare {
		return []string{"overpaid"}
	}
	return nil
}
