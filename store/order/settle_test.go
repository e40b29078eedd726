package order

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// TestSettle_FollowsTheTables goes through the rows of both tables, a payment's worth and
// the order's status, for an order of 150 ARS.
func TestSettle_FollowsTheTables(t *testing.T) {
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
		{"less than half a centavo is missing: that is how a computer writes the price", []Payment{pay("1", PaymentApproved, "149.999999999")}, "paid", "150", "0", ""},
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
		{"paid and a tip in a second payment, which is a whole payment too many", []Payment{pay("1", PaymentApproved, "150"), pay("2", PaymentApproved, "10")}, "paid", "160", "0", "duplicate_payment"},
		{"paid twice: a duplicate, and nothing else", []Payment{pay("1", PaymentApproved, "150"), pay("2", PaymentApproved, "150")}, "paid", "300", "0", "duplicate_payment"},
		{"paid twice, once through a dispute that was won", []Payment{pay("1", PaymentApproved, "150"), pay("2", PaymentChargedBack, "150", detail("reimbursed"))}, "paid", "300", "0", "duplicate_payment"},
		{"paid twice, one refunded: all is well", []Payment{pay("1", PaymentApproved, "150"), pay("2", PaymentApproved, "150", refunded("150"))}, "paid", "300", "150", ""},
		{"paid twice, a part of one refunded: what is left of it is a whole payment too many", []Payment{pay("1", PaymentApproved, "150"), pay("2", PaymentApproved, "150", refunded("1"))}, "paid", "300", "1", "duplicate_payment"},
		{"paid twice with a surplus, refunded down to twice the price", []Payment{pay("1", PaymentApproved, "200", refunded("50")), pay("2", PaymentApproved, "150")}, "paid", "350", "50", "duplicate_payment"},

		// Which row comes first.
		{"money that is there before every dispute, and each of these is told", []Payment{
			pay("1", PaymentApproved, "150"), pay("2", PaymentInMediation, "150"), pay("3", PaymentRefunded, "150"), pay("4", PaymentChargedBack, "1"),
		}, "paid", "300", "150", "disputed_payment:2 disputed_payment:4"},
		{"a charge-back before a mediation, and both before a refund", []Payment{
			pay("2", PaymentInMediation, "150"), pay("3", PaymentRefunded, "150"), pay("4", PaymentChargedBack, "1"),
		}, "charged_back", "150", "150", ""},
		{"a mediation before a part that is paid", []Payment{pay("1", PaymentApproved, "50"), pay("2", PaymentInMediation, "100")}, "in_mediation", "50", "0", ""},
		{"a dispute that covers nothing changes a paid order in nothing", []Payment{pay("1", PaymentApproved, "150"), pay("2", PaymentChargedBack, "0.01")}, "paid", "150", "0", "disputed_payment:2"},
		{"the only payment, disputed", []Payment{pay("1", PaymentChargedBack, "150", detail("in_process"))}, "charged_back", "0", "0", ""},
		{"a dispute that was won is none", []Payment{pay("1", PaymentApproved, "150"), pay("2", PaymentChargedBack, "10", detail("reimbursed"))}, "paid", "160", "0", "duplicate_payment"},
		{"money before a mediation", []Payment{pay("1", PaymentApproved, "150"), pay("2", PaymentInMediation, "1")}, "paid", "150", "0", "disputed_payment:2"},
		{"paid twice, with one more disputed: two facts", []Payment{
			pay("1", PaymentApproved, "150"), pay("2", PaymentApproved, "150"), pay("3", PaymentInMediation, "150"),
		}, "paid", "300", "0", "disputed_payment:3 duplicate_payment"},
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
		{"a currency that is not said of money", []Payment{pay("1", PaymentApproved, "150", currency(""))}, "pending", "0", "0", "currency_mismatch:1"},
		{"a currency in lower case", []Payment{pay("1", PaymentApproved, "150", currency("ars"))}, "pending", "0", "0", "currency_mismatch:1"},
		{"all three at once", []Payment{pay("1", PaymentApproved, "150", collector(theirs), testMode, currency("BRL"))}, "pending", "0", "0", "currency_mismatch:1 foreign_collector:1 wrong_mode:1"},
		{"a check of a card", []Payment{pay("1", PaymentApproved, "150", validation)}, "pending", "0", "0", ""},
		{"a payment of nothing", []Payment{pay("1", PaymentApproved, "0.00")}, "pending", "0", "0", ""},
		{"a payment of nothing charged back", []Payment{pay("1", PaymentChargedBack, "0")}, "pending", "0", "0", ""},
		{"somebody else's check of a card", []Payment{pay("1", PaymentApproved, "0", validation, collector(theirs), testMode, currency("BRL"))}, "pending", "0", "0", ""},
		{"somebody else's charge-back", []Payment{pay("1", PaymentApproved, "150"), pay("2", PaymentChargedBack, "150", collector(theirs))}, "paid", "150", "0", "foreign_collector:2"},
		{"a mediation of test money", []Payment{pay("1", PaymentApproved, "150"), pay("2", PaymentInMediation, "150", testMode)}, "paid", "150", "0", "wrong_mode:2"},
		{"a refund in another currency: nothing of it is left", []Payment{pay("1", PaymentApproved, "150"), pay("2", PaymentRefunded, "150", currency("BRL")), pay("3", PaymentApproved, "150", refunded("150"), currency("BRL"))}, "paid", "150", "0", ""},
		{"a part of it refunded in another currency", []Payment{pay("1", PaymentApproved, "150", refunded("149"), currency("BRL"))}, "pending", "0", "0", "currency_mismatch:1"},
		{"reserved in another currency", []Payment{pay("1", PaymentAuthorized, "150", currency("BRL"))}, "pending", "0", "0", "currency_mismatch:1"},
		{"pending, in review, rejected and cancelled in another currency", []Payment{
			pay("1", PaymentPending, "150", currency("BRL")), pay("2", PaymentInProcess, "150", testMode), pay("3", PaymentRejected, "150", collector(theirs)), pay("4", PaymentCancelled, "150", currency("BRL")),
		}, "pending", "0", "0", ""},
		{"a foreign pending payment beside a rejected one", []Payment{pay("1", PaymentPending, "150", collector(theirs)), pay("2", PaymentRejected, "150")}, "rejected", "0", "0", ""},
		{"anomalies by kind and then by payment", []Payment{
			pay("9", PaymentApproved, "150.01"), pay("2", PaymentApproved, "1", testMode), pay("3", PaymentApproved, "1", collector(theirs)), pay("1", PaymentPending, "1", testMode, collector(theirs)),
		}, "paid", "150.01", "0", "foreign_collector:3 overpaid wrong_mode:2"},

		// What is not said where there is no money.
		{"rejected without an amount", []Payment{pay("1", PaymentRejected, "0", noAmount)}, "rejected", "0", "0", ""},
		{"cancelled without a currency", []Payment{pay("1", PaymentCancelled, "150", currency(""))}, "cancelled", "0", "0", ""},
		{"pending without either", []Payment{pay("1", PaymentPending, "0", noAmount)}, "pending", "0", "0", ""},
		{"in process without either", []Payment{pay("1", PaymentInProcess, "0", noAmount)}, "in_process", "0", "0", ""},

		// More given back than came.
		{"refunded, shipping too", []Payment{pay("1", PaymentRefunded, "150", refunded("165"))}, "refunded", "150", "150", ""},
		{"approved, more than all of it given back", []Payment{pay("1", PaymentApproved, "150", refunded("165"))}, "refunded", "150", "150", ""},
		{"more given back of one payment takes nothing of another", []Payment{pay("1", PaymentApproved, "150"), pay("2", PaymentApproved, "50", refunded("70"))}, "paid", "200", "50", ""},
		{"a dispute won, and more than all of it given back", []Payment{pay("1", PaymentChargedBack, "150", detail("reimbursed"), refunded("151"))}, "refunded", "150", "150", ""},

		// Shipping kept apart.
		{"paid with shipping, which the price has", []Payment{pay("1", PaymentApproved, "140", shipping("10"))}, "paid", "150", "0", ""},
		{"paid with shipping, which the price has not", []Payment{pay("1", PaymentApproved, "150", shipping("10"))}, "paid", "150", "0", ""},
		{"too little even with shipping", []Payment{pay("1", PaymentApproved, "130", shipping("10"))}, "partially_paid", "140", "0", "underpaid"},
		{"a surplus of shipping alone is none", []Payment{pay("1", PaymentApproved, "145", shipping("10"))}, "paid", "155", "0", ""},
		{"two payments that make the price with the shipping of both", []Payment{pay("1", PaymentApproved, "90", shipping("5")), pay("2", PaymentApproved, "50", shipping("5"))}, "paid", "150", "0", ""},
		{"paid twice with shipping", []Payment{pay("1", PaymentApproved, "140", shipping("10")), pay("2", PaymentApproved, "140", shipping("10"))}, "paid", "300", "0", "duplicate_payment"},
		{"paid twice without shipping", []Payment{pay("1", PaymentApproved, "150", shipping("10")), pay("2", PaymentApproved, "150", shipping("10"))}, "paid", "300", "0", "duplicate_payment"},
		{"all of it refunded, shipping too", []Payment{pay("1", PaymentApproved, "140", shipping("10"), refunded("150"))}, "refunded", "150", "150", ""},
		{"the price refunded and not the shipping", []Payment{pay("1", PaymentApproved, "140", shipping("10"), refunded("140"))}, "partially_refunded", "150", "140", ""},
		{"refunds do not change whether shipping counts", []Payment{pay("1", PaymentApproved, "150", shipping("10"), refunded("20"))}, "partially_refunded", "150", "20", ""},
		{"shipping of what is not paid changes nothing", []Payment{pay("1", PaymentApproved, "150"), pay("2", PaymentPending, "140", shipping("10"))}, "paid", "150", "0", ""},

		// Instalments.
		{"three charges of one subscription", []Payment{
			pay("1", PaymentApproved, "150", charge("s", 1)), pay("2", PaymentApproved, "150", charge("s", 2)), pay("3", PaymentApproved, "150", charge("s", 3)),
		}, "paid", "450", "0", ""},
		{"a charge of a subscription that became dearer", []Payment{pay("1", PaymentApproved, "150", charge("s", 1)), pay("2", PaymentApproved, "170", charge("s", 2))}, "paid", "320", "0", ""},
		{"one charge twice", []Payment{
			pay("1", PaymentApproved, "150", charge("s", 1)), pay("2", PaymentApproved, "150", charge("s", 2)), pay("3", PaymentApproved, "150", charge("s", 2)),
		}, "paid", "450", "0", "duplicate_payment"},
		{"an ordinary payment beside the charges", []Payment{pay("1", PaymentApproved, "150", charge("s", 1)), pay("2", PaymentApproved, "150")}, "paid", "300", "0", "duplicate_payment"},
		{"charges without numbers are ordinary payments", []Payment{pay("1", PaymentApproved, "150", charge("s", 0)), pay("2", PaymentApproved, "150", charge("s", 0))}, "paid", "300", "0", "duplicate_payment"},
		{"a charge with shipping that was tried again after it was given back", []Payment{pay("1", PaymentRefunded, "150", shipping("10"), refunded("150"), charge("s", 1)), pay("2", PaymentApproved, "150", shipping("10"), charge("s", 1))}, "paid", "300", "150", ""},
		{"a charge that was tried again after it was given back", []Payment{pay("1", PaymentRefunded, "150", charge("s", 1)), pay("2", PaymentApproved, "150", charge("s", 1)), pay("3", PaymentApproved, "150", charge("s", 2))}, "paid", "450", "150", ""},

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

func TestSettle_AnAnomalySaysItsAmounts(t *testing.T) {
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

	t.Run("paid twice says the payments that are too many, the latest first", func(t *testing.T) {
		t.Parallel()
		require.Equal(t, []Anomaly{{Kind: "duplicate_payment", Detail: map[string]string{
			"amount": "150.00", "currency": "ARS", "payment_ids": "10,9",
		}}}, settle(t, pay("9", PaymentApproved, "160.0", refunded("10")), pay("10", PaymentApproved, "20"), pay("7", PaymentApproved, "150.00")))
	})

	t.Run("of the payments that are too many no more are named than leave the price covered", func(t *testing.T) {
		t.Parallel()
		require.Equal(t, "3", settle(t, pay("1", PaymentApproved, "100"), pay("2", PaymentApproved, "50"), pay("3", PaymentApproved, "60"))[0].Detail["payment_ids"])
	})

	t.Run("overpaid says the surplus", func(t *testing.T) {
		t.Parallel()
		require.Equal(t, []Anomaly{{Kind: "overpaid", Detail: map[string]string{
			"amount": "150.00", "currency": "ARS", "paid": "200.00", "refunded": "10.00", "surplus": "40.00",
		}}}, settle(t, pay("1", PaymentApproved, "200", refunded("10"))))
	})

	t.Run("a disputed payment says which and how", func(t *testing.T) {
		t.Parallel()
		require.Equal(t, []Anomaly{{Kind: "disputed_payment", PaymentID: "2", Detail: map[string]string{
			"amount": "150.00", "currency": "ARS", "status": "charged_back",
		}}}, settle(t, pay("1", PaymentApproved, "150"), pay("2", PaymentChargedBack, "150")))
	})

	t.Run("a payment that counts for nothing says why", func(t *testing.T) {
		t.Parallel()
		require.Equal(t, []Anomaly{
			{Kind: "currency_mismatch", PaymentID: "1", Detail: map[string]string{
				"amount": "150.00", "currency": "BRL", "status": "approved", "order_currency": "ARS",
			}},
			{Kind: "foreign_collector", PaymentID: "1", Detail: map[string]string{
				"amount": "150.00", "currency": "BRL", "status": "approved", "collector_id": theirs, "expected_collector_id": ours,
			}},
			{Kind: "wrong_mode", PaymentID: "1", Detail: map[string]string{
				"amount": "150.00", "currency": "BRL", "status": "approved", "mode": "test", "allowed_mode": "live",
			}},
		}, settle(t, pay("1", PaymentApproved, "150.00", currency("BRL"), collector(theirs), testMode)))
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

func TestSettle_RefusesWhatItCannotCount(t *testing.T) {
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
		{"money without an amount", terms, rules, pay("1", PaymentApproved, "0", noAmount), ErrInvalidPayment, `payment "1": invalid payment: it has no amount`},
		{"disputed money without an amount", terms, rules, pay("1", PaymentInMediation, "0", noAmount), ErrInvalidPayment, `payment "1": invalid payment: it has no amount`},
		{"negative shipping", terms, rules, pay("1", PaymentApproved, "150", shipping("-1")), ErrInvalidPayment, `payment "1": invalid payment: its shipping is negative`},
		{"endless shipping", terms, rules, pay("1", PaymentApproved, "150", shipping("1e15")), ErrInvalidPayment, `payment "1": invalid payment: its shipping is not below 10^15`},
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

// TestSettle_TheMerchantCancelled goes through every status that a cancelled order
// can have.
func TestSettle_TheMerchantCancelled(t *testing.T) {
	t.Parallel()
	cancelled := Terms{Amount: dec("150"), Currency: "ARS", Cancelled: true}
	for _, c := range []struct {
		prose     string
		payments  []Payment
		status    Status
		anomalies string
	}{
		{"without a payment", nil, "cancelled", ""},
		{"pending, in process, rejected", []Payment{pay("1", PaymentPending, "150"), pay("2", PaymentInProcess, "150"), pay("3", PaymentRejected, "150")}, "cancelled", ""},
		{"reserved", []Payment{pay("1", PaymentAuthorized, "150")}, "authorized", ""},
		{"paid", []Payment{pay("1", PaymentApproved, "150")}, "paid", "paid_after_cancel"},
		{"paid in part", []Payment{pay("1", PaymentApproved, "50")}, "partially_paid", "paid_after_cancel"},
		{"paid too much", []Payment{pay("1", PaymentApproved, "200")}, "paid", "paid_after_cancel"},
		{"paid twice", []Payment{pay("1", PaymentApproved, "150"), pay("2", PaymentApproved, "150")}, "paid", "paid_after_cancel"},
		{"paid and given back", []Payment{pay("1", PaymentRefunded, "150")}, "refunded", ""},
		{"paid and given back in part", []Payment{pay("1", PaymentApproved, "150", refunded("50"))}, "partially_refunded", "paid_after_cancel"},
		{"disputed", []Payment{pay("1", PaymentInMediation, "150")}, "in_mediation", ""},
		{"disputed beside a part that is paid", []Payment{pay("1", PaymentApproved, "50"), pay("2", PaymentChargedBack, "100")}, "charged_back", "paid_after_cancel"},
		{"paid, and another disputed", []Payment{pay("1", PaymentApproved, "150"), pay("2", PaymentChargedBack, "150")}, "paid", "disputed_payment:2 paid_after_cancel"},
	} {
		got, err := Settle(cancelled, rules, c.payments)
		require.NoError(t, err, c.prose)
		require.Equal(t, c.status, got.Status, c.prose)
		require.Equal(t, c.anomalies, inShort(got.Anomalies), c.prose)
	}
	got, err := Settle(cancelled, rules, []Payment{pay("1", PaymentApproved, "200", refunded("10"))})
	require.NoError(t, err)
	require.Equal(t, map[string]string{"amount": "150.00", "currency": "ARS", "paid": "200.00", "refunded": "10.00", "surplus": "190.00"}, got.Anomalies[0].Detail)
}
