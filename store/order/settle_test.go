package order

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// TestSettleStatus goes through the rows of both tables, a payment's worth and
// the order's status, for an order of 150 ARS.
func TestSettleStatus(t *testing.T) {
	t.Parallel()

	for _, c := range []struct {
		prose          string
		payments       []Payment
		status         Status
		paid, refunded string
		anomalies      string // "kind" or "kind:payment", in order
	}{
		// One payment: what each status is worth.
		{"no payment", nil, "pending", "0", "0", ""},
		{"pending", []Payment{pay("1", PaymentPending, "150")}, "pending", "0", "0", ""},
		{"in process", []Payment{pay("1", PaymentInProcess, "150")}, "in_process", "0", "0", ""},
		{"authorized is not paid", []Payment{pay("1", PaymentAuthorized, "150")}, "authorized", "0", "0", ""},
		{"rejected", []Payment{pay("1", PaymentRejected, "150")}, "rejected", "0", "0", ""},
		{"cancelled", []Payment{pay("1", PaymentCancelled, "150")}, "cancelled", "0", "0", ""},
		{"approved", []Payment{pay("1", PaymentApproved, "150")}, "paid", "150", "0", ""},
		{"in mediation", []Payment{pay("1", PaymentInMediation, "150")}, "in_mediation", "0", "0", ""},
		{"refunded", []Payment{pay("1", PaymentRefunded, "150", refunded("150"))}, "refunded", "150", "150", ""},
		{"charged back", []Payment{pay("1", PaymentChargedBack, "150")}, "charged_back", "0", "0", ""},

		// The detail.
		{"approved with a detail that nobody knows", []Payment{pay("1", PaymentApproved, "150", detail("novel"))}, "paid", "150", "0", ""},
		{"charged back, still disputed", []Payment{pay("1", PaymentChargedBack, "150", detail("in_process"))}, "charged_back", "0", "0", ""},
		{"charged back, lost", []Payment{pay("1", PaymentChargedBack, "150", detail("settled"))}, "charged_back", "0", "0", ""},
		{"charged back, won: paid again", []Payment{pay("1", PaymentChargedBack, "150", detail("reimbursed"))}, "paid", "150", "0", ""},
		{"won after a part was refunded", []Payment{pay("1", PaymentChargedBack, "150", detail("reimbursed"), refunded("50"))}, "partially_refunded", "150", "50", ""},
		{"only the exact word wins", []Payment{pay("1", PaymentChargedBack, "150", detail("Reimbursed"))}, "charged_back", "0", "0", ""},
		{"reimbursed means nothing beside another status", []Payment{pay("1", PaymentInMediation, "150", detail("reimbursed"))}, "in_mediation", "0", "0", ""},

		// Refunds.
		{"approved, a part refunded", []Payment{pay("1", PaymentApproved, "150", refunded("0.01"))}, "partially_refunded", "150", "0.01", ""},
		{"approved, all of it refunded", []Payment{pay("1", PaymentApproved, "150", refunded("150"))}, "refunded", "150", "150", ""},
		{"refunded that says nothing of how much: all of it", []Payment{pay("1", PaymentRefunded, "150")}, "refunded", "150", "150", ""},
		{"refunded that says a part: all of it", []Payment{pay("1", PaymentRefunded, "150", refunded("50"))}, "refunded", "150", "150", ""},
		{"a part paid, all of that refunded", []Payment{pay("1", PaymentRefunded, "100")}, "refunded", "100", "100", ""},
		{"two payments, both refunded", []Payment{pay("1", PaymentRefunded, "100"), pay("2", PaymentApproved, "50", refunded("50"))}, "refunded", "150", "150", ""},
		{"two payments, one of them refunded", []Payment{pay("1", PaymentRefunded, "100"), pay("2", PaymentApproved, "50")}, "partially_refunded", "150", "100", ""},
		{"refunded and paid again", []Payment{pay("1", PaymentRefunded, "150"), pay("2", PaymentApproved, "150")}, "paid", "300", "150", ""},
		{"refunded, and a second try under way", []Payment{pay("1", PaymentRefunded, "150"), pay("2", PaymentPending, "150")}, "refunded", "150", "150", ""},
		{"refunded down to the price", []Payment{pay("1", PaymentApproved, "200", refunded("50"))}, "paid", "200", "50", ""},

		// Too little.
		{"a centavo is missing", []Payment{pay("1", PaymentApproved, "149.99")}, "partially_paid", "149.99", "0", "underpaid"},
		{"less than a centavo is missing", []Payment{pay("1", PaymentApproved, "149.999999999")}, "partially_paid", "149.999999999", "0", "underpaid"},
		{"a part paid, and of that a part refunded", []Payment{pay("1", PaymentApproved, "100", refunded("40"))}, "partially_paid", "100", "40", "underpaid"},
		{"a part paid, the rest authorized", []Payment{pay("1", PaymentApproved, "100"), pay("2", PaymentAuthorized, "50")}, "partially_paid", "100", "0", "underpaid"},

		// Exactly enough.
		{"two payments that make the price together", []Payment{pay("1", PaymentApproved, "100"), pay("2", PaymentApproved, "50")}, "paid", "150", "0", ""},
		{"three that floats would get wrong", []Payment{pay("1", PaymentApproved, "0.1"), pay("2", PaymentApproved, "0.2"), pay("3", PaymentApproved, "149.7")}, "paid", "150", "0", ""},
		{"the price written with zeros", []Payment{pay("1", PaymentApproved, "150.000")}, "paid", "150", "0", ""},
		{"rejected twice, then approved", []Payment{pay("1", PaymentRejected, "150"), pay("2", PaymentRejected, "150"), pay("3", PaymentApproved, "150")}, "paid", "150", "0", ""},

		// Too much.
		{"a centavo too much", []Payment{pay("1", PaymentApproved, "150.01")}, "paid", "150.01", "0", "overpaid"},
		{"two that cover it together and no one alone", []Payment{pay("1", PaymentApproved, "100"), pay("2", PaymentApproved, "100")}, "paid", "200", "0", "overpaid"},
		{"paid and a tip in a second payment", []Payment{pay("1", PaymentApproved, "150"), pay("2", PaymentApproved, "10")}, "paid", "160", "0", "overpaid"},
		{"paid twice: a duplicate, and too much", []Payment{pay("1", PaymentApproved, "150"), pay("2", PaymentApproved, "150")}, "paid", "300", "0", "duplicate_payment overpaid"},
		{"paid twice, once through a dispute that was won", []Payment{pay("1", PaymentApproved, "150"), pay("2", PaymentChargedBack, "150", detail("reimbursed"))}, "paid", "300", "0", "duplicate_payment overpaid"},
		{"paid twice, one refunded: all is well", []Payment{pay("1", PaymentApproved, "150"), pay("2", PaymentApproved, "150", refunded("150"))}, "paid", "300", "150", ""},
		{"paid twice, a part of one refunded: no duplicate, still too much", []Payment{pay("1", PaymentApproved, "150"), pay("2", PaymentApproved, "150", refunded("1"))}, "paid", "300", "1", "overpaid"},
		{"paid twice with a surplus, refunded down to twice the price", []Payment{pay("1", PaymentApproved, "200", refunded("50")), pay("2", PaymentApproved, "150")}, "paid", "350", "50", "duplicate_payment overpaid"},

		// Which row comes first.
		{"a charge-back before everything", []Payment{
			pay("1", PaymentApproved, "150"), pay("2", PaymentInMediation, "150"), pay("3", PaymentRefunded, "150"), pay("4", PaymentChargedBack, "1"),
		}, "charged_back", "300", "150", ""},
		{"a mediation before money", []Payment{pay("1", PaymentApproved, "150"), pay("2", PaymentInMediation, "1")}, "in_mediation", "150", "0", ""},
		{"paid twice, with one more disputed: no anomaly until that is over", []Payment{
			pay("1", PaymentApproved, "150"), pay("2", PaymentApproved, "150"), pay("3", PaymentInMediation, "150"),
		}, "in_mediation", "300", "0", ""},
		{"too little, with one charged back: no anomaly until that is over", []Payment{pay("1", PaymentApproved, "1"), pay("2", PaymentChargedBack, "150")}, "charged_back", "1", "0", ""},
		{"authorized before in process", []Payment{pay("1", PaymentInProcess, "150"), pay("2", PaymentAuthorized, "150")}, "authorized", "0", "0", ""},
		{"in process before pending", []Payment{pay("1", PaymentPending, "150"), pay("2", PaymentInProcess, "150")}, "in_process", "0", "0", ""},
		{"pending before rejected", []Payment{pay("1", PaymentRejected, "150"), pay("2", PaymentPending, "150")}, "pending", "0", "0", ""},
		{"rejected before cancelled", []Payment{pay("1", PaymentCancelled, "150"), pay("2", PaymentRejected, "150")}, "rejected", "0", "0", ""},
		{"all cancelled", []Payment{pay("1", PaymentCancelled, "150"), pay("2", PaymentCancelled, "150")}, "cancelled", "0", "0", ""},

		// What counts for nothing.
		{"another collector", []Payment{pay("1", PaymentApproved, "150", collector(theirs))}, "pending", "0", "0", "foreign_collector:1"},
		{"a collector that is not said", []Payment{pay("1", PaymentApproved, "150", collector(""))}, "pending", "0", "0", "foreign_collector:1"},
		{"another mode", []Payment{pay("1", PaymentApproved, "150", testMode)}, "pending", "0", "0", "wrong_mode:1"},
		{"another currency", []Payment{pay("1", PaymentApproved, "150", currency("BRL"))}, "pending", "0", "0", "currency_mismatch:1"},
		{"a currency that is not said", []Payment{pay("1", PaymentApproved, "150", currency(""))}, "pending", "0", "0", "currency_mismatch:1"},
		{"a currency in lower case", []Payment{pay("1", PaymentApproved, "150", currency("ars"))}, "pending", "0", "0", "currency_mismatch:1"},
		{"all three at once", []Payment{pay("1", PaymentApproved, "150", collector(theirs), testMode, currency("BRL"))}, "pending", "0", "0", "currency_mismatch:1 foreign_collector:1 wrong_mode:1"},
		{"a check of a card", []Payment{pay("1", PaymentApproved, "150", validation)}, "pending", "0", "0", ""},
		{"a payment of nothing", []Payment{pay("1", PaymentApproved, "0.00")}, "pending", "0", "0", ""},
		{"a payment of nothing charged back", []Payment{pay("1", PaymentChargedBack, "0")}, "pending", "0", "0", ""},
		{"somebody else's check of a card", []Payment{pay("1", PaymentApproved, "0", validation, collector(theirs), testMode, currency("BRL"))}, "pending", "0", "0", ""},
		{"somebody else's charge-back", []Payment{pay("1", PaymentApproved, "150"), pay("2", PaymentChargedBack, "150", collector(theirs))}, "paid", "150", "0", "foreign_collector:2"},
		{"a mediation of test money", []Payment{pay("1", PaymentApproved, "150"), pay("2", PaymentInMediation, "150", testMode)}, "paid", "150", "0", "wrong_mode:2"},
		{"a refund in another currency", []Payment{pay("1", PaymentApproved, "150"), pay("2", PaymentRefunded, "150", currency("BRL"))}, "paid", "150", "0", "currency_mismatch:2"},
		{"a foreign pending payment beside a rejected one", []Payment{pay("1", PaymentPending, "150", collector(theirs)), pay("2", PaymentRejected, "150")}, "rejected", "0", "0", "foreign_collector:1"},
		{"anomalies by kind and then by payment", []Payment{
			pay("9", PaymentApproved, "150.01"), pay("2", PaymentApproved, "1", testMode), pay("3", PaymentApproved, "1", collector(theirs)), pay("1", PaymentPending, "1", testMode, collector(theirs)),
		}, "paid", "150.01", "0", "foreign_collector:1 foreign_collector:3 overpaid wrong_mode:1 wrong_mode:2"},

		// Several states of one payment.
		{"an older state after a newer one", []Payment{pay("1", PaymentApproved, "150", updated(time.Hour)), pay("1", PaymentPending, "150")}, "paid", "150", "0", ""},
		{"the same state twice is one payment", []Payment{pay("1", PaymentApproved, "150"), pay("1", PaymentApproved, "150")}, "paid", "150", "0", ""},
		{"a mediation that ended", []Payment{pay("1", PaymentInMediation, "150"), pay("1", PaymentApproved, "150", updated(time.Hour))}, "paid", "150", "0", ""},
		{"a state that fits superseded by one that does not", []Payment{pay("1", PaymentApproved, "150"), pay("1", PaymentApproved, "150", updated(time.Hour), currency("BRL"))}, "pending", "0", "0", "currency_mismatch:1"},
	} {
		t.Run(c.prose, func(t *testing.T) {
			t.Parallel()
			before := slices.Clone(c.payments)

			got, err := Settle(terms, rules, c.payments)

			require.NoError(t, err)
			require.Equal(t, c.status, got.Status)
			require.Equal(t, c.paid, got.Paid.String(), "paid")
			require.Equal(t, c.refunded, got.Refunded.String(), "refunded")
			require.Equal(t, c.anomalies, inShort(got.Anomalies))
			require.Equal(t, before, c.payments, "the input is left as it is")
			require.Contains(t, Statuses(), got.Status)
		})
	}
}

func inShort(anomalies []Anomaly) string {
	words := make([]string, len(anomalies))
	for i, a := range anomalies {
		words[i] = string(a.Kind)
		if a.PaymentID != "" {
			words[i] += ":" + a.PaymentID
		}
	}
	return strings.Join(words, " ")
}

func TestSettleDetails(t *testing.T) {
	t.Parallel()

	settle := func(t *testing.T, payments ...Payment) []Anomaly {
		t.Helper()
		got, err := Settle(terms, rules, payments)
		require.NoError(t, err)
		return got.Anomalies
	}

	t.Run("underpaid says what is missing", func(t *testing.T) {
		t.Parallel()
		require.Equal(t, []Anomaly{{Kind: "underpaid", Detail: map[string]string{
			"amount": "150.00", "currency": "ARS", "paid": "100.10", "refunded": "0.05", "missing": "49.95",
		}}}, settle(t, pay("1", PaymentApproved, "100.10", refunded("0.05"))))
	})

	t.Run("paid twice says the surplus and the payments", func(t *testing.T) {
		t.Parallel()
		require.Equal(t, []Anomaly{
			{Kind: "duplicate_payment", Detail: map[string]string{
				"amount": "150.00", "currency": "ARS", "payment_ids": "7,8",
			}},
			{Kind: "overpaid", Detail: map[string]string{
				"amount": "150.00", "currency": "ARS", "paid": "330.00", "refunded": "10.00", "surplus": "170.00",
			}},
		}, settle(t, pay("8", PaymentApproved, "160.0", refunded("10")), pay("9", PaymentApproved, "20"), pay("7", PaymentApproved, "150.00")))
	})

	t.Run("a payment that counts for nothing says why", func(t *testing.T) {
		t.Parallel()
		require.Equal(t, []Anomaly{
			{Kind: "currency_mismatch", PaymentID: "1", Detail: map[string]string{
				"amount": "150.00", "currency": "BRL", "status": "refunded", "order_currency": "ARS",
			}},
			{Kind: "foreign_collector", PaymentID: "1", Detail: map[string]string{
				"amount": "150.00", "currency": "BRL", "status": "refunded", "collector_id": theirs, "expected_collector_id": ours,
			}},
			{Kind: "wrong_mode", PaymentID: "1", Detail: map[string]string{
				"amount": "150.00", "currency": "BRL", "status": "refunded", "mode": "test", "allowed_mode": "live",
			}},
		}, settle(t, pay("1", PaymentRefunded, "150.00", currency("BRL"), collector(theirs), testMode)))
	})

	t.Run("real money where only test payments may move an order", func(t *testing.T) {
		t.Parallel()
		got, err := Settle(terms, Rules{Mode: ModeTest}, []Payment{pay("1", PaymentApproved, "150")})
		require.NoError(t, err)
		require.Equal(t, StatusPending, got.Status)
		require.Equal(t, []Anomaly{{Kind: "wrong_mode", PaymentID: "1", Detail: map[string]string{
			"amount": "150.00", "currency": "ARS", "status": "approved", "mode": "live", "allowed_mode": "test",
		}}}, got.Anomalies)
	})
}

func TestSettleErrors(t *testing.T) {
	t.Parallel()

	for _, c := range []struct {
		prose   string
		terms   Terms
		rules   Rules
		payment Payment
		is      error
		says    string
	}{
		{"terms without money", Terms{Currency: "ARS"}, rules, pay("1", PaymentApproved, "150"), ErrInvalidTerms, "invalid order terms: the amount is not positive"},
		{"terms without a currency", Terms{Amount: dec("1")}, rules, pay("1", PaymentApproved, "150"), ErrInvalidTerms, "invalid order terms: unknown currency \"\""},
		{"no mode", terms, Rules{CollectorID: ours}, pay("1", PaymentApproved, "150"), ErrUnknownMode, `unknown mode ""`},
		{"a mode that is none", terms, Rules{Mode: "both"}, pay("1", PaymentApproved, "150"), ErrUnknownMode, `unknown mode "both"`},
		{"an unknown status", terms, rules, pay("1", "vanished", "150"), ErrUnknownStatus, `payment "1": unknown payment status "vanished"`},
		{"an empty status", terms, rules, pay("1", "", "150"), ErrUnknownStatus, `payment "1": unknown payment status ""`},
		{"an unknown status of somebody else's payment", terms, rules, pay("1", "vanished", "150", collector(theirs)), ErrUnknownStatus, `payment "1": unknown payment status "vanished"`},
		{"an unknown status of a check of a card", terms, rules, pay("1", "vanished", "0", validation), ErrUnknownStatus, `payment "1": unknown payment status "vanished"`},
		{"no id", terms, rules, pay("", PaymentApproved, "150"), ErrInvalidPayment, "invalid payment: it has no id"},
		{"a negative amount", terms, rules, pay("1", PaymentApproved, "-0.01"), ErrInvalidPayment, `payment "1": invalid payment: its amount is negative`},
		{"an endless amount", terms, rules, pay("1", PaymentApproved, "1e15"), ErrInvalidPayment, `payment "1": invalid payment: its amount is not below 10^15`},
		{"a negative refund", terms, rules, pay("1", PaymentApproved, "150", refunded("-0.01")), ErrInvalidPayment, `payment "1": invalid payment: its refunded amount is negative`},
		{"more refunded than paid", terms, rules, pay("1", PaymentApproved, "150", refunded("150.01")), ErrInvalidPayment, `payment "1": invalid payment: more was refunded than paid`},
		{"more refunded than paid where it is not read", terms, rules, pay("1", PaymentPending, "150", refunded("150.01")), ErrInvalidPayment, `payment "1": invalid payment: more was refunded than paid`},
		{"a refund of nothing paid", terms, rules, pay("1", PaymentApproved, "0", refunded("1")), ErrInvalidPayment, `payment "1": invalid payment: more was refunded than paid`},
	} {
		t.Run(c.prose, func(t *testing.T) {
			t.Parallel()
			good, newer := pay("2", PaymentApproved, "150"), pay("1", PaymentApproved, "150", updated(time.Hour))
			for _, payments := range [][]Payment{
				{c.payment},
				{good, c.payment},
				{c.payment, good},
				// Not even a later state hides it.
				{c.payment, newer},
				{newer, good, c.payment},
			} {
				got, err := Settle(c.terms, c.rules, payments)
				require.ErrorIs(t, err, c.is)
				require.EqualError(t, err, c.says)
				require.Equal(t, Settlement{}, got)
			}
		})
	}

	t.Run("of several errors the same one is told in any order", func(t *testing.T) {
		t.Parallel()
		p, q := pay("1", "vanished", "150"), pay("2", PaymentApproved, "-1")
		_, err := Settle(terms, rules, []Payment{p, q})
		_, other := Settle(terms, rules, []Payment{q, p})
		require.EqualError(t, err, other.Error())
	})

	t.Run("the limit itself is the first amount that is too much", func(t *testing.T) {
		t.Parallel()
		_, err := Settle(terms, rules, []Payment{pay("1", PaymentApproved, "999999999999999.99")})
		require.NoError(t, err)
	})
}

func BenchmarkSettle(b *testing.B) {
	payments := []Payment{
		pay("1", PaymentRejected, "150"),
		pay("2", PaymentApproved, "100.50", refunded("0.50")),
		pay("3", PaymentApproved, "50"),
	}
	b.ReportAllocs()
	for b.Loop() {
		got, err := Settle(terms, rules, payments)
		if err != nil || got.Status != StatusPaid {
			b.Fatal(got, err)
		}
	}
}
