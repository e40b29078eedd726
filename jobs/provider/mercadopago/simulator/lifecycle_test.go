package simulator

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// A want is what a merchant who asks 100.01 should see after a step.
type want struct {
	status         string
	paid, refunded string
}

// lives says, for every lifecycle, what the merchant should see after each of
// its steps. It is written by hand, from what the status of an order means.
var lives = map[string][]want{
	"approved":                {{"paid", "100.01", "0"}},
	"ticket_paid":             {{"pending", "0", "0"}, {"paid", "100.01", "0"}},
	"review_approved":         {{"in_process", "0", "0"}, {"paid", "100.01", "0"}},
	"review_rejected":         {{"in_process", "0", "0"}, {"rejected", "0", "0"}},
	"rejected":                {{"rejected", "0", "0"}},
	"rejected_then_approved":  {{"rejected", "0", "0"}, {"paid", "100.01", "0"}},
	"rejected_then_ticket":    {{"rejected", "0", "0"}, {"pending", "0", "0"}, {"paid", "100.01", "0"}},
	"captured":                {{"authorized", "0", "0"}, {"paid", "100.01", "0"}},
	"released":                {{"authorized", "0", "0"}, {"cancelled", "0", "0"}},
	"expired":                 {{"pending", "0", "0"}, {"cancelled", "0", "0"}},
	"expired_beside_rejected": {{"pending", "0", "0"}, {"pending", "0", "0"}, {"rejected", "0", "0"}},
	"abandoned":               {},
	"updated_late":            {{"paid", "100.01", "0"}, {"paid", "100.01", "0"}},
	"refunded":                {{"paid", "100.01", "0"}, {"refunded", "100.01", "100.01"}},
	"refunded_by_parts": {
		{"paid", "100.01", "0"}, {"partially_refunded", "100.01", "33.33"}, {"refunded", "100.01", "100.01"},
	},
	"partially_refunded": {
		{"paid", "100.01", "0"}, {"partially_refunded", "100.01", "33.33"}, {"partially_refunded", "100.01", "50"},
	},
	"mediation_won":          {{"paid", "100.01", "0"}, {"in_mediation", "0", "0"}, {"paid", "100.01", "0"}},
	"mediation_refunded":     {{"paid", "100.01", "0"}, {"in_mediation", "0", "0"}, {"refunded", "100.01", "100.01"}},
	"mediation_charged_back": {{"paid", "100.01", "0"}, {"in_mediation", "0", "0"}, {"charged_back", "0", "0"}},
	"chargeback_lost":        {{"paid", "100.01", "0"}, {"charged_back", "0", "0"}, {"charged_back", "0", "0"}},
	"chargeback_won":         {{"paid", "100.01", "0"}, {"charged_back", "0", "0"}, {"paid", "100.01", "0"}},
	"chargeback_after_refund": {
		{"paid", "100.01", "0"},
		{"partially_refunded", "100.01", "33.33"},
		{"charged_back", "0", "0"},
		{"partially_refunded", "100.01", "33.33"},
	},
	"chargeback_beside_payment": {{"paid", "100.01", "0"}, {"charged_back", "0", "0"}, {"paid", "100.01", "0"}},
	"underpaid":                 {{"partially_paid", "50", "0"}},
	"underpaid_refunded":        {{"partially_paid", "50", "0"}, {"partially_paid", "50", "33.33"}, {"refunded", "50", "50"}},
	"paid_by_halves":            {{"partially_paid", "50", "0"}, {"paid", "100.01", "0"}},
	"overpaid":                  {{"paid", "150.01", "0"}},
	"overpaid_refunded":         {{"paid", "150.01", "0"}, {"paid", "150.01", "50"}},
	"paid_twice":                {{"paid", "100.01", "0"}, {"paid", "200.02", "0"}},
	"paid_twice_refunded":       {{"paid", "100.01", "0"}, {"paid", "200.02", "0"}, {"paid", "200.02", "100.01"}},
	"other_currency":            {{"pending", "0", "0"}, {"paid", "100.01", "0"}},
	"other_collector":           {{"pending", "0", "0"}},
	"other_mode":                {{"pending", "0", "0"}},
}

func TestLife_ShowsWhatTheMerchantShouldSee(t *testing.T) {
	t.Parallel()
	require.Len(t, Lifecycles(), len(lives))
	for _, life := range lifecycles {
		t.Run(life.name, func(t *testing.T) {
			t.Parallel()
			wants, ok := lives[life.name]
			require.True(t, ok, "no expectations")
			require.Len(t, wants, len(life.steps))

			s := setup(t, Config{})
			spec := OrderSpec{Reference: "order-1", Amount: money("100.01"), Currency: "ARS", Lifecycle: life.name}
			require.NoError(t, s.open([]OrderSpec{spec}))
			r := &run{sim: s, plan: Plan{Orders: 1}, queueIDs: map[int64]struct{}{}}
			requireTruth(t, s, want{"pending", "0", "0"}, "before any payment")
			line := r.begin(spec)
			for i, expected := range wants {
				deliveries, err := r.advance(line)
				require.NoError(t, err)
				require.Len(t, deliveries, 1)
				requireTruth(t, s, expected, "after step %d", i)
			}
			truth := s.Truth()[0]
			require.Equal(t, life.name, truth.Lifecycle)
			require.Equal(t, life.payments(), truth.Payments)
			require.Len(t, truth.States, len(life.steps))
			require.Equal(t, len(life.steps), r.report.Notifications)
		})
	}
}

// requireTruth compares the truth of the only order.
func requireTruth(t *testing.T, s *Simulator, expected want, msgAndArgs ...any) {
	t.Helper()
	all := s.Truth()
	require.Len(t, all, 1)
	got := want{all[0].Status, all[0].Paid.String(), all[0].Refunded.String()}
	require.Equal(t, expected, got, msgAndArgs...)
}

func TestLife_PartsAreExact(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		total string
		scale int32
		part  part
		want  string
	}{
		{"100.01", 2, none, "0"},
		{"100.01", 2, third, "33.33"},
		{"100.01", 2, half, "50"},
		{"100.01", 2, rest, "50.01"},
		{"100.01", 2, all, "100.01"},
		{"100.01", 2, more, "150.01"},
		{"101", 0, third, "33"},
		{"101", 0, half, "50"},
		{"101", 0, rest, "51"},
	} {
		require.Equal(t, tt.want, tt.part.of(money(tt.total), tt.scale).String())
	}
	require.Panics(t, func() { part(99).of(money("1"), 2) })
}

// Lifecycles names the lives that Run can give to orders, for Plan.Weights.
func Lifecycles() []string {
	names := make([]string, 0, len(lifecycles))
	for _, l := range lifecycles {
		names = append(names, l.name)
	}
	return names
}
