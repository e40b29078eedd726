package payout_test

import (
	"testing"

	"github.com/shopspring/decimal"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/conciliar/conciliar/store/payout"
)

func money(text string) decimal.Decimal { return decimal.RequireFromString(text) }

func monies(texts ...string) (all []decimal.Decimal) {
	for _, text := range texts {
		all = append(all, money(text))
	}
	return all
}

// requireExplanation asserts what a payout is made of; an empty text is not a balance.
func requireExplanation(t *testing.T, e payout.Explanation, state payout.State, opening, unexplained, kept string) {
	t.Helper()
	require.Equal(t, state, e.State())
	require.True(t, e.Unexplained.Equal(money(unexplained)), "unexplained %s", e.Unexplained)
	for want, got := range map[*string]decimal.NullDecimal{&opening: e.Opening, &kept: e.Kept} {
		require.Equal(t, *want != "", got.Valid)
		require.True(t, !got.Valid || got.Decimal.Equal(money(*want)), "%s, want %s", got.Decimal, *want)
	}
}

func TestChain_ExplainsAPayoutAndCarriesTheBalance(t *testing.T) {
	t.Parallel()
	c := payout.Resume(decimal.NullDecimal{})
	require.Empty(t, c.Claim(monies("10.00")))
	c.Add(1, money("92.31"))
	c.Add(2, money("-2.31"))

	e, links := c.Pay(money("95"))

	requireExplanation(t, e, payout.Explained, "10", "0", "5")
	require.Equal(t, []int64{1, 2}, links)
	c.Add(4, money("1"))
	e, links = c.Pay(money("6"))
	requireExplanation(t, e, payout.Explained, "5", "0", "0")
	require.Equal(t, []int64{4}, links)
}

func TestChain_StaysOpenBeforeTheFirstKnownBalance(t *testing.T) {
	t.Parallel()
	c := payout.Resume(decimal.NullDecimal{})
	c.Add(1, money("60"))
	e, links := c.Pay(money("100"))
	requireExplanation(t, e, payout.Open, "", "40", "")
	require.Equal(t, []int64{1}, links)

	c.Add(3, money("500"))
	e, _ = c.Pay(money("100"))
	requireExplanation(t, e, payout.Open, "", "0", "")

	c.Add(5, money("7"))
	require.Equal(t, []int64{5}, c.Claim(monies("30")), "what was before the balance explains nothing")
	c.Add(6, money("20"))
	e, links = c.Pay(money("45"))
	requireExplanation(t, e, payout.Explained, "30", "0", "5")
	require.Equal(t, []int64{6}, links)
}

func TestChain_SaysWhatIsMissing(t *testing.T) {
	t.Parallel()
	for what, c := range map[string]struct {
		moved       string
		claims      []decimal.Decimal
		unexplained string
		kept        string
	}{
		"less is known than was paid":              {"60", nil, "40", "0"},
		"a later balance shows what came":          {"60", monies("150"), "90", "50"},
		"a later balance shows what went":          {"160", monies("130"), "-30", "30"},
		"a balance from before late rows was told": {"160", monies("100", "160"), "0", "60"},
		"none of two is right":                     {"160", monies("100", "170"), "10", "70"},
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			chain := payout.Resume(decimal.NewNullDecimal(decimal.Zero))
			chain.Add(1, money(c.moved))
			chain.Claim(c.claims)
			e, _ := chain.Pay(money("100"))

			state := payout.Open
			if c.unexplained == "0" {
				state = payout.Explained
			}
			requireExplanation(t, e, state, "0", c.unexplained, c.kept)
			e, _ = chain.Pay(money(c.kept).Add(money("1")))
			requireExplanation(t, e, payout.Open, c.kept, "1", "0")
		})
	}
}

// The first balance may itself be told twice, once before its last rows were there.
func TestChain_TheNextBalanceSaysWhichOfTwoWasRight(t *testing.T) {
	t.Parallel()
	for right, wrong := range map[string]string{"10": "30", "30": "10"} {
		c := payout.Resume(decimal.NullDecimal{})
		c.Claim(monies(wrong, right))
		c.Add(1, money("90"))
		c.Claim([]decimal.Decimal{money(right).Add(money("90"))})
		e, _ := c.Pay(money("90"))
		requireExplanation(t, e, payout.Explained, right, "0", right)
	}
}

// Whatever is known, amount and balance kept are the balance before, what moved and
// what is unexplained; and what was wrong in between cancels out.
func TestChain_AddsUp(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		cents := rapid.Int64Range(-5_000, 10_000)
		amount := func(name string) decimal.Decimal { return decimal.New(cents.Draw(rt, name), -2) }
		c := payout.Resume(decimal.NullDecimal{})
		kept := decimal.NullDecimal{}
		for i := range rapid.IntRange(1, 30).Draw(rt, "steps") {
			switch rapid.SampledFrom([]string{"move", "move", "claim", "pay"}).Draw(rt, "step") {
			case "move":
				c.Add(int64(i), amount("moved"))
			case "claim":
				c.Claim([]decimal.Decimal{amount("balance")})
			case "pay":
				e, _ := c.Pay(decimal.New(rapid.Int64Range(1, 20_000).Draw(rt, "paid"), -2))
				if !e.Kept.Valid {
					require.Equal(rt, payout.Open, e.State())
					require.False(rt, e.Unexplained.IsNegative() || e.Unexplained.GreaterThan(e.Amount))
					continue
				}
				require.False(rt, e.Kept.Decimal.IsNegative())
				require.True(rt, e.Amount.Add(e.Kept.Decimal).Equal(e.Opening.Decimal.Add(e.Moved).Add(e.Unexplained)))
				if kept.Valid {
					require.True(rt, e.Opening.Decimal.Equal(kept.Decimal), "the balance is carried over")
				}
				kept = e.Kept
			}
		}
	})
}
