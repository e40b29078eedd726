package order

import (
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestSupersedes_GoesByTheLaterChange(t *testing.T) {
	t.Parallel()

	for _, c := range []struct {
		prose       string
		later, than Payment
	}{
		{
			"the later change wins, though its rank is lower and its fetch began earlier",
			pay("1", PaymentApproved, "150", updated(time.Millisecond), fetched(time.Minute)),
			pay("1", PaymentChargedBack, "150", updated(0), fetched(time.Hour)),
		},
		{
			"changed at the same instant, the higher rank wins, though its fetch began earlier",
			pay("1", PaymentRefunded, "150", fetched(time.Minute)),
			pay("1", PaymentApproved, "150", fetched(time.Hour)),
		},
		{
			"changed at the same instant in the same status, the later fetch wins, though less is refunded",
			pay("1", PaymentApproved, "150", refunded("10"), fetched(time.Hour)),
			pay("1", PaymentApproved, "150", refunded("20"), fetched(time.Minute)),
		},
		{
			"changed at the same instant in the same status, the fetch with the higher mark wins, though the clock says otherwise",
			pay("1", PaymentApproved, "150", refunded("10"), marked(8), fetched(time.Minute)),
			pay("1", PaymentApproved, "150", refunded("20"), marked(7), fetched(time.Hour)),
		},
		{
			"a date more than five minutes after the fetch counts as its beginning, so that it pins nothing",
			pay("1", PaymentRefunded, "150", updated(2*time.Minute), fetched(3*time.Minute)),
			pay("1", PaymentApproved, "150", updated(70*365*24*time.Hour), fetched(time.Minute)),
		},
		{
			"a date within five minutes of the fetch is believed",
			pay("1", PaymentApproved, "150", updated(6*time.Minute), fetched(time.Minute)),
			pay("1", PaymentRefunded, "150", updated(2*time.Minute), fetched(3*time.Minute)),
		},
		{
			"a state that differs and has no date was changed when its fetch began",
			pay("1", PaymentRefunded, "150", undated, fetched(time.Minute)),
			pay("1", PaymentApproved, "150"),
		},
		{
			"the shipping",
			pay("1", PaymentApproved, "150"),
			pay("1", PaymentApproved, "150", shipping("10")),
		},
		{
			"nothing but the facts differs: the charge",
			pay("1", PaymentApproved, "150", charge("s", 2)),
			pay("1", PaymentApproved, "150", charge("s", 1)),
		},
		{
			"nothing but the facts differs: more refunded",
			pay("1", PaymentApproved, "150", refunded("20")),
			pay("1", PaymentApproved, "150", refunded("10")),
		},
		{
			"nothing but the facts differs: less paid",
			pay("1", PaymentApproved, "149"),
			pay("1", PaymentApproved, "150"),
		},
		{
			"nothing but the facts differs: the detail",
			pay("1", PaymentApproved, "150", detail("b")),
			pay("1", PaymentApproved, "150", detail("a")),
		},
		{
			"nothing but the facts differs: the currency",
			pay("1", PaymentApproved, "150", currency("BRL")),
			pay("1", PaymentApproved, "150", currency("ARS")),
		},
		{
			"nothing but the facts differs: the collector",
			pay("1", PaymentApproved, "150", collector("2")),
			pay("1", PaymentApproved, "150", collector("1")),
		},
		{
			"nothing but the facts differs: the mode",
			pay("1", PaymentApproved, "150"),
			pay("1", PaymentApproved, "150", testMode),
		},
		{
			"nothing but the facts differs: the check of a card",
			pay("1", PaymentApproved, "150", validation),
			pay("1", PaymentApproved, "150"),
		},
		{
			"two words outside the nine are told apart as well",
			pay("1", "vanished", "150"),
			pay("1", "evaporated", "150"),
		},
	} {
		t.Run(c.prose, func(t *testing.T) {
			t.Parallel()
			require.True(t, c.later.Supersedes(c.than))
			require.False(t, c.than.Supersedes(c.later))
			require.False(t, c.later.SameState(c.than))
			require.Equal(t, []Payment{c.later}, Latest([]Payment{c.later, c.than}))
			require.Equal(t, []Payment{c.later}, Latest([]Payment{c.than, c.later}))
		})
	}

	t.Run("every status outranks those before it", func(t *testing.T) {
		t.Parallel()
		for i, higher := range PaymentStatuses() {
			for _, lower := range PaymentStatuses()[:i] {
				require.True(t, pay("1", higher, "150").Supersedes(pay("1", lower, "150")), "%s over %s", higher, lower)
				require.False(t, pay("1", lower, "150").Supersedes(pay("1", higher, "150")), "%s over %s", lower, higher)
			}
		}
	})

	t.Run("a state does not supersede itself, however its amount and its instants are written", func(t *testing.T) {
		t.Parallel()
		p := pay("1", PaymentApproved, "150", refunded("10"))
		q := pay("1", PaymentApproved, "150.00", refunded("10.0"))
		q.UpdatedAt = q.UpdatedAt.In(time.FixedZone("", -4*60*60))
		q.FetchedAt = q.FetchedAt.In(time.FixedZone("", -4*60*60))
		require.False(t, p.Supersedes(q))
		require.False(t, q.Supersedes(p))
		require.True(t, p.SameState(q))
	})
}

func TestSameState_KnowsWhatAFetchRepeats(t *testing.T) {
	t.Parallel()

	t.Run("a payment fetched again unchanged is in the same state, and repeats it", func(t *testing.T) {
		t.Parallel()
		p, q := pay("1", PaymentApproved, "150", fetched(0)), pay("1", PaymentApproved, "150", fetched(time.Hour), marked(9))
		require.True(t, p.SameState(q))
		require.True(t, q.Repeats(p))
		require.False(t, q.Supersedes(p))
	})

	t.Run("one without a date that says nothing new repeats what is known, and the other way round it does not", func(t *testing.T) {
		t.Parallel()
		p, q := pay("1", PaymentApproved, "150"), pay("1", PaymentApproved, "150", undated, fetched(time.Hour))
		require.True(t, q.Repeats(p))
		require.False(t, q.Supersedes(p), "or it would pin the payment at its fetch")
		require.False(t, p.Repeats(q))
	})

	t.Run("a state that was seen before keeps the moment of its first fetch", func(t *testing.T) {
		t.Parallel()
		known := pay("1", PaymentApproved, "150", updated(365*24*time.Hour), fetched(time.Hour))
		known.KnownAt = noon
		require.Equal(t, noon, known.ChangedAt())
		require.True(t, pay("1", PaymentRefunded, "150", updated(time.Minute), fetched(2*time.Hour)).Supersedes(known))
	})

	t.Run("any other fact makes another state", func(t *testing.T) {
		t.Parallel()
		p := pay("1", PaymentApproved, "150")
		for _, q := range []Payment{
			pay("2", PaymentApproved, "150"),
			pay("1", PaymentRefunded, "150"),
			pay("1", PaymentApproved, "150", detail("accredited")),
			pay("1", PaymentApproved, "150.01"),
			pay("1", PaymentApproved, "150", shipping("1")),
			pay("1", PaymentApproved, "150", charge("s", 1)),
			pay("1", PaymentApproved, "150", noAmount),
			pay("1", PaymentApproved, "150", refunded("0.01")),
			pay("1", PaymentApproved, "150", currency("BRL")),
			pay("1", PaymentApproved, "150", collector(theirs)),
			pay("1", PaymentApproved, "150", testMode),
			pay("1", PaymentApproved, "150", validation),
			pay("1", PaymentApproved, "150", updated(time.Nanosecond)),
		} {
			require.False(t, p.SameState(q), "%+v", q)
			require.False(t, q.SameState(p), "%+v", q)
		}
	})
}

func TestLatest_IsOneStateForEachPayment(t *testing.T) {
	t.Parallel()

	old, current := pay("2", PaymentPending, "150"), pay("2", PaymentApproved, "150", updated(time.Hour))
	states := []Payment{current, pay("3", PaymentPending, "1"), old, pay("10", PaymentPending, "1"), current, old}
	before := slices.Clone(states)

	latest := Latest(states)

	require.Equal(t, []Payment{pay("10", PaymentPending, "1"), current, pay("3", PaymentPending, "1")}, latest,
		"one state for each payment, sorted by id as text")
	require.Equal(t, before, states, "the input is left as it is")
	require.Empty(t, Latest(nil))
}

// Latest returns the latest state of each payment among the given states,
// sorted by payment id. The input is left as it is.
func Latest(states []Payment) []Payment {
	return latestOfSorted(sortStates(states))
}
