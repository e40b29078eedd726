package order

import (
	"fmt"
	"slices"
	"strings"
)

// The oracle is the tables once more, written in another way than the code
// under test: whole centavos, one list of facts per payment, and the rows as
// data. It knows only amounts of whole cents and payments without errors.

type cents int64

func inCents(p Payment) (amount, refunded cents) {
	return cents(p.Amount.Shift(2).IntPart()), cents(p.Refunded.Shift(2).IntPart())
}

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

// oracleLatest keeps each state that no other state of its payment beats. Where
// the rule cannot tell two apart it fails: the caller gives no such states.
func oracleLatest(states []Payment) []Payment {
	const rank = "pending in_process authorized rejected cancelled approved in_mediation refunded charged_back"
	beats := func(p, q Payment) bool {
		if !p.UpdatedAt.Equal(q.UpdatedAt) {
			return p.UpdatedAt.After(q.UpdatedAt)
		}
		if p.Status != q.Status {
			ranks := strings.Fields(rank)
			return slices.Index(ranks, string(p.Status)) > slices.Index(ranks, string(q.Status))
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

func oracle(t Terms, r Rules, states []Payment) verdict {
	price := cents(t.Amount.Shift(2).IntPart())
	var anomalies []string
	var paid, back cents
	covering, counted := 0, map[string]int{}

	for _, p := range oracleLatest(states) {
		amount, refunded := inCents(p)
		if amount == 0 || p.Validation {
			continue
		}
		var wrong []string
		if p.Currency != t.Currency {
			wrong = append(wrong, "currency_mismatch:"+p.ID)
		}
		if r.CollectorID != "" && r.CollectorID != p.CollectorID {
			wrong = append(wrong, "foreign_collector:"+p.ID)
		}
		if p.LiveMode && r.Mode == "test" || !p.LiveMode && r.Mode == "live" {
			wrong = append(wrong, "wrong_mode:"+p.ID)
		}
		if wrong != nil {
			anomalies = append(anomalies, wrong...)
			continue
		}
		worth := string(p.Status)
		if worth == "charged_back" && p.StatusDetail == "reimbursed" {
			worth = "approved"
		}
		counted[worth]++
		if worth == "refunded" {
			refunded = amount
		}
		if worth == "approved" || worth == "refunded" {
			paid += amount
			back += refunded
			if amount-refunded >= price {
				covering++
			}
		}
	}

	net := paid - back
	rows := []struct {
		status Status
		holds  bool
	}{
		{"charged_back", counted["charged_back"] > 0},
		{"in_mediation", counted["in_mediation"] > 0},
		{"refunded", paid > 0 && back == paid},
		{"paid", net >= price},
		{"partially_refunded", paid >= price && back > 0 && net < price},
		{"partially_paid", 0 < net && net < price},
		{"authorized", counted["authorized"] > 0},
		{"in_process", counted["in_process"] > 0},
		{"pending", counted["pending"] > 0},
		{"rejected", counted["rejected"] > 0},
		{"cancelled", counted["cancelled"] > 0},
		{"pending", len(counted) == 0},
	}
	for _, row := range rows {
		if !row.holds {
			continue
		}
		if row.status == "partially_paid" {
			anomalies = append(anomalies, "underpaid")
		}
		if row.status == "paid" && net > price {
			anomalies = append(anomalies, "overpaid")
		}
		if row.status == "paid" && covering >= 2 {
			anomalies = append(anomalies, "duplicate_payment")
		}
		slices.Sort(anomalies)
		return verdict{row.status, paid, back, strings.Join(anomalies, " ")}
	}
	panic("no row of the table holds")
}
