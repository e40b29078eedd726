package order

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestSettle_ComparesAtTheUnitThatIsCharged(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		price, currency string
		paid            []string
		status          Status
		sum             string
		anomalies       string
	}{
		{"100.00", "ARS", []string{"99.99999999999999"}, "paid", "100", ""},
		{"0.30", "ARS", []string{"0.1", "0.2"}, "paid", "0.3", ""},
		{"0.30", "ARS", []string{"0.1", "0.2000000000000001"}, "paid", "0.3", ""},
		{"100.00", "ARS", []string{"99.995"}, "paid", "100", ""},
		{"100.00", "ARS", []string{"99.994"}, "partially_paid", "99.99", "underpaid"},
		{"100.00", "ARS", []string{"100.005"}, "paid", "100.01", "overpaid"},
		{"100.00", "ARS", []string{"0.004"}, "pending", "0", ""},
		{"15990", "CLP", []string{"15990"}, "paid", "15990", ""},
		{"15990", "CLP", []string{"15989.5"}, "paid", "15990", ""},
		{"15990", "CLP", []string{"15989"}, "partially_paid", "15989", "underpaid"},
		{"15990", "CLP", []string{"15991"}, "paid", "15991", "overpaid"},
		{"20076.47", "COP", []string{"20076"}, "paid", "20076", ""},
		{"20076.47", "COP", []string{"20077"}, "paid", "20077", ""},
		{"20076.47", "COP", []string{"20076.47"}, "paid", "20076.47", ""},
		{"20076.47", "COP", []string{"20075.47"}, "partially_paid", "20075.47", "underpaid"},
		{"20076.47", "COP", []string{"20077.47"}, "paid", "20077.47", "overpaid"},
		{"20076.47", "COP", []string{"20076", "20076"}, "paid", "40152", "duplicate_payment"},
		{"0.50", "COP", nil, "pending", "0", ""},
		{"1.001", "BHD", []string{"1"}, "partially_paid", "1", "underpaid"},
		// Terms that only an earlier ledger has.
		{"10.005", "ARS", []string{"10.01"}, "paid", "10.01", ""},
		{"15990.50", "CLP", []string{"15991"}, "paid", "15991", ""},
	} {
		t.Run(c.price+" "+c.currency+" "+strings.Join(c.paid, " "), func(t *testing.T) {
			t.Parallel()
			var payments []Payment
			for i, amount := range c.paid {
				payments = append(payments, pay(string(rune('1'+i)), PaymentApproved, amount, currency(c.currency)))
			}
			got, err := Settle(Terms{Amount: dec(c.price), Currency: c.currency}, rules, payments)
			require.NoError(t, err)
			require.Equal(t, c.status, got.Status)
			require.Equal(t, c.sum, got.Paid.String())
			require.Equal(t, c.anomalies, inShort(got.Anomalies))
		})
	}
	t.Run("no payment can be in a currency that does not exist, and earlier terms are settled without an error", func(t *testing.T) {
		t.Parallel()
		got, err := Settle(Terms{Amount: dec("10"), Currency: "XYZ"}, rules, []Payment{pay("1", PaymentApproved, "10")})
		require.NoError(t, err)
		require.Equal(t, StatusPending, got.Status)
		require.Equal(t, "currency_mismatch:1", inShort(got.Anomalies))
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
