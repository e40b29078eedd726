package order

import (
	"cmp"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/shopspring/decimal"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

var aliasEpoch = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

// inOrder is a payment of 100 as a provider's order has it, which was under way from
// the one minute to the other.
func inOrder(id string, status PaymentStatus, from, to int) Alias {
	return Alias{
		Source: "mp", OrderCreatedAt: aliasEpoch.Add(time.Duration(from) * time.Minute), Provisional: true,
		Awaited: status == "" || status.HasMoney(),
		Payment: Payment{
			ID: id, Status: status, Amount: decimal.NewNullDecimal(decimal.NewFromInt(100)), Currency: "ARS", CollectorID: "1", LiveMode: true,
			UpdatedAt: aliasEpoch.Add(time.Duration(to) * time.Minute),
		},
	}
}

// knownAt is a payment of 100 that was made at the minute.
func knownAt(id string, status PaymentStatus, minute int) Known {
	return Known{Source: "mp", Payment: Payment{
		ID: id, Status: status, Amount: decimal.NewNullDecimal(decimal.NewFromInt(100)), Currency: "ARS", CollectorID: "1", LiveMode: true,
		CreatedAt: aliasEpoch.Add(time.Duration(minute) * time.Minute), UpdatedAt: aliasEpoch,
	}}
}

// pairsOf are the aliases' payments, "-" for none.
func pairsOf(aliases []Alias) (pairs []string) {
	for _, a := range aliases {
		pairs = append(pairs, cmp.Or(a.PaymentID, "-"))
	}
	return pairs
}

func TestPair_TellsWhichPaymentAnAliasIs(t *testing.T) {
	t.Parallel()
	claimed := func(a Alias, payment string) Alias {
		a.PaymentID = payment
		return a
	}
	with := func(a Alias, edit func(*Alias)) Alias {
		edit(&a)
		return a
	}
	edited := func(p Known, edit func(*Known)) Known {
		edit(&p)
		return p
	}
	const paid = PaymentApproved
	for name, c := range map[string]struct {
		aliases []Alias
		known   []Known
		want    []string
	}{
		"none known":         {[]Alias{inOrder("A", paid, 0, 1)}, nil, []string{"-"}},
		"the one":            {[]Alias{inOrder("A", paid, 0, 1)}, []Known{knownAt("1", paid, 0)}, []string{"1"}},
		"ten minutes before": {[]Alias{inOrder("A", paid, 0, 1)}, []Known{knownAt("1", paid, -10)}, []string{"1"}},
		"eleven before":      {[]Alias{inOrder("A", paid, 0, 1)}, []Known{knownAt("1", paid, -11)}, []string{"-"}},
		"ten minutes after":  {[]Alias{inOrder("A", paid, 0, 1)}, []Known{knownAt("1", paid, 11)}, []string{"1"}},
		"eleven after":       {[]Alias{inOrder("A", paid, 0, 1)}, []Known{knownAt("1", paid, 12)}, []string{"-"}},
		"made nobody says when": {[]Alias{inOrder("A", paid, 0, 1)},
			[]Known{edited(knownAt("1", paid, 0), func(p *Known) { p.CreatedAt = time.Time{} })}, []string{"1"}},
		"no money yet":           {[]Alias{inOrder("A", paid, 0, 1)}, []Known{knownAt("1", PaymentPending, 0)}, []string{"-"}},
		"given back":             {[]Alias{inOrder("A", paid, 0, 1)}, []Known{knownAt("1", PaymentRefunded, 0)}, []string{"1"}},
		"declined":               {[]Alias{inOrder("A", PaymentRejected, 0, 1)}, []Known{knownAt("1", PaymentRejected, 0)}, []string{"1"}},
		"words of another year":  {[]Alias{inOrder("A", "", 0, 1)}, []Known{knownAt("1", PaymentChargedBack, 0)}, []string{"1"}},
		"another provider":       {[]Alias{inOrder("A", paid, 0, 1)}, []Known{edited(knownAt("1", paid, 0), func(p *Known) { p.Source = "x" })}, []string{"-"}},
		"another account":        {[]Alias{inOrder("A", paid, 0, 1)}, []Known{edited(knownAt("1", paid, 0), func(p *Known) { p.CollectorID = "2" })}, []string{"-"}},
		"another currency":       {[]Alias{inOrder("A", paid, 0, 1)}, []Known{edited(knownAt("1", paid, 0), func(p *Known) { p.Currency = "BRL" })}, []string{"-"}},
		"another amount":         {[]Alias{inOrder("A", paid, 0, 1)}, []Known{edited(knownAt("1", paid, 0), func(p *Known) { p.Amount.Decimal = decimal.NewFromInt(99) })}, []string{"-"}},
		"no amount":              {[]Alias{with(inOrder("A", PaymentPending, 0, 1), func(a *Alias) { a.Payment.Amount.Valid = false })}, []Known{knownAt("1", paid, 0)}, []string{"-"}},
		"an account not said":    {[]Alias{with(inOrder("A", paid, 0, 1), func(a *Alias) { a.Payment.CollectorID = "" })}, []Known{knownAt("1", paid, 0)}, []string{"1"}},
		"one for two":            {[]Alias{inOrder("A", paid, 0, 1), inOrder("B", paid, 0, 1)}, []Known{knownAt("1", paid, 0)}, []string{"1", "-"}},
		"it keeps what it has":   {[]Alias{inOrder("A", paid, 0, 1), claimed(inOrder("B", paid, 0, 1), "1")}, []Known{knownAt("1", paid, 0)}, []string{"-", "1"}},
		"another makes room":     {[]Alias{claimed(inOrder("A", paid, 0, 30), "2"), inOrder("B", paid, 15, 30)}, []Known{knownAt("1", paid, 0), knownAt("2", paid, 20)}, []string{"1", "2"}},
		"an attempt makes way":   {[]Alias{claimed(inOrder("A", PaymentRejected, 0, 1), "1"), inOrder("B", paid, 0, 1)}, []Known{knownAt("1", paid, 0)}, []string{"-", "1"}},
		"and takes what is left": {[]Alias{claimed(inOrder("A", PaymentRejected, 0, 1), "1"), inOrder("B", paid, 0, 1)}, []Known{knownAt("1", paid, 0), knownAt("2", PaymentRejected, 0)}, []string{"2", "1"}},
		"one that is shown goes first": {[]Alias{inOrder("A", paid, 0, 1), with(inOrder("B", paid, 0, 1), func(a *Alias) { a.Provisional = false })},
			[]Known{knownAt("1", paid, 0)}, []string{"-", "1"}},
		"a number stands": {[]Alias{inOrder("A", paid, 0, 1), with(inOrder("B", paid, 0, 1), func(a *Alias) { a.PaymentID, a.Numbered = "1", true })},
			[]Known{knownAt("1", paid, 0)}, []string{"-", "1"}},
		"a number nobody knows": {[]Alias{with(inOrder("B", paid, 0, 1), func(a *Alias) { a.PaymentID, a.Numbered = "1", true })}, nil, []string{"1"}},
		"another order's": {[]Alias{inOrder("A", paid, 0, 1), with(inOrder("B", paid, 0, 1), func(a *Alias) { a.PaymentID, a.Elsewhere = "1", true })},
			[]Known{knownAt("1", paid, 0)}, []string{"-", "1"}},
		"its payment moved away": {[]Alias{claimed(inOrder("A", paid, 0, 1), "9")}, []Known{knownAt("1", paid, 0)}, []string{"9"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			require.Equal(t, c.want, pairsOf(Pair(c.aliases, c.known)))
		})
	}
}

// However many orders and payments there are, and whatever was paired before: the
// most that can be are paired, those with money first, and to pair again changes
// nothing.
func TestPair_PairsAsManyAsCanBe(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		statuses := rapid.SampledFrom([]PaymentStatus{"", PaymentPending, PaymentRejected, PaymentApproved, PaymentRefunded})
		minutes := rapid.IntRange(0, 60)
		var aliases []Alias
		for i := range rapid.IntRange(0, 5).Draw(t, "aliases") {
			from := minutes.Draw(t, "from")
			aliases = append(aliases, inOrder("PAY"+strconv.Itoa(i), statuses.Draw(t, "words"), from, from+rapid.IntRange(0, 20).Draw(t, "took")))
			aliases[i].Provisional = rapid.Bool().Draw(t, "provisional")
		}
		var known []Known
		for i := range rapid.IntRange(0, 5).Draw(t, "payments") {
			known = append(known, knownAt(strconv.Itoa(i+1), rapid.SampledFrom(paymentStatuses[:]).Draw(t, "status"), minutes.Draw(t, "made")))
		}
		some := known[:rapid.IntRange(0, len(known)).Draw(t, "known before")]
		before := Pair(aliases, some)

		paired := Pair(before, known)

		require.Equal(t, paired, Pair(paired, known), "again")
		money := func(list []Alias) []Alias {
			return slices.DeleteFunc(slices.Clone(list), func(a Alias) bool { return !a.Payment.Status.HasMoney() })
		}
		require.Equal(t, mostPairs(money(aliases), known, 0, 0), countPaired(money(paired)), "with money")
		require.Equal(t, mostPairs(aliases, known, 0, 0), countPaired(paired), "in all")
		held := map[string]bool{}
		for _, a := range paired {
			if a.PaymentID != "" {
				require.False(t, held[a.PaymentID], "two have one payment")
				held[a.PaymentID] = true
				i := slices.IndexFunc(known, func(p Known) bool { return p.ID == a.PaymentID })
				require.True(t, a.mayBe(known[i]))
			}
		}
	})
}

func countPaired(aliases []Alias) (n int) {
	for _, a := range aliases {
		if a.PaymentID != "" {
			n++
		}
	}
	return n
}

// mostPairs tries every way to pair the aliases from i on; taken has a bit for each
// payment.
func mostPairs(aliases []Alias, known []Known, i int, taken uint) int {
	if i == len(aliases) {
		return 0
	}
	most := mostPairs(aliases, known, i+1, taken)
	for j, p := range known {
		if taken&(1<<j) == 0 && aliases[i].mayBe(p) {
			most = max(most, 1+mostPairs(aliases, known, i+1, taken|1<<j))
		}
	}
	return most
}

func TestFold_CountsWhatOnlyTheOrderHasShown(t *testing.T) {
	t.Parallel()
	terms, rules := Terms{Amount: decimal.NewFromInt(100), Currency: "ARS"}, Rules{CollectorID: "1", Mode: ModeLive}
	fold := func(known []Known, aliases ...Alias) Settlement {
		settled, _, err := Fold(terms, rules, known, aliases)
		require.NoError(t, err)
		return settled
	}
	half := inOrder("A", PaymentApproved, 0, 1)
	half.Payment.Refunded = decimal.NewFromInt(40)
	shown := inOrder("A", PaymentApproved, 0, 1)
	shown.Provisional = false
	foreign, test := inOrder("A", PaymentApproved, 0, 1), inOrder("A", PaymentApproved, 0, 1)
	foreign.Payment.CollectorID, test.Payment.LiveMode = "2", false

	require.Equal(t, StatusPaid, fold(nil, inOrder("A", PaymentApproved, 0, 1)).Status)
	require.Equal(t, StatusPartiallyRefunded, fold(nil, half).Status)
	require.Equal(t, StatusPending, fold(nil, shown).Status, "the payments' side has it")
	require.Equal(t, StatusPending, fold(nil, inOrder("A", "", 0, 1)).Status)
	require.Equal(t, StatusRejected, fold(nil, inOrder("A", PaymentRejected, 0, 1)).Status)
	require.Equal(t, StatusRefunded, fold([]Known{knownAt("1", PaymentRefunded, 0)}, inOrder("A", PaymentApproved, 0, 1)).Status)
	require.Equal(t, AnomalyForeignCollector, fold(nil, foreign).Anomalies[0].Kind)
	require.Equal(t, AnomalyWrongMode, fold(nil, test).Anomalies[0].Kind)
	twice := fold([]Known{knownAt("1", PaymentApproved, 0)}, inOrder("A", PaymentApproved, 0, 1), inOrder("B", PaymentApproved, 0, 1))
	require.Equal(t, "200", twice.Paid.String())
	require.Equal(t, AnomalyDuplicatePayment, twice.Anomalies[0].Kind)
}
