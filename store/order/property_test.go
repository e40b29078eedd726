package order

import (
	"slices"
	"testing"
	"time"

	"github.com/shopspring/decimal"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// drawAmount draws from few amounts around the price, zero included, each
// written with or without trailing zeros: few, so that sums meet the price.
func drawAmount(t *rapid.T, label string) decimal.Decimal {
	amount := decimal.New(rapid.SampledFrom([]int64{0, 1, 4999, 5000, 7500, 10000, 14999, 15000, 15001, 20000, 30000}).Draw(t, label), -2)
	if rapid.Bool().Draw(t, label+" written short") {
		return amount.Normalize()
	}
	return amount
}

func drawTerms(t *rapid.T) Terms {
	return Terms{
		Amount:      decimal.New(rapid.SampledFrom([]int64{1, 7500, 15000, 15001, 30000}).Draw(t, "price"), -2),
		Currency:    "ARS",
		Cancelled:   mostly(t, "cancelled", false, true),
		CollectorID: mostly(t, "account", "", ours, theirs),
	}
}

func drawRules(t *rapid.T) Rules {
	return Rules{
		CollectorID: rapid.SampledFrom([]string{"", ours}).Draw(t, "our collector"),
		Sellers:     rapid.SampledFrom([][]string{nil, {theirs}}).Draw(t, "sellers"),
		Mode:        rapid.SampledFrom([]Mode{ModeAny, ModeLive, ModeTest}).Draw(t, "allowed mode"),
	}
}

// mostly draws the usual value three times out of four.
func mostly[T any](t *rapid.T, label string, usual T, others ...T) T {
	if rapid.IntRange(0, 3).Draw(t, label+" is unusual") < 3 {
		return usual
	}
	return rapid.SampledFrom(others).Draw(t, label)
}

// drawState draws a state of one of three payments at one of three instants,
// so that states of one payment meet, tie and differ.
func drawState(t *rapid.T) Payment {
	status := rapid.SampledFrom(PaymentStatuses()).Draw(t, "status")
	if rapid.Bool().Draw(t, "with money") {
		status = rapid.SampledFrom([]PaymentStatus{PaymentApproved, PaymentApproved, PaymentRefunded, PaymentChargedBack}).Draw(t, "money status")
	}
	p := Payment{
		ID:           rapid.SampledFrom([]string{"1", "2", "3"}).Draw(t, "id"),
		Status:       status,
		StatusDetail: rapid.SampledFrom([]string{"", "accredited", "reimbursed", "settled"}).Draw(t, "detail"),
		Amount:       decimal.NewNullDecimal(drawAmount(t, "amount")),
		Shipping:     mostly(t, "shipping", decimal.Zero, decimal.New(1, 0), decimal.New(75, 0)),
		FetchMark:    rapid.Int64Range(0, 1).Draw(t, "mark"),
		Currency:     mostly(t, "currency", "ARS", "BRL", ""),
		CollectorID:  mostly(t, "collector", ours, theirs, ""),
		LiveMode:     mostly(t, "live mode", true, false),
		Validation:   mostly(t, "validation", false, true),
		UpdatedAt:    noon.Add(time.Duration(rapid.IntRange(0, 2).Draw(t, "updated")) * time.Millisecond),
		FetchedAt:    noon.Add(time.Duration(rapid.IntRange(0, 2).Draw(t, "fetched")) * time.Millisecond),
	}
	switch rapid.IntRange(0, 3).Draw(t, "refund") {
	case 0:
		p.Refunded = p.Amount.Decimal
	case 1:
		p.Refunded = drawAmount(t, "refunded")
	}
	if !status.HasMoney() && rapid.Bool().Draw(t, "says no amount") {
		p.Amount, p.Currency = decimal.NullDecimal{}, ""
	}
	if rapid.Bool().Draw(t, "of a subscription") {
		p.SubscriptionID, p.SubscriptionNumber = "s", rapid.Int64Range(0, 3).Draw(t, "charge")
	}
	if rapid.IntRange(0, 7).Draw(t, "dated wrong") == 0 {
		p.UpdatedAt = p.UpdatedAt.Add(time.Hour)
	}
	return p
}

func drawStates(t *rapid.T) []Payment {
	return rapid.SliceOfN(rapid.Custom(drawState), 0, 8).Draw(t, "states")
}

func settle(t require.TestingT, terms Terms, rules Rules, states []Payment) Settlement {
	got, err := Settle(terms, rules, states)
	require.NoError(t, err)
	return got
}

func TestSettle_AgreesWithTheTables(t *testing.T) {
	t.Parallel()

	t.Run("for anything drawn", func(t *testing.T) {
		t.Parallel()
		rapid.Check(t, func(t *rapid.T) {
			terms, rules, states := drawTerms(t), drawRules(t), drawStates(t)
			// Without the ties that only the facts decide: the tables are silent there.
			states = slices.CompactFunc(sortStates(states), func(p, q Payment) bool {
				return p.ID == q.ID && p.ChangedAt().Equal(q.ChangedAt()) && p.Status == q.Status && p.FetchMark == q.FetchMark && p.FetchedAt.Equal(q.FetchedAt)
			})
			require.Equal(t, oracle(terms, rules, states), verdictOf(settle(t, terms, rules, states)))
		})
	})

	t.Run("for every three payments of every sort", func(t *testing.T) {
		t.Parallel()
		var sorts []Payment
		for _, status := range PaymentStatuses() {
			sorts = append(sorts, pay("", status, "150"))
		}
		sorts = append(sorts,
			pay("", PaymentApproved, "75"),
			pay("", PaymentApproved, "149.99"),
			pay("", PaymentApproved, "200"),
			pay("", PaymentApproved, "150", refunded("75")),
			pay("", PaymentApproved, "150", refunded("150")),
			pay("", PaymentApproved, "200", refunded("50")),
			pay("", PaymentRefunded, "75", refunded("1")),
			pay("", PaymentChargedBack, "150", detail("reimbursed")),
			pay("", PaymentChargedBack, "75", detail("reimbursed"), refunded("75")),
			pay("", PaymentApproved, "140", shipping("10")),
			pay("", PaymentApproved, "75", shipping("10"), refunded("90")),
			pay("", PaymentApproved, "150", charge("s", 1)),
			pay("", PaymentApproved, "150", charge("s", 2)),
			pay("", PaymentCancelled, "0", noAmount),
			pay("", PaymentChargedBack, "150", collector(theirs)),
			pay("", PaymentApproved, "150", currency("BRL")),
			pay("", PaymentInMediation, "150", testMode),
			pay("", PaymentApproved, "150", validation),
			pay("", PaymentApproved, "0"),
		)
		as := func(id string, p Payment) Payment {
			p.ID = id
			return p
		}
		for _, first := range sorts {
			for _, second := range sorts {
				for _, third := range sorts {
					payments := []Payment{as("1", first), as("2", second), as("3", third)}
					for _, terms := range []Terms{terms, {Amount: terms.Amount, Currency: terms.Currency, Cancelled: true}} {
						got, err := Settle(terms, rules, payments)
						// Spelled out: require would take seconds over so many.
						if want := oracle(terms, rules, payments); err != nil || verdictOf(got) != want {
							require.NoError(t, err)
							require.Equal(t, want, verdictOf(got), "%+v", payments)
						}
					}
				}
			}
		}
	})
}

func TestSettle_EndsTheSameInAnyOrder(t *testing.T) {
	t.Parallel()

	t.Run("in whatever order and however often the states arrive", func(t *testing.T) {
		t.Parallel()
		rapid.Check(t, func(t *rapid.T) {
			terms, rules, states := drawTerms(t), drawRules(t), drawStates(t)
			want := settle(t, terms, rules, states)

			again := slices.Clone(states)
			if len(states) > 0 {
				again = append(again, rapid.SliceOf(rapid.SampledFrom(states)).Draw(t, "replayed")...)
			}
			again = rapid.Permutation(again).Draw(t, "arrival")

			require.Equal(t, want, settle(t, terms, rules, again))
		})
	})

	t.Run("to the last bit, however its amounts are written", func(t *testing.T) {
		t.Parallel()
		long := []Payment{pay("1", PaymentApproved, "100.00", refunded("10.00")), pay("2", PaymentApproved, "200.000")}
		short := []Payment{pay("1", PaymentApproved, "1e2", refunded("10")), pay("2", PaymentApproved, "200")}
		require.Equal(t, settle(t, terms, rules, long), settle(t, terms, rules, short))
	})

	t.Run("when each arrival is folded into what was kept", func(t *testing.T) {
		t.Parallel()
		rapid.Check(t, func(t *rapid.T) {
			terms, rules, states := drawTerms(t), drawRules(t), drawStates(t)
			kept := map[string]Payment{}
			for _, p := range rapid.Permutation(states).Draw(t, "arrival") {
				if q, known := kept[p.ID]; !known || p.Supersedes(q) {
					kept[p.ID] = p
				}
			}
			var latest []Payment
			for _, p := range kept {
				latest = append(latest, p)
			}
			require.Equal(t, settle(t, terms, rules, states), settle(t, terms, rules, latest))
		})
	})

	t.Run("when the arrivals come in batches, each reduced to its latest", func(t *testing.T) {
		t.Parallel()
		rapid.Check(t, func(t *rapid.T) {
			terms, rules, states := drawTerms(t), drawRules(t), drawStates(t)
			var kept []Payment
			for rest := states; len(rest) > 0; {
				n := rapid.IntRange(1, len(rest)).Draw(t, "batch")
				kept, rest = Latest(append(kept, Latest(rest[:n])...)), rest[n:]
			}
			require.Equal(t, settle(t, terms, rules, states), settle(t, terms, rules, kept))
		})
	})

	t.Run("after an older state of a payment is replayed", func(t *testing.T) {
		t.Parallel()
		rapid.Check(t, func(t *rapid.T) {
			terms, rules, states := drawTerms(t), drawRules(t), drawStates(t)
			if len(states) == 0 {
				return
			}
			old := drawState(t)
			old.ID = rapid.SampledFrom(states).Draw(t, "replayed").ID
			old.UpdatedAt = noon.Add(-time.Hour)
			require.Equal(t, settle(t, terms, rules, states), settle(t, terms, rules, append(slices.Clone(states), old)))
		})
	})
}

func TestSettle_KeepsItsInvariants(t *testing.T) {
	t.Parallel()

	t.Run("money is never negative, never refunded beyond what was paid, and fits the status", func(t *testing.T) {
		t.Parallel()
		rapid.Check(t, func(t *rapid.T) {
			terms, rules, states := drawTerms(t), drawRules(t), drawStates(t)
			got := settle(t, terms, rules, states)
			net := got.Paid.Sub(got.Refunded)

			require.False(t, got.Paid.IsNegative())
			require.False(t, got.Refunded.IsNegative())
			require.False(t, net.IsNegative())
			require.Contains(t, Statuses(), got.Status)
			switch got.Status { //nolint:exhaustive // the others say nothing about the net
			case StatusPaid:
				require.True(t, net.GreaterThanOrEqual(terms.Amount))
			case StatusPartiallyPaid:
				require.True(t, net.IsPositive() && got.Paid.LessThan(terms.Amount))
			case StatusPartiallyRefunded:
				require.True(t, net.IsPositive() && net.LessThan(terms.Amount) && got.Refunded.IsPositive())
			case StatusRefunded:
				require.True(t, got.Paid.IsPositive() && net.IsZero())
			case StatusPending, StatusInProcess, StatusAuthorized, StatusRejected, StatusCancelled:
				require.True(t, got.Paid.IsZero())
				require.False(t, terms.Cancelled && got.Status != StatusAuthorized && got.Status != StatusCancelled)
			}
			require.Equal(t, terms.Cancelled && net.IsPositive(), yields(got.Anomalies, AnomalyPaidAfterCancel))
			require.Equal(t, got.Status == StatusPartiallyPaid && !terms.Cancelled, yields(got.Anomalies, AnomalyUnderpaid))
			facts := 0
			for _, kind := range []AnomalyKind{AnomalyOverpaid, AnomalyDuplicatePayment, AnomalyPaidAfterCancel, AnomalyUnderpaid} {
				if yields(got.Anomalies, kind) {
					facts++
				}
			}
			require.LessOrEqual(t, facts, 1, "one fact, one anomaly")
			if yields(got.Anomalies, AnomalyOverpaid) || yields(got.Anomalies, AnomalyDuplicatePayment) {
				require.True(t, got.Status == StatusPaid && net.GreaterThan(terms.Amount))
			}
			require.False(t, yields(got.Anomalies, AnomalyDisputedPayment) && got.Status != StatusPaid)
			for _, kind := range []AnomalyKind{AnomalyUnknownOrder, AnomalyNoReference, AnomalyFraudAlert} {
				require.False(t, yields(got.Anomalies, kind), kind)
			}
		})
	})

	t.Run("each anomaly is told once, in order", func(t *testing.T) {
		t.Parallel()
		rapid.Check(t, func(t *rapid.T) {
			got := settle(t, drawTerms(t), drawRules(t), drawStates(t))
			for i := 1; i < len(got.Anomalies); i++ {
				a, b := got.Anomalies[i-1], got.Anomalies[i]
				require.True(t, a.Kind < b.Kind || a.Kind == b.Kind && a.PaymentID < b.PaymentID, "%v before %v", a, b)
			}
		})
	})

	t.Run("a payment that counts for nothing changes neither status nor money", func(t *testing.T) {
		t.Parallel()
		rapid.Check(t, func(t *rapid.T) {
			terms, states := drawTerms(t), drawStates(t)
			rules := Rules{CollectorID: ours, Mode: ModeLive}
			stranger := drawState(t)
			stranger.ID = "stranger"
			switch rapid.IntRange(0, 4).Draw(t, "why") {
			case 0:
				stranger.CollectorID = "nobody of ours"
			case 1:
				stranger.LiveMode = false
			case 2:
				stranger.Currency = "BRL"
				stranger.Amount.Valid = true
			case 3:
				stranger.Validation = true
			case 4:
				stranger.Amount, stranger.Refunded = decimal.NewNullDecimal(decimal.Zero), decimal.Zero
			}
			without := settle(t, terms, rules, states)
			with := settle(t, terms, rules, append(slices.Clone(states), stranger))

			require.Equal(t, without.Status, with.Status)
			require.Equal(t, without.Paid, with.Paid)
			require.Equal(t, without.Refunded, with.Refunded)
			var others []Anomaly
			for _, a := range with.Anomalies {
				if a.PaymentID != stranger.ID {
					others = append(others, a)
				}
			}
			require.Equal(t, without.Anomalies, others)
		})
	})

	t.Run("a status outside the nine is always an error", func(t *testing.T) {
		t.Parallel()
		rapid.Check(t, func(t *rapid.T) {
			terms, rules, states := drawTerms(t), drawRules(t), drawStates(t)
			odd := drawState(t)
			odd.Status = PaymentStatus(rapid.String().Filter(func(s string) bool {
				return !slices.Contains(PaymentStatuses(), PaymentStatus(s))
			}).Draw(t, "odd status"))
			got, err := Settle(terms, rules, rapid.Permutation(append(states, odd)).Draw(t, "arrival"))
			require.ErrorIs(t, err, ErrUnknownStatus)
			require.ErrorContains(t, err, `payment "`+odd.ID+`"`)
			require.Equal(t, Settlement{}, got)
		})
	})
}

func TestSupersedes_IsAStrictTotalOrder(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		p, q, s := drawState(t), drawState(t), drawState(t)
		q.ID, s.ID = p.ID, p.ID
		if rapid.Bool().Draw(t, "dated alike") {
			q.UpdatedAt, q.FetchedAt, q.FetchMark, q.Status = p.UpdatedAt, p.FetchedAt, p.FetchMark, p.Status
		}

		require.False(t, p.Supersedes(p))
		require.False(t, p.Supersedes(q) && q.Supersedes(p), "not both")
		alike := p.SameState(q)
		require.Equal(t, !alike, p.Supersedes(q) || q.Supersedes(p), "one of them, unless they are the same")
		if p.Supersedes(q) && q.Supersedes(s) {
			require.True(t, p.Supersedes(s), "transitive")
		}
	})
}
